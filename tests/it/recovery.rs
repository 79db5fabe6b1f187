//! Recovery over a real folder: what is lost or damaged is either made again, passed over, or stops the start
//! with a sentence; balances are the same each time.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use florin::engine::{Engine, EntriesQuery, Failure, Outcome, StartError};
use florin::ledger::{StateHash, WalletId};
use tempfile::TempDir;

use crate::rig::{book, config, open_funded, start, transfer};

const WALLETS: u128 = 8;
/// Transfers and wallets share one space of ids.
const FIRST_ID: u128 = 1 << 64;

/// A folder with three snapshots, some records after the last one, and a state hash to compare with.
async fn stopped_ledger(dir: &TempDir) -> StateHash {
    let mut settings = config(dir, 2);
    settings.snapshots_kept = 3;
    let engine = start(settings).await;
    open_funded(&engine, WALLETS, 10_000).await;
    for id in 1..=400u128 {
        let (from, to) = (id % WALLETS + 1, (id + 3) % WALLETS + 1);
        let outcome = engine.transfer(transfer(FIRST_ID + id, &[(from, -5), (to, 5)])).await;
        assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
        if id % 100 == 0 && id < 400 {
            engine.snapshot().await.expect("a snapshot is taken");
        }
    }
    let hash = engine.summary().await.expect("readable").state_hash;
    engine.stop().await;
    hash
}

#[tokio::test]
async fn a_stopped_engine_says_so_at_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let engine = start(config(&dir, 2)).await;
    open_funded(&engine, WALLETS, 10_000).await;
    engine.stop().await;
    let asked = async {
        // More than once in each shard: the second must not wait behind the first.
        for wallet in (1..=WALLETS).chain(1..=WALLETS) {
            assert!(matches!(engine.wallet(WalletId(wallet)).await, Err(Failure::Stopping)));
        }
        let outcome = engine.transfer(transfer(FIRST_ID, &[(1, -5), (2, 5)])).await;
        assert!(matches!(outcome, Outcome::Failed(Failure::Stopping)), "{outcome:?}");
    };
    tokio::time::timeout(Duration::from_secs(10), asked).await.expect("nothing waits for ever");
}

fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(dir).expect("the folder is there").map(|entry| entry.expect("readable").path()).collect();
    files.retain(|path| path.to_string_lossy().ends_with(ending));
    files.sort();
    files
}

fn flip(path: &Path, offset: usize) {
    let mut bytes = fs::read(path).expect("readable");
    bytes[offset] ^= 0x10;
    fs::write(path, bytes).expect("writable");
}

async fn check_whole(engine: &Engine, hash: StateHash) {
    assert_eq!(engine.summary().await.expect("readable").state_hash, hash);
    for wallet in 1..=WALLETS {
        let query = EntriesQuery {
            wallet: WalletId(wallet),
            before_lsn: None,
            not_after: None,
            not_before: None,
            direction: None,
            kind: None,
            counterparty: None,
            limit: 200,
        };
        let entries = engine.entries(query).await.expect("readable").entries;
        let sum: i64 = entries.iter().map(|entry| entry.amount).sum();
        let posted = engine.wallet(WalletId(wallet)).await.expect("readable").expect("open").wallet.posted();
        assert_eq!((entries[0].balance_after, sum), (posted, posted), "the history adds up");
    }
}

#[tokio::test]
async fn the_newest_snapshot_and_the_tail() {
    let dir = TempDir::new().expect("a temporary folder");
    let hash = stopped_ledger(&dir).await;
    let engine = start(config(&dir, 3)).await;
    let report = engine.report().clone();
    assert!(report.snapshot_lsn > 0 && report.replayed_records == report.last_lsn - report.snapshot_lsn, "{report:?}");
    check_whole(&engine, hash).await;
    engine.stop().await;
    assert_eq!(book(&dir).state_hash(), hash);
}

#[tokio::test]
async fn damaged_snapshots_are_passed_over() {
    let dir = TempDir::new().expect("a temporary folder");
    let hash = stopped_ledger(&dir).await;
    let snapshots = files(&dir.path().join("snapshots"), ".snap");
    assert_eq!(snapshots.len(), 3);
    for (damaged, path) in snapshots.iter().rev().enumerate() {
        flip(path, 200);
        let engine = start(config(&dir, 2)).await;
        let report = engine.report().clone();
        assert_eq!(report.snapshots_passed_over, damaged + 1);
        assert_eq!(report.snapshot_lsn == 0, damaged == 2, "the last resort is the whole log");
        check_whole(&engine, hash).await;
        engine.stop().await;
    }
}

#[tokio::test]
async fn lost_or_damaged_indexes_are_made_again() {
    for what in ["index", "index/ids", "index/entries"] {
        let dir = TempDir::new().expect("a temporary folder");
        let hash = stopped_ledger(&dir).await;
        fs::remove_dir_all(dir.path().join(what)).expect("removable");
        let engine = start(config(&dir, 2)).await;
        check_whole(&engine, hash).await;
        let again = engine.transfer(transfer(FIRST_ID + 1, &[(2, -5), (5, 5)])).await;
        assert!(matches!(again, Outcome::Accepted(receipt) if receipt.replayed), "{what}: {again:?}");
        engine.stop().await;
    }
    for kind in ["ids", "entries"] {
        let dir = TempDir::new().expect("a temporary folder");
        let hash = stopped_ledger(&dir).await;
        for run in files(&dir.path().join("index").join(kind), ".run") {
            flip(&run, 40);
        }
        let engine = start(config(&dir, 2)).await;
        check_whole(&engine, hash).await;
        engine.stop().await;
    }
}

#[tokio::test]
async fn a_log_that_lost_its_end_is_not_gone_on_with() {
    let dir = TempDir::new().expect("a temporary folder");
    stopped_ledger(&dir).await;
    let engine = start(config(&dir, 2)).await;
    engine.transfer(transfer(FIRST_ID + 9_999, &[(1, -5), (2, 5)])).await;
    engine.snapshot().await.expect("a snapshot is taken");
    engine.stop().await;
    // The last group goes bad: by itself it looks like a write that a crash had cut short.
    let log = files(&dir.path().join("log"), ".wal");
    let segment = log.iter().rev().find(|path| last_frame(path).is_some()).expect("there are records");
    flip(segment, last_frame(segment).expect("just found") + 70);
    let refused = Engine::start(config(&dir, 2), |_| {}).await.err().expect("it must not start");
    assert!(matches!(refused, StartError::RecordsMissing { .. }), "{refused}");
}

/// Where the last frame of a segment begins, by its magic at a multiple of 512.
fn last_frame(path: &Path) -> Option<usize> {
    let bytes = fs::read(path).expect("readable");
    (512..bytes.len()).step_by(512).rfind(|at| bytes[*at..].starts_with(b"FRM1"))
}

#[tokio::test]
async fn damage_in_the_middle_of_the_log_stops_the_start_or_the_read() {
    let dir = TempDir::new().expect("a temporary folder");
    stopped_ledger(&dir).await;
    fs::remove_dir_all(dir.path().join("snapshots")).expect("removable");
    let log = files(&dir.path().join("log"), ".wal");
    flip(&log[0], 512 + 70);
    let refused = Engine::start(config(&dir, 2), |_| {}).await.err().expect("it must not start");
    assert!(matches!(refused, StartError::Log(wal::Error::Corrupt { offset: 512, .. })), "{refused}");
}

#[tokio::test]
async fn two_servers_cannot_share_a_folder() {
    let dir = TempDir::new().expect("a temporary folder");
    let engine = start(config(&dir, 1)).await;
    let refused = Engine::start(config(&dir, 1), |_| {}).await.err().expect("it must not start");
    assert!(matches!(refused, StartError::Log(wal::Error::Locked { .. })), "{refused}");
    engine.stop().await;
    start(config(&dir, 1)).await.stop().await;
}

#[tokio::test]
async fn old_segments_go_to_the_archive_and_are_still_read() {
    let dir = TempDir::new().expect("a temporary folder");
    let mut settings = config(&dir, 2);
    settings.snapshots_kept = 1;
    let engine = start(settings).await;
    open_funded(&engine, 2, 1_000_000).await;
    // Each transfer is a group of its own, 512 bytes at least: 1 MiB segments fill quickly.
    let long = "x".repeat(500);
    for id in 1..=2_500u128 {
        let asked = florin::ledger::Transfer::between(
            florin::ledger::TransferId(FIRST_ID + id),
            florin::ledger::TransferKind::Transfer,
            crate::rig::inr(),
            WalletId(1),
            WalletId(2),
            crate::rig::amount(1),
            Some(long.as_str().into()),
        );
        engine.transfer(asked.expect("it adds up")).await;
    }
    engine.snapshot().await.expect("a snapshot is taken");
    engine.snapshot().await.expect("the journal has archived before it answers again");
    assert!(!files(&dir.path().join("archive"), ".wal").is_empty(), "a sealed segment has moved");
    let hash = engine.summary().await.expect("readable").state_hash;
    let first = engine.find(FIRST_ID + 1).await.expect("readable").expect("it is there");
    engine.stop().await;
    let engine = start(config(&dir, 2)).await;
    assert_eq!(engine.find(FIRST_ID + 1).await.expect("readable"), Some(first));
    assert_eq!(engine.summary().await.expect("readable").state_hash, hash);
    engine.stop().await;
    assert_eq!(book(&dir).state_hash(), hash);
}
