//! A log of made-up records, and the comparison of what is read back with what was written.

use std::path::Path;
use std::sync::Arc;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use wal::disk::{Disk, SimDisk};
use wal::{Appended, Error, GroupBuilder, Identity, Log, Options, Reader, Recovered, SEGMENT_BYTES_MIN};

pub(crate) const IDENTITY: Identity = Identity { log_id: *b"florin test log.", created_micros: 1_000_000 };

/// One group as the tests remember it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) time_micros: u64,
    pub(crate) records: Vec<Vec<u8>>,
}

pub(crate) fn dir() -> &'static Path {
    Path::new("/data/log")
}

pub(crate) fn segment_path(number: u64) -> std::path::PathBuf {
    dir().join(format!("{number:016}.wal"))
}

/// Small segments and nothing beside the caller.
pub(crate) fn options() -> Options {
    Options { segment_bytes: SEGMENT_BYTES_MIN, prepare_ahead: false, identity: Some(IDENTITY), ..Options::default() }
}

pub(crate) fn open(disk: &SimDisk) -> Result<(Log, Recovered), Error> {
    open_with(disk, options())
}

pub(crate) fn open_with(disk: &SimDisk, options: Options) -> Result<(Log, Recovered), Error> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Log::open(disk, dir(), options, &mut |_, _| {})
}

pub(crate) fn append(log: &mut Log, group: &Group) -> Result<Appended, Error> {
    let mut builder = GroupBuilder::new();
    for record in &group.records {
        builder.push(record).expect("test groups are within the limits");
    }
    log.append(&mut builder, group.time_micros)
}

/// Groups of 1 to 5 records, most of them small and some up to `record_bytes_max`.
pub(crate) fn groups(seed: u64, count: usize, record_bytes_max: usize) -> Vec<Group> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut time_micros = 1_000_000;
    let mut groups = Vec::with_capacity(count);
    for _ in 0..count {
        time_micros += rng.random_range(0..3);
        let records = (0..rng.random_range(1..=5))
            .map(|_| {
                let small = rng.random_bool(0.8);
                let bytes = rng.random_range(0..=if small { record_bytes_max.min(60) } else { record_bytes_max });
                (0..bytes).map(|_| rng.random()).collect()
            })
            .collect();
        groups.push(Group { time_micros, records });
    }
    groups
}

/// Everything a reader gives, by scan, checked against single reads of the first and last record of each group.
pub(crate) fn read_all(reader: &Reader) -> Result<Vec<Group>, Error> {
    let mut scan = reader.scan(reader.first_lsn());
    let mut groups = Vec::new();
    let mut next_lsn = reader.first_lsn();
    while let Some(group) = scan.next_group()? {
        assert_eq!(group.first_lsn, next_lsn, "groups follow each other without a gap");
        let records: Vec<(u64, &[u8])> = group.records().collect();
        assert_eq!(records.len() as u64, group.last_lsn + 1 - group.first_lsn);
        for (index, (lsn, _)) in records.iter().enumerate() {
            assert_eq!(*lsn, group.first_lsn + index as u64);
        }
        for (lsn, bytes) in [records[0], records[records.len() - 1]] {
            let record = reader.read(lsn)?.expect("a scanned record can be read");
            assert_eq!((record.lsn, record.time_micros, &record.bytes[..]), (lsn, group.time_micros, bytes));
        }
        next_lsn = group.last_lsn + 1;
        groups.push(Group {
            time_micros: group.time_micros,
            records: records.into_iter().map(|(_, bytes)| bytes.to_vec()).collect(),
        });
    }
    assert_eq!(next_lsn, reader.durable_lsn() + 1, "a scan goes to the durable end");
    Ok(groups)
}
