//! Question: how many transfer records a second does the log make durable, by the size of a group?
//! Workload: groups of 1, 64, 1,024 and 8,190 records of plain transfers, encoded, appended and synced one group after
//! another; `_nosync` is the same on tmpfs, or on the simulated disk where there is none; `_encrypted` too, encrypted. Bytes for each transfer and
//! MB/s are printed.
//! Command: cargo bench --bench journal

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use florin::engine::record;
use florin::ledger::Transfer;
use tempfile::TempDir;
use vault::{Encryption, Keyring};
use wal::disk::{Disk, RealDisk, SimDisk};
use wal::{GroupBuilder, Log};

use rig::load::{Load, Pairs};

mod rig;

const GROUP_RECORDS: [usize; 4] = [1, 64, 1_024, rig::BATCH];
const WALLETS: u64 = 100_000;
const MEMORY_FOLDER: &str = "/dev/shm";

/// One log for all samples of a size: making one writes whole segments.
fn synced(criterion: &mut Criterion) {
    let place = || -> (Arc<dyn Disk>, Option<TempDir>) { (Arc::new(RealDisk), Some(rig::folder())) };
    measure(criterion, "journal", 3, false, &Encryption::Without, place);
    measure(criterion, "journal/encrypted", 3, false, &encrypted(), place);
}

/// A fresh log for each sample, and short samples: this log stays in memory.
fn nosync(criterion: &mut Criterion) {
    measure(criterion, "journal/memory_nosync", 1, true, &Encryption::Without, memory);
    measure(criterion, "journal/memory_nosync_encrypted", 1, true, &encrypted(), memory);
}

fn encrypted() -> Encryption {
    Encryption::On(Keyring::for_simulation(7).expect("keys of a seed"))
}

fn memory() -> (Arc<dyn Disk>, Option<TempDir>) {
    match tempfile::tempdir_in(MEMORY_FOLDER) {
        Ok(folder) => (Arc::new(RealDisk), Some(folder)),
        Err(_) => (Arc::new(SimDisk::new(1)), None),
    }
}

/// `place` gives a disk and a folder on it for a new log.
fn measure(
    criterion: &mut Criterion,
    name: &str,
    seconds: u64,
    is_fresh_each_sample: bool,
    encryption: &Encryption,
    place: impl Fn() -> (Arc<dyn Disk>, Option<TempDir>),
) {
    let mut group = rig::group(criterion, name, seconds);
    let transfers = Load::new(7, WALLETS).batch(rig::BATCH, Pairs::Random);
    for records in GROUP_RECORDS {
        let mut opened = None;
        let (mut group_bytes, mut groups, mut took_all) = (0, 0, Duration::ZERO);
        group.throughput(Throughput::Elements(records as u64));
        group.bench_function(BenchmarkId::from_parameter(records), |bencher| {
            bencher.iter_custom(|rounds| {
                if is_fresh_each_sample {
                    opened = None;
                }
                let (log, _folder) = opened.get_or_insert_with(|| open(&place, encryption));
                let mut builder = GroupBuilder::new();
                append(log, &mut builder, &transfers[..records]); // The first write of a file is not like the rest.
                let began = Instant::now();
                for _ in 0..rounds {
                    append(log, &mut builder, &transfers[..records]);
                }
                let took = began.elapsed();
                group_bytes = builder.bytes();
                groups += rounds;
                took_all += took;
                took
            });
        });
        if groups > 0 {
            let each = group_bytes as f64 / records as f64;
            let rate = group_bytes as f64 * groups as f64 / took_all.as_secs_f64() / 1e6;
            println!(
                "{name}/{records}: {each:.1} bytes for each transfer, {rate:.1} MB/s on average, warm-up included"
            );
        }
    }
    group.finish();
}

fn open(place: impl Fn() -> (Arc<dyn Disk>, Option<TempDir>), encryption: &Encryption) -> (Log, Option<TempDir>) {
    let (disk, folder) = place();
    let dir = folder.as_ref().map_or(Path::new("/log"), TempDir::path);
    let options = wal::Options { encryption: encryption.clone(), ..wal::Options::default() };
    let (log, _) = Log::open(disk, dir, options, &mut |_, _| {}).expect("a new folder takes a log");
    (log, folder)
}

fn append(log: &mut Log, builder: &mut GroupBuilder, transfers: &[Transfer]) {
    builder.clear();
    for transfer in transfers {
        let pushed = builder.push_with(|buffer| record::encode_transfer(transfer, buffer));
        pushed.expect("a group has room for a batch");
    }
    log.append(builder, 0).expect("the disk takes it");
}

criterion_group!(benches, synced, nosync);
criterion_main!(benches);
