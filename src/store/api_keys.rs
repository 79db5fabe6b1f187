//! API keys of merchants. Of a key its hash is kept, and the first digits.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use super::StoreError;
use super::accounts::uuid_of;

/// A row of `api_keys`.
#[derive(Clone, Debug)]
pub struct ApiKey {
    pub id: Uuid,
    pub account: Uuid,
    pub name: String,
    pub prefix: String,
    pub key_hash: String,
    pub scopes: String,
    pub created_at: i64,
    pub expires_at: Option<i64>,
    pub revoked_at: Option<i64>,
    pub replaced_by: Option<Uuid>,
    pub last_used_day: Option<i64>,
}

pub async fn insert(c: &mut AnyConnection, key: &ApiKey) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO api_keys (id, account, name, prefix, key_hash, scopes, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(key.id.to_string())
    .bind(key.account.to_string())
    .bind(&key.name)
    .bind(&key.prefix)
    .bind(&key.key_hash)
    .bind(&key.scopes)
    .bind(key.created_at)
    .bind(key.expires_at)
    .execute(c)
    .await?;
    Ok(())
}

pub async fn by_id(c: &mut AnyConnection, id: Uuid) -> Result<Option<ApiKey>, StoreError> {
    let row = sqlx::query("SELECT * FROM api_keys WHERE id = $1").bind(id.to_string()).fetch_optional(c).await?;
    row.map(|row| key(&row)).transpose()
}

/// Of one account, or of all if none is named; newest first.
pub async fn list(
    c: &mut AnyConnection,
    account: Option<Uuid>,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<ApiKey>, StoreError> {
    // Greater than every id, as text.
    let before = before.map_or_else(|| "g".to_owned(), |id| id.to_string());
    let sql = "SELECT * FROM api_keys WHERE id < $1 AND ($2 = '' OR account = $2) ORDER BY id DESC LIMIT $3";
    let account = account.map(|id| id.to_string()).unwrap_or_default();
    let rows = sqlx::query(sql).bind(before).bind(account).bind(limit).fetch_all(c).await?;
    rows.iter().map(key).collect()
}

/// Keys that are good for somebody: of one account, or of all if none is named.
pub async fn good(c: &mut AnyConnection, account: Option<Uuid>, now: i64) -> Result<Vec<ApiKey>, StoreError> {
    let sql = "SELECT api_keys.* FROM api_keys JOIN accounts ON accounts.id = api_keys.account \
               WHERE accounts.state = 'active' AND accounts.role = 'merchant' AND api_keys.revoked_at IS NULL \
               AND (api_keys.expires_at IS NULL OR api_keys.expires_at > $1) AND ($2 = '' OR api_keys.account = $2)";
    let account = account.map(|id| id.to_string()).unwrap_or_default();
    let rows = sqlx::query(sql).bind(now).bind(account).fetch_all(c).await?;
    rows.iter().map(key).collect()
}

pub async fn count_good(c: &mut AnyConnection, account: Uuid, now: i64) -> Result<i64, StoreError> {
    let sql = "SELECT COUNT(*) AS number FROM api_keys WHERE account = $1 AND revoked_at IS NULL \
               AND (expires_at IS NULL OR expires_at > $2)";
    let row = sqlx::query(sql).bind(account.to_string()).bind(now).fetch_one(c).await?;
    Ok(row.try_get("number")?)
}

pub async fn revoke(c: &mut AnyConnection, id: Uuid, now: i64) -> Result<bool, StoreError> {
    let sql = "UPDATE api_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
    let done = sqlx::query(sql).bind(id.to_string()).bind(now).execute(c).await?;
    Ok(done.rows_affected() == 1)
}

pub async fn revoke_all(c: &mut AnyConnection, account: Uuid, now: i64) -> Result<(), StoreError> {
    let sql = "UPDATE api_keys SET revoked_at = $2 WHERE account = $1 AND revoked_at IS NULL";
    sqlx::query(sql).bind(account.to_string()).bind(now).execute(c).await?;
    Ok(())
}

/// Once: a key that was replaced, or is no longer good, is not replaced again.
pub async fn replace(c: &mut AnyConnection, id: Uuid, by: Uuid, good_until: i64, now: i64) -> Result<bool, StoreError> {
    let sql = "UPDATE api_keys SET replaced_by = $2, \
               expires_at = CASE WHEN expires_at IS NULL OR expires_at > $3 THEN $3 ELSE expires_at END \
               WHERE id = $1 AND replaced_by IS NULL AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $4)";
    let query = sqlx::query(sql).bind(id.to_string()).bind(by.to_string()).bind(good_until).bind(now);
    Ok(query.execute(c).await?.rows_affected() == 1)
}

pub async fn used(c: &mut AnyConnection, id: Uuid, day: i64) -> Result<(), StoreError> {
    let sql = "UPDATE api_keys SET last_used_day = $2 WHERE id = $1 AND (last_used_day IS NULL OR last_used_day < $2)";
    sqlx::query(sql).bind(id.to_string()).bind(day).execute(c).await?;
    Ok(())
}

fn key(row: &AnyRow) -> Result<ApiKey, StoreError> {
    let replaced_by: Option<String> = row.try_get("replaced_by")?;
    Ok(ApiKey {
        id: uuid_of(row.try_get("id")?)?,
        account: uuid_of(row.try_get("account")?)?,
        name: row.try_get("name")?,
        prefix: row.try_get("prefix")?,
        key_hash: row.try_get("key_hash")?,
        scopes: row.try_get("scopes")?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        revoked_at: row.try_get("revoked_at")?,
        replaced_by: replaced_by.as_deref().map(uuid_of).transpose()?,
        last_used_day: row.try_get("last_used_day")?,
    })
}
