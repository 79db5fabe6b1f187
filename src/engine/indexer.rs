//! The indexer: takes what shards and journal have collected up to a mark and adds it to the two indexes on
//! disk, off the way of transfers. The plain state machine; the thread around it is in `host.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::claims::Claims;
use super::messages::IndexerMessage;
use super::runs::{self, Row, Runs};
use super::shard::EntriesPart;

/// The indexes that are derived from the log.
#[derive(Clone, Debug)]
pub struct Indexes {
    /// Id to the record that took it; related id to records.
    pub ids: Arc<Runs>,
    /// Wallet to its entries: position and balance after it.
    pub entries: Arc<Runs>,
}

impl Indexes {
    /// Everything up to this position is in the indexes and on disk.
    pub fn durable_lsn(&self) -> u64 {
        self.ids.durable_lsn().min(self.entries.durable_lsn())
    }
}

/// Collects the shards' parts of each mark.
#[derive(Debug)]
pub struct Indexer {
    indexes: Indexes,
    claims: Arc<Claims>,
    shards: usize,
    parts: BTreeMap<u64, Vec<EntriesPart>>,
    /// The disk has failed. What was on its way is still taken, into memory only, so that it can be read: the shards
    /// have given it away. It is no more than was under way when the ledger became read-only.
    has_failed: bool,
}

impl Indexer {
    pub fn new(indexes: Indexes, claims: Arc<Claims>, shards: usize) -> Indexer {
        Indexer { indexes, claims, shards, parts: BTreeMap::new(), has_failed: false }
    }

    /// An error is told once; from then on nothing is written any more.
    pub fn handle(&mut self, message: IndexerMessage) -> runs::Result<()> {
        match message {
            IndexerMessage::Ids { lsn, rows } => {
                if lsn > self.indexes.ids.covered_lsn() {
                    let ids = Arc::clone(&self.indexes.ids);
                    // A replay has them in one piece. What the claims have too they use again when it is dropped here.
                    let mut pieces = rows.into_iter();
                    let mut all = pieces.next().map(Arc::unwrap_or_clone).unwrap_or_default();
                    all.reserve(pieces.as_slice().iter().map(|piece| piece.len()).sum());
                    pieces.for_each(|piece| all.extend_from_slice(&piece));
                    self.add(&ids, all, lsn)?;
                }
                self.claims.forget(lsn);
                Ok(())
            }
            IndexerMessage::Entries { lsn, part } => {
                self.parts.entry(lsn).or_default().push(part);
                let mut outcome = Ok(());
                // Marks come in order to every shard, so their parts are complete in order too.
                while let Some(first) = self.parts.first_entry()
                    && first.get().len() == self.shards
                {
                    let (lsn, parts) = first.remove_entry();
                    if lsn > self.indexes.entries.covered_lsn() {
                        let entries = Arc::clone(&self.indexes.entries);
                        outcome = outcome.and(self.add(&entries, in_order(&parts), lsn));
                    }
                }
                outcome
            }
            IndexerMessage::Stop => Ok(()),
        }
    }

    /// The call that finds the disk broken has taken its rows in before it wrote them: nothing else was waiting.
    fn add(&mut self, runs: &Runs, rows: Vec<Row>, lsn: u64) -> runs::Result<()> {
        if self.has_failed {
            return runs.hold(rows, lsn);
        }
        let added = runs.add(rows, lsn);
        self.has_failed = added.is_err();
        added
    }
}

/// Where fewer entries than this come to a place for a wallet, sorting them costs less than counting.
const SLOTS_PER_ROW_MAX: usize = 16;

/// All rows by wallet, and of a wallet in the order of their LSNs, as they are in each part. A wallet is in one part only and
/// has a slot there, so its rows are counted and put where they belong: only the wallets have to be sorted. If they are many and the rows few,
/// the rows come in no order.
fn in_order(parts: &[EntriesPart]) -> Vec<Row> {
    let mut places: Vec<Vec<u32>> = Vec::with_capacity(parts.len());
    let mut wallets: Vec<(u128, usize, u32)> = Vec::new();
    for (part, entries) in parts.iter().enumerate() {
        let slots = entries.iter().map(|(_, slot)| slot).max().map_or(0, |slot| slot as usize + 1);
        if slots / SLOTS_PER_ROW_MAX > entries.count() {
            return parts.iter().flat_map(|entries| entries.iter().map(|(row, _)| *row)).collect();
        }
        let mut counts = vec![0u32; slots];
        for (row, slot) in entries.iter() {
            let count = &mut counts[slot as usize];
            if *count == 0 {
                wallets.push((row.key, part, slot));
            }
            *count += 1;
        }
        places.push(counts);
    }
    wallets.sort_unstable();
    let mut row_count = 0;
    for (_, part, slot) in wallets {
        let place = &mut places[part][slot as usize];
        row_count += std::mem::replace(place, row_count);
    }
    let mut rows = vec![Row { key: 0, lsn: 0, value: 0 }; row_count as usize];
    for (entries, places) in parts.iter().zip(&mut places) {
        for (row, slot) in entries.iter() {
            let place = &mut places[slot as usize];
            rows[*place as usize] = *row;
            *place += 1;
        }
    }
    rows
}
