//! Promotions, and what became of them for each account.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use super::StoreError;
use super::accounts::uuid_of;

/// A row of `promotions`.
#[derive(Clone, Debug)]
pub struct Promotion {
    pub id: Uuid,
    pub name: String,
    pub amount: i64,
    pub currency: String,
    pub budget_wallet: Uuid,
    pub wallet_opened_at: Option<i64>,
    pub starts_at: i64,
    pub ends_at: i64,
    pub created_at: i64,
}

/// False if there is one with this id.
pub async fn insert(c: &mut AnyConnection, promotion: &Promotion) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "INSERT INTO promotions (id, name, amount, currency, budget_wallet, starts_at, ends_at, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO NOTHING",
    )
    .bind(promotion.id.to_string())
    .bind(&promotion.name)
    .bind(promotion.amount)
    .bind(&promotion.currency)
    .bind(promotion.budget_wallet.to_string())
    .bind(promotion.starts_at)
    .bind(promotion.ends_at)
    .bind(promotion.created_at)
    .execute(c)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub async fn by_id(c: &mut AnyConnection, id: Uuid) -> Result<Option<Promotion>, StoreError> {
    let row = sqlx::query("SELECT * FROM promotions WHERE id = $1").bind(id.to_string()).fetch_optional(c).await?;
    row.map(|row| promotion(&row)).transpose()
}

/// The one that began last of those that run in this currency.
pub async fn running(c: &mut AnyConnection, currency: &str, now: i64) -> Result<Option<Uuid>, StoreError> {
    let sql = "SELECT id FROM promotions WHERE starts_at <= $1 AND ends_at > $1 AND currency = $2 \
               AND wallet_opened_at IS NOT NULL ORDER BY starts_at DESC, created_at DESC, id DESC LIMIT 1";
    let row = sqlx::query(sql).bind(now).bind(currency).fetch_optional(c).await?;
    row.map(|row| uuid_of(row.try_get("id")?)).transpose()
}

/// Newest first, from before where the page before ended.
pub async fn list(c: &mut AnyConnection, before: (i64, Uuid), limit: i64) -> Result<Vec<Promotion>, StoreError> {
    let sql = "SELECT * FROM promotions WHERE created_at < $1 OR (created_at = $1 AND id < $2) \
               ORDER BY created_at DESC, id DESC LIMIT $3";
    let rows = sqlx::query(sql).bind(before.0).bind(before.1.to_string()).bind(limit).fetch_all(c).await?;
    rows.iter().map(promotion).collect()
}

pub async fn without_wallet(c: &mut AnyConnection) -> Result<Vec<Promotion>, StoreError> {
    let rows = sqlx::query("SELECT * FROM promotions WHERE wallet_opened_at IS NULL ORDER BY id").fetch_all(c).await?;
    rows.iter().map(promotion).collect()
}

pub async fn wallet_opened(c: &mut AnyConnection, id: Uuid, now: i64) -> Result<(), StoreError> {
    let sql = "UPDATE promotions SET wallet_opened_at = $2 WHERE id = $1 AND wallet_opened_at IS NULL";
    sqlx::query(sql).bind(id.to_string()).bind(now).execute(c).await?;
    Ok(())
}

/// Ends it now, if it has not ended.
pub async fn end(c: &mut AnyConnection, id: Uuid, now: i64) -> Result<bool, StoreError> {
    let sql = "UPDATE promotions SET ends_at = $2 WHERE id = $1 AND ends_at > $2";
    let done = sqlx::query(sql).bind(id.to_string()).bind(now).execute(c).await?;
    Ok(done.rows_affected() == 1)
}

/// What the ledger said to an account's share: paid, or why not.
pub async fn settle(c: &mut AnyConnection, account: Uuid, refused: Option<&str>, now: i64) -> Result<(), StoreError> {
    let sql = "UPDATE accounts SET promotion_paid_at = $2, promotion_refused = $3 WHERE id = $1";
    let paid_at = refused.is_none().then_some(now);
    sqlx::query(sql).bind(account.to_string()).bind(paid_at).bind(refused).execute(c).await?;
    Ok(())
}

fn promotion(row: &AnyRow) -> Result<Promotion, StoreError> {
    Ok(Promotion {
        id: uuid_of(row.try_get("id")?)?,
        name: row.try_get("name")?,
        amount: row.try_get("amount")?,
        currency: row.try_get("currency")?,
        budget_wallet: uuid_of(row.try_get("budget_wallet")?)?,
        wallet_opened_at: row.try_get("wallet_opened_at")?,
        starts_at: row.try_get("starts_at")?,
        ends_at: row.try_get("ends_at")?,
        created_at: row.try_get("created_at")?,
    })
}
