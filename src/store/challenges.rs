//! Challenges, and the tokens by which an address that was shown becomes an account's. What a right code is, the services
//! know; here each try is counted, and each success happens once.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use super::StoreError;
use super::accounts::{AddressKind, named, uuid_of};
use super::sessions::By;

/// Tries of one challenge.
pub const TRIES_MAX: i64 = 5;

named! {
    /// What a challenge is for.
    Purpose {
        Address = "address",
        SecondFactor = "second_factor",
        Payment = "payment",
    }
}

/// A row of `challenges`.
#[derive(Clone, Debug)]
pub struct Challenge {
    pub id: String,
    pub purpose: Purpose,
    pub account: Option<Uuid>,
    pub kind: Option<AddressKind>,
    pub address_sealed: Option<String>,
    pub code_digest: Option<String>,
    /// Of a second factor: what the first one was.
    pub signed_in_by: Option<By>,
    pub created_at: i64,
    pub expires_at: i64,
    pub tries: i64,
    pub next_try_at: i64,
    pub used_at: Option<i64>,
}

impl Challenge {
    /// A new one, that nobody has tried.
    pub fn new(id: String, purpose: Purpose, now: i64, expires_at: i64) -> Challenge {
        Challenge {
            id,
            purpose,
            account: None,
            kind: None,
            address_sealed: None,
            code_digest: None,
            signed_in_by: None,
            created_at: now,
            expires_at,
            tries: 0,
            next_try_at: 0,
            used_at: None,
        }
    }
}

pub async fn insert(c: &mut AnyConnection, challenge: &Challenge) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO challenges (id, purpose, account, kind, address_sealed, code_digest, signed_in_by, created_at, \
         expires_at, tries, next_try_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, 0)",
    )
    .bind(&challenge.id)
    .bind(challenge.purpose.name())
    .bind(challenge.account.map(|id| id.to_string()))
    .bind(challenge.kind.map(AddressKind::name))
    .bind(challenge.address_sealed.as_deref())
    .bind(challenge.code_digest.as_deref())
    .bind(challenge.signed_in_by.map(By::name))
    .bind(challenge.created_at)
    .bind(challenge.expires_at)
    .execute(c)
    .await?;
    Ok(())
}

pub async fn by_id(c: &mut AnyConnection, id: &str) -> Result<Option<Challenge>, StoreError> {
    let row = sqlx::query("SELECT * FROM challenges WHERE id = $1").bind(id).fetch_optional(c).await?;
    row.map(|row| challenge(&row)).transpose()
}

/// Counts a try, if there may be one now. Until the transaction ends nobody else can try: the row is locked. After the
/// first wrong try the next has to wait a second, then two, four and eight.
pub async fn count_try(
    c: &mut AnyConnection,
    id: &str,
    purpose: Purpose,
    now: i64,
) -> Result<Option<Challenge>, StoreError> {
    const { assert!(TRIES_MAX == 5) };
    let row = sqlx::query(
        "UPDATE challenges SET tries = tries + 1, next_try_at = $3 + CASE tries WHEN 0 THEN 1000000 WHEN 1 THEN 2000000 \
         WHEN 2 THEN 4000000 ELSE 8000000 END WHERE id = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > $3 \
         AND next_try_at <= $3 AND tries < 5 RETURNING *",
    )
    .bind(id)
    .bind(purpose.name())
    .bind(now)
    .fetch_optional(c)
    .await?;
    row.map(|row| challenge(&row)).transpose()
}

/// The code was right.
pub async fn set_used(c: &mut AnyConnection, id: &str, now: i64) -> Result<bool, StoreError> {
    let sql = "UPDATE challenges SET used_at = $2 WHERE id = $1 AND used_at IS NULL";
    Ok(sqlx::query(sql).bind(id).bind(now).execute(c).await?.rows_affected() == 1)
}

pub async fn insert_registration(
    c: &mut AnyConnection,
    token_hash: &str,
    kind: AddressKind,
    address_sealed: &str,
    expires_at: i64,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO registrations (token_hash, kind, address_sealed, expires_at) VALUES ($1, $2, $3, $4)";
    sqlx::query(sql).bind(token_hash).bind(kind.name()).bind(address_sealed).bind(expires_at).execute(c).await?;
    Ok(())
}

/// The address that the token stands for, sealed; once.
pub async fn redeem_registration(
    c: &mut AnyConnection,
    token_hash: &str,
    now: i64,
) -> Result<Option<(AddressKind, String)>, StoreError> {
    let sql = "UPDATE registrations SET used_at = $2 WHERE token_hash = $1 AND used_at IS NULL AND expires_at > $2 \
               RETURNING kind, address_sealed";
    let row = sqlx::query(sql).bind(token_hash).bind(now).fetch_optional(c).await?;
    row.map(|row| Ok((AddressKind::from_row(row.try_get("kind")?)?, row.try_get("address_sealed")?))).transpose()
}

/// Forgets what nobody can use any more.
pub async fn forget(c: &mut AnyConnection, expired_before: i64) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM confirmations WHERE id IN (SELECT id FROM challenges WHERE expires_at < $1)",
        "DELETE FROM challenges WHERE expires_at < $1",
        "DELETE FROM registrations WHERE expires_at < $1",
        "DELETE FROM paces WHERE last_at < $1",
    ] {
        sqlx::query(sql).bind(expired_before).execute(&mut *c).await?;
    }
    Ok(())
}

fn challenge(row: &AnyRow) -> Result<Challenge, StoreError> {
    let account: Option<&str> = row.try_get("account")?;
    let kind: Option<&str> = row.try_get("kind")?;
    let by: Option<&str> = row.try_get("signed_in_by")?;
    Ok(Challenge {
        id: row.try_get("id")?,
        purpose: Purpose::from_row(row.try_get("purpose")?)?,
        account: account.map(uuid_of).transpose()?,
        kind: kind.map(AddressKind::from_row).transpose()?,
        address_sealed: row.try_get("address_sealed")?,
        code_digest: row.try_get("code_digest")?,
        signed_in_by: by.map(By::from_row).transpose()?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        tries: row.try_get("tries")?,
        next_try_at: row.try_get("next_try_at")?,
        used_at: row.try_get("used_at")?,
    })
}
