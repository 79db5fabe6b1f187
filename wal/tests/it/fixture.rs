//! Each format version as it was written once: today's reader reads those bytes, and today's writer makes the same.
//! The files in tests/fixtures/ are never made again; a new format gets a new version and files of its own.

use std::path::Path;
use std::sync::Arc;

use vault::{Encryption, Keyring};
use wal::disk::{Disk, SimDisk};
use wal::{Options, Reader};

use crate::workload::{Group, append, dir, open, open_with, options, read_all, segment_path};

/// The used part of a segment of three groups; the rest of its 1 MiB is zeros.
const SEGMENT: &[u8] = include_bytes!("../fixtures/v1-segment.wal");
/// The same of the same groups, encrypted with keys of seed 2.
const ENCRYPTED: &[u8] = include_bytes!("../fixtures/v2-segment.wal");
/// The sidecar of a segment of seven groups of 140,000 bytes.
const SIDECAR: &[u8] = include_bytes!("../fixtures/v1-sidecar.marks");

fn segment_groups() -> Vec<Group> {
    let group = |time_micros, records: &[&[u8]]| Group {
        time_micros,
        records: records.iter().map(|record| record.to_vec()).collect(),
    };
    vec![
        group(1_700_000_000_000_000, &[b"the first record", b""]),
        group(1_700_000_000_000_250, &[&[0xa5; 700], b"florin", &[0; 9]]),
        group(1_700_000_000_000_250, &[b"the last record"]),
    ]
}

fn sidecar_groups() -> Vec<Group> {
    let group = |index: u64| Group { time_micros: 500 + index / 2, records: vec![vec![index as u8; 140_000]] };
    (0..8).map(group).collect()
}

fn encryption() -> Encryption {
    Encryption::On(Keyring::for_simulation(2).unwrap())
}

fn written(groups: &[Group], encryption: Encryption, path: &Path) -> Vec<u8> {
    let disk = SimDisk::new(1);
    let (mut log, _) = open_with(&disk, Options { encryption, ..options() }).unwrap();
    for group in groups {
        append(&mut log, group).unwrap();
    }
    let file = disk.open_read(path).unwrap();
    let mut bytes = vec![0; file.bytes().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn version_1_is_read() {
    let disk = SimDisk::new(1);
    let file = disk.create(&segment_path(1)).unwrap();
    file.write_at(SEGMENT, 0).unwrap();
    file.set_bytes(1 << 20).unwrap();
    let beside: Arc<dyn Disk> = Arc::new(disk.clone());
    let reader = Reader::open(beside, dir(), None, &mut |_, _| {}).unwrap().unwrap();
    assert_eq!(read_all(&reader).unwrap(), segment_groups());
    assert_eq!(&reader.log_id(), b"florin test log.");
    let (log, recovered) = open(&disk).unwrap();
    assert_eq!((recovered.last_lsn, recovered.torn), (6, None));
    assert_eq!(read_all(&log.reader()).unwrap(), segment_groups());
}

#[test]
fn todays_writer_makes_version_1() {
    check_written(SEGMENT, Encryption::Without);
    let sidecar = written(&sidecar_groups(), Encryption::Without, &dir().join("0000000000000001.marks"));
    assert_eq!(sidecar, SIDECAR);
}

#[test]
fn version_2_is_read() {
    let disk = SimDisk::new(1);
    let file = disk.create(&segment_path(1)).unwrap();
    file.write_at(ENCRYPTED, 0).unwrap();
    file.set_bytes(1 << 20).unwrap();
    let beside: Arc<dyn Disk> = Arc::new(disk.clone());
    let reader = Reader::open_with_keys(beside, dir(), None, encryption(), &mut |_, _| {}).unwrap().unwrap();
    assert_eq!(read_all(&reader).unwrap(), segment_groups());
    let (log, recovered) = open_with(&disk, Options { encryption: encryption(), ..options() }).unwrap();
    assert_eq!((recovered.last_lsn, recovered.torn), (6, None));
    assert_eq!(read_all(&log.reader()).unwrap(), segment_groups());
}

#[test]
fn todays_writer_makes_version_2() {
    check_written(ENCRYPTED, encryption());
}

fn check_written(fixture: &[u8], encryption: Encryption) {
    let segment = written(&segment_groups(), encryption, &segment_path(1));
    assert_eq!(segment.len(), 1 << 20);
    assert!(segment[..fixture.len()] == *fixture, "the bytes of a segment have changed");
    assert!(segment[fixture.len()..].iter().all(|byte| *byte == 0));
}
