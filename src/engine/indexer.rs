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
}

impl Indexer {
    pub fn new(indexes: Indexes, claims: Arc<Claims>, shards: usize) -> Indexer {
        Indexer { indexes, claims, shards, parts: BTreeMap::new() }
    }

    pub fn handle(&mut self, message: IndexerMessage) -> runs::Result<()> {
        match message {
            IndexerMessage::Ids { lsn, rows } => {
                if lsn > self.indexes.ids.covered_lsn() {
                    self.indexes.ids.add(rows.clone(), lsn)?;
                    self.claims.forget(&rows);
                }
                Ok(())
            }
            IndexerMessage::Entries { lsn, mut rows } => {
                let part = self.parts.entry(lsn).or_default();
                part.0 += 1;
                part.1.append(&mut rows);
                // Marks come in order to every shard, so their parts are complete in order too.
                while let Some(first) = self.parts.first_entry()
                    && first.get().0 == self.shards
                {
                    let (lsn, (_, rows)) = first.remove_entry();
                    if lsn > self.indexes.entries.covered_lsn() {
                        self.indexes.entries.add(rows, lsn)?;
                    }
                }
                Ok(())
            }
            IndexerMessage::Stop => Ok(()),
        }
    }
}
