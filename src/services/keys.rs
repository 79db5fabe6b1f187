//! The data keys, by the API: which there are, and new ones without a stop. What the keys do is the vault's business; how old
//! ones go on being good is said where each is used.

use serde_json::json;
use vault::{KeyInfo, Purpose};

use super::fault::{Fault, Why};
use super::intentions::{self, Intention};
use super::{Principal, Services};
use crate::engine::Failure;

/// Oldest first, and nothing of what they are.
pub async fn list(services: &Services) -> Result<Vec<KeyInfo>, Fault> {
    let keyring = services.seal.keyring().clone();
    // `florin keys` may have changed the file meanwhile.
    aside(move || {
        keyring.refresh();
        keyring.list()
    })
    .await
}

/// Makes a new current key. What was written with the one before stays readable.
pub async fn rotate(services: &Services, principal: &Principal, purpose: Purpose) -> Result<KeyInfo, Fault> {
    if !purpose.rotates() {
        let detail = "The key for looking up is never rotated: nobody would be found by his address any more.";
        return Err(Fault::no(Why::InvalidRequest, detail));
    }
    let (object, detail) = (format!("keys {}", purpose.name()), json!({}));
    intentions::record(services, principal, Intention { action: "keys.rotate", object, detail }).await?;
    let keyring = services.seal.keyring().clone();
    let rotated = aside(move || {
        let id = keyring.rotate(purpose)?;
        Ok::<_, vault::Error>(keyring.list().into_iter().find(|key| key.id == id))
    });
    let key = rotated.await?.map_err(|error| Fault::Failed(Failure::Storage(format!("no new key: {error}"))))?;
    key.ok_or_else(|| Fault::Broken { what: "a key that was just made is not in the keyring".to_owned() })
}

/// Files are read and synced.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Fault::Broken { what: format!("the keys' file was not worked on to the end: {error}") })
}
