//! Ledgers on the disk: the log of a population of wallets, written straight through the log's own crate, so
//! that a million wallets stand in a second. Also a part of the crate `rivals`, so criterion is not in here.

use std::path::Path;
use std::sync::Arc;

use florin::engine::{EngineConfig, record};
use florin::ledger::Event;
use wal::disk::RealDisk;
use wal::{GroupBuilder, Log};

use super::BATCH;
use super::load::{self, Load, Pairs};

/// A point in time for records whose time does not matter.
const TIME_MICROS: u64 = 1_780_000_000_000_000;

/// No snapshots but those that a bench asks for.
pub fn config(dir: &Path, shards: usize) -> EngineConfig {
    EngineConfig { shards, snapshot_period: None, ..EngineConfig::new(dir) }
}

/// A ledger with `wallets` funded wallets and then `transfers` between random pairs of them. Gives the last LSN.
pub fn write(dir: &Path, wallets: u64, transfers: usize) -> u64 {
    let mut writer = Writer::create(dir);
    writer.push(&Event::WalletOpened(load::system_opening()));
    for number in 0..wallets {
        writer.push(&Event::WalletOpened(load::opening(number)));
    }
    for deposit in load::deposits(wallets) {
        writer.push(&Event::Transferred(deposit));
    }
    let mut load = Load::new(1, wallets);
    for _ in 0..transfers {
        writer.push(&Event::Transferred(load.transfer(Pairs::Random)));
    }
    writer.finish()
}

/// Appends groups of as many records as a bulk request makes.
pub struct Writer {
    log: Log,
    group: GroupBuilder,
    last_lsn: u64,
}

impl Writer {
    pub fn create(dir: &Path) -> Writer {
        let config = config(dir, 1);
        let options = wal::Options { segment_bytes: config.segment_bytes, ..wal::Options::default() };
        let opened = Log::open(Arc::new(RealDisk), &config.log_dir(), options, &mut |_, _| {});
        let (log, _) = opened.expect("a new folder takes a log");
        Writer { log, group: GroupBuilder::new(), last_lsn: 0 }
    }

    pub fn push(&mut self, event: &Event) {
        self.group.push_with(|buffer| record::encode(event, buffer)).expect("a group has room for a batch");
        if self.group.records() == BATCH {
            self.append();
        }
    }

    fn append(&mut self) {
        self.last_lsn = self.log.append(&mut self.group, TIME_MICROS).expect("the disk takes it").last_lsn;
        self.group.clear();
    }

    /// Gives the last LSN.
    pub fn finish(mut self) -> u64 {
        if !self.group.is_empty() {
            self.append();
        }
        self.last_lsn
    }
}
