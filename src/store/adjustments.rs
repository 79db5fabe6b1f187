//! Corrections of balances by hand. Each step is one conditional statement, so that it is done once.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use super::StoreError;
use super::accounts::{named, uuid_of};

named! {
    /// Where an adjustment is. `Approved` is on its way to the ledger.
    State {
        Waiting = "waiting",
        Approved = "approved",
        Done = "done",
        Refused = "refused",
        Rejected = "rejected",
        Expired = "expired",
    }
}

named! {
    /// Whether the wallet gets or gives.
    Direction {
        In = "in",
        Out = "out",
    }
}

/// A row of `adjustments`.
#[derive(Clone, Debug)]
pub struct Adjustment {
    pub id: Uuid,
    pub wallet: Uuid,
    pub amount: i64,
    pub currency: String,
    pub direction: Direction,
    pub reason_sealed: String,
    pub state: State,
    pub asked_by: Uuid,
    pub created_at: i64,
    pub expires_at: i64,
    pub decided_by: Option<Uuid>,
    pub decided_at: Option<i64>,
    pub settled_at: Option<i64>,
    pub refused: Option<String>,
}

/// Says whether it was this call that wrote the row.
pub async fn insert(c: &mut AnyConnection, adjustment: &Adjustment) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "INSERT INTO adjustments (id, wallet, amount, currency, direction, reason_sealed, state, asked_by, created_at, \
         expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO NOTHING",
    )
    .bind(adjustment.id.to_string())
    .bind(adjustment.wallet.to_string())
    .bind(adjustment.amount)
    .bind(&adjustment.currency)
    .bind(adjustment.direction.name())
    .bind(&adjustment.reason_sealed)
    .bind(adjustment.state.name())
    .bind(adjustment.asked_by.to_string())
    .bind(adjustment.created_at)
    .bind(adjustment.expires_at)
    .execute(c)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub async fn by_id(c: &mut AnyConnection, id: Uuid) -> Result<Option<Adjustment>, StoreError> {
    let row = sqlx::query("SELECT * FROM adjustments WHERE id = $1").bind(id.to_string()).fetch_optional(c).await?;
    row.map(|row| adjustment(&row)).transpose()
}

/// What somebody moved without another's approval since, in one currency.
pub async fn alone_since(c: &mut AnyConnection, asked_by: Uuid, currency: &str, since: i64) -> Result<i64, StoreError> {
    let sql = "SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) AS total FROM adjustments WHERE asked_by = $1 \
               AND currency = $2 AND created_at > $3 AND decided_by IS NULL AND state IN ('approved', 'done')";
    let query = sqlx::query(sql).bind(asked_by.to_string()).bind(currency).bind(since);
    Ok(query.fetch_one(c).await?.try_get("total")?)
}

/// By somebody else than who asked, while it waits.
pub async fn decide(c: &mut AnyConnection, id: Uuid, to: State, by: Uuid, now: i64) -> Result<bool, StoreError> {
    let sql = "UPDATE adjustments SET state = $2, decided_by = $3, decided_at = $4 \
               WHERE id = $1 AND state = 'waiting' AND asked_by <> $3 AND expires_at > $4";
    let done = sqlx::query(sql).bind(id.to_string()).bind(to.name()).bind(by.to_string()).bind(now).execute(c).await?;
    Ok(done.rows_affected() == 1)
}

/// What the ledger said.
pub async fn settle(c: &mut AnyConnection, id: Uuid, refused: Option<&str>, now: i64) -> Result<(), StoreError> {
    let state = if refused.is_none() { State::Done } else { State::Refused };
    let sql = "UPDATE adjustments SET state = $2, refused = $3, settled_at = $4 WHERE id = $1 AND state = 'approved'";
    sqlx::query(sql).bind(id.to_string()).bind(state.name()).bind(refused).bind(now).execute(c).await?;
    Ok(())
}

pub async fn expire(c: &mut AnyConnection, now: i64) -> Result<(), StoreError> {
    let sql = "UPDATE adjustments SET state = 'expired' WHERE state = 'waiting' AND expires_at <= $1";
    sqlx::query(sql).bind(now).execute(c).await?;
    Ok(())
}

/// Of one state, or of all if none is named; newest first.
pub async fn list(
    c: &mut AnyConnection,
    state: Option<State>,
    (time, id): (i64, Uuid),
    limit: i64,
) -> Result<Vec<Adjustment>, StoreError> {
    let sql = "SELECT * FROM adjustments WHERE (created_at < $1 OR (created_at = $1 AND id < $2)) \
               AND ($3 = '' OR state = $3) ORDER BY created_at DESC, id DESC LIMIT $4";
    let state = state.map(State::name).unwrap_or_default();
    let rows = sqlx::query(sql).bind(time).bind(id.to_string()).bind(state).bind(limit).fetch_all(c).await?;
    rows.iter().map(adjustment).collect()
}

fn adjustment(row: &AnyRow) -> Result<Adjustment, StoreError> {
    let decided_by: Option<String> = row.try_get("decided_by")?;
    Ok(Adjustment {
        id: uuid_of(row.try_get("id")?)?,
        wallet: uuid_of(row.try_get("wallet")?)?,
        amount: row.try_get("amount")?,
        currency: row.try_get("currency")?,
        direction: Direction::from_row(row.try_get("direction")?)?,
        reason_sealed: row.try_get("reason_sealed")?,
        state: State::from_row(row.try_get("state")?)?,
        asked_by: uuid_of(row.try_get("asked_by")?)?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        decided_by: decided_by.as_deref().map(uuid_of).transpose()?,
        decided_at: row.try_get("decided_at")?,
        settled_at: row.try_get("settled_at")?,
        refused: row.try_get("refused")?,
    })
}
