//! Who may come in, in memory: API keys by their hash, and sessions that have ended while access tokens of theirs may still
//! be about. Loaded at the start, kept true by whoever changes the rows, asked on the way of each request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use uuid::Uuid;

use super::fault::Fault;
use super::principal::{Principal, Scope};
use super::tokens::ACCESS_MICROS;
use crate::store::{Store, sessions};

#[derive(Debug, Default)]
pub struct Doors {
    keys: DashMap<[u8; 32], Arc<ApiKey>>,
    /// With the time at which it ended.
    ended_sessions: DashMap<Uuid, i64>,
    /// Counts the times that somebody lost a right: whoever was let in before is looked at again.
    generation: AtomicU64,
}

/// A merchant's key that is good.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiKey {
    pub id: Uuid,
    pub account: Uuid,
    pub scopes: Vec<Scope>,
    pub expires_at: Option<i64>,
}

impl Doors {
    pub async fn load(store: &Store, now: i64) -> Result<Doors, Fault> {
        let doors = Doors::default();
        let mut c = store.read().await?;
        for (session, ended_at) in sessions::ended_since(&mut c, now - ACCESS_MICROS).await? {
            doors.ended_sessions.insert(session, ended_at);
        }
        Ok(doors)
    }

    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// A session's access tokens are good for nothing from now on.
    pub fn end_session(&self, session: Uuid, now: i64) {
        self.ended_sessions.retain(|_, ended_at| *ended_at > now - ACCESS_MICROS);
        self.ended_sessions.insert(session, now);
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    pub fn has_ended(&self, session: Uuid) -> bool {
        self.ended_sessions.contains_key(&session)
    }

    pub fn add_key(&self, hash: [u8; 32], key: ApiKey) {
        self.keys.insert(hash, Arc::new(key));
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    pub fn remove_key(&self, id: Uuid) {
        self.keys.retain(|_, key| key.id != id);
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Whoever has a good key, and until when it is good.
    pub fn by_key(&self, hash: &[u8; 32], now: i64) -> Option<(Principal, i64)> {
        let key = self.keys.get(hash)?;
        let good_until = key.expires_at.unwrap_or(i64::MAX);
        (now < good_until).then(|| (Principal::key(key.account, key.id, key.scopes.clone()), good_until))
    }
}
