//! Opening an account with a verified address. The token, the account and its addresses are one transaction, so one token
//! opens one account; a repeat with the same Idempotency-Key gets the account that the first request opened.

use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::accounts::{self, NewAccount};
use super::clock::MINUTE;
use super::fault::{Fault, Why};
use super::notices::{self, Notice, To};
use super::sessions::{self, Client, Grant, hash};
use super::{Services, codes, crash, handles, new_id, passwords};
use crate::store::{Account, AddressKind, Role, standing};

/// As long as a token is good, it may be asked again what became of it.
const REPEAT_MICROS: i64 = 10 * MINUTE;

/// What somebody registers with.
pub struct Registration<'r> {
    pub token: SecretString,
    pub name: String,
    pub locale: String,
    pub role: Role,
    pub handle: Option<String>,
    pub password: Option<SecretString>,
    /// The Idempotency-Key; without one, a repeat is refused as a second use of the token.
    pub key: Option<&'r str>,
}

/// An account, a session in it, and whether an earlier request had opened it.
pub struct Registered {
    pub account: Account,
    pub grant: Grant,
    pub replayed: bool,
}

pub async fn register(
    services: &Services,
    registration: &Registration<'_>,
    client: &Client,
) -> Result<Registered, Fault> {
    let handle = registration.handle.as_deref().map(handles::normal).transpose()?;
    let personal = [Some(registration.name.clone()), handle.clone()].into_iter().flatten();
    let personal: Vec<String> = personal.collect();
    // Hashing takes long: not while a transaction is open.
    let password = match &registration.password {
        Some(password) => Some(passwords::prepare(services, password, &personal).await?),
        None => None,
    };
    let (token_hash, key_hash) = (hash(&registration.token), registration.key.map(key_hash).unwrap_or_default());
    let mut tx = services.store.begin().await?;
    let (kind, address) = match codes::redeem_registration(services, &mut tx, &registration.token).await {
        Ok(address) => address,
        Err(fault) if fault.why() == Some(Why::InvalidToken) && registration.key.is_some() => {
            tx.rollback().await?;
            return repeat(services, &token_hash, &key_hash, client).await?.ok_or(fault);
        }
        Err(fault) => return Err(fault),
    };
    let mut addresses = vec![(kind, address)];
    addresses.extend(handle.map(|handle| (AddressKind::Handle, handle)));
    let new = NewAccount {
        role: registration.role,
        name: registration.name.clone(),
        locale: registration.locale.clone(),
        addresses,
    };
    let account = accounts::insert(services, &mut tx, &new).await?;
    if let Some(password) = &password {
        passwords::set(services, &mut tx, account.id, password).await?;
    }
    standing::note_registered(&mut tx, &token_hash, account.id, &key_hash, services.now()).await?;
    let welcome = Notice {
        id: new_id(),
        to: To::Account(account.id),
        locale: account.locale.clone(),
        kind: notices::Kind::Welcome,
        params: serde_json::json!({ "name": registration.name }),
        expires_at: None,
    };
    notices::enqueue(services, &mut tx, &welcome).await?;
    crash::point("registration.before_commit");
    tx.commit().await?;
    crash::point("registration.after_commit");
    enter(services, account.id, client, false).await
}

/// Forgets which tokens became which accounts. Run now and then.
pub async fn forget(services: &Services) -> Result<(), Fault> {
    let mut tx = services.store.begin().await?;
    standing::forget_registered(&mut tx, services.now() - 2 * REPEAT_MICROS).await?;
    Ok(tx.commit().await?)
}

async fn repeat(
    services: &Services,
    token_hash: &str,
    key_hash: &str,
    client: &Client,
) -> Result<Option<Registered>, Fault> {
    let mut c = services.store.read().await?;
    let registered = standing::registered(&mut c, token_hash, services.now() - REPEAT_MICROS).await?;
    drop(c);
    match registered {
        Some((account, known)) if known == key_hash => Ok(Some(enter(services, account, client, true).await?)),
        _ => Ok(None),
    }
}

/// Finishes what a crash may have left undone, and signs in.
async fn enter(services: &Services, account: Uuid, client: &Client, replayed: bool) -> Result<Registered, Fault> {
    let account = accounts::finish(services, account).await?;
    let mut tx = services.store.begin().await?;
    let grant = sessions::begin(services, &mut tx, &account, client).await?;
    tx.commit().await?;
    Ok(Registered { account, grant, replayed })
}

fn key_hash(key: &str) -> String {
    Sha256::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
