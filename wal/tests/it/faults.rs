//! A disk that fails poisons the log: nothing more is acknowledged, what is durable stays readable, and opening the log
//! again finds a state that was.

use std::error::Error as _;
use std::io;

use wal::disk::{Fault, SimDisk, SimFaults};
use wal::{Error, Log, Options};

use crate::workload::{Group, append, groups, open, open_with, options, read_all};

/// The first error says why, later ones only that it is so.
fn check_poisoned(log: &mut Log, group: &Group, kind: Option<io::ErrorKind>) {
    let first = append(log, group).unwrap_err();
    let cause = first.source().expect("the first error has its source");
    let io = cause.source().and_then(|source| source.downcast_ref::<io::Error>()).unwrap();
    if let Some(kind) = kind {
        assert_eq!(io.kind(), kind);
    }
    for _ in 0..2 {
        assert!(matches!(append(log, group), Err(Error::Poisoned { source: None })));
    }
    assert!(log.is_poisoned());
}

#[test]
fn each_fault_poisons() {
    for fault in [Fault::WriteError, Fault::SyncError, Fault::ShortWrite] {
        for seed in 1..=20 {
            let all = groups(seed, 8, 4_000);
            let disk = SimDisk::new(seed);
            let (mut log, _) = open(&disk).unwrap();
            for group in &all[..5] {
                append(&mut log, group).unwrap();
            }
            disk.fail_next(fault);
            check_poisoned(&mut log, &all[5], None);
            assert_eq!(read_all(&log.reader()).unwrap(), all[..5], "{fault:?} {seed}");
            drop(log);
            let (mut log, _) = open(&disk).unwrap();
            let read = read_all(&log.reader()).unwrap();
            assert!(read.len() == 5 || read.len() == 6, "{fault:?} {seed}: {}", read.len());
            assert_eq!(read, all[..read.len()], "{fault:?} {seed}");
            for group in &all[read.len()..] {
                append(&mut log, group).unwrap();
            }
            assert_eq!(read_all(&log.reader()).unwrap(), all, "{fault:?} {seed}");
        }
    }
}

#[test]
fn a_full_disk_poisons_and_room_heals() {
    for prepare_ahead in [false, true] {
        let options = || Options { prepare_ahead, ..options() };
        let disk = SimDisk::new(1);
        let all = groups(1, 40, 250_000);
        disk.set_capacity_bytes(Some(5 << 19));
        let (mut log, _) = open_with(&disk, options()).unwrap();
        let done = all.iter().take_while(|group| append(&mut log, group).is_ok()).count();
        assert!((5..all.len()).contains(&done), "{done}");
        assert!(log.is_poisoned());
        assert_eq!(read_all(&log.reader()).unwrap(), all[..done]);
        drop(log);
        disk.set_capacity_bytes(None);
        let (mut log, recovered) = open_with(&disk, options()).unwrap();
        assert_eq!(recovered.torn, None);
        for group in &all[done..] {
            append(&mut log, group).unwrap();
        }
        assert_eq!(read_all(&log.reader()).unwrap(), all);
    }
}

#[test]
fn a_full_disk_is_named_as_the_cause() {
    let disk = SimDisk::new(2);
    disk.set_capacity_bytes(Some(1 << 20));
    let (mut log, _) = open(&disk).unwrap();
    append(&mut log, &Group { time_micros: 1, records: vec![vec![1; 700_000]] }).unwrap();
    let group = Group { time_micros: 1, records: vec![vec![2; 700_000]] };
    check_poisoned(&mut log, &group, Some(io::ErrorKind::StorageFull));
}

#[test]
fn a_misdirected_write_never_reads_as_other_data() {
    let mut reported = 0;
    for seed in 1..=60 {
        let all = groups(seed, 9, 2_000);
        let disk = SimDisk::new(seed);
        let (mut log, _) = open(&disk).unwrap();
        for (index, group) in all.iter().enumerate() {
            if index == 6 {
                disk.fail_next(Fault::MisdirectedWrite);
            }
            append(&mut log, group).unwrap();
        }
        let mut scan = log.reader().scan(1);
        let mut seen = 0;
        let end = loop {
            match scan.next_group() {
                Ok(Some(group)) => {
                    let records: Vec<Vec<u8>> = group.records().map(|(_, bytes)| bytes.to_vec()).collect();
                    assert_eq!(records, all[seen].records, "seed {seed}");
                    seen += 1;
                }
                end => break end.map(|group| group.is_none()),
            }
        };
        assert!(matches!(end, Err(Error::Corrupt { .. })), "seed {seed}: {seen} groups, then {end:?}");
        drop(log);
        // Groups were appended behind the hole, so opening cannot take it for a torn tail.
        assert!(matches!(open(&disk), Err(Error::Corrupt { .. })), "seed {seed}");
        reported += 1;
    }
    assert_eq!(reported, 60);
}

#[test]
fn errors_by_chance_over_many_openings() {
    for seed in 1..=60 {
        let all = groups(seed, 30, 60_000);
        let disk = SimDisk::new(seed);
        disk.set_faults(SimFaults {
            read_error: 0.01,
            write_error: 0.03,
            sync_error: 0.03,
            short_write: 0.03,
            misdirected_write: 0.0,
        });
        let (mut done, mut openings) = (0, 0);
        while done < all.len() {
            openings += 1;
            assert!(openings < 500, "seed {seed}: no progress");
            let Ok((mut log, _)) = open(&disk) else { continue };
            let Ok(read) = read_all(&log.reader()) else { continue };
            assert!(read.len() == done || read.len() == done + 1, "seed {seed}: {done}, {}", read.len());
            assert_eq!(read, all[..read.len()], "seed {seed}");
            done = read.len();
            done += all[done..].iter().take_while(|group| append(&mut log, group).is_ok()).count();
            drop(log);
            if openings % 3 == 0 {
                disk.crash();
            }
        }
        disk.set_faults(SimFaults::default());
        disk.crash();
        assert_eq!(read_all(&open(&disk).unwrap().0.reader()).unwrap(), all, "seed {seed}");
    }
}
