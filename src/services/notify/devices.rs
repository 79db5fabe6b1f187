//! The devices that push messages go to. A push token is a secret: whoever has it can write to the device.

use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use super::Services;
use crate::services::fault::{Fault, Why};
use crate::services::new_id;
use crate::store::devices::{self, Device};

pub const PLATFORMS: [&str; 3] = ["android", "ios", "web"];
const TOKEN_BYTES_MAX: usize = 4096;
const DEVICES_MAX: usize = 10;

/// Adds a device, or moves it here from another account. With more than ten, the oldest goes.
pub async fn add(services: &Services, account: Uuid, token: &SecretString, platform: &str) -> Result<Device, Fault> {
    let text = token.expose_secret();
    if !PLATFORMS.contains(&platform) {
        return Err(Fault::no(Why::InvalidRequest, "`platform` is android, ios or web."));
    }
    if text.is_empty() || text.len() > TOKEN_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(Fault::no(Why::InvalidRequest, "`push_token` has 1 to 4096 bytes, and no control characters."));
    }
    let device = Device {
        id: new_id(),
        account,
        platform: platform.to_owned(),
        token_digest: services.seal.digest("devices.token", text),
        token_sealed: services.seal.seal("devices.token", text),
        created_at: services.now(),
    };
    let mut tx = services.store.begin().await?;
    devices::put(&mut tx, &device).await?;
    let all = devices::of(&mut tx, account).await?;
    for oldest in all.iter().take(all.len().saturating_sub(DEVICES_MAX)) {
        devices::remove(&mut tx, account, oldest.id).await?;
    }
    tx.commit().await?;
    Ok(device)
}

pub async fn list(services: &Services, account: Uuid) -> Result<Vec<Device>, Fault> {
    let mut c = services.store.read().await?;
    Ok(devices::of(&mut c, account).await?)
}

/// Gives what was removed.
pub async fn remove(services: &Services, account: Uuid, id: Uuid) -> Result<Device, Fault> {
    let mut tx = services.store.begin().await?;
    let device = devices::of(&mut tx, account).await?.into_iter().find(|device| device.id == id);
    let device = device.ok_or_else(|| Fault::no(Why::NotFound, "There is no device with this id."))?;
    devices::remove(&mut tx, account, id).await?;
    tx.commit().await?;
    Ok(device)
}
