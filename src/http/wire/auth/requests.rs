//! What is sent to sign in, and to change by what one does. Passwords and tokens become secrets at once, and print nothing.

use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::http::problem::{Code, Problem};
use crate::http::wire::money::{Money, RawMoney};
use crate::http::wire::raw::{Raw, required};
use crate::http::wire::scalar::Id;
use crate::ledger::{Amount, Currency};
use crate::services::accounts::LOCALES;
use crate::services::contact;
use crate::services::second_factor::Factor;
use crate::store::AddressKind;

/// More than any code, and any token, has.
const TOKEN_CHARACTERS_MAX: usize = 2000;

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
