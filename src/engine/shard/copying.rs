//! A cut: the shard's wallets and holds as they were at one mark, copied out in parts between batches while
//! the wallets go on. A wallet that is about to change and has not been copied is saved first.

use crossbeam::channel::Sender;

use crate::ledger::{Authorization, Hold, Limits, LimitsTable, OwnerId, Spending, Wallet, WalletId};

use super::super::messages::Chunk;
use super::spendings::Spendings;
use super::table::Table;

/// Wallets in one part: a hundred kilobytes, copied in some tens of microseconds. What waits for the shard meanwhile hardly
/// notices, and the allocator has memory of that size at hand that was touched before.
const CHUNK_WALLETS: usize = 1024;

/// A cut under way.
#[derive(Debug)]
pub struct Copying {
    sink: Sender<Chunk>,
    /// Wallets opened after the mark have slots from here on.
    end_slot: u32,
    next_slot: u32,
    /// One bit a slot: saved ahead of its turn.
    saved: Vec<u64>,
    early: Vec<(Wallet, OwnerId, Limits)>,
    early_spendings: Vec<(WalletId, Spending)>,
    holds: Vec<(Hold, Authorization)>,
}

impl Copying {
    pub fn begin(sink: Sender<Chunk>, table: &Table, holds: Vec<(Hold, Authorization)>) -> Copying {
        let end_slot = table.count();
        let saved = vec![0; (end_slot as usize).div_ceil(64)];
        Copying { sink, end_slot, next_slot: 0, saved, early: Vec::new(), early_spendings: Vec::new(), holds }
    }

    /// Called before a wallet changes.
    #[inline]
    pub fn save(&mut self, slot: u32, table: &Table, limits: &LimitsTable, spendings: &Spendings) {
        if slot >= self.next_slot && slot < self.end_slot && !self.is_saved(slot) {
            self.saved[slot as usize / 64] |= 1 << (slot % 64);
            copy(slot, (table, limits, spendings), &mut self.early, &mut self.early_spendings);
        }
    }

    /// Sends the next part; true when that was the last.
    pub fn send_more(&mut self, shard: usize, table: &Table, limits: &LimitsTable, spendings: &Spendings) -> bool {
        let mut wallets = std::mem::take(&mut self.early);
        let mut limited = std::mem::take(&mut self.early_spendings);
        wallets.reserve(CHUNK_WALLETS);
        let chunk_end = self.end_slot.min(self.next_slot.saturating_add(CHUNK_WALLETS as u32));
        for slot in self.next_slot..chunk_end {
            if !self.is_saved(slot) {
                copy(slot, (table, limits, spendings), &mut wallets, &mut limited);
            }
        }
        self.next_slot = chunk_end;
        let is_last = self.next_slot == self.end_slot;
        let holds = if is_last { std::mem::take(&mut self.holds) } else { Vec::new() };
        // If the snapshotter has given up, there is nothing more to do either.
        let left = self.end_slot - self.next_slot;
        let heard = self.sink.send(Chunk { shard, wallets, spendings: limited, holds, left, is_last }).is_ok();
        is_last || !heard
    }

    fn is_saved(&self, slot: u32) -> bool {
        self.saved[slot as usize / 64] & (1 << (slot % 64)) != 0
    }
}

fn copy(
    slot: u32,
    (table, limits, spendings): (&Table, &LimitsTable, &Spendings),
    wallets: &mut Vec<(Wallet, OwnerId, Limits)>,
    limited: &mut Vec<(WalletId, Spending)>,
) {
    let wallet = table.get(slot);
    wallets.push((*wallet, table.owner(slot), limits.get(wallet.limits())));
    if wallet.is_limited() {
        limited.push((wallet.id(), *spendings.get(slot)));
    }
}
