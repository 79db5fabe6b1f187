//! The spending limits of the wallets hosted here that have any, and what these wallets have spent.

use hashbrown::HashMap;

use crate::ledger::{Spending, SpendingLimits, SpendingNow};

/// Slots of one part. Each part grows by itself, so that nobody waits while the limits of all wallets are moved. As many as a
/// table of 1,024 places takes (seven eighths), so that it need not grow once more where all of them have limits.
const PART_SLOTS: u32 = 896;

/// Spending by the wallet's slot. Only slots whose wallets say that they are limited are asked for.
#[derive(Debug, Default)]
pub struct Spendings {
    parts: Vec<HashMap<u32, Spending>>,
}

impl Spendings {
    pub fn get(&self, slot: u32) -> &Spending {
        let part = self.parts.get((slot / PART_SLOTS) as usize);
        part.and_then(|part| part.get(&slot)).expect("the wallet says that it is limited")
    }

    pub fn at(&self, slot: u32, now_micros: u64) -> SpendingNow<'_> {
        SpendingNow { spending: self.get(slot), now_micros }
    }

    pub fn spend(&mut self, slot: u32, minor: i64, time_micros: u64) {
        let part = self.parts.get_mut((slot / PART_SLOTS) as usize);
        let spending = part.and_then(|part| part.get_mut(&slot)).expect("the wallet says that it is limited");
        spending.spend(minor, time_micros);
    }

    /// Sets, changes or takes away the limits of a wallet; true if it has any now.
    pub fn limit(&mut self, slot: u32, limits: SpendingLimits, time_micros: u64) -> bool {
        let part = self.part(slot);
        if limits.is_none() {
            part.remove(&slot);
            return false;
        }
        part.entry(slot)
            .and_modify(|spending| spending.limit(limits, time_micros))
            .or_insert_with(|| Spending::begin(limits, time_micros));
        true
    }

    pub fn insert(&mut self, slot: u32, spending: Spending) {
        self.part(slot).insert(slot, spending);
    }

    fn part(&mut self, slot: u32) -> &mut HashMap<u32, Spending> {
        let index = (slot / PART_SLOTS) as usize;
        if self.parts.len() <= index {
            self.parts.resize_with(index + 1, HashMap::new);
        }
        &mut self.parts[index]
    }
}
