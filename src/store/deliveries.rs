//! Deliveries: one message to one address each, from the moment it is due until it was sent or given up. When to try again, and
//! what a provider's answer means, is the notifier's business.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use super::StoreError;
use super::accounts::{named, uuid_of};

named! {
    /// Where a delivery is. Only a queued one is ever sent; a dead one was given up: refused for good, or tried too often. A
    /// suppressed one has no provider, a discarded one was dead until somebody put it away.
    DeliveryState {
        Queued = "queued",
        Sent = "sent",
        Dead = "dead",
        Expired = "expired",
        Suppressed = "suppressed",
        Discarded = "discarded",
    }
}

/// A row of `deliveries`.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub id: Uuid,
    pub account: Option<Uuid>,
    pub channel: String,
    pub address_sealed: String,
    pub locale: String,
    pub kind: String,
    pub params_sealed: String,
    pub state: DeliveryState,
    pub urgency: i64,
    pub attempts: i64,
    pub next_attempt_at: i64,
    pub last_error: Option<String>,
    pub provider_id: Option<String>,
    pub created_at: i64,
    pub expires_at: Option<i64>,
    pub done_at: Option<i64>,
}

/// One whose id is there already is the same one.
pub async fn insert(c: &mut AnyConnection, delivery: &Delivery) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO deliveries (id, account, channel, address_sealed, locale, kind, params_sealed, state, urgency, \
         attempts, next_attempt_at, claimed, last_error, created_at, expires_at, done_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, $12, $13, $14, $15) ON CONFLICT (id) DO NOTHING",
    )
    .bind(delivery.id.to_string())
    .bind(delivery.account.map(|id| id.to_string()))
    .bind(&delivery.channel)
    .bind(&delivery.address_sealed)
    .bind(&delivery.locale)
    .bind(&delivery.kind)
    .bind(&delivery.params_sealed)
    .bind(delivery.state.name())
    .bind(delivery.urgency)
    .bind(delivery.attempts)
    .bind(delivery.next_attempt_at)
    .bind(delivery.last_error.as_deref())
    .bind(delivery.created_at)
    .bind(delivery.expires_at)
    .bind(delivery.done_at)
    .execute(c)
    .await?;
    Ok(())
}

/// Whether anything is due.
pub async fn has_due(c: &mut AnyConnection, channel: &str, now: i64) -> Result<bool, StoreError> {
    let sql = "SELECT id FROM deliveries WHERE state = 'queued' AND channel = $1 AND next_attempt_at <= $2 LIMIT 1";
    Ok(sqlx::query(sql).bind(channel).bind(now).fetch_optional(c).await?.is_some())
}

/// Takes what is due: nobody else takes it before `until`. A try counts when it begins, so that a message that kills the
/// process is not tried for ever.
pub async fn claim(
    c: &mut AnyConnection,
    channel: &str,
    now: i64,
    until: i64,
    limit: i64,
) -> Result<Vec<Delivery>, StoreError> {
    let sql = "UPDATE deliveries SET claimed = 1, next_attempt_at = $3, attempts = attempts + 1 \
               WHERE state = 'queued' AND next_attempt_at <= $2 AND id IN \
               (SELECT id FROM deliveries WHERE state = 'queued' AND channel = $1 AND next_attempt_at <= $2 \
                ORDER BY urgency, next_attempt_at LIMIT $4) RETURNING *";
    let rows = sqlx::query(sql).bind(channel).bind(now).bind(until).bind(limit).fetch_all(c).await?;
    rows.iter().map(delivery).collect()
}

/// After a start, what the process before had claimed is due again.
pub async fn release_claims(c: &mut AnyConnection, now: i64) -> Result<u64, StoreError> {
    let sql = "UPDATE deliveries SET claimed = 0, next_attempt_at = $1 WHERE state = 'queued' AND claimed = 1";
    Ok(sqlx::query(sql).bind(now).execute(c).await?.rows_affected())
}

/// It is done with; what stood in it is forgotten unless it is a dead letter, which may be sent again.
pub async fn finish(
    c: &mut AnyConnection,
    id: Uuid,
    state: DeliveryState,
    (provider_id, error): (Option<&str>, Option<&str>),
    now: i64,
) -> Result<(), StoreError> {
    let sql = "UPDATE deliveries SET state = $2, claimed = 0, provider_id = $3, last_error = $4, done_at = $5, \
               params_sealed = CASE WHEN $2 = 'dead' THEN params_sealed ELSE '' END \
               WHERE id = $1 AND state = 'queued'";
    sqlx::query(sql).bind(id.to_string()).bind(state.name()).bind(provider_id).bind(error).bind(now).execute(c).await?;
    Ok(())
}

/// It failed and is tried again at `at`.
pub async fn retry(c: &mut AnyConnection, id: Uuid, at: i64, error: &str) -> Result<(), StoreError> {
    let sql =
        "UPDATE deliveries SET claimed = 0, next_attempt_at = $2, last_error = $3 WHERE id = $1 AND state = 'queued'";
    sqlx::query(sql).bind(id.to_string()).bind(at).bind(error).execute(c).await?;
    Ok(())
}

pub async fn by_id(c: &mut AnyConnection, id: Uuid) -> Result<Option<Delivery>, StoreError> {
    let row = sqlx::query("SELECT * FROM deliveries WHERE id = $1").bind(id.to_string()).fetch_optional(c).await?;
    row.map(|row| delivery(&row)).transpose()
}

/// Dead letters, newest first, from before this id. Ids of deliveries do not rise, so the time comes first.
pub async fn dead(
    c: &mut AnyConnection,
    (before, before_id): (i64, &str),
    limit: i64,
) -> Result<Vec<Delivery>, StoreError> {
    let sql = "SELECT * FROM deliveries WHERE state = 'dead' AND (done_at < $1 OR (done_at = $1 AND id < $2)) \
               ORDER BY done_at DESC, id DESC LIMIT $3";
    let rows = sqlx::query(sql).bind(before).bind(before_id).bind(limit).fetch_all(c).await?;
    rows.iter().map(delivery).collect()
}

/// Whether it was a dead letter, and is due now with all its tries before it.
pub async fn revive(c: &mut AnyConnection, id: Uuid, now: i64) -> Result<bool, StoreError> {
    let sql = "UPDATE deliveries SET state = 'queued', claimed = 0, attempts = 0, next_attempt_at = $2, done_at = NULL \
               WHERE id = $1 AND state = 'dead'";
    Ok(sqlx::query(sql).bind(id.to_string()).bind(now).execute(c).await?.rows_affected() == 1)
}

/// Whether it was a dead letter.
pub async fn discard(c: &mut AnyConnection, id: Uuid, now: i64) -> Result<bool, StoreError> {
    let sql = "UPDATE deliveries SET state = 'discarded', params_sealed = '', done_at = $2 \
               WHERE id = $1 AND state = 'dead'";
    Ok(sqlx::query(sql).bind(id.to_string()).bind(now).execute(c).await?.rows_affected() == 1)
}

/// How many are queued, since when the oldest of them, and how many dead letters there are.
pub async fn depth(c: &mut AnyConnection, channel: &str) -> Result<(i64, Option<i64>, i64), StoreError> {
    let sql = "SELECT COUNT(*) AS queued, MIN(created_at) AS oldest FROM deliveries \
               WHERE state = 'queued' AND channel = $1";
    let row = sqlx::query(sql).bind(channel).fetch_one(&mut *c).await?;
    let sql = "SELECT COUNT(*) AS dead FROM deliveries WHERE state = 'dead' AND channel = $1";
    let dead = sqlx::query(sql).bind(channel).fetch_one(c).await?;
    Ok((row.try_get("queued")?, row.try_get("oldest")?, dead.try_get("dead")?))
}

/// Removes what was done with before `time`; dead letters stay until somebody decides.
pub async fn remove_done(c: &mut AnyConnection, time: i64) -> Result<(), StoreError> {
    let sql = "DELETE FROM deliveries WHERE state IN ('sent', 'expired', 'suppressed', 'discarded') AND done_at < $1";
    sqlx::query(sql).bind(time).execute(c).await?;
    Ok(())
}

fn delivery(row: &AnyRow) -> Result<Delivery, StoreError> {
    Ok(Delivery {
        id: uuid_of(row.try_get("id")?)?,
        account: row.try_get::<Option<&str>, _>("account")?.map(uuid_of).transpose()?,
        channel: row.try_get("channel")?,
        address_sealed: row.try_get("address_sealed")?,
        locale: row.try_get("locale")?,
        kind: row.try_get("kind")?,
        params_sealed: row.try_get("params_sealed")?,
        state: DeliveryState::from_row(row.try_get("state")?)?,
        urgency: row.try_get("urgency")?,
        attempts: row.try_get("attempts")?,
        next_attempt_at: row.try_get("next_attempt_at")?,
        last_error: row.try_get("last_error")?,
        provider_id: row.try_get("provider_id")?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        done_at: row.try_get("done_at")?,
    })
}
