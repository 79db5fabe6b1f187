//! The open holds whose payers are hosted here, and the order in which they expire.

use std::collections::{BTreeSet, HashMap};

use crate::ledger::{Authorization, Hold, HoldId};

/// Open holds by id and by expiry.
#[derive(Debug, Default)]
pub struct Holds {
    open: HashMap<HoldId, (Hold, Authorization)>,
    by_expiry: BTreeSet<(u64, HoldId)>,
}

impl Holds {
    pub fn insert(&mut self, hold: Hold, authorization: Authorization) {
        self.by_expiry.insert((hold.expires_at_micros, hold.id));
        let previous = self.open.insert(hold.id, (hold, authorization));
        assert!(previous.is_none(), "hold {} is authorized twice", hold.id);
    }

    pub fn remove(&mut self, id: HoldId) {
        let (hold, _) = self.open.remove(&id).expect("only an open hold is closed");
        self.by_expiry.remove(&(hold.expires_at_micros, id));
    }

    pub fn get(&self, id: HoldId) -> Option<&Hold> {
        self.open.get(&id).map(|(hold, _)| hold)
    }

    pub fn get_mut(&mut self, id: HoldId) -> Option<&mut Hold> {
        self.open.get_mut(&id).map(|(hold, _)| hold)
    }

    /// Holds that have expired, the oldest first.
    pub fn expired(&self, now_micros: u64) -> impl Iterator<Item = HoldId> {
        self.by_expiry.iter().take_while(move |(at, _)| *at <= now_micros).map(|(_, id)| *id)
    }

    pub fn all(&self) -> impl Iterator<Item = &(Hold, Authorization)> {
        self.open.values()
    }
}
