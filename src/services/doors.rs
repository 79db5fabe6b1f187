//! Who may come in, in memory: API keys by their hash, and sessions that have ended while access tokens of theirs may still
//! be about. Loaded at the start, kept true by whoever changes the rows, asked on the way of each request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use uuid::Uuid;

use super::api_keys;
use super::clock::{DAY, HOUR};
use super::fault::Fault;
use super::ownership::Ownership;
use super::principal::{Principal, Scope};
use super::tokens::ACCESS_MICROS;
use crate::store::{Store, sessions};

#[derive(Debug, Default)]
pub struct Doors {
    keys: DashMap<[u8; 32], Arc<ApiKey>>,
    /// The day on which a key was used, of those that were since somebody took them.
    used_keys: DashMap<Uuid, i64>,
    /// With the time at which it ended.
    ended_sessions: DashMap<Uuid, i64>,
    /// Counts the times that somebody lost a right: whoever was let in before is looked at again.
    generation: AtomicU64,
    pub ownership: Ownership,
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
        drop(c);
        for (hash, key) in api_keys::good(store, now).await? {
            doors.keys.insert(hash, Arc::new(key));
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

    /// The account has these keys and no others.
    pub fn set_keys(&self, account: Uuid, keys: Vec<([u8; 32], ApiKey)>) {
        let hashes: Vec<_> = keys.iter().map(|(hash, _)| *hash).collect();
        self.keys.retain(|hash, key| key.account != account || hashes.contains(hash));
        for (hash, key) in keys {
            self.keys.insert(hash, Arc::new(key));
        }
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Which keys were used, each with the first moment of the day; since this was asked last.
    pub fn take_used_keys(&self) -> Vec<(Uuid, i64)> {
        let ids: Vec<Uuid> = self.used_keys.iter().map(|used| *used.key()).collect();
        ids.iter().filter_map(|id| self.used_keys.remove(id)).collect()
    }

    /// Whoever has a good key, and until when it is good.
    pub fn by_key(&self, hash: &[u8; 32], now: i64) -> Option<(Principal, i64)> {
        let key = self.keys.get(hash)?;
        let expires_at = key.expires_at.unwrap_or(i64::MAX);
        if now >= expires_at {
            return None;
        }
        self.used_keys.insert(key.id, now / DAY * DAY);
        // A connection that stays open asks again now and then, so that a key in use is seen to be.
        let good_until = expires_at.min(now + HOUR);
        Some((Principal::key(key.account, key.id, key.scopes.clone()), good_until))
    }
}
