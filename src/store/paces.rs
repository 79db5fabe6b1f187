//! How often something was tried, and when it may be tried again. How fast it may go on is the services' business.

use sqlx::{AnyConnection, Row as _};

use super::StoreError;

/// What a row of `paces` counts.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Pace {
    pub tries: i64,
    pub next_at: i64,
    pub last_at: i64,
}

/// Reads the row, which is made if it is not there, and keeps others from it until the transaction ends.
pub async fn lock(c: &mut AnyConnection, purpose: &str, subject: &str) -> Result<Pace, StoreError> {
    let sql = "INSERT INTO paces (purpose, subject, tries, next_at, last_at) VALUES ($1, $2, 0, 0, 0) \
               ON CONFLICT (purpose, subject) DO UPDATE SET tries = paces.tries RETURNING tries, next_at, last_at";
    let row = sqlx::query(sql).bind(purpose).bind(subject).fetch_one(c).await?;
    Ok(Pace { tries: row.try_get("tries")?, next_at: row.try_get("next_at")?, last_at: row.try_get("last_at")? })
}

pub async fn set(c: &mut AnyConnection, purpose: &str, subject: &str, pace: Pace) -> Result<(), StoreError> {
    let sql = "UPDATE paces SET tries = $3, next_at = $4, last_at = $5 WHERE purpose = $1 AND subject = $2";
    sqlx::query(sql)
        .bind(purpose)
        .bind(subject)
        .bind(pace.tries)
        .bind(pace.next_at)
        .bind(pace.last_at)
        .execute(c)
        .await?;
    Ok(())
}

pub async fn clear(c: &mut AnyConnection, purpose: &str, subject: &str) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM paces WHERE purpose = $1 AND subject = $2").bind(purpose).bind(subject).execute(c).await?;
    Ok(())
}
