//! Sessions: each a device on which somebody is signed in, with a short access token and a refresh token that is used once.

use rand::TryRng as _;
use rand::rngs::SysRng;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::AnyConnection;
use uuid::Uuid;

use super::clock::{self, DAY, MINUTE};
use super::fault::{Fault, Why};
use super::notices::{self, Notice, To};
use super::principal::Principal;
use super::{Services, crash, new_id, sign_in};
use crate::store::sessions::{By, Session};
use crate::store::{Account, accounts, sessions};

pub const REFRESH_PREFIX: &str = "frt_";
pub const API_KEY_PREFIX: &str = "fmk_";
/// A session that nobody uses for so long is over.
pub const SESSION_MICROS: i64 = 30 * DAY;

/// For how long a session that is over, and a token that was used, are kept. The reuse of an older token is not seen.
const KEPT_MICROS: i64 = 90 * DAY;
/// A session that began within this time is a recent one.
pub const RECENT_MICROS: i64 = 10 * MINUTE;

const DEVICE_CHARACTERS_MAX: usize = 200;

/// What a client gets at log-in and at each refresh.
#[derive(Debug)]
pub struct Grant {
    pub session: Uuid,
    pub access_token: SecretString,
    pub access_expires_at: i64,
    pub refresh_token: SecretString,
    pub refresh_expires_at: i64,
}

/// From where somebody signs in.
#[derive(Clone, Debug)]
pub struct Client {
    /// What the client calls itself (User-Agent).
    pub device: String,
    pub network_address: String,
}

/// Begins a session of somebody who has shown by a code that an address is his.
pub async fn begin(
    services: &Services,
    c: &mut AnyConnection,
    account: &Account,
    client: &Client,
) -> Result<Grant, Fault> {
    begin_by(services, c, account, By::Code, client).await
}

/// Begins a session of somebody who has shown who he is.
pub(super) async fn begin_by(
    services: &Services,
    c: &mut AnyConnection,
    account: &Account,
    by: By,
    client: &Client,
) -> Result<Grant, Fault> {
    let now = services.now();
    let session = Session {
        id: new_id(),
        account: account.id,
        device: client.device.chars().take(DEVICE_CHARACTERS_MAX).collect(),
        network_address: client.network_address.clone(),
        created_at: now,
        last_used_at: now,
        expires_at: now + SESSION_MICROS,
        ended_at: None,
        ended_because: None,
        signed_in_by: by,
    };
    sessions::insert(c, &session).await?;
    grant(services, c, account, session.id, session.expires_at).await
}

/// New tokens, and whose they are, for the newest refresh token of a session, which is good no more. One that comes a second time was stolen,
/// before the first time or after it: the session ends for whoever has its tokens. That holds for two requests at the same
/// moment as well: one of them gets tokens, and the other ends the session.
pub async fn refresh(services: &Services, token: &SecretString) -> Result<(Grant, Uuid), Fault> {
    let not_good = || Fault::no(Why::InvalidToken, "`refresh_token` is not one, was used, or its session has ended.");
    let (hash, now) = (hash(token), services.now());
    let mut tx = services.store.begin().await?;
    let (id, account) = sessions::of_token(&mut tx, &hash).await?.ok_or_else(not_good)?;
    let account = accounts::lock(&mut tx, account).await?.ok_or_else(not_good)?;
    if !sessions::use_token(&mut tx, &hash, now).await? {
        if sessions::end(&mut tx, id, "refresh token used twice", now).await? {
            tell_change(services, &mut tx, &account, "refresh_token_reused").await?;
            services.doors.end_session(id, now);
            tracing::info!(session = %id, "a refresh token was used twice, and its session ended");
        }
        tx.commit().await?;
        return Err(not_good());
    }
    sign_in::must_be_admitted(&account)?;
    let prolonged = sessions::prolong(&mut tx, id, now, now + SESSION_MICROS).await?;
    let session = prolonged.ok_or_else(not_good)?;
    let grant = grant(services, &mut tx, &account, id, session.expires_at).await?;
    crash::point("refresh.before_commit");
    tx.commit().await?;
    crash::point("refresh.after_commit");
    Ok((grant, account.id))
}

/// Ends one of the caller's sessions. Access tokens of it are good for nothing from before it is durable on: whoever is
/// broken off in between is at worst signed out too early.
pub async fn end(services: &Services, account: Uuid, id: Uuid, because: &str) -> Result<Session, Fault> {
    let now = services.now();
    let mut tx = services.store.begin().await?;
    let session = sessions::by_id(&mut tx, id).await?.filter(|session| session.account == account);
    let session = session.ok_or_else(|| Fault::no(Why::NotFound, "There is no session of yours with this id."))?;
    sessions::end(&mut tx, id, because, now).await?;
    services.doors.end_session(id, now);
    crash::point("session_end.before_commit");
    tx.commit().await?;
    crash::point("session_end.after_commit");
    Ok(Session { ended_at: session.ended_at.or(Some(now)), ..session })
}

/// Ends all sessions of an account but `except`. To be called in the transaction of what they end for.
pub async fn end_all(
    services: &Services,
    c: &mut AnyConnection,
    account: Uuid,
    except: Option<Uuid>,
    because: &str,
) -> Result<(), Fault> {
    let now = services.now();
    accounts::lock(c, account).await?;
    for id in sessions::end_all(c, account, except, because, now).await? {
        services.doors.end_session(id, now);
    }
    Ok(())
}

/// Ends all sessions of an account.
pub async fn end_everywhere(services: &Services, account: Uuid, because: &str) -> Result<(), Fault> {
    let mut tx = services.store.begin().await?;
    end_all(services, &mut tx, account, None, because).await?;
    Ok(tx.commit().await?)
}

/// Forgets sessions that have long been over, and tokens that were used long ago.
pub async fn forget(services: &Services) -> Result<(), Fault> {
    const ROWS_MAX: i64 = 1000;
    // A step at a time, so that nobody waits long for the database.
    loop {
        let mut tx = services.store.begin().await?;
        let rows = sessions::forget(&mut tx, services.now() - KEPT_MICROS, ROWS_MAX).await?;
        tx.commit().await?;
        if rows == 0 {
            return Ok(());
        }
    }
}

/// A page of an account's open sessions, the newest first, and whether there are more.
pub async fn open_of(
    services: &Services,
    account: Uuid,
    before: Option<Uuid>,
    limit: usize,
) -> Result<(Vec<Session>, bool), Fault> {
    let rows = i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1;
    let mut c = services.store.read().await?;
    let mut list = sessions::open_of(&mut c, account, before, services.now(), rows).await?;
    let has_more = list.len() > limit;
    list.truncate(limit);
    Ok((list, has_more))
}

pub(super) async fn must_be_open(c: &mut AnyConnection, id: Uuid) -> Result<(), Fault> {
    let is_open = sessions::by_id(c, id).await?.is_some_and(|session| session.ended_at.is_none());
    if is_open { Ok(()) } else { Err(Fault::no(Why::RecentSignInRequired, "This session has ended; sign in again.")) }
}

/// Whoever changes by what he signs in has signed in just now; `by`, if that matters.
pub(super) async fn must_be_recent(
    services: &Services,
    principal: &Principal,
    by: Option<By>,
    detail: &'static str,
) -> Result<Uuid, Fault> {
    let id = principal.session()?;
    let mut c = services.store.read().await?;
    let session = sessions::by_id(&mut c, id).await?;
    let since = services.now() - RECENT_MICROS;
    let is_recent = session.is_some_and(|s| s.created_at >= since && by.is_none_or(|by| s.signed_in_by == by));
    if is_recent { Ok(id) } else { Err(Fault::no(Why::RecentSignInRequired, detail)) }
}

/// Tells an account's owner that something changed by which he signs in.
pub(super) async fn tell_change(
    services: &Services,
    c: &mut AnyConnection,
    account: &Account,
    what: &str,
) -> Result<(), Fault> {
    let notice = Notice {
        id: new_id(),
        to: To::Account(account.id),
        locale: account.locale.clone(),
        kind: notices::Kind::SecurityChanged,
        params: json!({ "what": what, "time": clock::text(services.now()) }),
        expires_at: None,
    };
    notices::enqueue(services, c, &notice).await
}

/// New tokens for a session.
pub(super) async fn grant(
    services: &Services,
    c: &mut AnyConnection,
    account: &Account,
    session: Uuid,
    refresh_expires_at: i64,
) -> Result<Grant, Fault> {
    let now = services.now();
    let refresh_token = secret(REFRESH_PREFIX)?;
    sessions::add_token(c, &hash(&refresh_token), session, now).await?;
    let (access_token, access_expires_at) = services.tokens.access(account.id, session, account.role, now);
    Ok(Grant { session, access_token, access_expires_at, refresh_token, refresh_expires_at })
}

/// A token of 256 random bits.
pub fn secret(prefix: &str) -> Result<SecretString, Fault> {
    let mut bytes = [0; 32];
    let random = SysRng.try_fill_bytes(&mut bytes);
    random.map_err(|_| Fault::Broken { what: "the operating system gives no random bytes".to_owned() })?;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(SecretString::from(format!("{prefix}{digits}")))
}

/// What is kept of a token: with 256 random bits in it, a plain hash tells nothing.
pub fn hash(token: &SecretString) -> String {
    Sha256::digest(token.expose_secret().as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
