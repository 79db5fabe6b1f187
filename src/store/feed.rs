//! The events that the live stream tells, numbered over all accounts in the order of their commits.

use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use super::StoreError;

/// A row of `feed`.
#[derive(Clone, Debug)]
pub struct FeedEvent {
    pub account: Uuid,
    pub number: i64,
    pub kind: String,
    pub body_sealed: String,
    pub created_at: i64,
}

pub async fn insert(c: &mut AnyConnection, event: &FeedEvent) -> Result<(), StoreError> {
    let sql = "INSERT INTO feed (account, number, kind, body_sealed, created_at) VALUES ($1, $2, $3, $4, $5)";
    sqlx::query(sql)
        .bind(event.account.to_string())
        .bind(event.number)
        .bind(&event.kind)
        .bind(&event.body_sealed)
        .bind(event.created_at)
        .execute(c)
        .await?;
    Ok(())
}

pub async fn after(
    c: &mut AnyConnection,
    account: Uuid,
    number: i64,
    limit: i64,
) -> Result<Vec<FeedEvent>, StoreError> {
    let sql = "SELECT * FROM feed WHERE account = $1 AND number > $2 ORDER BY number LIMIT $3";
    let rows = sqlx::query(sql).bind(account.to_string()).bind(number).bind(limit).fetch_all(c).await?;
    let event = |row: &sqlx::any::AnyRow| {
        Ok(FeedEvent {
            account,
            number: row.try_get("number")?,
            kind: row.try_get("kind")?,
            body_sealed: row.try_get("body_sealed")?,
            created_at: row.try_get("created_at")?,
        })
    };
    rows.iter().map(event).collect()
}

/// Removes what is older, and gives the greatest number that was removed.
pub async fn remove_before(c: &mut AnyConnection, time: i64) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT MAX(number) AS number FROM feed WHERE created_at < $1";
    let number: Option<i64> = sqlx::query(sql).bind(time).fetch_one(&mut *c).await?.try_get("number")?;
    if number.is_some() {
        sqlx::query("DELETE FROM feed WHERE created_at < $1").bind(time).execute(c).await?;
    }
    Ok(number)
}
