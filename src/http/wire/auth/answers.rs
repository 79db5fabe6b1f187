//! What whoever signs in is answered: tokens, sessions, codes. They are shown once, to whom they belong.

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::wire::scalar::{Id, Time};
use crate::services::Services;
use crate::services::second_factor::Credentials;
use crate::services::sessions::Grant;
use crate::services::sign_in::SignedIn;
use crate::store::sessions::Session;

#[derive(Serialize, ToSchema)]
#[schema(as = CodeSent)]
pub struct CodeSent {
    pub challenge: Id,
    pub expires_at: Time,
    /// No further code is sent to this address before.
    pub resend_after: Time,
}

/// What somebody who has shown who he is comes to: a session with its account, the second factor, or registration.
#[derive(Serialize, ToSchema)]
#[schema(as = SignIn)]
pub struct SignInAnswer {
    #[serde(flatten)]
    pub session: Option<GrantAnswer>,
    /// The account has a second factor: send this with a code to /v1/auth/second-factor.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    second_factor_token: Option<Shown>,
    /// The address is nobody's: open an account with this, by POST /v1/accounts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    registration_token: Option<Shown>,
    /// Of either of these tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Time>,
}

/// The tokens of a session (RFC 6749).
#[derive(Serialize, ToSchema)]
#[schema(as = Grant)]
pub struct GrantAnswer {
    #[schema(value_type = String)]
    access_token: Shown,
    /// Bearer.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds.
    expires_in: i64,
    /// Good once, for the next tokens.
    #[schema(value_type = String)]
    refresh_token: Shown,
    refresh_expires_at: Time,
    /// The session's id.
    session: Id,
    /// The account's id.
    account: Id,
}

/// What the caller signs in by, beside codes to his addresses.
#[derive(Serialize, ToSchema)]
#[schema(as = Credentials)]
pub struct CredentialsAnswer {
    /// Whether there is one.
    password: bool,
    /// Whether a device is asked for as second factor.
    totp: bool,
    recovery_codes_left: i64,
}

/// A device on which the caller is signed in.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub struct SessionAnswer {
    id: Id,
    /// What the client calls itself.
    device: String,
    /// From where it signed in.
    network_address: String,
    /// code or password.
    #[schema(example = "code")]
    signed_in_by: &'static str,
    created_at: Time,
    last_used_at: Time,
    expires_at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Time>,
    /// Whether it is the one that asks.
    current: bool,
}

/// What an authenticator needs; shown once.
#[derive(Serialize, ToSchema)]
#[schema(as = TotpEnrolment)]
pub struct EnrolmentAnswer {
    /// In base 32, for typing.
    #[schema(value_type = String)]
    pub secret: Shown,
    #[schema(value_type = String, example = "otpauth://totp/Florin:asha%40example.in?secret=...&issuer=Florin")]
    pub otpauth_uri: Shown,
    /// The same as an image: a data URI of a PNG.
    #[schema(value_type = String)]
    pub qr: Shown,
}

/// Ten codes, each good once in the place of the device's. They are not shown again.
#[derive(Serialize, ToSchema)]
#[schema(as = RecoveryCodes)]
pub struct RecoveryCodesAnswer {
    #[schema(value_type = Vec<String>)]
    pub recovery_codes: Vec<Shown>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ConfirmationAsked)]
pub struct ConfirmationAsked {
    pub confirmation: Id,
    /// totp: the device makes the code; code: one was sent, with amount and payee.
    #[schema(example = "code")]
    pub by: &'static str,
    /// To whom the payment may go.
    pub payee_wallet: Id,
    pub expires_at: Time,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Confirmation)]
pub struct ConfirmationAnswer {
    /// Sent as the header Confirmation with the payment, once.
    #[schema(value_type = String)]
    pub confirmation_token: Shown,
    pub expires_at: Time,
}

/// It is done.
#[derive(Serialize, ToSchema)]
#[schema(as = Done)]
pub struct DoneAnswer {
    /// done.
    #[schema(example = "done")]
    status: &'static str,
}

/// A secret on its way to whom it belongs.
pub struct Shown(pub SecretString);

impl SignInAnswer {
    pub fn new(services: &Services, signed_in: SignedIn) -> SignInAnswer {
        let none =
            SignInAnswer { session: None, second_factor_token: None, registration_token: None, expires_at: None };
        match signed_in {
            SignedIn::Session { grant, account } => {
                SignInAnswer { session: Some(GrantAnswer::new(services, grant, account)), ..none }
            }
            SignedIn::SecondFactor { token, expires_at } => {
                SignInAnswer { second_factor_token: Some(Shown(token)), expires_at: Some(Time::of(expires_at)), ..none }
            }
            SignedIn::Registration { token, expires_at } => {
                SignInAnswer { registration_token: Some(Shown(token)), expires_at: Some(Time::of(expires_at)), ..none }
            }
        }
    }
}

impl GrantAnswer {
    pub fn new(services: &Services, grant: Grant, account: Uuid) -> GrantAnswer {
        GrantAnswer {
            access_token: Shown(grant.access_token),
            token_type: "Bearer",
            expires_in: (grant.access_expires_at - services.now()).max(0) / crate::services::clock::SECOND,
            refresh_token: Shown(grant.refresh_token),
            refresh_expires_at: Time::of(grant.refresh_expires_at),
            session: Id(grant.session.as_u128()),
            account: Id(account.as_u128()),
        }
    }
}

impl SessionAnswer {
    pub fn new(session: &Session, current: bool) -> SessionAnswer {
        SessionAnswer {
            id: Id(session.id.as_u128()),
            device: session.device.clone(),
            network_address: session.network_address.clone(),
            signed_in_by: session.signed_in_by.name(),
            created_at: Time::of(session.created_at),
            last_used_at: Time::of(session.last_used_at),
            expires_at: Time::of(session.expires_at),
            ended_at: session.ended_at.map(Time::of),
            current,
        }
    }
}

impl CredentialsAnswer {
    pub fn new(credentials: Credentials) -> CredentialsAnswer {
        let Credentials { has_password, has_device, recovery_codes_left } = credentials;
        CredentialsAnswer { password: has_password, totp: has_device, recovery_codes_left }
    }
}

impl DoneAnswer {
    pub const DONE: DoneAnswer = DoneAnswer { status: "done" };
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose_secret())
    }
}
