//! Payments that somebody confirms before they are made: bound to account, amount, currency and payee, and used once.

use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use super::StoreError;

/// What is confirmed.
#[derive(Clone, Debug)]
pub struct Payment {
    pub account: Uuid,
    pub amount_minor: i64,
    pub currency: &'static str,
    pub payee_wallet: Uuid,
}

pub async fn insert(c: &mut AnyConnection, id: &str, payment: &Payment) -> Result<(), StoreError> {
    let sql =
        "INSERT INTO confirmations (id, account, amount_minor, currency, payee_wallet) VALUES ($1, $2, $3, $4, $5)";
    sqlx::query(sql)
        .bind(id)
        .bind(payment.account.to_string())
        .bind(payment.amount_minor)
        .bind(payment.currency)
        .bind(payment.payee_wallet.to_string())
        .execute(c)
        .await?;
    Ok(())
}

pub async fn set_token(c: &mut AnyConnection, id: &str, token_hash: &str, expires_at: i64) -> Result<bool, StoreError> {
    let sql = "UPDATE confirmations SET token_hash = $2, token_expires_at = $3 WHERE id = $1 AND token_hash IS NULL";
    let done = sqlx::query(sql).bind(id).bind(token_hash).bind(expires_at).execute(c).await?;
    Ok(done.rows_affected() == 1)
}

/// Says whether the token confirms just this payment and was not used for another request. A repeat of the request may
/// come later than the token expires.
pub async fn use_token(
    c: &mut AnyConnection,
    token_hash: &str,
    payment: &Payment,
    request: Uuid,
    now: i64,
) -> Result<bool, StoreError> {
    let row = sqlx::query(
        "UPDATE confirmations SET used_for = $6 WHERE token_hash = $1 AND account = $2 AND amount_minor = $3 \
         AND currency = $4 AND payee_wallet = $5 AND (used_for = $6 OR (used_for IS NULL AND token_expires_at > $7)) \
         RETURNING id",
    )
    .bind(token_hash)
    .bind(payment.account.to_string())
    .bind(payment.amount_minor)
    .bind(payment.currency)
    .bind(payment.payee_wallet.to_string())
    .bind(request.to_string())
    .bind(now)
    .fetch_optional(c)
    .await?;
    row.map(|row| Ok(row.try_get::<String, _>("id").map(drop)?)).transpose().map(|row| row.is_some())
}
