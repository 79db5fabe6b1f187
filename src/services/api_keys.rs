//! API keys of merchants: made, rotated and revoked by them, shown once, kept as a hash. Which ones are good is also known at
//! the doors, in memory; that is made new from the rows after each change.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::AnyConnection;
use uuid::Uuid;

use super::clock::{DAY, SECOND};
use super::fault::{Fault, Why};
use super::principal::{Principal, Scope, Who};
use super::sessions::{API_KEY_PREFIX, hash, secret};
use super::{Services, audit, crash, doors, new_id, standing};
use crate::store::accounts::Account;
use crate::store::api_keys::{self, ApiKey};
use crate::store::{AccountState, Role, Store, StoreError, Tx};

pub const NAME_CHARACTERS_MAX: usize = 100;
pub const OVERLAP_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
pub const EXPIRES_IN_DAYS_MAX: u64 = 3650;

/// Good ones of one account.
const KEYS_MAX: i64 = 50;
/// Digits of a key that its owner sees later: too few to guess the rest by.
const PREFIX_DIGITS: usize = 8;

/// What a key is made with.
#[derive(Clone, Debug)]
pub struct NewKey {
    pub name: String,
    pub scopes: Vec<Scope>,
    pub expires_in_days: Option<i64>,
}

/// A merchant makes one for himself, an administrator for a merchant. The key is shown now and never again.
pub async fn create(
    services: &Services,
    principal: &Principal,
    account: Uuid,
    new: &NewKey,
) -> Result<(ApiKey, SecretString), Fault> {
    let now = services.now();
    let scopes: Vec<&str> = new.scopes.iter().map(|scope| scope.name()).collect();
    let expires_at = new.expires_in_days.map(|days| now + days * DAY);
    let mut tx = services.store.begin().await?;
    let owner = standing::locked(&mut tx, account).await?;
    may_have_keys(&owner)?;
    if api_keys::count_good(&mut tx, account, now).await? >= KEYS_MAX {
        let detail = format!("An account has at most {KEYS_MAX} keys that are good; revoke one.");
        return Err(Fault::no(Why::InvalidState, detail));
    }
    let (key, secret) = make(account, &new.name, scopes.join(" "), now, expires_at)?;
    api_keys::insert(&mut tx, &key).await?;
    note(services, &mut tx, principal, "api_key.create", &key).await?;
    commit(services, tx, account).await?;
    Ok((key, secret))
}

/// Of one account, or, for staff, of all.
pub async fn list(
    services: &Services,
    principal: &Principal,
    account: Option<Uuid>,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<ApiKey>, Fault> {
    let account = match account {
        Some(other) if principal.is_bound_to_own() && other != principal.account => return Ok(Vec::new()),
        _ if principal.is_bound_to_own() => Some(principal.account),
        account => account,
    };
    let mut c = services.store.read().await?;
    Ok(api_keys::list(&mut c, account, before, limit).await?)
}

/// A new key in place of one that stays good for a while, so that its user can change over without a pause.
pub async fn rotate(
    services: &Services,
    principal: &Principal,
    id: Uuid,
    overlap: Duration,
) -> Result<(ApiKey, SecretString), Fault> {
    let now = services.now();
    let mut tx = services.store.begin().await?;
    let old = own(services, principal, id).await?;
    may_have_keys(&standing::locked(&mut tx, old.account).await?)?;
    // It lives as long as the old one was meant to.
    let expires_at = old.expires_at.map(|expires_at| now + (expires_at - old.created_at).max(DAY));
    let (key, secret) = make(old.account, &old.name, old.scopes.clone(), now, expires_at)?;
    let good_until = now + i64::try_from(overlap.as_secs()).unwrap_or(0) * SECOND;
    if !api_keys::replace(&mut tx, id, key.id, good_until, now).await? {
        return Err(Fault::no(Why::InvalidState, "The key was replaced before, revoked, or has expired."));
    }
    api_keys::insert(&mut tx, &key).await?;
    note(services, &mut tx, principal, "api_key.rotate", &key).await?;
    commit(services, tx, old.account).await?;
    Ok((key, secret))
}

/// The key is good for nothing from now on.
pub async fn revoke(services: &Services, principal: &Principal, id: Uuid) -> Result<ApiKey, Fault> {
    let key = own(services, principal, id).await?;
    let now = services.now();
    let mut tx = services.store.begin().await?;
    if api_keys::revoke(&mut tx, id, now).await? {
        note(services, &mut tx, principal, "api_key.revoke", &key).await?;
    }
    commit(services, tx, key.account).await?;
    Ok(ApiKey { revoked_at: key.revoked_at.or(Some(now)), ..key })
}

/// Makes the doors know the account's good keys and no others. To be called after a change was committed.
pub(super) async fn reload(services: &Services, account: Uuid) -> Result<(), Fault> {
    // In turn: what is read last is what stays.
    let _turn = services.key_turns.of(account).await;
    let mut c = services.store.read().await?;
    let good = api_keys::good(&mut c, Some(account), services.now()).await?;
    drop(c);
    services.doors.set_keys(account, good.into_iter().map(door_key).collect::<Result<_, _>>()?);
    Ok(())
}

/// All good keys, for the start.
pub(super) async fn good(store: &Store, now: i64) -> Result<Vec<([u8; 32], doors::ApiKey)>, Fault> {
    let mut c = store.read().await?;
    let good = api_keys::good(&mut c, None, now).await?;
    Ok(good.into_iter().map(door_key).collect::<Result<_, _>>()?)
}

pub(super) async fn revoke_all(services: &Services, c: &mut AnyConnection, account: Uuid) -> Result<(), Fault> {
    Ok(api_keys::revoke_all(c, account, services.now()).await?)
}

/// Writes down on which day each key was used last. Run now and then.
pub async fn note_use(services: &Services) -> Result<(), Fault> {
    let used = services.doors.take_used_keys();
    if used.is_empty() {
        return Ok(());
    }
    let mut tx = services.store.begin().await?;
    for (id, day) in used {
        api_keys::used(&mut tx, id, day).await?;
    }
    Ok(tx.commit().await?)
}

async fn commit(services: &Services, tx: Tx, account: Uuid) -> Result<(), Fault> {
    crash::point("api_key.before_commit");
    tx.commit().await?;
    crash::point("api_key.after_commit");
    reload(services, account).await
}

/// A key of somebody else is not there for a merchant.
async fn own(services: &Services, principal: &Principal, id: Uuid) -> Result<ApiKey, Fault> {
    let mut c = services.store.read().await?;
    let key = api_keys::by_id(&mut c, id).await?;
    let key = key.filter(|key| !principal.is_bound_to_own() || key.account == principal.account);
    key.ok_or_else(|| Fault::no(Why::NotFound, "There is no API key with this id."))
}

fn may_have_keys(account: &Account) -> Result<(), Fault> {
    if account.role != Role::Merchant {
        return Err(Fault::no(Why::InvalidState, "Only merchants have API keys."));
    }
    match account.state {
        AccountState::Active => Ok(()),
        AccountState::Pending => Err(Fault::no(Why::AccountPending, "The account waits for approval.")),
        AccountState::Blocked => Err(Fault::no(Why::AccountBlocked, "The account is blocked.")),
        AccountState::Closed => Err(Fault::no(Why::AccountClosed, "The account is closed.")),
    }
}

fn make(
    account: Uuid,
    name: &str,
    scopes: String,
    now: i64,
    expires_at: Option<i64>,
) -> Result<(ApiKey, SecretString), Fault> {
    let secret = secret(API_KEY_PREFIX)?;
    let prefix: String = secret.expose_secret().chars().take(API_KEY_PREFIX.len() + PREFIX_DIGITS).collect();
    let key = ApiKey {
        id: new_id(),
        account,
        name: name.to_owned(),
        prefix,
        key_hash: hash(&secret),
        scopes,
        created_at: now,
        expires_at,
        revoked_at: None,
        replaced_by: None,
        last_used_day: None,
    };
    Ok((key, secret))
}

/// Whoever has a key can pay: so its owner is told, and what staff does with it is recorded.
async fn note(
    services: &Services,
    c: &mut AnyConnection,
    principal: &Principal,
    action: &str,
    key: &ApiKey,
) -> Result<(), Fault> {
    let account = standing::locked(c, key.account).await?;
    super::sessions::tell_change(services, c, &account, &action.replace('.', "_")).await?;
    let is_own = matches!(principal.who, Who::Person { .. }) && principal.account == key.account;
    let detail = serde_json::json!({ "account": key.account, "name": key.name, "scopes": key.scopes, "own": is_own });
    audit::record(services, c, &principal.actor(), action, &format!("key {}", key.id), &detail).await
}

fn door_key(key: ApiKey) -> Result<([u8; 32], doors::ApiKey), StoreError> {
    let broken = || StoreError::content(format!("an API key {} that cannot be read", key.id));
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        let digits = key.key_hash.get(2 * index..2 * index + 2).ok_or_else(broken)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| broken())?;
    }
    let scopes = key.scopes.split_whitespace().map(Scope::from_row).collect::<Result<_, _>>()?;
    Ok((bytes, doors::ApiKey { id: key.id, account: key.account, scopes, expires_at: key.expires_at }))
}
