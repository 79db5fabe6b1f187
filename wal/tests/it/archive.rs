//! Segments that moved to the archive stay readable; ones that are missing or foreign are named.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use wal::disk::{Disk, SimDisk};
use wal::{Error, Options, Reader};

use crate::workload::{Group, append, dir, groups, open, open_with, options, read_all, segment_path};

fn archive_dir() -> PathBuf {
    PathBuf::from("/archive")
}

fn with_archive() -> Options {
    Options { archive_dir: Some(archive_dir()), ..options() }
}

fn many_segments(disk: &SimDisk) -> Vec<Group> {
    some_segments(disk, 60)
}

fn some_segments(disk: &SimDisk, count: usize) -> Vec<Group> {
    let all = groups(1, count, 300_000);
    let (mut log, _) = open(disk).unwrap();
    for group in &all {
        append(&mut log, group).unwrap();
    }
    all
}

#[test]
fn archived_segments_are_read_by_old_and_new_readers() {
    let disk = SimDisk::new(1);
    let all = many_segments(&disk);
    let (log, _) = open(&disk).unwrap();
    let reader = log.reader();
    let mut scan = reader.scan(1);
    scan.next_group().unwrap();
    assert_eq!(log.archive_before(1, &archive_dir()).unwrap(), Vec::<PathBuf>::new());
    let moved = log.archive_before(reader.durable_lsn(), &archive_dir()).unwrap();
    assert!(moved.len() >= 3, "{moved:?}");
    assert_eq!(moved[0], archive_dir().join("0000000000000001.wal"));
    assert!(moved.iter().all(|path| disk.open_read(path).is_ok()));
    assert!(disk.open_read(&segment_path(1)).is_err());
    assert!(disk.open_read(&archive_dir().join("0000000000000001.marks")).is_ok());
    assert_eq!(log.archive_before(reader.durable_lsn(), &archive_dir()).unwrap(), Vec::<PathBuf>::new());

    assert_eq!(read_all(&reader).unwrap(), all);
    let mut groups_left = 0;
    while scan.next_group().unwrap().is_some() {
        groups_left += 1;
    }
    assert_eq!(groups_left, all.len() - 1);
    drop(log);
    let (log, _) = open_with(&disk, with_archive()).unwrap();
    assert_eq!(read_all(&log.reader()).unwrap(), all);
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let beside = Reader::open(disk, dir(), Some(&archive_dir()), &mut |_, _| {}).unwrap().unwrap();
    assert_eq!(read_all(&beside).unwrap(), all);
}

/// The archive is on another file system: files are copied, and the power goes at each operation of that.
#[test]
fn archived_by_copying() {
    let start = SimDisk::new(6);
    start.mount(&archive_dir());
    let all = some_segments(&start, 25);
    let archive = |disk: &SimDisk| {
        let (log, _) = open_with(disk, with_archive())?;
        log.archive_before(log.reader().durable_lsn(), &archive_dir())
    };
    let mut crash_at = 1;
    loop {
        let disk = start.fork(crash_at);
        disk.crash_at(crash_at);
        let finished = archive(&disk).is_ok();
        disk.crash();
        let (log, _) = open_with(&disk, with_archive()).unwrap();
        assert_eq!(read_all(&log.reader()).unwrap(), all, "power lost at operation {crash_at}");
        drop(log);
        archive(&disk).unwrap();
        assert!(disk.open_read(&segment_path(1)).is_err());
        let (log, _) = open_with(&disk, with_archive()).unwrap();
        assert_eq!(read_all(&log.reader()).unwrap(), all, "power lost at operation {crash_at}");
        if finished {
            break;
        }
        crash_at += 1;
    }
    assert!(crash_at > 30, "{crash_at}");
}

/// The archive was carried away, which is allowed: the log then begins later, and says so.
#[test]
fn a_log_whose_archive_is_elsewhere() {
    let disk = SimDisk::new(2);
    many_segments(&disk);
    let (log, _) = open(&disk).unwrap();
    let durable_lsn = log.reader().durable_lsn();
    log.archive_before(durable_lsn, &archive_dir()).unwrap();
    drop(log);
    let (log, recovered) = open(&disk).unwrap();
    assert_eq!(recovered.last_lsn, durable_lsn);
    let reader = log.reader();
    let first_lsn = reader.first_lsn();
    assert!(first_lsn > 1);
    assert!(matches!(reader.read(1), Err(Error::BeforeFirst { lsn: 1, .. })));
    assert!(matches!(reader.scan(1).next_group(), Err(Error::BeforeFirst { lsn: 1, .. })));
    assert_eq!(reader.read(first_lsn).unwrap().unwrap().lsn, first_lsn);
    assert_eq!(reader.verify(&mut |_, _| {}).unwrap().first_lsn, first_lsn);
}

/// The log's folder was lost and its archive was not. Going on from there would give out record numbers anew.
#[test]
fn an_archive_without_its_log_is_damage() {
    let disk = SimDisk::new(7);
    some_segments(&disk, 25);
    let (log, _) = open(&disk).unwrap();
    let moved = log.archive_before(log.reader().durable_lsn(), &archive_dir()).unwrap();
    drop(log);
    for name in disk.list(dir()).unwrap() {
        disk.remove(&dir().join(name)).unwrap();
    }
    let error = open_with(&disk, with_archive()).unwrap_err();
    let Error::Corrupt { segment, .. } = &error else { panic!("{error}") };
    assert_eq!(*segment, segment_path(moved.len() as u64 + 1));
}

fn check_refused(change: impl FnOnce(&SimDisk), file: &Path, part: &str) {
    let disk = SimDisk::new(3);
    many_segments(&disk);
    change(&disk);
    let error = open(&disk).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Corrupt { .. }), "{text}");
    assert!(text.contains(part) && text.contains(file.to_str().unwrap()), "{text}");
}

#[test]
fn segments_that_do_not_belong_together() {
    let third = segment_path(3);
    check_refused(|disk| disk.remove(&third).unwrap(), &third, "this segment is missing");
    check_refused(|disk| disk.rename(&segment_path(2), &third).unwrap(), &segment_path(2), "is missing");
    check_refused(
        |disk| {
            disk.rename(&segment_path(2), Path::new("/data/log/other")).unwrap();
            disk.rename(&third, &segment_path(2)).unwrap();
            disk.rename(Path::new("/data/log/other"), &third).unwrap();
        },
        &segment_path(2),
        "says that it is segment 3",
    );
    check_refused(|disk| disk.open(&third).unwrap().set_bytes(1000 * 512).unwrap(), &third, "shorter");
    check_refused(
        |disk| disk.open(&third).unwrap().write_at(&[0; 512], 0).unwrap(),
        &third,
        "header is damaged, and there is data behind it",
    );
    check_refused(
        |disk| {
            let other = SimDisk::new(4);
            let identity = wal::Identity { log_id: [7; 16], created_micros: 1 };
            let (mut log, _) = open_with(&other, Options { identity: Some(identity), ..options() }).unwrap();
            for group in &groups(1, 60, 300_000) {
                append(&mut log, group).unwrap();
            }
            let mut bytes = vec![0; 1 << 20];
            other.open_read(&third).unwrap().read_exact_at(&mut bytes, 0).unwrap();
            disk.open(&third).unwrap().write_at(&bytes, 0).unwrap();
        },
        &third,
        "belongs to another log",
    );
}

#[test]
fn a_segment_that_was_made_ahead_and_never_used_is_no_damage() {
    let disk = SimDisk::new(5);
    let all = many_segments(&disk);
    let next = (1..).find(|number| disk.open_read(&segment_path(*number)).is_err()).unwrap();
    // Made whole, cut while it was made, and with a header that the power cut.
    for (bytes, header) in [(1 << 20, 0), (700_000, 0), (1 << 20, 300)] {
        let file = disk.create(&segment_path(next)).unwrap();
        file.set_bytes(bytes).unwrap();
        file.write_at(&vec![5; header], 0).unwrap();
        let (log, recovered) = open(&disk).unwrap();
        assert_eq!(recovered.torn, None);
        assert_eq!(read_all(&log.reader()).unwrap(), all);
    }
}
