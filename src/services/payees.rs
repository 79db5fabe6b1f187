//! Whom people pay: found by phone, email, handle, wallet or merchant, and shown no further than a payer has to see.

use std::collections::HashMap;

use uuid::Uuid;

use super::fault::{Fault, Why};
use super::{Services, contact};
use crate::ledger::WalletId;
use crate::store::{Account, AccountState, AddressKind, Role, accounts};

/// As whoever pays has given it.
#[derive(Clone, Debug)]
pub enum PayeeAddress {
    Phone(String),
    Email(String),
    Handle(String),
    Wallet(WalletId),
    /// A merchant's account.
    Merchant(Uuid),
}

#[derive(Clone, Debug)]
pub struct Payee {
    pub account: Account,
    pub wallet: WalletId,
}

/// Finds whom an address belongs to, in whatever state he is.
pub async fn resolve(services: &Services, address: &PayeeAddress) -> Result<Payee, Fault> {
    let account = match address {
        PayeeAddress::Phone(text) => by_address(services, AddressKind::Phone, &contact::phone(text)?).await?,
        PayeeAddress::Email(text) => by_address(services, AddressKind::Email, &contact::email(text)?).await?,
        PayeeAddress::Handle(text) => {
            let handle = text.trim().trim_start_matches('@').to_lowercase();
            by_address(services, AddressKind::Handle, &handle).await?
        }
        PayeeAddress::Wallet(wallet) => {
            // A merchant has several; all of them belong to the account.
            let Some(view) = services.engine.wallet(*wallet).await? else { return Err(nobody()) };
            let account = by_id(services, Uuid::from_u128(view.owner.0)).await?;
            return account.map(|account| Payee { account, wallet: *wallet }).ok_or_else(nobody);
        }
        PayeeAddress::Merchant(id) => by_id(services, *id).await?.filter(|account| account.role == Role::Merchant),
    };
    let account = account.ok_or_else(nobody)?;
    let wallet = WalletId(account.wallet.as_u128());
    Ok(Payee { account, wallet })
}

/// Whoever is not there and whoever may not be paid are the same to a payer.
pub fn must_be_payable(account: &Account) -> Result<(), Fault> {
    if account.state == AccountState::Active { Ok(()) } else { Err(nobody()) }
}

/// Says no for whoever may not move money himself.
pub fn must_be_active(account: &Account) -> Result<(), Fault> {
    match account.state {
        AccountState::Active => Ok(()),
        AccountState::Pending => {
            Err(Fault::no(Why::AccountPending, "Your account waits for approval; until then it only shows."))
        }
        AccountState::Blocked => Err(Fault::no(Why::AccountBlocked, "Your account is blocked; support knows why.")),
        AccountState::Closed => Err(Fault::no(Why::AccountClosed, "Your account is closed.")),
    }
}

/// A merchant's name; of a person what is enough to see that it is the right one, like "Asha R."
pub fn shown_name(services: &Services, account: &Account) -> Result<String, Fault> {
    let name = services.seal.open("accounts.name", &account.name_sealed)?;
    Ok(if account.role == Role::Merchant { name } else { shortened(&name) })
}

/// The names of those to whom wallets belong, for lists; a wallet that is nobody's has none.
pub async fn names(
    services: &Services,
    wallets: &[WalletId],
    known: &mut HashMap<WalletId, Option<String>>,
) -> Result<(), Fault> {
    for &wallet in wallets {
        if known.contains_key(&wallet) {
            continue;
        }
        let mut c = services.store.read().await?;
        let mut account = accounts::by_wallet(&mut c, Uuid::from_u128(wallet.0)).await?;
        drop(c);
        if account.is_none()
            && let Some(view) = services.engine.wallet(wallet).await?
            && view.owner.0 != wallet.0
        {
            account = by_id(services, Uuid::from_u128(view.owner.0)).await?;
        }
        let name = account.map(|account| shown_name(services, &account)).transpose()?;
        known.insert(wallet, name);
    }
    Ok(())
}

async fn by_address(services: &Services, kind: AddressKind, address: &str) -> Result<Option<Account>, Fault> {
    let digest = super::accounts::address_digest(services, kind, address);
    let mut c = services.store.read().await?;
    Ok(accounts::by_address(&mut c, kind, &digest).await?)
}

async fn by_id(services: &Services, id: Uuid) -> Result<Option<Account>, Fault> {
    let mut c = services.store.read().await?;
    Ok(accounts::by_id(&mut c, id).await?)
}

fn nobody() -> Fault {
    Fault::no(Why::PayeeNotFound, "Nobody can be paid at this address.")
}

fn shortened(name: &str) -> String {
    let mut words = name.split_whitespace();
    let first = words.next().unwrap_or_default();
    match words.next_back().and_then(|last| last.chars().next()) {
        Some(initial) => format!("{first} {initial}."),
        None => first.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn a_payer_sees_the_first_name() {
        for (name, shown) in
            [("Asha Rao", "Asha R."), ("asha", "asha"), ("Ravi K. Iyer", "Ravi I."), ("आशा राव", "आशा र."), ("", "")]
        {
            assert_eq!(shortened(name), shown);
        }
    }
}
