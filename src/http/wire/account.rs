//! Accounts on the wire.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::GrantAnswer;
use super::raw::{Raw, required};
use super::{Id, Time};
use crate::http::problem::{Code, Problem};
use crate::services::accounts::LOCALES;
use crate::services::registration::Registration;
use crate::services::standing::REASON_CHARACTERS_MAX;
use crate::services::{Services, accounts, contact, profile};
use crate::store::{Account, AddressKind, Role};

/// More than any token has.
const TOKEN_CHARACTERS_MAX: usize = 200;

/// An account to be opened by somebody whose address was verified.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RegistrationRequest)]
pub struct RegistrationRequest<'a> {
    /// From /v1/auth/verify; good once.
    #[serde(borrow)]
    #[schema(value_type = String)]
    registration_token: Option<Raw<'a>>,
    #[serde(borrow)]
    #[schema(value_type = String, example = "Asha Rao")]
    name: Option<Raw<'a>>,
    /// The language in which the account is written to: en (default) or hi.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, example = "en")]
    locale: Option<Raw<'a>>,
    /// By which others find the account: 3 to 30 of a-z, 0-9, dot, underscore and hyphen.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, example = "asha")]
    handle: Option<Raw<'a>>,
    /// To sign in by, beside codes.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    password: Option<Raw<'a>>,
    /// user (default) or merchant.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, example = "user")]
    role: Option<Raw<'a>>,
}

/// What changes; what is not there stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProfileRequest)]
pub struct ProfileRequest<'a> {
    #[serde(borrow)]
    #[schema(value_type = Option<String>, example = "Asha Rao")]
    name: Option<Raw<'a>>,
    /// en or hi.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, example = "hi")]
    locale: Option<Raw<'a>>,
}

/// A new handle; the one before is nobody else's, ever.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = HandleRequest)]
pub struct HandleRequest<'a> {
    #[serde(borrow)]
    #[schema(value_type = String, example = "asha")]
    handle: Option<Raw<'a>>,
}

/// One more email or phone number.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AddressAddition)]
pub struct AddressAddition<'a> {
    /// From /v1/auth/verify, as for a new account.
    #[serde(borrow)]
    #[schema(value_type = String)]
    registration_token: Option<Raw<'a>>,
}

/// An email or phone number that is to be taken away.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AddressRemoval)]
pub struct AddressRemoval<'a> {
    /// Either this ...
    #[serde(borrow)]
    #[schema(value_type = Option<String>, example = "asha@example.in")]
    email: Option<Raw<'a>>,
    /// ... or this.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    phone: Option<Raw<'a>>,
}

/// Why an account is blocked.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BlockRequest)]
pub struct BlockRequest<'a> {
    /// Up to 500 characters, for the audit log; the account's owner is not told.
    #[serde(borrow)]
    #[schema(value_type = String, example = "reported stolen by its owner")]
    reason: Option<Raw<'a>>,
}

/// What an account becomes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RoleRequest)]
pub struct RoleRequest<'a> {
    /// user, merchant, support, risk, finance or administrator.
    #[serde(borrow)]
    #[schema(value_type = String, example = "support")]
    role: Option<Raw<'a>>,
}

/// A new account, and a session in it.
#[derive(Serialize, ToSchema)]
#[schema(as = Registered)]
pub struct RegisteredAnswer {
    pub account: AccountAnswer,
    pub session: GrantAnswer,
}

/// Somebody who has, or had, a wallet here.
#[derive(Serialize, ToSchema)]
#[schema(as = Account)]
pub struct AccountAnswer {
    id: Id,
    #[schema(example = "user")]
    role: &'static str,
    /// pending, active, blocked or closed.
    #[schema(example = "active")]
    state: &'static str,
    #[schema(example = "Asha Rao")]
    name: String,
    /// The language in which the account is written to.
    #[schema(example = "en")]
    locale: String,
    /// The wallet that was opened with the account.
    wallet: Id,
    #[schema(example = "INR")]
    currency: String,
    emails: Vec<String>,
    phones: Vec<String>,
    handles: Vec<String>,
    created_at: Time,
    /// Of a pending account: when it becomes active by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    active_from: Option<Time>,
    state_changed_at: Time,
    /// Of an account that was opened under a promotion: when it was paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    promotion_paid_at: Option<Time>,
    /// ... or why it was not: INSUFFICIENT_FUNDS where the budget was empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    promotion_refused: Option<String>,
}

pub(super) fn schemas(list: &mut Vec<crate::http::openapi::NamedSchema>) {
    use crate::http::openapi::add;
    add::<RegistrationRequest<'_>>(list);
    add::<ProfileRequest<'_>>(list);
    add::<HandleRequest<'_>>(list);
    add::<AddressAddition<'_>>(list);
    add::<AddressRemoval<'_>>(list);
    add::<BlockRequest<'_>>(list);
    add::<RoleRequest<'_>>(list);
    add::<RegisteredAnswer>(list);
    add::<AccountAnswer>(list);
}

impl RegistrationRequest<'_> {
    pub fn registration<'k>(&self, key: Option<&'k str>) -> Result<Registration<'k>, Problem> {
        let role = match &self.role {
            None => Role::User,
            Some(raw) => match raw.text("role")? {
                "user" => Role::User,
                "merchant" => Role::Merchant,
                _ => return Err(Problem::new(Code::InvalidRequest, "`role` is neither user nor merchant.")),
            },
        };
        let locale = self.locale.as_ref().map(locale).transpose()?;
        let handle = self.handle.as_ref().map(|raw| raw.text("handle")).transpose()?;
        let password = self.password.as_ref().map(|raw| raw.text("password")).transpose()?;
        Ok(Registration {
            token: token(&self.registration_token)?,
            name: profile::name(required(&self.name, "name")?.text("name")?)?,
            locale: locale.unwrap_or(LOCALES[0]).to_owned(),
            role,
            handle: handle.map(str::to_owned),
            password: password.map(SecretString::from),
            key,
        })
    }
}

impl ProfileRequest<'_> {
    pub fn parts(&self) -> Result<(Option<&str>, Option<&str>), Problem> {
        let name = self.name.as_ref().map(|raw| raw.text("name")).transpose()?;
        Ok((name, self.locale.as_ref().map(locale).transpose()?))
    }
}

impl HandleRequest<'_> {
    pub fn handle(&self) -> Result<&str, Problem> {
        required(&self.handle, "handle")?.text("handle")
    }
}

impl AddressAddition<'_> {
    pub fn token(&self) -> Result<SecretString, Problem> {
        token(&self.registration_token)
    }
}

impl AddressRemoval<'_> {
    pub fn address(&self) -> Result<(AddressKind, String), Problem> {
        match (&self.email, &self.phone) {
            (Some(raw), None) => Ok((AddressKind::Email, contact::email(raw.text("email")?)?)),
            (None, Some(raw)) => Ok((AddressKind::Phone, contact::phone(raw.text("phone")?)?)),
            _ => Err(Problem::new(Code::InvalidRequest, "Give one of `email` and `phone`.")),
        }
    }
}

impl BlockRequest<'_> {
    pub fn reason(&self) -> Result<String, Problem> {
        reason(&self.reason)
    }
}

impl RoleRequest<'_> {
    pub fn role(&self) -> Result<&str, Problem> {
        required(&self.role, "role")?.text("role")
    }
}

/// Why staff does something.
pub(super) fn reason(raw: &Option<Raw<'_>>) -> Result<String, Problem> {
    let text = required(raw, "reason")?.text("reason")?.trim();
    if (1..=REASON_CHARACTERS_MAX).contains(&text.chars().count()) {
        Ok(text.to_owned())
    } else {
        let detail = format!("`reason` has 1 to {REASON_CHARACTERS_MAX} characters.");
        Err(Problem::new(Code::InvalidRequest, detail))
    }
}

fn token(raw: &Option<Raw<'_>>) -> Result<SecretString, Problem> {
    let text = required(raw, "registration_token")?.text("registration_token")?;
    if text.len() > TOKEN_CHARACTERS_MAX {
        return Err(Problem::new(Code::InvalidRequest, "`registration_token` is too long to be one."));
    }
    Ok(SecretString::from(text))
}

fn locale<'r>(raw: &'r Raw<'_>) -> Result<&'r str, Problem> {
    let text = raw.text("locale")?;
    if LOCALES.contains(&text) {
        Ok(text)
    } else {
        Err(Problem::new(Code::InvalidRequest, format!("`locale` is none of {}.", LOCALES.join(", "))))
    }
}

/// Enough to know one's own again: `a***@example.in`, `+91********10`.
fn masked(kind: AddressKind, address: &str) -> String {
    match (kind, address.split_once('@')) {
        (AddressKind::Email, Some((local, domain))) => {
            format!("{}***@{domain}", local.chars().next().unwrap_or_default())
        }
        (AddressKind::Phone, _) if address.len() > 6 && address.is_ascii() => {
            let (first, last) = (&address[..3], &address[address.len() - 2..]);
            format!("{first}{}{last}", "*".repeat(address.len() - 5))
        }
        (AddressKind::Handle, _) => address.to_owned(),
        _ => "***".to_owned(),
    }
}

impl AccountAnswer {
    pub fn new(
        services: &Services,
        account: &Account,
        addresses: &[(AddressKind, String)],
    ) -> Result<AccountAnswer, Problem> {
        let of = |kind| addresses.iter().filter(|(k, _)| *k == kind).map(|(_, address)| address.clone()).collect();
        Ok(AccountAnswer {
            id: Id(account.id.as_u128()),
            role: account.role.name(),
            state: account.state.name(),
            name: accounts::name(services, account)?,
            locale: account.locale.clone(),
            wallet: Id(account.wallet.as_u128()),
            currency: account.currency.clone(),
            emails: of(AddressKind::Email),
            phones: of(AddressKind::Phone),
            handles: of(AddressKind::Handle),
            created_at: Time::of(account.created_at),
            active_from: account.active_from.map(Time::of),
            state_changed_at: Time::of(account.state_changed_at),
            promotion_paid_at: account.promotion_paid_at.map(Time::of),
            promotion_refused: account.promotion_refused.clone(),
        })
    }

    /// For those who need not know by what the account is reached.
    pub fn masked(mut self) -> AccountAnswer {
        for email in &mut self.emails {
            *email = masked(AddressKind::Email, email);
        }
        for phone in &mut self.phones {
            *phone = masked(AddressKind::Phone, phone);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_leave_enough_to_know_it_again() {
        for (kind, address, shown) in [
            (AddressKind::Email, "asha@example.in", "a***@example.in"),
            (AddressKind::Phone, "+919876543210", "+91********10"),
            (AddressKind::Phone, "+1", "***"),
            (AddressKind::Handle, "asha", "asha"),
        ] {
            assert_eq!(masked(kind, address), shown);
        }
    }
}
