//! Replay with threads and without, on any number of shards, comes to what the book comes to, and every id and every entry
//! is found afterwards: in memory if no mark was set after it, otherwise in the indexes.

use std::sync::Arc;

use florin::engine::recovery::{Recovered, recover};
use florin::engine::{EngineConfig, record};
use florin::ledger::{
    Authorization, Book, Capture, Event, HoldEnd, HoldId, Kind, Limits, Opening, SpendingLimits, StateHash, Status,
    TransferId, WalletId,
};
use tempfile::TempDir;
use wal::disk::{Disk, RealDisk};
use wal::{GroupBuilder, Log};

use crate::rig::{amount, book, config, events, inr, opening, transfer};

/// Those that pay; one more is frozen and thawed.
const WALLETS: u128 = 50;
const ROUNDS: u128 = 3_000;
const GROUP_RECORDS: usize = 600;

/// Several pieces of replay and several marks, with all kinds of records.
fn write_log(config: &EngineConfig) {
    let options = wal::Options { segment_bytes: config.segment_bytes, ..wal::Options::default() };
    let (log, _) = Log::open(Arc::new(RealDisk), &config.log_dir(), options, &mut |_, _| {}).expect("a new log");
    let mut writer = Writer { log, group: GroupBuilder::new(), time_micros: 1 };
    for wallet in 1..=WALLETS + 1 {
        let limits = Limits { overdraft_limit: None, balance_ceiling: None };
        writer.push(&Event::WalletOpened(Opening { kind: Kind::System, limits, ..opening(wallet) }));
    }
    let limit = |wallet: u128, minor: i64| {
        let per_day = Some(amount(minor));
        Event::SpendingLimited {
            wallet: WalletId(wallet),
            limits: SpendingLimits { per_day, ..SpendingLimits::default() },
        }
    };
    (1..=WALLETS / 2).for_each(|wallet| writer.push(&limit(wallet, i64::MAX)));
    for round in 1..=ROUNDS {
        if round % 100 == 0 {
            writer.push(&limit(round / 100, 1_000_000));
        }
        let wallet = |step: u128| (round * step) % WALLETS + 1;
        let id = |step: u128| (round << 64) + step;
        let (payer, payee) = (wallet(7), wallet(7) % WALLETS + 1);
        writer.push(&Event::Transferred(transfer(id(1), &[(payer, -3), (payee, 3)])));
        writer.push(&Event::Transferred(transfer(id(2), &[(1, -9), (2, 2), (3, 7)])));
        let hold = |step: u128| HoldId(id(step));
        for step in [3, 4] {
            writer.push(&Event::HoldAuthorized(Authorization {
                hold: hold(step),
                fingerprint: 0,
                payer: WalletId(payer),
                payee: WalletId(payee),
                currency: inr(),
                amount: amount(10),
                expires_at_micros: u64::MAX,
                reference: None,
            }));
        }
        writer.push(&Event::HoldReleased { hold: hold(3), payer: WalletId(payer), released: 10, end: HoldEnd::Voided });
        let is_closed = round % 50 != 0;
        writer.push(&Event::HoldCaptured(Capture {
            id: TransferId(id(5)),
            fingerprint: 0,
            hold: hold(4),
            payer: WalletId(payer),
            payee: WalletId(payee),
            currency: inr(),
            amount: amount(4),
            released: if is_closed { 6 } else { 0 },
        }));
        let status = if round % 2 == 0 { Status::Active } else { Status::Frozen };
        writer.push(&Event::StatusChanged { wallet: WalletId(WALLETS + 1), status });
    }
    writer.append();
}

struct Writer {
    log: Log,
    group: GroupBuilder,
    time_micros: u64,
}

impl Writer {
    fn push(&mut self, event: &Event) {
        self.group.push_with(|buffer| record::encode(event, buffer)).expect("a group has room for so many");
        if self.group.records() == GROUP_RECORDS {
            self.append();
        }
    }

    fn append(&mut self) {
        // Every few groups there is another day, and at times another month.
        self.time_micros += 7 * 3_600_000_000;
        self.log.append(&mut self.group, self.time_micros).expect("the disk takes it");
        self.group.clear();
    }
}

fn state_hash(recovered: &Recovered) -> StateHash {
    let mut hash = StateHash::default();
    recovered.shards.iter().for_each(|shard| shard.add_to(&mut hash));
    hash
}

fn check(config: &EngineConfig, events: &[(u64, u64, Event)], book: &Book) {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let recovered = recover(&disk, config, &mut |_| {}).expect("the log is sound");
    assert_eq!(recovered.report.replayed_records, events.len() as u64);
    assert_eq!(recovered.report.wallets, WALLETS as u64 + 1);
    assert_eq!(state_hash(&recovered), book.state_hash());

    let covered_lsn = recovered.indexes.durable_lsn();
    assert!(covered_lsn > 0 && covered_lsn < book.last_lsn, "some of it was marked: {covered_lsn}");
    let mut entries = Vec::new();
    recovered
        .indexes
        .entries
        .for_each(1, covered_lsn, |row| entries.push((row.lsn, row.key, row.value)))
        .expect("sound");
    entries.sort_unstable();
    let mut expected = Vec::new();
    let mut again = Book::default();
    for (lsn, time_micros, event) in events {
        if let Some((id, _)) = event.request() {
            assert_eq!(recovered.claims.find(id.0).expect("readable"), Some(*lsn), "{event:?}");
        }
        if let Event::HoldAuthorized(authorization) = event {
            let is_open = recovered.claims.open_hold(authorization.hold).is_some();
            assert_eq!(is_open, book.holds.contains_key(&authorization.hold), "{authorization:?}");
        }
        let made = again.apply(*lsn, *time_micros, event).expect("the books make sense");
        expected.extend(made.iter().map(|entry| (*lsn, entry.wallet.0, entry.balance_after)));
    }
    expected.retain(|(lsn, ..)| *lsn <= covered_lsn);
    expected.sort_unstable();
    assert!(entries == expected, "the entries up to the last mark are those of the book");
}

#[test]
fn threads_or_none_and_any_number_of_shards_come_to_the_same() {
    for (shards, work_ahead) in [(1, false), (3, false), (1, true), (3, true)] {
        let dir = TempDir::new().expect("a folder");
        let config = EngineConfig { work_ahead, recent_rows_max: 5_000, ..config(&dir, shards) };
        write_log(&config);
        let (events, book) = (events(&dir), book(&dir));
        assert!(!book.holds.is_empty());
        check(&config, &events, &book);
        // The next one finds the indexes that this one has made, and makes no row of them twice.
        check(&config, &events, &book);
    }
}
