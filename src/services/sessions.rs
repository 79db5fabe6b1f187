//! Sessions: each a device on which somebody is signed in, with a short access token and a refresh token that is used once.

use rand::TryRng as _;
use rand::rngs::SysRng;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use sqlx::AnyConnection;
use uuid::Uuid;

use super::clock::DAY;
use super::fault::Fault;
use super::{Services, new_id};
use crate::store::sessions::Session;
use crate::store::{Account, sessions};

pub const REFRESH_PREFIX: &str = "frt_";
pub const API_KEY_PREFIX: &str = "fmk_";
/// A session that nobody uses for so long is over.
pub const SESSION_MICROS: i64 = 30 * DAY;

const DEVICE_CHARACTERS_MAX: usize = 200;

/// What a client gets at log-in and at each refresh.
#[derive(Debug)]
pub struct Grant {
    pub session: Uuid,
    pub access_token: SecretString,
    pub access_expires_at: i64,
    pub refresh_token: SecretString,
    pub refresh_expires_at: i64,
}

/// From where somebody signs in.
#[derive(Clone, Debug)]
pub struct Client {
    /// What the client calls itself (User-Agent).
    pub device: String,
    pub network_address: String,
}

/// Begins a session of somebody who has shown who he is.
pub async fn begin(
    services: &Services,
    c: &mut AnyConnection,
    account: &Account,
    client: &Client,
) -> Result<Grant, Fault> {
    let now = services.now();
    let session = Session {
        id: new_id(),
        account: account.id,
        device: client.device.chars().take(DEVICE_CHARACTERS_MAX).collect(),
        network_address: client.network_address.clone(),
        created_at: now,
        last_used_at: now,
        expires_at: now + SESSION_MICROS,
        ended_at: None,
        ended_because: None,
    };
    sessions::insert(c, &session).await?;
    grant(services, c, account, session.id, session.expires_at).await
}

/// New tokens for a session.
pub(super) async fn grant(
    services: &Services,
    c: &mut AnyConnection,
    account: &Account,
    session: Uuid,
    refresh_expires_at: i64,
) -> Result<Grant, Fault> {
    let now = services.now();
    let refresh_token = secret(REFRESH_PREFIX)?;
    sessions::add_token(c, &hash(&refresh_token), session, now).await?;
    let (access_token, access_expires_at) = services.tokens.access(account.id, session, account.role, now);
    Ok(Grant { session, access_token, access_expires_at, refresh_token, refresh_expires_at })
}

/// A token of 256 random bits.
pub fn secret(prefix: &str) -> Result<SecretString, Fault> {
    let mut bytes = [0; 32];
    let random = SysRng.try_fill_bytes(&mut bytes);
    random.map_err(|_| Fault::Broken { what: "the operating system gives no random bytes".to_owned() })?;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(SecretString::from(format!("{prefix}{digits}")))
}

/// What is kept of a token: with 256 random bits in it, a plain hash tells nothing.
pub fn hash(token: &SecretString) -> String {
    Sha256::digest(token.expose_secret().as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
