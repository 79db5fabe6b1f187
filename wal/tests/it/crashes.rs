//! The power goes at each disk operation of a workload. Whatever was acknowledged is there afterwards, in order, and
//! nothing else, but possibly the one group that was under way.

use std::path::Path;

use vault::{Encryption, Keyring};
use wal::Log;
use wal::disk::{Disk, SimDisk};

use crate::workload::{Group, append, groups, open, open_with, options, read_all};

const GROUPS: usize = 24;

fn archive_dir() -> &'static Path {
    Path::new("/data/archive")
}

fn reopen(disk: &SimDisk, encryption: &Encryption) -> Result<(Log, wal::Recovered), wal::Error> {
    let archive_dir = Some(archive_dir().to_owned());
    open_with(disk, wal::Options { archive_dir, encryption: encryption.clone(), ..options() })
}

/// By turns a log in clear, one that is encrypted, and one that changes from one to the other each time it is opened.
fn encryption(seed: u64, done: usize) -> Encryption {
    let keys = Keyring::for_simulation(seed).expect("keys of a seed");
    match (seed % 3, done % 20) {
        (0, _) => Encryption::Without,
        (1, _) | (_, 0..10) => Encryption::On(keys),
        _ => Encryption::ReadOnly(keys),
    }
}

/// Opens, appends, archives and opens again until done or dead; says how many of the groups were acknowledged.
fn work(seed: u64, disk: &SimDisk, all: &[Group], done: usize) -> usize {
    let mut done = done;
    while done < all.len() {
        let Ok((mut log, _)) = reopen(disk, &encryption(seed, done)) else { return done };
        for group in all[done..].iter().take(10) {
            if append(&mut log, group).is_err() {
                return done;
            }
            done += 1;
        }
        let durable_lsn = log.reader().durable_lsn();
        if log.archive_before(durable_lsn - 5, archive_dir()).is_err() {
            return done;
        }
    }
    done
}

fn check(seed: u64, all: &[Group], crash_at: u64) {
    let what = format!("seed {seed}, power lost at operation {crash_at}");
    let disk = SimDisk::new(seed ^ (crash_at << 20));
    disk.crash_at(crash_at);
    let mut done = work(seed, &disk, all, 0);
    // The second power cut falls into the recovery from the first.
    for again in [Some(1 + crash_at % 23), None] {
        disk.crash();
        if let Some(operation) = again {
            disk.crash_at(operation);
            drop(reopen(&disk, &encryption(seed, done)));
            continue;
        }
        let (log, recovered) = reopen(&disk, &encryption(seed, done)).unwrap_or_else(|error| panic!("{what}: {error}"));
        let read = read_all(&log.reader()).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(read.len() == done || read.len() == done + 1, "{what}: {done} acknowledged, {} read", read.len());
        assert_eq!(read, all[..read.len()], "{what}");
        let records: usize = read.iter().map(|group| group.records.len()).sum();
        assert_eq!(recovered.last_lsn, records as u64, "{what}");
        done = read.len();
    }
    assert_eq!(work(seed, &disk, all, done), all.len(), "{what}: goes on");
    let (log, recovered) = reopen(&disk, &encryption(seed, done)).unwrap();
    assert_eq!(recovered.torn, None, "{what}");
    assert_eq!(read_all(&log.reader()).unwrap(), all, "{what}");
}

#[test]
fn power_lost_at_each_operation() {
    for seed in 1..=6 {
        let all = groups(seed, GROUPS, 250_000);
        let disk = SimDisk::new(seed);
        assert_eq!(work(seed, &disk, &all, 0), GROUPS);
        let operations = disk.operations();
        assert!(operations > 100, "{operations}");
        for crash_at in (1..=operations).filter(|operation| operation % 6 == seed % 6) {
            check(seed, &all, crash_at);
        }
    }
}

#[test]
fn power_lost_at_each_operation_of_a_small_log() {
    for seed in 1..=4 {
        let all = groups(seed, 12, 2_000);
        let disk = SimDisk::new(seed);
        assert_eq!(work(seed, &disk, &all, 0), 12);
        for crash_at in 1..=disk.operations() {
            check(seed, &all, crash_at);
        }
    }
}

/// A server died after a group was written and before it was synced; the next one read it from the page cache and acted
/// on it; then the power went. Had opening not written it again, it would be gone while others had seen it.
#[test]
fn what_a_reopened_log_has_shown_stays() {
    for seed in 1..=40 {
        let all = groups(seed, 4, 3_000);
        let disk = SimDisk::new(seed);
        let (mut log, _) = open(&disk).unwrap();
        for group in &all[..3] {
            append(&mut log, group).unwrap();
        }
        // By turns: the process dies at the sync, and the sync fails.
        if seed % 2 == 0 {
            disk.crash_at(2);
        } else {
            disk.fail_next(wal::disk::Fault::SyncError);
        }
        append(&mut log, &all[3]).unwrap_err();
        disk.kill();
        drop(log);
        let (log, _) = open(&disk).unwrap();
        let shown = read_all(&log.reader()).unwrap();
        assert_eq!(shown, all, "seed {seed}: the page cache has all of it");
        disk.crash();
        let (log, _) = open(&disk).unwrap();
        assert_eq!(read_all(&log.reader()).unwrap(), shown, "seed {seed}");
    }
}

/// The helper thread makes the order of operations a matter of chance, so this looks at outcomes only.
#[test]
fn power_lost_while_segments_are_made_ahead() {
    for seed in 1..=30 {
        let all = groups(seed, 30, 250_000);
        let disk = SimDisk::new(seed);
        disk.crash_at(20 + seed * 4);
        let options = || wal::Options { prepare_ahead: true, ..options() };
        let mut done = 0;
        if let Ok((mut log, _)) = open_with(&disk, options()) {
            done = all.iter().take_while(|group| append(&mut log, group).is_ok()).count();
        }
        disk.crash();
        let (log, _) = open_with(&disk, options()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let read = read_all(&log.reader()).unwrap();
        assert!(read.len() == done || read.len() == done + 1, "seed {seed}: {done} acknowledged, {}", read.len());
        assert_eq!(read, all[..read.len()], "seed {seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_disk() {
    let run = |seed| {
        let disk = SimDisk::new(seed);
        let all = groups(3, GROUPS, 100_000);
        disk.crash_at(90);
        let done = work(seed, &disk, &all, 0);
        disk.crash();
        let (log, recovered) = reopen(&disk, &encryption(seed, done)).unwrap();
        let names = disk.list(crate::workload::dir()).unwrap();
        (done, recovered, log.reader().chain_at_end(), names, disk.operations())
    };
    for seed in 5..8 {
        assert_eq!(run(seed), run(seed));
    }
}
