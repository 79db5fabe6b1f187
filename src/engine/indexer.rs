//! The indexer: takes what shards and journal have collected up to a mark and adds it to the two indexes on
//! disk, off the way of transfers. The plain state machine; the thread around it is in `host.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::claims::Claims;
use super::messages::IndexerMessage;
use super::runs::{self, Row, Runs};

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
    parts: BTreeMap<u64, (usize, Vec<Row>)>,
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
            IndexerMessage::Entries { lsn, rows } => {
                let part = self.parts.entry(lsn).or_default();
                part.0 += 1;
                part.1.reserve(rows.iter().map(Vec::len).sum());
                rows.into_iter().for_each(|piece| part.1.extend(piece));
                let mut outcome = Ok(());
                // Marks come in order to every shard, so their parts are complete in order too.
                while let Some(first) = self.parts.first_entry()
                    && first.get().0 == self.shards
                {
                    let (lsn, (_, rows)) = first.remove_entry();
                    if lsn > self.indexes.entries.covered_lsn() {
                        let entries = Arc::clone(&self.indexes.entries);
                        outcome = outcome.and(self.add(&entries, rows, lsn));
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
