//! Readers beside the writer: tailing, single records, searches by time, the chain.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wal::disk::{Disk, RealDisk, SimDisk};
use wal::{Log, Reader};

use crate::workload::{Group, append, dir, groups, open, open_with, options, read_all};

#[test]
fn a_scan_goes_on_when_there_is_more() {
    let disk = SimDisk::new(1);
    let all = groups(1, 80, 200_000);
    let (mut log, _) = open(&disk).unwrap();
    let mut scan = log.reader().scan(1);
    assert!(scan.next_group().unwrap().is_none());
    let mut seen = 0;
    for (index, group) in all.iter().enumerate() {
        append(&mut log, group).unwrap();
        // Sometimes behind, sometimes at the end, so that segments are sealed under the scan.
        if index % 7 != 0 {
            continue;
        }
        while let Some(view) = scan.next_group().unwrap() {
            let records: Vec<&[u8]> = view.records().map(|(_, bytes)| bytes).collect();
            assert_eq!(records, all[seen].records);
            seen += 1;
        }
        assert_eq!(seen, index + 1);
        assert!(scan.next_group().unwrap().is_none());
    }
}

#[test]
fn a_scan_from_each_record() {
    let disk = SimDisk::new(2);
    let all = groups(2, 40, 100_000);
    let (mut log, _) = open(&disk).unwrap();
    let reader = log.reader();
    let mut early = reader.scan(1_000_000);
    for group in &all {
        append(&mut log, group).unwrap();
    }
    assert!(early.next_group().unwrap().is_none());
    let records: Vec<&Vec<u8>> = all.iter().flat_map(|group| &group.records).collect();
    for from in 1..=records.len() {
        let mut scan = reader.scan(from as u64);
        let group = scan.next_group().unwrap().unwrap();
        assert!((group.first_lsn..=group.last_lsn).contains(&(from as u64)));
        let (lsn, bytes) = group.records().next().unwrap();
        assert_eq!((lsn, bytes), (from as u64, &records[from - 1][..]));
        assert_eq!(group.records().count() as u64, group.last_lsn + 1 - lsn);
        let rest = group.last_lsn as usize;
        if let Some(next) = scan.next_group().unwrap() {
            assert_eq!(next.records().next().unwrap().1, &records[rest][..]);
        }
    }
    assert_eq!(reader.read(0).unwrap(), None);
    assert_eq!(reader.read(records.len() as u64 + 1).unwrap(), None);
}

#[test]
fn searches_by_time_agree_with_a_list() {
    for (seed, without_marks) in [(3, false), (4, true)] {
        let disk = SimDisk::new(seed);
        let all = groups(seed, 400, 40_000);
        let (mut log, _) = open(&disk).unwrap();
        assert_eq!(log.reader().first_lsn_at_or_after(0).unwrap(), None);
        assert_eq!(log.reader().last_lsn_at_or_before(u64::MAX).unwrap(), None);
        let mut times = Vec::new();
        for group in &all {
            append(&mut log, group).unwrap();
            times.extend(group.records.iter().map(|_| group.time_micros));
        }
        drop(log);
        for name in disk.list(dir()).unwrap() {
            if without_marks && name.ends_with(".marks") {
                disk.remove(&dir().join(name)).unwrap();
            }
        }
        let (log, _) = open(&disk).unwrap();
        let reader = log.reader();
        for time in (times[0] - 2..=times[times.len() - 1] + 2).chain([0, u64::MAX]) {
            let before = times.partition_point(|other| *other < time) as u64;
            let expected = (before < times.len() as u64).then_some(before + 1);
            assert_eq!(reader.first_lsn_at_or_after(time).unwrap(), expected, "seed {seed}, time {time}");
            let until = times.partition_point(|other| *other <= time) as u64;
            let expected = (until > 0).then_some(until);
            assert_eq!(reader.last_lsn_at_or_before(time).unwrap(), expected, "seed {seed}, time {time}");
        }
    }
}

#[test]
fn the_chain_tells_logs_apart_at_each_group() {
    let disk = SimDisk::new(5);
    let all = groups(5, 30, 60_000);
    let (mut log, _) = open(&disk).unwrap();
    let appended: Vec<wal::Appended> = all.iter().map(|group| append(&mut log, group).unwrap()).collect();
    let reader = log.reader();
    for group in &appended {
        for lsn in [group.first_lsn, group.last_lsn] {
            let range = reader.chain_at(lsn).unwrap().unwrap();
            assert_eq!((range.first_lsn, range.last_lsn, range.chain), (group.first_lsn, group.last_lsn, group.chain));
        }
    }
    // The same log with one byte of the tenth group different.
    let other = SimDisk::new(5);
    let (mut log, _) = open(&other).unwrap();
    let mut changed = all.clone();
    changed[9].records[0].push(0);
    for (index, group) in changed.iter().enumerate() {
        let same = append(&mut log, group).unwrap().chain == appended[index].chain;
        assert_eq!(same, index < 9, "group {index}");
    }
}

/// What replay and verify do beside a running server, on a real disk, where half a frame can be seen.
#[test]
fn readers_opened_while_the_log_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let all = groups(7, 120, 120_000);
    let options = wal::Options { prepare_ahead: true, ..options() };
    let (mut log, _) = Log::open(Arc::clone(&disk), folder.path(), options, &mut |_, _| {}).unwrap();
    let finished = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for group in &all {
                append(&mut log, group).unwrap();
            }
            finished.store(true, Ordering::Release);
        });
        let mut seen = 0;
        loop {
            let last_round = finished.load(Ordering::Acquire);
            let reader = Reader::open(Arc::clone(&disk), folder.path(), None, &mut |_, _| {}).unwrap().unwrap();
            let read = read_all(&reader).unwrap();
            assert!(read.len() >= seen, "{} after {seen}", read.len());
            assert_eq!(read, all[..read.len()]);
            seen = read.len();
            if last_round {
                break;
            }
        }
        assert_eq!(seen, all.len());
    });
}

#[test]
fn many_readers_beside_the_writer() {
    let disk = SimDisk::new(6);
    let all = groups(6, 300, 30_000);
    let (mut log, _) = open_with(&disk, wal::Options { prepare_ahead: true, ..options() }).unwrap();
    let finished = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for reader in [log.reader(), log.reader(), log.reader()] {
            let (all, finished) = (&all, &finished);
            scope.spawn(move || {
                let mut scan = reader.scan(1);
                let mut seen = 0;
                loop {
                    let last_round = finished.load(Ordering::Acquire);
                    while let Some(group) = scan.next_group().unwrap() {
                        let records = group.records().map(|(_, bytes)| bytes.to_vec()).collect();
                        assert_eq!(Group { time_micros: group.time_micros, records }, all[seen]);
                        assert!(group.last_lsn <= reader.durable_lsn());
                        let record = reader.read(group.last_lsn).unwrap().unwrap();
                        assert_eq!(Some(&record.bytes), all[seen].records.last());
                        seen += 1;
                    }
                    if last_round {
                        break;
                    }
                    std::thread::yield_now();
                }
                assert_eq!(seen, all.len());
            });
        }
        for group in &all {
            append(&mut log, group).unwrap();
        }
        finished.store(true, Ordering::Release);
    });
    assert_eq!(read_all(&log.reader()).unwrap(), all);
}
