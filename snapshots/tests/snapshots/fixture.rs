//! A snapshot of format version 1, kept as bytes and never made again: a
//! change that cannot read it, or writes other bytes, is a new version.

use super::*;

const FIXTURE: &[u8] = include_bytes!("../fixtures/v1.snap");

#[test]
fn version_1_is_read() {
    let disk = SimDisk::new(1);
    put(&disk, &snap_name(123_456_789), FIXTURE);
    check_small(&disk, 123_456_789);
}

#[test]
fn version_1_is_what_is_written() {
    let disk = SimDisk::new(1);
    write_small(&disk, 123_456_789).unwrap();
    assert!(get(&disk, &snap_name(123_456_789)) == FIXTURE, "other bytes than those of version 1");
}
