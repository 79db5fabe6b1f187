//! The outbox: what people are to be told, written in the transaction of what it tells of. Who sends it, and how often, is
//! the notifier's business.

use sqlx::AnyConnection;
use uuid::Uuid;

use super::StoreError;

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
