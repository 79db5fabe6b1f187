//! Replay of many events at once: what a piece of the log has for this shard. What one event does is in `settle`.

use crate::ledger::{Event, WalletId};

use super::{Shard, TOGETHER};

/// A piece of the log, as far as it is about wallets of one shard.
#[derive(Debug, Default)]
pub struct Part {
    /// The legs of transfers, in the order of the log.
    pub postings: Vec<Posting>,
    /// All else: how many postings come before it, where it stands, and what it is.
    others: Vec<(usize, u64, Event)>,
    /// The last position and the time of each group.
    groups: Vec<(u64, u64)>,
}

/// One wallet's part in a durable transfer.
#[derive(Clone, Copy, Debug)]
pub struct Posting {
    pub wallet: WalletId,
    pub amount: i64,
    pub lsn: u64,
}

impl Part {
    pub fn push_other(&mut self, lsn: u64, event: Event) {
        self.others.push((self.postings.len(), lsn, event));
    }

    /// All records of a group have been put in, those of other shards too.
    pub fn end_group(&mut self, last_lsn: u64, time_micros: u64) {
        self.groups.push((last_lsn, time_micros));
    }

    fn time_of(&self, lsn: u64) -> u64 {
        let group = self.groups.partition_point(|(last_lsn, _)| *last_lsn < lsn);
        self.groups[group].1
    }

    /// Empty, with its memory.
    pub fn clear(&mut self) {
        self.postings.clear();
        self.others.clear();
        self.groups.clear();
    }
}

impl Shard {
    /// Applies what was durable before this process began.
    pub fn replay_part(&mut self, part: &Part) {
        let mut done = 0;
        for (before, lsn, event) in &part.others {
            self.replay_postings(&part.postings[done..*before], part);
            self.replay(*lsn, part.time_of(*lsn), event);
            done = *before;
        }
        self.replay_postings(&part.postings[done..], part);
        self.restore_position(part.groups.last().map_or(0, |(last_lsn, _)| *last_lsn));
    }

    fn replay_postings(&mut self, postings: &[Posting], part: &Part) {
        for few in postings.chunks(TOGETHER) {
            // All are looked up before the first is changed, so that their cache misses overlap.
            let mut slots = [0; TOGETHER];
            for (slot, posting) in slots.iter_mut().zip(few) {
                *slot = self.open_slot(posting.wallet);
            }
            for (slot, posting) in slots.into_iter().zip(few) {
                self.post(slot, posting.amount, posting.lsn, || part.time_of(posting.lsn));
            }
        }
    }
}
