//! What people know and have: passwords, devices that make codes (TOTP), recovery codes.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use super::StoreError;
use super::accounts::{AddressKind, uuid_of};

/// A row of `totps`.
#[derive(Clone, Debug)]
pub struct Totp {
    pub secret_sealed: String,
    pub confirmed_at: Option<i64>,
    pub last_step: i64,
}

pub async fn password(c: &mut AnyConnection, account: Uuid) -> Result<Option<String>, StoreError> {
    let sql = "SELECT hash_sealed FROM passwords WHERE account = $1";
    let row = sqlx::query(sql).bind(account.to_string()).fetch_optional(c).await?;
    row.map(|row| Ok(row.try_get("hash_sealed")?)).transpose()
}

/// Whose an address is, and the account's password if it has one: one statement, whatever it finds.
pub async fn password_at(
    c: &mut AnyConnection,
    kind: AddressKind,
    digest: &str,
) -> Result<Option<(Uuid, Option<String>)>, StoreError> {
    let sql = "SELECT addresses.account, passwords.hash_sealed FROM addresses \
               LEFT JOIN passwords ON passwords.account = addresses.account \
               WHERE addresses.kind = $1 AND addresses.address_digest = $2";
    let row = sqlx::query(sql).bind(kind.name()).bind(digest).fetch_optional(c).await?;
    row.map(|row| Ok((uuid_of(row.try_get("account")?)?, row.try_get("hash_sealed")?))).transpose()
}

pub async fn set_password(c: &mut AnyConnection, account: Uuid, hash_sealed: &str, now: i64) -> Result<(), StoreError> {
    let sql = "INSERT INTO passwords (account, hash_sealed, changed_at) VALUES ($1, $2, $3) \
               ON CONFLICT (account) DO UPDATE SET hash_sealed = $2, changed_at = $3";
    sqlx::query(sql).bind(account.to_string()).bind(hash_sealed).bind(now).execute(c).await?;
    Ok(())
}

pub async fn totp(c: &mut AnyConnection, account: Uuid) -> Result<Option<Totp>, StoreError> {
    let row = sqlx::query("SELECT * FROM totps WHERE account = $1").bind(account.to_string()).fetch_optional(c).await?;
    row.map(|row| totp_of(&row)).transpose()
}

/// A new secret in the place of one that was never confirmed. Says no where one was.
pub async fn begin_totp(
    c: &mut AnyConnection,
    account: Uuid,
    secret_sealed: &str,
    now: i64,
) -> Result<bool, StoreError> {
    let sql = "INSERT INTO totps (account, secret_sealed, created_at, last_step) VALUES ($1, $2, $3, 0) \
               ON CONFLICT (account) DO UPDATE SET secret_sealed = $2, created_at = $3, last_step = 0 \
               WHERE totps.confirmed_at IS NULL";
    let done = sqlx::query(sql).bind(account.to_string()).bind(secret_sealed).bind(now).execute(c).await?;
    Ok(done.rows_affected() == 1)
}

pub async fn confirm_totp(c: &mut AnyConnection, account: Uuid, now: i64) -> Result<bool, StoreError> {
    let sql = "UPDATE totps SET confirmed_at = $2 WHERE account = $1 AND confirmed_at IS NULL";
    Ok(sqlx::query(sql).bind(account.to_string()).bind(now).execute(c).await?.rows_affected() == 1)
}

/// Says whether no code of this step, or of a later one, had been used.
pub async fn use_step(c: &mut AnyConnection, account: Uuid, step: i64) -> Result<bool, StoreError> {
    let sql = "UPDATE totps SET last_step = $2 WHERE account = $1 AND last_step < $2";
    Ok(sqlx::query(sql).bind(account.to_string()).bind(step).execute(c).await?.rows_affected() == 1)
}

pub async fn remove_totp(c: &mut AnyConnection, account: Uuid) -> Result<(), StoreError> {
    remove_recovery_codes(c, account).await?;
    sqlx::query("DELETE FROM totps WHERE account = $1").bind(account.to_string()).execute(c).await?;
    Ok(())
}

pub async fn add_recovery_code(c: &mut AnyConnection, account: Uuid, digest: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO recovery_codes (account, code_digest) VALUES ($1, $2)";
    sqlx::query(sql).bind(account.to_string()).bind(digest).execute(c).await?;
    Ok(())
}

pub async fn remove_recovery_codes(c: &mut AnyConnection, account: Uuid) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM recovery_codes WHERE account = $1").bind(account.to_string()).execute(c).await?;
    Ok(())
}

/// Says whether the code is one of the account's that had not been used.
pub async fn use_recovery_code(
    c: &mut AnyConnection,
    account: Uuid,
    digest: &str,
    now: i64,
) -> Result<bool, StoreError> {
    let sql = "UPDATE recovery_codes SET used_at = $3 WHERE account = $1 AND code_digest = $2 AND used_at IS NULL";
    let done = sqlx::query(sql).bind(account.to_string()).bind(digest).bind(now).execute(c).await?;
    Ok(done.rows_affected() == 1)
}

pub async fn recovery_codes_left(c: &mut AnyConnection, account: Uuid) -> Result<i64, StoreError> {
    let sql = "SELECT COUNT(*) AS codes FROM recovery_codes WHERE account = $1 AND used_at IS NULL";
    Ok(sqlx::query(sql).bind(account.to_string()).fetch_one(c).await?.try_get("codes")?)
}

fn totp_of(row: &AnyRow) -> Result<Totp, StoreError> {
    Ok(Totp {
        secret_sealed: row.try_get("secret_sealed")?,
        confirmed_at: row.try_get("confirmed_at")?,
        last_step: row.try_get("last_step")?,
    })
}
