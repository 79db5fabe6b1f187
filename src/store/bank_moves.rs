//! Money on its way between wallets and a bank: the rows, and the steps that each takes once.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use super::StoreError;
use super::accounts::{named, uuid_of};

named! {
    Kind {
        TopUp = "top_up",
        Withdrawal = "withdrawal",
    }
}

named! {
    /// What a person is told.
    State {
        Pending = "pending",
        Completed = "completed",
        Failed = "failed",
    }
}

named! {
    /// What is to be done next. A top-up: ask, book. A withdrawal: take, ask, and settle or give back.
    Step {
        Take = "take",
        Ask = "ask",
        Book = "book",
        Settle = "settle",
        GiveBack = "give_back",
        Over = "over",
    }
}

/// A row of `bank_moves`.
#[derive(Clone, Debug)]
pub struct BankMove {
    pub id: Uuid,
    pub kind: Kind,
    pub account: Uuid,
    pub wallet: Uuid,
    pub amount: i64,
    pub currency: String,
    pub bank_account_sealed: String,
    pub bank_account_digest: String,
    pub state: State,
    pub step: Step,
    pub refusals: i64,
    pub attempts: i64,
    pub next_attempt_at: Option<i64>,
    pub bank_reference: Option<String>,
    pub failure: Option<String>,
    pub created_at: i64,
    pub taken_at: Option<i64>,
    pub bank_ended_at: Option<i64>,
    pub ended_at: Option<i64>,
}

/// What a step leaves in the row beside the next one.
#[derive(Clone, Copy, Default, Debug)]
pub struct Left<'l> {
    pub bank_reference: Option<&'l str>,
    pub failure: Option<&'l str>,
    pub taken_at: Option<i64>,
    pub bank_ended_at: Option<i64>,
}

/// Whether it was there before: the same id again is for the caller to compare.
pub async fn insert(c: &mut AnyConnection, row: &BankMove) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "INSERT INTO bank_moves (id, kind, account, wallet, amount, currency, bank_account_sealed, bank_account_digest, \
         state, step, refusals, attempts, next_attempt_at, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT (id) DO NOTHING",
    )
    .bind(row.id.to_string())
    .bind(row.kind.name())
    .bind(row.account.to_string())
    .bind(row.wallet.to_string())
    .bind(row.amount)
    .bind(&row.currency)
    .bind(&row.bank_account_sealed)
    .bind(&row.bank_account_digest)
    .bind(row.state.name())
    .bind(row.step.name())
    .bind(row.refusals)
    .bind(row.attempts)
    .bind(row.next_attempt_at)
    .bind(row.created_at)
    .execute(c)
    .await?;
    Ok(done.rows_affected() == 0)
}

pub async fn by_id(c: &mut AnyConnection, id: Uuid) -> Result<Option<BankMove>, StoreError> {
    let row = sqlx::query("SELECT * FROM bank_moves WHERE id = $1").bind(id.to_string()).fetch_optional(c).await?;
    row.map(|row| bank_move(&row)).transpose()
}

/// An account's, newest first, older than where the page before ended.
pub async fn page(
    c: &mut AnyConnection,
    account: Uuid,
    kind: Kind,
    before: (i64, Uuid),
    limit: i64,
) -> Result<Vec<BankMove>, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM bank_moves WHERE account = $1 AND kind = $2 AND (created_at < $3 OR (created_at = $3 AND id < $4)) \
         ORDER BY created_at DESC, id DESC LIMIT $5",
    )
    .bind(account.to_string())
    .bind(kind.name())
    .bind(before.0)
    .bind(before.1.to_string())
    .bind(limit)
    .fetch_all(c)
    .await?;
    rows.iter().map(bank_move).collect()
}

/// Whether any of an account's is not over.
pub async fn any_pending(c: &mut AnyConnection, account: Uuid) -> Result<bool, StoreError> {
    let sql = "SELECT id FROM bank_moves WHERE account = $1 AND state = 'pending' LIMIT 1";
    Ok(sqlx::query(sql).bind(account.to_string()).fetch_optional(c).await?.is_some())
}

/// Those with something to be done now, longest waiting first.
pub async fn due(c: &mut AnyConnection, now: i64, limit: i64) -> Result<Vec<Uuid>, StoreError> {
    let sql = "SELECT id FROM bank_moves WHERE next_attempt_at <= $1 ORDER BY next_attempt_at LIMIT $2";
    let rows = sqlx::query(sql).bind(now).bind(limit).fetch_all(c).await?;
    rows.iter().map(|row| uuid_of(row.try_get("id")?)).collect()
}

/// The step is done. Whoever did it too, and came later, changes nothing.
pub async fn step(
    c: &mut AnyConnection,
    id: Uuid,
    (from, to): (Step, Step),
    left: Left<'_>,
    now: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE bank_moves SET step = $3, refusals = 0, attempts = 0, next_attempt_at = $4, \
         bank_reference = COALESCE($5, bank_reference), failure = COALESCE($6, failure), \
         taken_at = COALESCE($7, taken_at), bank_ended_at = COALESCE($8, bank_ended_at) WHERE id = $1 AND step = $2",
    )
    .bind(id.to_string())
    .bind(from.name())
    .bind(to.name())
    .bind(now)
    .bind(left.bank_reference)
    .bind(left.failure)
    .bind(left.taken_at)
    .bind(left.bank_ended_at)
    .execute(c)
    .await?;
    Ok(())
}

/// It is over.
pub async fn end(
    c: &mut AnyConnection,
    id: Uuid,
    from: Step,
    state: State,
    left: Left<'_>,
    now: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE bank_moves SET step = 'over', state = $3, next_attempt_at = NULL, ended_at = $4, \
         failure = COALESCE($5, failure), bank_ended_at = COALESCE($6, bank_ended_at) WHERE id = $1 AND step = $2",
    )
    .bind(id.to_string())
    .bind(from.name())
    .bind(state.name())
    .bind(now)
    .bind(left.failure)
    .bind(left.bank_ended_at)
    .execute(c)
    .await?;
    Ok(())
}

/// The step is tried again later.
pub async fn later(c: &mut AnyConnection, id: Uuid, step: Step, next_attempt_at: i64) -> Result<(), StoreError> {
    let sql = "UPDATE bank_moves SET attempts = attempts + 1, next_attempt_at = $3 WHERE id = $1 AND step = $2";
    sqlx::query(sql).bind(id.to_string()).bind(step.name()).bind(next_attempt_at).execute(c).await?;
    Ok(())
}

/// The ledger has refused the step's transfer, for ever: the next try is another one.
pub async fn refused(
    c: &mut AnyConnection,
    id: Uuid,
    step: Step,
    refusals: i64,
    next_attempt_at: i64,
) -> Result<(), StoreError> {
    let sql = "UPDATE bank_moves SET refusals = refusals + 1, next_attempt_at = $4 \
               WHERE id = $1 AND step = $2 AND refusals = $3";
    let query = sqlx::query(sql).bind(id.to_string()).bind(step.name()).bind(refusals).bind(next_attempt_at);
    query.execute(c).await?;
    Ok(())
}

fn bank_move(row: &AnyRow) -> Result<BankMove, StoreError> {
    Ok(BankMove {
        id: uuid_of(row.try_get("id")?)?,
        kind: Kind::from_row(row.try_get("kind")?)?,
        account: uuid_of(row.try_get("account")?)?,
        wallet: uuid_of(row.try_get("wallet")?)?,
        amount: row.try_get("amount")?,
        currency: row.try_get("currency")?,
        bank_account_sealed: row.try_get("bank_account_sealed")?,
        bank_account_digest: row.try_get("bank_account_digest")?,
        state: State::from_row(row.try_get("state")?)?,
        step: Step::from_row(row.try_get("step")?)?,
        refusals: row.try_get("refusals")?,
        attempts: row.try_get("attempts")?,
        next_attempt_at: row.try_get("next_attempt_at")?,
        bank_reference: row.try_get("bank_reference")?,
        failure: row.try_get("failure")?,
        created_at: row.try_get("created_at")?,
        taken_at: row.try_get("taken_at")?,
        bank_ended_at: row.try_get("bank_ended_at")?,
        ended_at: row.try_get("ended_at")?,
    })
}
