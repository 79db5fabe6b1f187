//! Signing in, credentials and sessions, in words.

use super::{Body, CURSOR, Described, EMPTY, LIMIT, Success};
use crate::http::problem::Code;
use crate::http::route::Route;

const SIGN_IN: Described = Described { tag: "Signing in", ..EMPTY };
const ENTERED: Success = Success::Json("200", "SignIn");
const DONE: Success = Success::Json("200", "Done");
const CREDENTIALS: Described = Described { tag: "Credentials", ..EMPTY };

pub(super) fn describe(route: Route) -> Option<Described> {
    let totp = Described {
        body: Body::Json("FactorRequest", true),
        example: Some(r#"{"code":"481516"}"#),
        success: Success::Json("200", "RecoveryCodes"),
        codes: &[Code::InvalidCode, Code::InvalidState, Code::TooManyTries, Code::AccountNotFound],
        ..CREDENTIALS
    };
    Some(match route {
        Route::CodeSend => Described {
            summary: "Send a one-time code to an email or a phone",
            description: Some(
                "The answer is the same for known and unknown addresses. A code is good for 10 minutes, once, and for five \
                 tries with growing delays; codes to one address come at growing intervals, at most seven in an hour.",
            ),
            body: Body::Json("CodeRequest", true),
            example: Some(r#"{"email":"asha@example.in"}"#),
            success: Success::Json("202", "CodeSent"),
            codes: &[Code::TooManyTries],
            ..SIGN_IN
        },
        Route::CodeVerify => Described {
            summary: "Sign in, or begin to register, by the code that came",
            description: Some(
                "A known address comes to a session, or to the second factor; an unknown one to a token, good for \
                 10 minutes, that POST /v1/accounts takes.",
            ),
            body: Body::Json("VerifyRequest", true),
            example: Some(r#"{"challenge":"01890a5d-ac96-774b-bcce-b302099a8057","code":"481516"}"#),
            success: ENTERED,
            codes: &[
                Code::InvalidCode,
                Code::TooManyTries,
                Code::AccountBlocked,
                Code::AccountClosed,
                Code::AccountNotFound,
            ],
            ..SIGN_IN
        },
        Route::PasswordSignIn => Described {
            summary: "Sign in by a password",
            body: Body::Json("PasswordRequest", true),
            example: Some(r#"{"email":"asha@example.in","password":"lorry-quince-tabla-moss"}"#),
            success: ENTERED,
            codes: &[
                Code::InvalidCredentials,
                Code::TooManyTries,
                Code::AccountBlocked,
                Code::AccountClosed,
                Code::AccountNotFound,
            ],
            ..SIGN_IN
        },
        Route::SecondFactor => Described {
            summary: "Sign in by the second factor",
            description: Some("By the token that the first one was answered with; five tries."),
            body: Body::Json("SecondFactorRequest", true),
            example: Some(r#"{"second_factor_token":"fsf_...","code":"481516"}"#),
            success: ENTERED,
            codes: &[
                Code::InvalidCode,
                Code::TooManyTries,
                Code::AccountBlocked,
                Code::AccountClosed,
                Code::AccountNotFound,
            ],
            ..SIGN_IN
        },
        Route::Refresh => Described {
            summary: "Exchange a refresh token for new tokens",
            description: Some(
                "Each is good once. One that comes again ends the session for all who have its tokens, two requests at the same \
                 moment too: send it from one place, and keep what is answered before it is used.",
            ),
            body: Body::Json("RefreshRequest", true),
            example: Some(r#"{"refresh_token":"frt_..."}"#),
            success: Success::Json("200", "Grant"),
            codes: &[Code::InvalidToken, Code::AccountBlocked, Code::AccountClosed],
            ..SIGN_IN
        },
        Route::LogOut => Described { summary: "End this session", success: DONE, ..SIGN_IN },
        Route::LogOutEverywhere => Described { summary: "End all sessions of the caller", success: DONE, ..SIGN_IN },
        Route::SessionList => Described {
            summary: "List where the caller is signed in, newest first",
            query: &[LIMIT, CURSOR],
            success: Success::Json("200", "SessionPage"),
            codes: &[Code::InvalidCursor],
            ..CREDENTIALS
        },
        Route::SessionEnd => Described {
            summary: "End one of the caller's sessions",
            description: Some("At once: its access tokens are good for nothing any more."),
            success: Success::Json("200", "Session"),
            codes: &[Code::InvalidId, Code::NotFound],
            ..CREDENTIALS
        },
        Route::CredentialsRead => Described {
            summary: "What the caller signs in by, beside codes to his addresses",
            success: Success::Json("200", "Credentials"),
            ..CREDENTIALS
        },
        Route::PasswordChange => Described {
            summary: "Set or change the password",
            description: Some(
                "With the current one, or within 10 minutes of signing in by a code, which is also the way back for whoever has \
                 forgotten it. All other sessions end.",
            ),
            body: Body::Json("PasswordChange", true),
            example: Some(r#"{"new":"lorry-quince-tabla-moss"}"#),
            success: DONE,
            codes: &[
                Code::WeakPassword,
                Code::InvalidCredentials,
                Code::RecentSignInRequired,
                Code::TooManyTries,
                Code::AccountNotFound,
            ],
            ..CREDENTIALS
        },
        Route::TotpBegin => Described {
            summary: "Begin to add a device as second factor (TOTP)",
            description: Some("Within 10 minutes of signing in. It is asked for only once a code of it was confirmed."),
            success: Success::Json("200", "TotpEnrolment"),
            codes: &[Code::RecentSignInRequired, Code::InvalidState, Code::AccountNotFound],
            ..CREDENTIALS
        },
        Route::TotpConfirm => Described { summary: "Confirm the device by a code of it", ..totp },
        Route::TotpRemove => Described { summary: "Remove the second factor", success: DONE, ..totp },
        Route::RecoveryCodesRenew => {
            Described { summary: "Make new recovery codes; the old ones are good for nothing", ..totp }
        }
        Route::ConfirmationAsk => Described {
            summary: "Ask to confirm a payment",
            description: Some(
                "What a person pays above the server's threshold needs the header `Confirmation`, with a token that is bound to \
                 amount, currency and payee and good for one request. The code is the device's, or comes in a message that names \
                 amount and payee.",
            ),
            body: Body::Json("ConfirmationRequest", true),
            example: Some(r#"{"amount":{"amount":"25000.00","currency":"INR"},"payee":"@ravi"}"#),
            success: Success::Json("202", "ConfirmationAsked"),
            codes: &[
                Code::InvalidAmount,
                Code::InvalidCurrency,
                Code::PayeeNotFound,
                Code::TooManyTries,
                Code::AccountNotFound,
            ],
            ..CREDENTIALS
        },
        Route::ConfirmationVerify => Described {
            summary: "Confirm the payment by the code",
            body: Body::Json("FactorRequest", true),
            example: Some(r#"{"code":"481516"}"#),
            success: Success::Json("200", "Confirmation"),
            codes: &[Code::InvalidCode, Code::TooManyTries],
            ..CREDENTIALS
        },
        _ => return None,
    })
}
