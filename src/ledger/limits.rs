//! What a wallet may owe and own at most. Few distinct limits serve millions of wallets, so a
//! wallet keeps a number and the limits stand once in a table.

use std::collections::HashMap;

/// Overdraft limit and balance ceiling, in minor units.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Limits {
    /// How far below zero the balance may go; `None`: without limit (system wallets only).
    pub overdraft_limit: Option<i64>,
    /// The most that the wallet may own; `None`: no ceiling.
    pub balance_ceiling: Option<i64>,
}

impl Limits {
    /// No overdraft, no ceiling.
    pub const PLAIN: Limits = Limits { overdraft_limit: Some(0), balance_ceiling: None };

    /// The lowest posted balance that the limits allow.
    pub fn floor(self) -> i64 {
        self.overdraft_limit.map_or(i64::MIN, |limit| -limit)
    }

    /// The highest posted balance that the limits allow.
    pub fn ceiling(self) -> i64 {
        self.balance_ceiling.unwrap_or(i64::MAX)
    }
}

/// The number of some limits in a [`LimitsTable`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitsId(u32);

/// Distinct limits, each once. Number 0 is always [`Limits::PLAIN`].
#[derive(Debug)]
pub struct LimitsTable {
    list: Vec<Limits>,
    ids: HashMap<Limits, u32>,
}

impl Default for LimitsTable {
    fn default() -> LimitsTable {
        LimitsTable { list: vec![Limits::PLAIN], ids: HashMap::from([(Limits::PLAIN, 0)]) }
    }
}

impl LimitsTable {
    pub fn id(&mut self, limits: Limits) -> LimitsId {
        debug_assert!(limits.overdraft_limit.is_none_or(|limit| limit >= 0));
        let next = u32::try_from(self.list.len()).expect("fewer distinct limits than wallets, which are u32");
        let id = *self.ids.entry(limits).or_insert(next);
        if id == next {
            self.list.push(limits);
        }
        LimitsId(id)
    }

    pub fn get(&self, id: LimitsId) -> Limits {
        self.list[id.0 as usize]
    }
}
