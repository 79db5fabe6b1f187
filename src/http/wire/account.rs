//! Accounts on the wire.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Id, Time};
use crate::http::problem::Problem;
use crate::services::{Fault, Services};
use crate::store::{Account, AddressKind};

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
            name: services.seal.open("accounts.name", &account.name_sealed).map_err(Fault::from)?,
            locale: account.locale.clone(),
            wallet: Id(account.wallet.as_u128()),
            currency: account.currency.clone(),
            emails: of(AddressKind::Email),
            phones: of(AddressKind::Phone),
            handles: of(AddressKind::Handle),
            created_at: Time::of(account.created_at),
            active_from: account.active_from.map(Time::of),
        })
    }
}
