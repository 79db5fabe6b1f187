//! What changes an account: its state, its role, its name, and which of its wallets were frozen with it. Each change of state
//! is one conditional statement, so that of two at the same moment one wins.

use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use super::StoreError;
use super::accounts::{Account, AccountState, AddressKind, Role, account, uuid_of};

/// From one state to another, and what the wallets have to become for it.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    pub from: AccountState,
    pub to: AccountState,
    pub wallets: &'static str,
}

/// Which accounts are asked for, newest first.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub before: Option<Uuid>,
    pub state: Option<AccountState>,
    pub role: Option<Role>,
    /// With the address's digest.
    pub address: Option<(AddressKind, String)>,
}

/// Not while the account is being closed.
pub async fn change(c: &mut AnyConnection, id: Uuid, change: Change, now: i64) -> Result<bool, StoreError> {
    let sql = "UPDATE accounts SET state = $3, wallet_status_wanted = $4, state_changed_at = $5, active_from = NULL \
               WHERE id = $1 AND state = $2 AND (wallet_status_wanted IS NULL OR wallet_status_wanted <> 'closed')";
    let query = sqlx::query(sql).bind(id.to_string()).bind(change.from.name()).bind(change.to.name());
    let done = query.bind(change.wallets).bind(now).execute(c).await?;
    Ok(done.rows_affected() == 1)
}

/// Notes that the account is to be closed; it is when its wallets are.
pub async fn begin_close(c: &mut AnyConnection, id: Uuid, now: i64) -> Result<bool, StoreError> {
    let sql = "UPDATE accounts SET wallet_status_wanted = 'closed', state_changed_at = $2 WHERE id = $1 \
               AND state <> 'closed' AND (wallet_status_wanted IS NULL OR wallet_status_wanted <> 'closed')";
    let done = sqlx::query(sql).bind(id.to_string()).bind(now).execute(c).await?;
    Ok(done.rows_affected() == 1)
}

/// The wallets are closed, and so is the account.
pub async fn end_close(c: &mut AnyConnection, id: Uuid, now: i64) -> Result<bool, StoreError> {
    let sql = "UPDATE accounts SET state = 'closed', wallet_status_wanted = NULL, state_changed_at = $2, \
               active_from = NULL WHERE id = $1 AND wallet_status_wanted = 'closed'";
    let done = sqlx::query(sql).bind(id.to_string()).bind(now).execute(&mut *c).await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    let sql = "DELETE FROM addresses WHERE account = $1 AND kind <> 'handle'";
    sqlx::query(sql).bind(id.to_string()).execute(&mut *c).await?;
    let sql = "UPDATE addresses SET retired_at = $2 WHERE account = $1 AND retired_at IS NULL";
    sqlx::query(sql).bind(id.to_string()).bind(now).execute(&mut *c).await?;
    let sql = "DELETE FROM frozen_wallets WHERE account = $1";
    sqlx::query(sql).bind(id.to_string()).execute(c).await?;
    Ok(true)
}

/// The wallets are as the row wanted them, if it still wants that.
pub async fn wallets_done(c: &mut AnyConnection, account: &Account) -> Result<(), StoreError> {
    let sql = "UPDATE accounts SET wallet_status_wanted = NULL \
               WHERE id = $1 AND wallet_status_wanted = $2 AND state_changed_at = $3";
    let query = sqlx::query(sql).bind(account.id.to_string()).bind(account.wallet_status_wanted.as_deref());
    query.bind(account.state_changed_at).execute(c).await?;
    Ok(())
}

pub async fn note_frozen(c: &mut AnyConnection, account: Uuid, wallet: Uuid) -> Result<(), StoreError> {
    let sql = "INSERT INTO frozen_wallets (account, wallet) VALUES ($1, $2) ON CONFLICT (account, wallet) DO NOTHING";
    sqlx::query(sql).bind(account.to_string()).bind(wallet.to_string()).execute(c).await?;
    Ok(())
}

pub async fn frozen(c: &mut AnyConnection, account: Uuid) -> Result<Vec<Uuid>, StoreError> {
    let sql = "SELECT wallet FROM frozen_wallets WHERE account = $1 ORDER BY wallet";
    let rows = sqlx::query(sql).bind(account.to_string()).fetch_all(c).await?;
    rows.iter().map(|row| uuid_of(row.try_get("wallet")?)).collect()
}

pub async fn forget_frozen(c: &mut AnyConnection, account: Uuid) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM frozen_wallets WHERE account = $1").bind(account.to_string()).execute(c).await?;
    Ok(())
}

/// Accounts whose waiting period is over.
pub async fn due(c: &mut AnyConnection, now: i64, limit: i64) -> Result<Vec<Uuid>, StoreError> {
    let sql = "SELECT id FROM accounts WHERE state = 'pending' AND active_from IS NOT NULL AND active_from <= $1 \
               AND wallet_opened_at IS NOT NULL ORDER BY id LIMIT $2";
    let rows = sqlx::query(sql).bind(now).bind(limit).fetch_all(c).await?;
    rows.iter().map(|row| uuid_of(row.try_get("id")?)).collect()
}

pub async fn set_role(c: &mut AnyConnection, id: Uuid, role: Role) -> Result<(), StoreError> {
    let sql = "UPDATE accounts SET role = $2 WHERE id = $1";
    sqlx::query(sql).bind(id.to_string()).bind(role.name()).execute(c).await?;
    Ok(())
}

pub async fn set_profile(c: &mut AnyConnection, id: Uuid, name: &str, locale: &str) -> Result<(), StoreError> {
    let sql = "UPDATE accounts SET name_sealed = $2, locale = $3 WHERE id = $1";
    sqlx::query(sql).bind(id.to_string()).bind(name).bind(locale).execute(c).await?;
    Ok(())
}

pub async fn list(c: &mut AnyConnection, filter: &Filter, limit: i64) -> Result<Vec<Account>, StoreError> {
    // Greater than every id, as text.
    let before = filter.before.map_or_else(|| "g".to_owned(), |id| id.to_string());
    let sql = match &filter.address {
        None => {
            "SELECT * FROM accounts WHERE id < $1 AND ($2 = '' OR state = $2) AND ($3 = '' OR role = $3) \
             ORDER BY id DESC LIMIT $4"
        }
        Some(_) => {
            "SELECT * FROM accounts WHERE id < $1 AND ($2 = '' OR state = $2) AND ($3 = '' OR role = $3) \
             AND id IN (SELECT account FROM addresses WHERE retired_at IS NULL AND kind = $5 AND address_digest = $6) \
             ORDER BY id DESC LIMIT $4"
        }
    };
    let (state, role) = (filter.state.map(AccountState::name), filter.role.map(Role::name));
    let mut query = sqlx::query(sql).bind(before).bind(state.unwrap_or_default()).bind(role.unwrap_or_default());
    query = query.bind(limit);
    if let Some((kind, digest)) = &filter.address {
        query = query.bind(kind.name()).bind(digest);
    }
    let rows = query.fetch_all(c).await?;
    rows.iter().map(account).collect()
}

/// Gives an account its own handle back, if it was one.
pub async fn revive_handle(c: &mut AnyConnection, account: Uuid, digest: &str) -> Result<bool, StoreError> {
    let sql = "UPDATE addresses SET retired_at = NULL WHERE kind = 'handle' AND account = $1 AND address_digest = $2";
    let done = sqlx::query(sql).bind(account.to_string()).bind(digest).execute(c).await?;
    Ok(done.rows_affected() == 1)
}

/// The account's handles but this one are nobody's from now on.
pub async fn retire_handles(c: &mut AnyConnection, account: Uuid, but: &str, now: i64) -> Result<(), StoreError> {
    let sql = "UPDATE addresses SET retired_at = $3 \
               WHERE kind = 'handle' AND account = $1 AND address_digest <> $2 AND retired_at IS NULL";
    sqlx::query(sql).bind(account.to_string()).bind(but).bind(now).execute(c).await?;
    Ok(())
}

/// Addresses of this kind, given up ones too.
pub async fn count_addresses(c: &mut AnyConnection, account: Uuid, kind: AddressKind) -> Result<i64, StoreError> {
    let sql = "SELECT COUNT(*) AS number FROM addresses WHERE account = $1 AND kind = $2";
    let row = sqlx::query(sql).bind(account.to_string()).bind(kind.name()).fetch_one(c).await?;
    Ok(row.try_get("number")?)
}

pub async fn remove_address(
    c: &mut AnyConnection,
    account: Uuid,
    kind: AddressKind,
    digest: &str,
) -> Result<bool, StoreError> {
    let sql = "DELETE FROM addresses WHERE account = $1 AND kind = $2 AND address_digest = $3";
    let done = sqlx::query(sql).bind(account.to_string()).bind(kind.name()).bind(digest).execute(c).await?;
    Ok(done.rows_affected() == 1)
}

/// The account that a registration token became, and the hash of the key with which that was asked.
pub async fn registered(
    c: &mut AnyConnection,
    token_hash: &str,
    since: i64,
) -> Result<Option<(Uuid, String)>, StoreError> {
    let sql = "SELECT account, key_hash FROM registrations_done WHERE token_hash = $1 AND done_at >= $2";
    let row = sqlx::query(sql).bind(token_hash).bind(since).fetch_optional(c).await?;
    row.map(|row| Ok((uuid_of(row.try_get("account")?)?, row.try_get("key_hash")?))).transpose()
}

pub async fn note_registered(
    c: &mut AnyConnection,
    token_hash: &str,
    account: Uuid,
    key_hash: &str,
    now: i64,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO registrations_done (token_hash, account, key_hash, done_at) VALUES ($1, $2, $3, $4)";
    let query = sqlx::query(sql).bind(token_hash).bind(account.to_string());
    query.bind(key_hash).bind(now).execute(c).await?;
    Ok(())
}

pub async fn forget_registered(c: &mut AnyConnection, before: i64) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM registrations_done WHERE done_at < $1").bind(before).execute(c).await?;
    Ok(())
}
