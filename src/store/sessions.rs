//! Sessions and their refresh tokens. Each token is kept as its hash, and a used one stays, so that its reuse is seen.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use super::StoreError;
use super::accounts::{named, uuid_of};

named! {
    /// What the owner of a session showed at its beginning, before any second factor.
    By {
        Code = "code",
        Password = "password",
    }
}

/// A row of `sessions`.
#[derive(Clone, Debug)]
pub struct Session {
    pub id: Uuid,
    pub account: Uuid,
    /// What the client calls itself.
    pub device: String,
    pub network_address: String,
    pub created_at: i64,
    pub last_used_at: i64,
    pub expires_at: i64,
    pub ended_at: Option<i64>,
    pub ended_because: Option<String>,
    pub signed_in_by: By,
}

pub async fn insert(c: &mut AnyConnection, session: &Session) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO sessions (id, account, device, network_address, created_at, last_used_at, expires_at, \
         signed_in_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(session.id.to_string())
    .bind(session.account.to_string())
    .bind(&session.device)
    .bind(&session.network_address)
    .bind(session.created_at)
    .bind(session.last_used_at)
    .bind(session.expires_at)
    .bind(session.signed_in_by.name())
    .execute(c)
    .await?;
    Ok(())
}

pub async fn by_id(c: &mut AnyConnection, id: Uuid) -> Result<Option<Session>, StoreError> {
    let row = sqlx::query("SELECT * FROM sessions WHERE id = $1").bind(id.to_string()).fetch_optional(c).await?;
    row.map(|row| session(&row)).transpose()
}

pub async fn add_token(c: &mut AnyConnection, hash: &str, session: Uuid, now: i64) -> Result<(), StoreError> {
    let sql = "INSERT INTO refresh_tokens (token_hash, session, issued_at) VALUES ($1, $2, $3)";
    sqlx::query(sql).bind(hash).bind(session.to_string()).bind(now).execute(c).await?;
    Ok(())
}

/// Whose token this is: session and account.
pub async fn of_token(c: &mut AnyConnection, hash: &str) -> Result<Option<(Uuid, Uuid)>, StoreError> {
    let sql = "SELECT sessions.id, sessions.account FROM refresh_tokens JOIN sessions ON sessions.id = refresh_tokens.session \
               WHERE refresh_tokens.token_hash = $1";
    let row = sqlx::query(sql).bind(hash).fetch_optional(c).await?;
    row.map(|row| Ok((uuid_of(row.try_get("id")?)?, uuid_of(row.try_get("account")?)?))).transpose()
}

/// Says whether the token had not been used.
pub async fn use_token(c: &mut AnyConnection, hash: &str, now: i64) -> Result<bool, StoreError> {
    let sql = "UPDATE refresh_tokens SET used_at = $2 WHERE token_hash = $1 AND used_at IS NULL";
    Ok(sqlx::query(sql).bind(hash).bind(now).execute(c).await?.rows_affected() == 1)
}

/// Keeps the session for longer if it has not ended.
pub async fn prolong(
    c: &mut AnyConnection,
    id: Uuid,
    now: i64,
    expires_at: i64,
) -> Result<Option<Session>, StoreError> {
    let sql = "UPDATE sessions SET last_used_at = $2, expires_at = $3 \
               WHERE id = $1 AND ended_at IS NULL AND expires_at > $2 RETURNING *";
    let row = sqlx::query(sql).bind(id.to_string()).bind(now).bind(expires_at).fetch_optional(c).await?;
    row.map(|row| session(&row)).transpose()
}

/// Open sessions of an account that began before `before`, the newest first.
pub async fn open_of(
    c: &mut AnyConnection,
    account: Uuid,
    before: Option<Uuid>,
    now: i64,
    limit: i64,
) -> Result<Vec<Session>, StoreError> {
    let sql = "SELECT * FROM sessions WHERE account = $1 AND ended_at IS NULL AND expires_at > $2 AND id < $3 \
               ORDER BY id DESC LIMIT $4";
    let before = before.unwrap_or(Uuid::max()).to_string();
    let rows = sqlx::query(sql).bind(account.to_string()).bind(now).bind(before).bind(limit).fetch_all(c).await?;
    rows.iter().map(session).collect()
}

/// Ends the session if it has not ended; says whether it was this call that did.
pub async fn end(c: &mut AnyConnection, id: Uuid, because: &str, now: i64) -> Result<bool, StoreError> {
    let sql = "UPDATE sessions SET ended_at = $2, ended_because = $3 WHERE id = $1 AND ended_at IS NULL";
    let done = sqlx::query(sql).bind(id.to_string()).bind(now).bind(because).execute(c).await?;
    Ok(done.rows_affected() == 1)
}

/// Ends all open sessions of an account but `except`, and tells which.
pub async fn end_all(
    c: &mut AnyConnection,
    account: Uuid,
    except: Option<Uuid>,
    because: &str,
    now: i64,
) -> Result<Vec<Uuid>, StoreError> {
    let sql = "UPDATE sessions SET ended_at = $2, ended_because = $3 \
               WHERE account = $1 AND ended_at IS NULL AND id <> $4 RETURNING id";
    let except = except.unwrap_or(Uuid::nil()).to_string();
    let rows = sqlx::query(sql).bind(account.to_string()).bind(now).bind(because).bind(except).fetch_all(c).await?;
    rows.iter().map(|row| uuid_of(row.try_get("id")?)).collect()
}

/// Removes up to `rows_max` tokens and as many sessions that were used, or over, before; says how many it were.
pub async fn forget(c: &mut AnyConnection, before: i64, rows_max: i64) -> Result<u64, StoreError> {
    let used = "DELETE FROM refresh_tokens WHERE token_hash IN \
                (SELECT token_hash FROM refresh_tokens WHERE used_at < $1 LIMIT $2)";
    let unused = "DELETE FROM refresh_tokens WHERE token_hash IN (SELECT token_hash FROM refresh_tokens \
                  JOIN sessions ON sessions.id = refresh_tokens.session WHERE sessions.expires_at < $1 LIMIT $2)";
    let over = "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at < $1 AND NOT EXISTS \
                (SELECT 1 FROM refresh_tokens WHERE refresh_tokens.session = sessions.id) LIMIT $2)";
    let mut rows = 0;
    for sql in [used, unused, over] {
        rows += sqlx::query(sql).bind(before).bind(rows_max).execute(&mut *c).await?.rows_affected();
    }
    Ok(rows)
}

/// Sessions that ended since, for those access tokens may still be about.
pub async fn ended_since(c: &mut AnyConnection, since: i64) -> Result<Vec<(Uuid, i64)>, StoreError> {
    let rows = sqlx::query("SELECT id, ended_at FROM sessions WHERE ended_at >= $1").bind(since).fetch_all(c).await?;
    rows.iter().map(|row| Ok((uuid_of(row.try_get("id")?)?, row.try_get("ended_at")?))).collect()
}

pub(crate) fn session(row: &AnyRow) -> Result<Session, StoreError> {
    Ok(Session {
        id: uuid_of(row.try_get("id")?)?,
        account: uuid_of(row.try_get("account")?)?,
        device: row.try_get("device")?,
        network_address: row.try_get("network_address")?,
        created_at: row.try_get("created_at")?,
        last_used_at: row.try_get("last_used_at")?,
        expires_at: row.try_get("expires_at")?,
        ended_at: row.try_get("ended_at")?,
        ended_because: row.try_get("ended_because")?,
        signed_in_by: By::from_row(row.try_get("signed_in_by")?)?,
    })
}
