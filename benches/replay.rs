//! Question: how fast does a ledger come back: records replayed a second, wallets loaded a second from a snapshot?
//! Workload: a log of 2,000,000 random transfers between 100,000 wallets, made once: through the book, and through
//! recovery with 1 and 2 shards, which also makes the indexes again; a snapshot of 1,000,000 wallets with an empty tail.
//! The files have just been written, so they come out of the page cache.
//! Command: cargo bench --bench replay

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use florin::engine::recovery::recover;
use florin::engine::{Engine, EngineConfig, record};
use florin::ledger::Book;
use tempfile::TempDir;
use wal::disk::{Disk, RealDisk};

mod rig;

const WALLETS: u64 = 100_000;
const TRANSFERS: usize = 2_000_000;
const WALLETS_OF_SNAPSHOT: u64 = 1_000_000;

fn replay(criterion: &mut Criterion) {
    let mut made = None;
    let make = || {
        let folder = rig::folder();
        let last_lsn = rig::ledger::write(folder.path(), WALLETS, TRANSFERS);
        (folder, last_lsn)
    };
    // The same number that `write` comes to: the system wallet, the wallets, their deposits, the transfers.
    let records = 1 + WALLETS + WALLETS.div_ceil(15) + TRANSFERS as u64;
    let mut group = rig::group(criterion, "replay", 5);
    group.throughput(Throughput::Elements(records));
    group.bench_function("book", |bencher| {
        let (folder, last_lsn) = made.get_or_insert_with(make);
        assert_eq!(*last_lsn, records);
        bencher.iter_custom(|rounds| (0..rounds).map(|_| through_book(folder.path(), records)).sum());
    });
    for shards in [1, 2] {
        group.bench_function(BenchmarkId::new("shards", shards), |bencher| {
            let (folder, _) = made.get_or_insert_with(make);
            let config = rig::ledger::config(folder.path(), shards);
            bencher.iter_custom(|rounds| (0..rounds).map(|_| through_shards(&config, records)).sum());
        });
    }
    group.finish();
}

fn snapshot(criterion: &mut Criterion) {
    let mut made = None;
    let mut group = rig::group(criterion, "replay/snapshot", 5);
    group.throughput(Throughput::Elements(WALLETS_OF_SNAPSHOT));
    group.bench_function(BenchmarkId::from_parameter(WALLETS_OF_SNAPSHOT), |bencher| {
        let (_folder, config, lsn) = made.get_or_insert_with(with_snapshot);
        bencher.iter_custom(|rounds| {
            let load = |_| {
                let (took, report) = time_recovery(config);
                assert_eq!((report.snapshot_lsn, report.wallets), (*lsn, WALLETS_OF_SNAPSHOT + 1));
                took
            };
            (0..rounds).map(load).sum()
        });
    });
    group.finish();
}

fn through_book(dir: &Path, records: u64) -> Duration {
    let began = Instant::now();
    let opened = wal::Reader::open(Arc::new(RealDisk), &dir.join("log"), None, &mut |_, _| {});
    let reader = opened.expect("the log is sound").expect("there is a log");
    let mut book = Book::default();
    let mut scan = reader.scan(1);
    while let Some(group) = scan.next_group().expect("the log is sound") {
        for (lsn, body) in group.records() {
            let event = record::decode(body).expect("a known record");
            book.apply(lsn, group.time_micros, &event).expect("the books make sense");
        }
    }
    let took = began.elapsed();
    assert_eq!(book.last_lsn, records);
    took
}

fn through_shards(config: &EngineConfig, records: u64) -> Duration {
    let index = config.data_dir.join("index");
    if index.exists() {
        std::fs::remove_dir_all(&index).expect("the index of the recovery before");
    }
    let (took, report) = time_recovery(config);
    assert_eq!(report.replayed_records, records);
    took
}

/// What recovery made is dropped after the clock has stopped.
fn time_recovery(config: &EngineConfig) -> (Duration, florin::engine::Report) {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let began = Instant::now();
    let recovered = recover(&disk, config, &mut |_| {}).expect("the ledger comes back");
    (began.elapsed(), recovered.report.clone())
}

fn with_snapshot() -> (TempDir, EngineConfig, u64) {
    let folder = rig::folder();
    rig::ledger::write(folder.path(), WALLETS_OF_SNAPSHOT, 0);
    let config = rig::ledger::config(folder.path(), EngineConfig::new(folder.path()).shards);
    let lsn = rig::runtime().block_on(async {
        let engine = Engine::start(config.clone(), |_| {}).await.expect("the ledger starts");
        let snapshot = engine.snapshot().await.expect("the snapshot is taken");
        engine.stop().await;
        snapshot.lsn
    });
    (folder, config, lsn)
}

criterion_group!(benches, replay, snapshot);
criterion_main!(benches);
