//! The outbox: what people are to be told, written in the transaction of what it tells of. Who sends it, and how often, is
//! the notifier's business.

use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use super::StoreError;
use super::accounts::uuid_of;

/// A row of `outbox`, as it is written.
#[derive(Clone, Debug)]
pub struct Entry {
    pub id: Uuid,
    pub account: Option<Uuid>,
    /// Where there is no account yet: email or phone, and the address, sealed.
    pub channel: Option<&'static str>,
    pub address_sealed: Option<String>,
    pub locale: String,
    pub kind: &'static str,
    pub params_sealed: String,
    pub created_at: i64,
    pub expires_at: Option<i64>,
}

/// An entry whose id is there already is the same one, written again after a crash.
pub async fn insert(c: &mut AnyConnection, entry: &Entry) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO outbox (id, account, channel, address_sealed, locale, kind, params_sealed, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO NOTHING",
    )
    .bind(entry.id.to_string())
    .bind(entry.account.map(|id| id.to_string()))
    .bind(entry.channel)
    .bind(entry.address_sealed.as_deref())
    .bind(&entry.locale)
    .bind(entry.kind)
    .bind(&entry.params_sealed)
    .bind(entry.created_at)
    .bind(entry.expires_at)
    .execute(c)
    .await?;
    Ok(())
}

/// An entry as the notifier reads it.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub id: Uuid,
    pub account: Option<Uuid>,
    pub channel: Option<String>,
    pub address_sealed: Option<String>,
    pub locale: String,
    pub kind: String,
    pub params_sealed: String,
    pub created_at: i64,
    pub expires_at: Option<i64>,
}

/// What has not been taken apart into deliveries, oldest first.
pub async fn waiting(c: &mut AnyConnection, limit: i64) -> Result<Vec<Waiting>, StoreError> {
    let sql = "SELECT * FROM outbox WHERE done_at IS NULL ORDER BY created_at, id LIMIT $1";
    let rows = sqlx::query(sql).bind(limit).fetch_all(c).await?;
    let entry = |row: &sqlx::any::AnyRow| {
        Ok(Waiting {
            id: uuid_of(row.try_get("id")?)?,
            account: row.try_get::<Option<&str>, _>("account")?.map(uuid_of).transpose()?,
            channel: row.try_get("channel")?,
            address_sealed: row.try_get("address_sealed")?,
            locale: row.try_get("locale")?,
            kind: row.try_get("kind")?,
            params_sealed: row.try_get("params_sealed")?,
            created_at: row.try_get("created_at")?,
            expires_at: row.try_get("expires_at")?,
        })
    };
    rows.iter().map(entry).collect()
}

/// Whether it was this call that took it.
pub async fn taken(c: &mut AnyConnection, id: Uuid, now: i64) -> Result<bool, StoreError> {
    let sql = "UPDATE outbox SET done_at = $2 WHERE id = $1 AND done_at IS NULL";
    Ok(sqlx::query(sql).bind(id.to_string()).bind(now).execute(c).await?.rows_affected() == 1)
}

/// What was taken stands in the deliveries, and is not needed here.
pub async fn empty_taken(c: &mut AnyConnection, before: i64) -> Result<(), StoreError> {
    let sql = "UPDATE outbox SET params_sealed = '' WHERE done_at < $1 AND params_sealed <> ''";
    sqlx::query(sql).bind(before).execute(c).await?;
    Ok(())
}

/// Entries stay for a while, so that one written again after a crash is known.
pub async fn remove_taken(c: &mut AnyConnection, before: i64) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM outbox WHERE done_at < $1").bind(before).execute(c).await?;
    Ok(())
}
