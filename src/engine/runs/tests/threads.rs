//! Reading while batches come in and merges go on, on the real disk.

use std::sync::atomic::{AtomicBool, Ordering};

use wal::disk::RealDisk;

use super::*;

const KEYS: u64 = 16;
const BATCH_LSNS: u64 = 300;

#[test]
fn readers_see_all_that_is_covered_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let runs = Runs::open(Arc::new(RealDisk), folder.path()).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for reader in 0..3 {
            let (runs, done) = (&runs, &done);
            scope.spawn(move || {
                let mut rng = StdRng::seed_from_u64(reader);
                loop {
                    let last_round = done.load(Ordering::Acquire);
                    check_one_key(runs, rng.random_range(0..KEYS));
                    if last_round {
                        break;
                    }
                }
            });
        }
        let merger = scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                runs.merge_if_due().unwrap();
            }
        });
        for batch in 0..40 {
            let lsns = batch * BATCH_LSNS + 1..=(batch + 1) * BATCH_LSNS;
            let rows = lsns.map(|lsn| row(u128::from(lsn % KEYS), lsn)).collect();
            runs.add(rows, (batch + 1) * BATCH_LSNS).unwrap();
        }
        done.store(true, Ordering::Release);
        merger.join().unwrap();
    });
    assert_eq!(runs.durable_lsn(), 40 * BATCH_LSNS);
    while runs.merge_if_due().unwrap() {}
    runs.verify().unwrap();
}

/// Each LSN has one row, of the key that it leaves as a remainder. So all rows
/// of a key up to what is covered are known.
fn check_one_key(runs: &Runs, remainder: u64) {
    let covered = runs.covered_lsn();
    let key = u128::from(remainder);
    let expected: Vec<Row> =
        (1..=covered).rev().filter(|lsn| lsn % KEYS == remainder).map(|lsn| row(key, lsn)).collect();
    let mut out = Vec::new();
    runs.rows_before(key, covered + 1, usize::MAX, &mut out).unwrap();
    assert_eq!(out, expected, "up to {covered}");
    assert_eq!(runs.newest(key, covered).unwrap(), expected.first().copied());
}

/// Whoever opens the folder to read only, while files come and go, finds whole runs and leaves no trace.
#[test]
fn a_folder_can_be_looked_at_while_its_owner_works() {
    let folder = tempfile::tempdir().unwrap();
    let runs = Runs::open(Arc::new(RealDisk), folder.path()).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (done, dir) = (&done, folder.path());
        let looking = scope.spawn(move || {
            let mut looks = 0;
            while !done.load(Ordering::Acquire) || looks == 0 {
                let (seen, damage) = Runs::open_read_only(Arc::new(RealDisk), dir).unwrap();
                assert!(damage.is_empty(), "{damage:?}");
                for remainder in 0..KEYS {
                    check_one_key(&seen, remainder);
                }
                let mut rows = 0;
                seen.for_each(1, u64::MAX, |_| rows += 1).unwrap();
                assert_eq!((rows, rows), (seen.covered_lsn(), seen.row_count()), "each LSN has one row");
                looks += 1;
            }
        });
        for batch in 0..60 {
            let lsns = batch * BATCH_LSNS + 1..=(batch + 1) * BATCH_LSNS;
            let rows = lsns.map(|lsn| row(u128::from(lsn % KEYS), lsn)).collect();
            runs.add(rows, (batch + 1) * BATCH_LSNS).unwrap();
            while runs.merge_if_due().unwrap() {}
        }
        done.store(true, Ordering::Release);
        looking.join().unwrap();
    });
    runs.verify().unwrap();
}
