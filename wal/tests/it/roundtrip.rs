//! What is appended is read back: at once, after reopening, over many segments, at the limits, on a real disk.

use std::sync::Arc;

use wal::disk::{Disk, RealDisk, SimDisk};
use wal::{Error, GROUP_BYTES_MAX, GroupBuilder, Log, Options, PushError, RECORD_BYTES_MAX, Reader, SEGMENT_BYTES_MIN};

use crate::workload::{Group, append, dir, groups, open, open_with, options, read_all, segment_path};

#[test]
fn groups_are_read_back_after_each_reopening() {
    let disk = SimDisk::new(1);
    let all = groups(1, 60, 3_000);
    let mut done = 0;
    for part in all.chunks(20) {
        let (mut log, recovered) = open(&disk).unwrap();
        let records: usize = all[..done].iter().map(|group| group.records.len()).sum();
        assert_eq!(recovered.last_lsn, records as u64);
        assert_eq!(recovered.last_time_micros, all[..done].last().map_or(0, |group| group.time_micros));
        assert_eq!(recovered.torn, None);
        for group in part {
            let appended = append(&mut log, group).unwrap();
            assert_eq!(appended.chain, log.reader().chain_at_end());
            assert_eq!(appended.last_lsn, log.reader().durable_lsn());
        }
        done += part.len();
        assert_eq!(read_all(&log.reader()).unwrap(), all[..done]);
    }
}

#[test]
fn many_segments_of_mixed_groups() {
    for prepare_ahead in [false, true] {
        let disk = SimDisk::new(2);
        let all = groups(2, 150, 200_000);
        let (mut log, _) = open_with(&disk, Options { prepare_ahead, ..options() }).unwrap();
        for group in &all {
            append(&mut log, group).unwrap();
        }
        assert_eq!(read_all(&log.reader()).unwrap(), all);
        drop(log);
        let names = disk.list(dir()).unwrap();
        let segments = names.iter().filter(|name| name.ends_with(".wal")).count();
        assert!(segments > 5, "{names:?}");
        assert!(names.iter().filter(|name| name.ends_with(".marks")).count() >= segments - 2, "{names:?}");
        let (log, _) = open(&disk).unwrap();
        assert_eq!(read_all(&log.reader()).unwrap(), all);
        let verified = log.reader().verify(&mut |_, _| {}).unwrap();
        assert_eq!((verified.groups, verified.chain), (150, log.reader().chain_at_end()));
    }
}

#[test]
fn limits_of_records_and_groups() {
    let mut group = GroupBuilder::new();
    let largest = vec![7; RECORD_BYTES_MAX];
    let bytes = RECORD_BYTES_MAX + 1;
    assert_eq!(group.push(&vec![7; bytes]), Err(PushError::RecordTooLarge { bytes }));
    assert!(group.is_empty());
    group.push(&largest).unwrap();
    assert_eq!(group.push(&largest), Err(PushError::GroupFull));
    group.push(&largest[..GROUP_BYTES_MAX - RECORD_BYTES_MAX - 8]).unwrap();
    assert_eq!((group.records(), group.bytes()), (2, GROUP_BYTES_MAX));
    assert_eq!(group.push(&[]), Err(PushError::GroupFull));

    // Four times as large as a segment: it gets one of its own size, and the next group the usual size again.
    let disk = SimDisk::new(3);
    let (mut log, _) = open(&disk).unwrap();
    log.append(&mut group, 5).unwrap();
    group.clear();
    group.push_with(|_| {}).unwrap();
    log.append(&mut group, 5).unwrap();
    assert!(matches!(log.append(&mut GroupBuilder::new(), 5), Err(Error::EmptyGroup)));
    drop(log);
    let (log, recovered) = open(&disk).unwrap();
    assert_eq!(recovered.last_lsn, 3);
    assert_eq!(log.reader().read(1).unwrap().unwrap().bytes, largest);
    assert_eq!(log.reader().read(3).unwrap().unwrap().bytes, b"");
    let sizes: Vec<u64> =
        [1, 2, 3].map(|number| disk.open_read(&segment_path(number)).unwrap().bytes().unwrap()).to_vec();
    assert_eq!(sizes, [SEGMENT_BYTES_MIN, (GROUP_BYTES_MAX + 1024) as u64, SEGMENT_BYTES_MIN]);
}

#[test]
fn a_group_that_fills_its_segment_to_the_last_byte() {
    let disk = SimDisk::new(4);
    let (mut log, _) = open(&disk).unwrap();
    let fill = SEGMENT_BYTES_MIN as usize - 512 - 64 - 4;
    let all: Vec<Group> = (0..3).map(|byte| Group { time_micros: 9, records: vec![vec![byte; fill]] }).collect();
    for group in &all {
        append(&mut log, group).unwrap();
        log = {
            drop(log);
            open(&disk).unwrap().0
        };
    }
    assert_eq!(read_all(&log.reader()).unwrap(), all);
}

#[test]
#[should_panic(expected = "the time of a group went back")]
fn time_never_goes_back() {
    let (mut log, _) = open(&SimDisk::new(5)).unwrap();
    append(&mut log, &Group { time_micros: 9, records: vec![vec![1]] }).unwrap();
    append(&mut log, &Group { time_micros: 8, records: vec![vec![1]] }).unwrap();
}

#[test]
fn bad_options_are_refused() {
    for segment_bytes in [0, SEGMENT_BYTES_MIN - 512, SEGMENT_BYTES_MIN + 1, (4 << 30) + 512] {
        let result = open_with(&SimDisk::new(6), Options { segment_bytes, ..options() });
        assert!(matches!(result, Err(Error::Options(_))), "{segment_bytes}");
    }
}

#[test]
fn a_real_disk_a_lock_and_a_reader_beside() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("log");
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let open = || {
        let options = Options { segment_bytes: SEGMENT_BYTES_MIN, ..Options::default() };
        Log::open(Arc::clone(&disk), &dir, options, &mut |_, _| {})
    };
    assert!(Reader::open(Arc::clone(&disk), &dir, None, &mut |_, _| {}).unwrap().is_none());
    let (mut log, _) = open().unwrap();
    let refusal = open().unwrap_err();
    assert!(matches!(refusal, Error::Locked { .. }));
    assert!(refusal.to_string().contains("in use by another process"), "{refusal}");

    let all = groups(7, 40, 100_000);
    for group in &all {
        append(&mut log, group).unwrap();
    }
    let beside = Reader::open(Arc::clone(&disk), &dir, None, &mut |_, _| {}).unwrap().unwrap();
    assert_eq!(read_all(&beside).unwrap(), all);
    let id = log.log_id();
    drop(log);
    let (log, _) = open().unwrap();
    assert_eq!(log.log_id(), id);
    assert_eq!(read_all(&log.reader()).unwrap(), all);
}
