//! Devices that push messages go to, and what people chose to be told of.

use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use super::StoreError;
use super::accounts::uuid_of;

/// A row of `devices`.
#[derive(Clone, Debug)]
pub struct Device {
    pub id: Uuid,
    pub account: Uuid,
    pub platform: String,
    pub token_digest: String,
    pub token_sealed: String,
    pub created_at: i64,
}

/// A row of `notification_choices`.
#[derive(Clone, Debug)]
pub struct Choice {
    pub kind: String,
    pub channel: String,
    pub is_on: bool,
}

/// A token that another account had is from now on this one's: the device changed hands.
pub async fn put(c: &mut AnyConnection, device: &Device) -> Result<(), StoreError> {
    let sql = "DELETE FROM devices WHERE token_digest = $1";
    sqlx::query(sql).bind(&device.token_digest).execute(&mut *c).await?;
    let sql = "INSERT INTO devices (id, account, platform, token_digest, token_sealed, created_at) \
               VALUES ($1, $2, $3, $4, $5, $6)";
    sqlx::query(sql)
        .bind(device.id.to_string())
        .bind(device.account.to_string())
        .bind(&device.platform)
        .bind(&device.token_digest)
        .bind(&device.token_sealed)
        .bind(device.created_at)
        .execute(c)
        .await?;
    Ok(())
}

pub async fn of(c: &mut AnyConnection, account: Uuid) -> Result<Vec<Device>, StoreError> {
    let sql = "SELECT * FROM devices WHERE account = $1 ORDER BY created_at, id";
    let rows = sqlx::query(sql).bind(account.to_string()).fetch_all(c).await?;
    let device = |row: &sqlx::any::AnyRow| {
        Ok(Device {
            id: uuid_of(row.try_get("id")?)?,
            account,
            platform: row.try_get("platform")?,
            token_digest: row.try_get("token_digest")?,
            token_sealed: row.try_get("token_sealed")?,
            created_at: row.try_get("created_at")?,
        })
    };
    rows.iter().map(device).collect()
}

/// Whether it was there and this account's.
pub async fn remove(c: &mut AnyConnection, account: Uuid, id: Uuid) -> Result<bool, StoreError> {
    let sql = "DELETE FROM devices WHERE id = $1 AND account = $2";
    let done = sqlx::query(sql).bind(id.to_string()).bind(account.to_string()).execute(c).await?;
    Ok(done.rows_affected() == 1)
}

pub async fn choices(c: &mut AnyConnection, account: Uuid) -> Result<Vec<Choice>, StoreError> {
    let sql = "SELECT kind, channel, is_on FROM notification_choices WHERE account = $1";
    let rows = sqlx::query(sql).bind(account.to_string()).fetch_all(c).await?;
    let choice = |row: &sqlx::any::AnyRow| {
        let is_on = row.try_get::<i64, _>("is_on")? != 0;
        Ok(Choice { kind: row.try_get("kind")?, channel: row.try_get("channel")?, is_on })
    };
    rows.iter().map(choice).collect()
}

pub async fn choose(
    c: &mut AnyConnection,
    account: Uuid,
    (kind, channel): (&str, &str),
    is_on: bool,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO notification_choices (account, kind, channel, is_on) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (account, kind, channel) DO UPDATE SET is_on = excluded.is_on";
    sqlx::query(sql).bind(account.to_string()).bind(kind).bind(channel).bind(i64::from(is_on)).execute(c).await?;
    Ok(())
}
