//! A run of format version 1, kept as bytes and never made again: a change
//! that cannot read it, or writes other bytes, is a new version.

use super::*;

const FIXTURE: &[u8] = include_bytes!("v1.run");

fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = (1..=130).map(|lsn| row(u128::from(lsn % 40) << 72 | 0xabc, lsn)).collect();
    rows.push(Row { key: u128::MAX, lsn: 140, value: i64::MIN });
    rows.push(Row { key: 0, lsn: 1, value: i64::MAX });
    rows
}

#[test]
fn version_1_is_read() {
    let disk = SimDisk::new(1);
    put(&disk, &run_name(1, 140), FIXTURE);
    let mut model = Model::default();
    model.add(&rows(), 140);
    let runs = open(&disk);
    model.check_all(&runs);
    model.check_key(&runs, u128::MAX, 10);
    assert!(!runs.contains(1).unwrap());
}

#[test]
fn version_1_is_what_is_written() {
    let disk = SimDisk::new(1);
    open(&disk).add(rows(), 140).unwrap();
    assert!(get(&disk, &run_name(1, 140)) == FIXTURE, "other bytes than those of version 1");
}
