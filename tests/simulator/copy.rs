//! What a damaged copy of the disk recovered to, held against what the sound one did. Where the damage is put in is in
//! `rot.rs`.

use std::path::PathBuf;

use florin::engine::recovery::Recovered;
use wal::disk::{Disk, SimDisk};

use super::oracle::{Log, index_of, pairs, state_hash};
use super::rot::{Hit, segments_of};

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Refused,
    Same,
    /// Groups at the end, all of them hit, were cut off as a torn tail.
    EndsEarlier,
    /// The same, and nothing is left of them that could be noticed.
    EndsEarlierUnnoticed,
}

/// Where a group stands.
#[derive(Clone, Debug)]
pub struct GroupPlace {
    path: PathBuf,
    first: u64,
    sectors: u64,
    first_lsn: u64,
    last_lsn: u64,
}

/// The groups of a sound log, by the layout in docs/formats.md and not by the code that is being tried.
pub fn groups_of(disk: &SimDisk) -> Vec<GroupPlace> {
    let mut groups = Vec::new();
    let mut next_lsn = 1;
    for path in segments_of(disk) {
        let file = disk.open_read(&path).expect("it was listed");
        let mut offset = 512;
        let mut header = [0; 32];
        while file.read_exact_at(&mut header, offset).is_ok() && header[..4] == *b"FRM1" {
            let number = |at: usize| u64::from(u32::from_le_bytes([0, 1, 2, 3].map(|byte| header[at + byte])));
            let (payload_bytes, records, first_lsn) = (number(8), number(12), number(16) | number(20) << 32);
            if first_lsn != next_lsn {
                break;
            }
            next_lsn += records;
            let sectors = (64 + payload_bytes).div_ceil(512);
            let first = offset / 512;
            groups.push(GroupPlace { path: path.clone(), first, sectors, first_lsn, last_lsn: next_lsn - 1 });
            offset += sectors * 512;
        }
    }
    groups
}

pub fn check(sound: &Recovered, copy: &Recovered, hits: &[Hit], groups: &[GroupPlace], what: &str) -> Verdict {
    let (mut expected, mut found) = (Log::default(), Log::default());
    expected.read_on(&sound.reader).unwrap_or_else(|error| panic!("{what}: the sound copy cannot be read: {error}"));
    let whole = found.read_on(&copy.reader);
    let count = found.events.len();
    assert!(count <= expected.events.len() && found.events[..] == expected.events[..count], "{what}: other records");
    let last_lsn = copy.report.last_lsn;
    for group in groups.iter().filter(|group| group.last_lsn > last_lsn && group.first_lsn <= sound.report.last_lsn) {
        assert!(hits.iter().any(|hit| group.is_hit_by(hit)), "{what}: {group:?} is gone, and it was not hit");
    }
    match whole {
        Ok(()) => assert_eq!(count as u64, last_lsn, "{what}: the log that is read ends elsewhere"),
        // A snapshot was used, and the damage lies before it: what is there is refused or right, group by group.
        Err(error) => check_each_group(copy, &expected, groups, what, &error),
    }
    // The copy's own log may be impossible to read from the beginning, so the sound one says what is right here.
    let state = expected.up_to(last_lsn).book.state_hash();
    assert_eq!(state_hash(copy.shards.iter()), state, "{what}: another state");
    check_claims(copy, &expected, what);
    check_entries(copy, &expected, what);
    match last_lsn == sound.report.last_lsn {
        true => Verdict::Same,
        false if copy.report.torn_tail_bytes > 0 => Verdict::EndsEarlier,
        false => Verdict::EndsEarlierUnnoticed,
    }
}

fn check_each_group(copy: &Recovered, expected: &Log, groups: &[GroupPlace], what: &str, error: &wal::Error) {
    assert!(matches!(error, wal::Error::Corrupt { .. }), "{what}: {error}");
    let durable = groups.iter().filter(|group| group.last_lsn <= copy.report.last_lsn);
    for lsn in durable.flat_map(|group| [group.first_lsn, group.last_lsn]) {
        if let Ok(record) = copy.reader.read(lsn) {
            let record = record.unwrap_or_else(|| panic!("{what}: record {lsn} is not there"));
            let event = florin::engine::record::decode(&record.bytes).expect("a record that was written can be read");
            assert!((record.time_micros, event) == expected.events[index_of(lsn)], "{what}: record {lsn} is another");
        }
    }
}

/// A claim may be impossible to look up; it is never free, and never another.
fn check_claims(copy: &Recovered, expected: &Log, what: &str) {
    for (id, lsn) in &expected.ids {
        if let Ok(found) = copy.claims.find(*id) {
            let known = (*lsn <= copy.report.last_lsn).then_some(*lsn);
            assert_eq!(found, known, "{what}: the claim on {id:x}");
        }
    }
}

/// A row may be impossible to read; it is never wrong.
fn check_entries(copy: &Recovered, expected: &Log, what: &str) {
    let covered = copy.indexes.entries.covered_lsn();
    for (wallet, entries) in &expected.entries {
        let mut rows = Vec::new();
        if copy.indexes.entries.rows_after(wallet.0, 0, usize::MAX, &mut rows).is_ok() {
            let entries: Vec<_> = entries.iter().filter(|(lsn, _)| *lsn <= covered).copied().collect();
            assert_eq!(pairs(&rows), entries, "{what}: entries of {wallet}");
        }
    }
}

impl GroupPlace {
    fn is_hit_by(&self, hit: &Hit) -> bool {
        // A segment whose header and first groups are gone is taken for one that was not begun.
        self.path == hit.path && hit.first < self.first + self.sectors && self.first < hit.first + hit.count
    }
}
