//! How far what is derived from the log has come, kept in the transaction of what was derived; and whose the wallets are
//! that the log told of.

use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use super::StoreError;
use super::accounts::uuid_of;

/// None: the view has not begun.
pub async fn position(c: &mut AnyConnection, name: &str) -> Result<Option<i64>, StoreError> {
    let row = sqlx::query("SELECT position FROM views WHERE name = $1").bind(name).fetch_optional(c).await?;
    Ok(row.map(|row| row.try_get("position")).transpose()?)
}

pub async fn set_position(c: &mut AnyConnection, name: &str, position: i64) -> Result<(), StoreError> {
    let sql = "INSERT INTO views (name, position) VALUES ($1, $2) \
               ON CONFLICT (name) DO UPDATE SET position = excluded.position";
    sqlx::query(sql).bind(name).bind(position).execute(c).await?;
    Ok(())
}

/// Notes that the database goes with this log, unless it goes with another one: then that one's name is given.
pub async fn claim_log(c: &mut AnyConnection, log: &str) -> Result<Option<String>, StoreError> {
    let name = format!("log {log}");
    let sql = "SELECT name FROM views WHERE name LIKE 'log %' AND name <> $1";
    if let Some(row) = sqlx::query(sql).bind(&name).fetch_optional(&mut *c).await? {
        return Ok(Some(row.try_get("name")?));
    }
    let sql = "INSERT INTO views (name, position) VALUES ($1, 0) ON CONFLICT (name) DO NOTHING";
    sqlx::query(sql).bind(&name).execute(c).await?;
    Ok(None)
}

/// Takes `count` numbers of a sequence and gives the first. Whoever takes some holds up the next until the commit, so a number
/// that can be seen has none below it that is yet to come.
pub async fn take_numbers(c: &mut AnyConnection, name: &str, count: i64) -> Result<i64, StoreError> {
    let sql = "INSERT INTO views (name, position) VALUES ($1, $2) \
               ON CONFLICT (name) DO UPDATE SET position = views.position + excluded.position RETURNING position";
    let row = sqlx::query(sql).bind(name).bind(count).fetch_one(c).await?;
    Ok(row.try_get::<i64, _>("position")? - count + 1)
}

/// The wallets that accounts opened with.
pub async fn first_wallets(c: &mut AnyConnection) -> Result<Vec<Uuid>, StoreError> {
    let rows = sqlx::query("SELECT wallet FROM accounts").fetch_all(c).await?;
    rows.iter().map(|row| uuid_of(row.try_get("wallet")?)).collect()
}

/// Those that were opened for an account later on.
pub async fn further_wallets(c: &mut AnyConnection) -> Result<Vec<Uuid>, StoreError> {
    let rows = sqlx::query("SELECT wallet FROM account_wallets").fetch_all(c).await?;
    rows.iter().map(|row| uuid_of(row.try_get("wallet")?)).collect()
}

pub async fn has_accounts(c: &mut AnyConnection) -> Result<bool, StoreError> {
    Ok(sqlx::query("SELECT id FROM accounts LIMIT 1").fetch_optional(c).await?.is_some())
}

/// Which of these ids are accounts, each with its first wallet.
pub async fn accounts_among(c: &mut AnyConnection, ids: &[Uuid]) -> Result<Vec<(Uuid, Uuid)>, StoreError> {
    const IDS_MAX: usize = 64;
    let mut found = Vec::new();
    for ids in ids.chunks(IDS_MAX) {
        let places: Vec<String> = (1..=ids.len()).map(|place| format!("${place}")).collect();
        let sql = format!("SELECT id, wallet FROM accounts WHERE id IN ({})", places.join(", "));
        let query = sqlx::query(sqlx::AssertSqlSafe(sql));
        let query = ids.iter().fold(query, |query, id| query.bind(id.to_string()));
        for row in query.fetch_all(&mut *c).await? {
            found.push((uuid_of(row.try_get("id")?)?, uuid_of(row.try_get("wallet")?)?));
        }
    }
    Ok(found)
}

/// Whose a wallet is.
pub async fn owner_of(c: &mut AnyConnection, wallet: Uuid) -> Result<Option<Uuid>, StoreError> {
    let sql = "SELECT id AS account FROM accounts WHERE wallet = $1 \
               UNION ALL SELECT account FROM account_wallets WHERE wallet = $1";
    let row = sqlx::query(sql).bind(wallet.to_string()).fetch_optional(c).await?;
    row.map(|row| uuid_of(row.try_get("account")?)).transpose()
}

pub async fn add_wallet(c: &mut AnyConnection, wallet: Uuid, account: Uuid) -> Result<(), StoreError> {
    let sql = "INSERT INTO account_wallets (wallet, account) VALUES ($1, $2) ON CONFLICT (wallet) DO NOTHING";
    sqlx::query(sql).bind(wallet.to_string()).bind(account.to_string()).execute(c).await?;
    Ok(())
}
