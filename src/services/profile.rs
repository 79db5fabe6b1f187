//! What a person changes about himself: name, language, and the addresses by which he is found and written to.

use secrecy::SecretString;
use uuid::Uuid;

use super::accounts::{self, NAME, NAME_CHARACTERS_MAX, address_digest};
use super::fault::{Fault, Why};
use super::notices::{self, Notice, To};
use super::{Principal, Services, clock, codes, new_id, sessions, standing};
use crate::store::{self, Account, AddressKind};

const ADDRESSES_MAX: usize = 10;
const RECENT: &str = "Addresses are changed within 10 minutes of signing in; sign in again.";

/// A name as it is kept: without spaces around it, and without what would break a line.
pub fn name(text: &str) -> Result<String, Fault> {
    let name = text.trim();
    let fits = (1..=NAME_CHARACTERS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    if fits {
        Ok(name.to_owned())
    } else {
        let detail = format!("`name` has 1 to {NAME_CHARACTERS_MAX} characters, in one line.");
        Err(Fault::no(Why::InvalidRequest, detail))
    }
}

/// Changes what is given.
pub async fn change(
    services: &Services,
    principal: &Principal,
    name: Option<&str>,
    locale: Option<&str>,
) -> Result<Account, Fault> {
    let name = name.map(self::name).transpose()?;
    let mut tx = services.store.begin().await?;
    let account = standing::locked(&mut tx, principal.account).await?;
    standing::must_be_open(&account)?;
    let sealed = name.map_or_else(|| account.name_sealed.clone(), |name| services.seal.seal(NAME, &name));
    store::standing::set_profile(&mut tx, account.id, &sealed, locale.unwrap_or(&account.locale)).await?;
    tx.commit().await?;
    accounts::by_id(services, account.id).await
}

/// Adds the address that the token stands for: the same way as for a new account, by a code that was sent there.
pub async fn add_address(services: &Services, principal: &Principal, token: &SecretString) -> Result<Account, Fault> {
    sessions::must_be_recent(services, principal, None, RECENT).await?;
    let mut tx = services.store.begin().await?;
    let account = standing::locked(&mut tx, principal.account).await?;
    standing::must_be_open(&account)?;
    let (kind, address) = codes::redeem_registration(services, &mut tx, token).await?;
    if reachable(&mut tx, account.id).await? >= ADDRESSES_MAX {
        let detail = format!("An account has at most {ADDRESSES_MAX} emails and phones; remove one.");
        return Err(Fault::no(Why::InvalidState, detail));
    }
    accounts::insert_address(services, &mut tx, account.id, kind, &address).await?;
    sessions::tell_change(services, &mut tx, &account, "address_added").await?;
    tx.commit().await?;
    accounts::by_id(services, account.id).await
}

/// Takes an email or phone away, but not the last one: nobody could sign in any more. Who is written to there is told there.
pub async fn remove_address(
    services: &Services,
    principal: &Principal,
    kind: AddressKind,
    address: &str,
) -> Result<Account, Fault> {
    sessions::must_be_recent(services, principal, None, RECENT).await?;
    let mut tx = services.store.begin().await?;
    // Two who each take away one of two wait for each other here.
    let account = standing::locked(&mut tx, principal.account).await?;
    standing::must_be_open(&account)?;
    let digest = address_digest(services, kind, address);
    if !store::standing::remove_address(&mut tx, account.id, kind, &digest).await? {
        return Err(Fault::no(Why::NotFound, format!("This {} is none of yours.", kind.name())));
    }
    if reachable(&mut tx, account.id).await? == 0 {
        return Err(Fault::no(Why::InvalidState, "The last email or phone cannot be removed; add another one first."));
    }
    sessions::tell_change(services, &mut tx, &account, "address_removed").await?;
    let notice = Notice {
        id: new_id(),
        to: To::Address { kind, address: address.to_owned() },
        locale: account.locale.clone(),
        kind: notices::Kind::SecurityChanged,
        params: serde_json::json!({ "what": "address_removed", "time": clock::text(services.now()) }),
        expires_at: None,
    };
    notices::enqueue(services, &mut tx, &notice).await?;
    tx.commit().await?;
    accounts::by_id(services, account.id).await
}

/// How many addresses there are that can be written to.
async fn reachable(c: &mut sqlx::AnyConnection, account: Uuid) -> Result<usize, Fault> {
    let addresses = store::accounts::addresses_of(c, account).await?;
    Ok(addresses.iter().filter(|address| address.kind != AddressKind::Handle).count())
}
