//! Sessions and their refresh tokens. Each token is kept as its hash, and a used one stays, so that its reuse is seen.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use super::StoreError;
use super::accounts::uuid_of;

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
}

pub async fn insert(c: &mut AnyConnection, session: &Session) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO sessions (id, account, device, network_address, created_at, last_used_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(session.id.to_string())
    .bind(session.account.to_string())
    .bind(&session.device)
    .bind(&session.network_address)
    .bind(session.created_at)
    .bind(session.last_used_at)
    .bind(session.expires_at)
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
    })
}
