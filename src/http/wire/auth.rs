//! Signing in on the wire: codes, passwords, second factors, sessions, confirmations. What is secret goes in and out as
//! text, and is printed by nothing.

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;
use uuid::Uuid;

use super::money::{Money, RawMoney};
use super::raw::{Raw, required};
use super::scalar::{Id, Time};
use crate::http::problem::{Code, Problem};
use crate::ledger::{Amount, Currency};
use crate::services::accounts::LOCALES;
use crate::services::second_factor::Factor;
use crate::services::sessions::Grant;
use crate::services::sign_in::SignedIn;
use crate::services::{Services, contact};
use crate::store::AddressKind;
use crate::store::sessions::Session;

/// More than any code, and any token, has.
const TOKEN_CHARACTERS_MAX: usize = 200;

/// An email or a phone number that a code is sent to.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CodeRequest)]
pub struct CodeRequest<'a> {
    /// Either this ...
    #[serde(borrow)]
    #[schema(value_type = Option<String>, example = "asha@example.in")]
    email: Option<Raw<'a>>,
    /// ... or this, with the country's code.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, example = "+919876543210")]
    phone: Option<Raw<'a>>,
    /// The language of the message; en if it is not given.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, example = "hi")]
    locale: Option<Raw<'a>>,
}

/// The code that came.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = VerifyRequest)]
pub struct VerifyRequest<'a> {
    #[serde(borrow)]
    #[schema(value_type = Id)]
    challenge: Option<Raw<'a>>,
    #[serde(borrow)]
    #[schema(value_type = String, example = "481516")]
    code: Option<Raw<'a>>,
}

/// An address and its account's password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PasswordRequest)]
pub struct PasswordRequest<'a> {
    /// Either this ...
    #[serde(borrow)]
    #[schema(value_type = Option<String>, example = "asha@example.in")]
    email: Option<Raw<'a>>,
    /// ... or this.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    phone: Option<Raw<'a>>,
    #[serde(borrow)]
    #[schema(value_type = String)]
    password: Option<Raw<'a>>,
}

/// A new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PasswordChange)]
pub struct PasswordChange<'a> {
    /// Not needed within 10 minutes of signing in by a code.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    current: Option<Raw<'a>>,
    /// 10 to 128 characters that are hard to guess.
    #[serde(borrow)]
    #[schema(value_type = String)]
    new: Option<Raw<'a>>,
}

/// The token that the first factor was answered with, and a code of the second.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SecondFactorRequest)]
pub struct SecondFactorRequest<'a> {
    #[serde(borrow)]
    #[schema(value_type = String)]
    second_factor_token: Option<Raw<'a>>,
    /// Either this, of the device ...
    #[serde(borrow)]
    #[schema(value_type = Option<String>, example = "481516")]
    code: Option<Raw<'a>>,
    /// ... or this.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    recovery_code: Option<Raw<'a>>,
}

/// A code of the caller's second factor.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = FactorRequest)]
pub struct FactorRequest<'a> {
    /// Either this, of the device ...
    #[serde(borrow)]
    #[schema(value_type = Option<String>, example = "481516")]
    code: Option<Raw<'a>>,
    /// ... or this, where a device was lost.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    recovery_code: Option<Raw<'a>>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RefreshRequest)]
pub struct RefreshRequest<'a> {
    #[serde(borrow)]
    #[schema(value_type = String)]
    refresh_token: Option<Raw<'a>>,
}

/// A payment to be confirmed before it is made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ConfirmationRequest)]
pub struct ConfirmationRequest<'a> {
    #[serde(borrow)]
    #[schema(value_type = Money)]
    amount: Option<RawMoney<'a>>,
    /// A wallet's id, an email, a phone number or a handle.
    #[serde(borrow)]
    #[schema(value_type = String, example = "@ravi")]
    payee: Option<Raw<'a>>,
}

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

pub(super) fn schemas(list: &mut Vec<crate::http::openapi::NamedSchema>) {
    use crate::http::openapi::add;
    add::<CodeRequest<'_>>(list);
    add::<VerifyRequest<'_>>(list);
    add::<PasswordRequest<'_>>(list);
    add::<PasswordChange<'_>>(list);
    add::<SecondFactorRequest<'_>>(list);
    add::<FactorRequest<'_>>(list);
    add::<RefreshRequest<'_>>(list);
    add::<ConfirmationRequest<'_>>(list);
    add::<CodeSent>(list);
    add::<SignInAnswer>(list);
    add::<GrantAnswer>(list);
    add::<SessionAnswer>(list);
    add::<EnrolmentAnswer>(list);
    add::<RecoveryCodesAnswer>(list);
    add::<ConfirmationAsked>(list);
    add::<ConfirmationAnswer>(list);
    add::<DoneAnswer>(list);
}

impl CodeRequest<'_> {
    /// The address in its normal form, and the language.
    pub fn parts(&self) -> Result<(AddressKind, String, &str), Problem> {
        let (kind, address) = address(&self.email, &self.phone)?;
        let locale = self.locale.as_ref().map_or(Ok(LOCALES[0]), |raw| raw.text("locale"))?;
        if !LOCALES.contains(&locale) {
            let detail = format!("`locale` is not one of {}.", LOCALES.join(", "));
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
        Ok((kind, address, locale))
    }
}

impl VerifyRequest<'_> {
    pub fn parts(&self) -> Result<(u128, &str), Problem> {
        let challenge = required(&self.challenge, "challenge")?.id("challenge")?;
        Ok((challenge, short(required(&self.code, "code")?, "code")?))
    }
}

impl PasswordRequest<'_> {
    pub fn parts(&self) -> Result<(AddressKind, String, SecretString), Problem> {
        let (kind, address) = address(&self.email, &self.phone)?;
        Ok((kind, address, secret(required(&self.password, "password")?, "password")?))
    }
}

impl PasswordChange<'_> {
    pub fn parts(&self) -> Result<(Option<SecretString>, SecretString), Problem> {
        let current = self.current.as_ref().map(|raw| secret(raw, "current")).transpose()?;
        Ok((current, secret(required(&self.new, "new")?, "new")?))
    }
}

impl SecondFactorRequest<'_> {
    pub fn parts(&self) -> Result<(SecretString, Factor), Problem> {
        let token = required(&self.second_factor_token, "second_factor_token")?;
        let token = SecretString::from(short(token, "second_factor_token")?);
        Ok((token, factor(&self.code, &self.recovery_code)?))
    }
}

impl FactorRequest<'_> {
    pub fn factor(&self) -> Result<Factor, Problem> {
        factor(&self.code, &self.recovery_code)
    }

    /// Where the device itself is wanted.
    pub fn code(&self) -> Result<&str, Problem> {
        if self.recovery_code.is_some() {
            return Err(Problem::new(Code::InvalidRequest, "`recovery_code` is of no use here; give a `code`."));
        }
        short(required(&self.code, "code")?, "code")
    }
}

impl RefreshRequest<'_> {
    pub fn token(&self) -> Result<SecretString, Problem> {
        Ok(SecretString::from(short(required(&self.refresh_token, "refresh_token")?, "refresh_token")?))
    }
}

impl ConfirmationRequest<'_> {
    pub fn parts(&self) -> Result<(Amount, Currency, &str), Problem> {
        let (amount, currency) = required(&self.amount, "amount")?.amount("amount")?;
        Ok((amount, currency, required(&self.payee, "payee")?.text("payee")?))
    }
}

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

impl DoneAnswer {
    pub const DONE: DoneAnswer = DoneAnswer { status: "done" };
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose_secret())
    }
}

/// One of the two, in its normal form.
fn address(email: &Option<Raw<'_>>, phone: &Option<Raw<'_>>) -> Result<(AddressKind, String), Problem> {
    match (email, phone) {
        (Some(email), None) => Ok((AddressKind::Email, contact::email(email.text("email")?)?)),
        (None, Some(phone)) => Ok((AddressKind::Phone, contact::phone(phone.text("phone")?)?)),
        _ => Err(Problem::new(Code::InvalidRequest, "Give one of `email` and `phone`.")),
    }
}

fn factor(code: &Option<Raw<'_>>, recovery_code: &Option<Raw<'_>>) -> Result<Factor, Problem> {
    match (code, recovery_code) {
        (Some(code), None) => Ok(Factor::Code(short(code, "code")?.to_owned())),
        (None, Some(code)) => Ok(Factor::Recovery(short(code, "recovery_code")?.to_owned())),
        _ => Err(Problem::new(Code::InvalidRequest, "Give one of `code` and `recovery_code`.")),
    }
}

fn secret(raw: &Raw<'_>, field: &str) -> Result<SecretString, Problem> {
    Ok(SecretString::from(raw.text(field)?))
}

fn short<'r>(raw: &'r Raw<'_>, field: &str) -> Result<&'r str, Problem> {
    let text = raw.text(field)?;
    if text.len() > TOKEN_CHARACTERS_MAX {
        return Err(Problem::new(Code::InvalidRequest, format!("`{field}` is too long to be one.")));
    }
    Ok(text)
}
