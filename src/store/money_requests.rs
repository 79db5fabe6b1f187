//! Requests for money: the rows, and the conditional statements by which each is paid once.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use super::StoreError;
use super::accounts::{named, uuid_of};

named! {
    /// Open, and then one of the others for ever; paying is open while the ledger is asked.
    State {
        Open = "open",
        Paying = "paying",
        Paid = "paid",
        Declined = "declined",
        Cancelled = "cancelled",
        Expired = "expired",
    }
}

/// A row of `money_requests`.
#[derive(Clone, Debug)]
pub struct MoneyRequest {
    pub id: Uuid,
    pub requester: Uuid,
    pub payer: Uuid,
    pub amount: i64,
    pub currency: String,
    pub note_sealed: Option<String>,
    pub state: State,
    pub paying_key: Option<Uuid>,
    pub created_at: i64,
    pub expires_at: i64,
    pub changed_at: i64,
}

/// Whose list of requests: those that somebody is to pay, or those that he made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    In,
    Out,
}

/// Whether it was there before.
pub async fn insert(c: &mut AnyConnection, row: &MoneyRequest) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "INSERT INTO money_requests (id, requester, payer, amount, currency, note_sealed, state, created_at, expires_at, \
         changed_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO NOTHING",
    )
    .bind(row.id.to_string())
    .bind(row.requester.to_string())
    .bind(row.payer.to_string())
    .bind(row.amount)
    .bind(&row.currency)
    .bind(row.note_sealed.as_deref())
    .bind(row.state.name())
    .bind(row.created_at)
    .bind(row.expires_at)
    .bind(row.changed_at)
    .execute(c)
    .await?;
    Ok(done.rows_affected() == 0)
}

/// How many of the requester's are open: with this payer, and with all. Holds the requester's row, so that whoever counts at
/// the same moment waits for this transaction.
pub async fn count_open(
    c: &mut AnyConnection,
    requester: Uuid,
    payer: Uuid,
    now: i64,
) -> Result<(i64, i64), StoreError> {
    let held = "UPDATE accounts SET locale = locale WHERE id = $1";
    sqlx::query(held).bind(requester.to_string()).execute(&mut *c).await?;
    let row = sqlx::query(
        "SELECT CAST(COALESCE(SUM(CASE WHEN payer = $2 THEN 1 ELSE 0 END), 0) AS BIGINT) AS with_payer, \
         CAST(COUNT(*) AS BIGINT) AS with_all FROM money_requests \
         WHERE requester = $1 AND state IN ('open', 'paying') AND expires_at > $3",
    )
    .bind(requester.to_string())
    .bind(payer.to_string())
    .bind(now)
    .fetch_one(c)
    .await?;
    Ok((row.try_get("with_payer")?, row.try_get("with_all")?))
}

pub async fn by_id(c: &mut AnyConnection, id: Uuid) -> Result<Option<MoneyRequest>, StoreError> {
    let row = sqlx::query("SELECT * FROM money_requests WHERE id = $1").bind(id.to_string()).fetch_optional(c).await?;
    row.map(|row| money_request(&row)).transpose()
}

/// An account's, newest first, older than where the page before ended.
pub async fn page(
    c: &mut AnyConnection,
    account: Uuid,
    direction: Direction,
    before: (i64, Uuid),
    limit: i64,
) -> Result<Vec<MoneyRequest>, StoreError> {
    let sql = match direction {
        Direction::In => {
            "SELECT * FROM money_requests WHERE payer = $1 AND (created_at < $2 OR (created_at = $2 AND id < $3)) \
             ORDER BY created_at DESC, id DESC LIMIT $4"
        }
        Direction::Out => {
            "SELECT * FROM money_requests WHERE requester = $1 AND (created_at < $2 OR (created_at = $2 AND id < $3)) \
             ORDER BY created_at DESC, id DESC LIMIT $4"
        }
    };
    let query = sqlx::query(sql).bind(account.to_string()).bind(before.0).bind(before.1.to_string()).bind(limit);
    query.fetch_all(c).await?.iter().map(money_request).collect()
}

/// From open to declined or cancelled; says whether it was this call that did it.
pub async fn close(c: &mut AnyConnection, id: Uuid, state: State, now: i64) -> Result<bool, StoreError> {
    let sql = "UPDATE money_requests SET state = $2, changed_at = $3 \
               WHERE id = $1 AND state = 'open' AND expires_at > $3";
    let done = sqlx::query(sql).bind(id.to_string()).bind(state.name()).bind(now).execute(c).await?;
    Ok(done.rows_affected() == 1)
}

/// From open to paying by this key, or paying by it already.
pub async fn begin_paying(c: &mut AnyConnection, id: Uuid, key: Uuid, now: i64) -> Result<bool, StoreError> {
    let sql = "UPDATE money_requests SET state = 'paying', paying_key = $2, changed_at = $3 \
               WHERE id = $1 AND ((state = 'open' AND expires_at > $3) OR (state = 'paying' AND paying_key = $2))";
    let done = sqlx::query(sql).bind(id.to_string()).bind(key.to_string()).bind(now).execute(c).await?;
    Ok(done.rows_affected() == 1)
}

/// From paying by this key to paid, or, when the ledger refused, to open again.
pub async fn end_paying(c: &mut AnyConnection, id: Uuid, key: Uuid, is_paid: bool, now: i64) -> Result<(), StoreError> {
    let state = if is_paid { State::Paid } else { State::Open };
    let sql = "UPDATE money_requests SET state = $3, changed_at = $4 \
               WHERE id = $1 AND state = 'paying' AND paying_key = $2";
    let query = sqlx::query(sql).bind(id.to_string()).bind(key.to_string()).bind(state.name()).bind(now);
    query.execute(c).await?;
    Ok(())
}

pub async fn expire(c: &mut AnyConnection, now: i64) -> Result<u64, StoreError> {
    let sql = "UPDATE money_requests SET state = 'expired', changed_at = $1 WHERE state = 'open' AND expires_at <= $1";
    Ok(sqlx::query(sql).bind(now).execute(c).await?.rows_affected())
}

/// Those of which a crash came between the row and the ledger.
pub async fn left_paying(c: &mut AnyConnection, before: i64, limit: i64) -> Result<Vec<MoneyRequest>, StoreError> {
    let sql = "SELECT * FROM money_requests WHERE state = 'paying' AND changed_at < $1 ORDER BY changed_at LIMIT $2";
    let rows = sqlx::query(sql).bind(before).bind(limit).fetch_all(c).await?;
    rows.iter().map(money_request).collect()
}

fn money_request(row: &AnyRow) -> Result<MoneyRequest, StoreError> {
    let key: Option<String> = row.try_get("paying_key")?;
    Ok(MoneyRequest {
        id: uuid_of(row.try_get("id")?)?,
        requester: uuid_of(row.try_get("requester")?)?,
        payer: uuid_of(row.try_get("payer")?)?,
        amount: row.try_get("amount")?,
        currency: row.try_get("currency")?,
        note_sealed: row.try_get("note_sealed")?,
        state: State::from_row(row.try_get("state")?)?,
        paying_key: key.map(|key| uuid_of(&key)).transpose()?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        changed_at: row.try_get("changed_at")?,
    })
}
