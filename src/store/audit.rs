//! The audit log's rows and their head. How they are chained is the service's business.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::StoreError;

/// A row of `audit`.
#[derive(Clone, Debug)]
pub struct Record {
    pub seq: i64,
    pub recorded_at: i64,
    pub actor: String,
    pub action: String,
    pub object: String,
    pub detail_sealed: String,
    pub hash: String,
}

/// Which rows are asked for, newest first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter<'f> {
    pub before_seq: Option<i64>,
    pub actor: Option<&'f str>,
    pub object: Option<&'f str>,
}

/// Takes the next number, and the hash of the row before it. Until the transaction ends, nobody else gets one.
pub async fn advance(c: &mut AnyConnection) -> Result<(i64, String), StoreError> {
    let sql = "UPDATE audit_head SET seq = seq + 1 WHERE name = 'audit' RETURNING seq, hash";
    let row = sqlx::query(sql).fetch_one(c).await?;
    Ok((row.try_get("seq")?, row.try_get("hash")?))
}

pub async fn append(c: &mut AnyConnection, record: &Record) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO audit (seq, recorded_at, actor, action, object, detail_sealed, hash) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(record.seq)
    .bind(record.recorded_at)
    .bind(&record.actor)
    .bind(&record.action)
    .bind(&record.object)
    .bind(&record.detail_sealed)
    .bind(&record.hash)
    .execute(&mut *c)
    .await?;
    let sql = "UPDATE audit_head SET hash = $1 WHERE name = 'audit'";
    sqlx::query(sql).bind(&record.hash).execute(c).await?;
    Ok(())
}

pub async fn head(c: &mut AnyConnection) -> Result<(i64, String), StoreError> {
    let row = sqlx::query("SELECT seq, hash FROM audit_head WHERE name = 'audit'").fetch_one(c).await?;
    Ok((row.try_get("seq")?, row.try_get("hash")?))
}

/// Rows from `seq` on, oldest first.
pub async fn from(c: &mut AnyConnection, seq: i64, limit: i64) -> Result<Vec<Record>, StoreError> {
    let sql = "SELECT * FROM audit WHERE seq >= $1 ORDER BY seq LIMIT $2";
    let rows = sqlx::query(sql).bind(seq).bind(limit).fetch_all(c).await?;
    rows.iter().map(record).collect()
}

pub async fn list(c: &mut AnyConnection, filter: Filter<'_>, limit: i64) -> Result<Vec<Record>, StoreError> {
    // Each has its own text, so that each finds its index.
    let sql = match (filter.actor, filter.object) {
        (None, None) => "SELECT * FROM audit WHERE seq < $1 ORDER BY seq DESC LIMIT $2",
        (Some(_), None) => "SELECT * FROM audit WHERE seq < $1 AND actor = $3 ORDER BY seq DESC LIMIT $2",
        (None, Some(_)) => "SELECT * FROM audit WHERE seq < $1 AND object = $3 ORDER BY seq DESC LIMIT $2",
        (Some(_), Some(_)) => {
            "SELECT * FROM audit WHERE seq < $1 AND actor = $3 AND object = $4 ORDER BY seq DESC LIMIT $2"
        }
    };
    let mut query = sqlx::query(sql).bind(filter.before_seq.unwrap_or(i64::MAX)).bind(limit);
    for value in [filter.actor, filter.object].into_iter().flatten() {
        query = query.bind(value.to_owned());
    }
    let rows = query.fetch_all(c).await?;
    rows.iter().map(record).collect()
}

fn record(row: &AnyRow) -> Result<Record, StoreError> {
    Ok(Record {
        seq: row.try_get("seq")?,
        recorded_at: row.try_get("recorded_at")?,
        actor: row.try_get("actor")?,
        action: row.try_get("action")?,
        object: row.try_get("object")?,
        detail_sealed: row.try_get("detail_sealed")?,
        hash: row.try_get("hash")?,
    })
}
