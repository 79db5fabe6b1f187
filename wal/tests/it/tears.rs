//! Every way in which the last group can be cut short is repaired, and nothing before it is touched.

use wal::disk::{Disk, SimDisk};
use wal::{Error, TornTail};

use crate::workload::{Group, append, dir, open, read_all, segment_path};

/// A log of two groups, the frame of a third, and where it would go.
struct Cut {
    disk: SimDisk,
    groups: Vec<Group>,
    frame: Vec<u8>,
    offset: u64,
}

fn cut(last_record_bytes: usize) -> Cut {
    let disk = SimDisk::new(1);
    let group = |time_micros, byte: u8, bytes: usize| Group {
        time_micros,
        records: vec![vec![byte; bytes], (0..bytes).map(|at| (at % 251) as u8 + 1).collect()],
    };
    let groups = vec![group(10, 1, 20), group(11, 2, 300), group(12, 3, last_record_bytes)];
    let (mut log, _) = open(&disk).unwrap();
    append(&mut log, &groups[0]).unwrap();
    append(&mut log, &groups[1]).unwrap();
    drop(log);
    let whole = disk.fork(1);
    let (mut log, _) = open(&whole).unwrap();
    append(&mut log, &groups[2]).unwrap();
    // 512 header, 512 for the first group, 1024 for the second.
    let offset = 2048;
    let mut frame = vec![0; (64 + 2 * (4 + last_record_bytes)).next_multiple_of(512)];
    whole.open_read(&segment_path(1)).unwrap().read_exact_at(&mut frame, offset).unwrap();
    Cut { disk, groups, frame, offset }
}

/// What is left of the third frame goes to the disk; the log must come back with or without the third group.
fn check(cut: &Cut, left: &[u8], what: &str) {
    let disk = cut.disk.fork(2);
    let file = disk.open(&segment_path(1)).unwrap();
    file.write_at(left, cut.offset).unwrap();
    file.sync().unwrap();
    let (mut log, recovered) = open(&disk).unwrap_or_else(|error| panic!("{what}: {error}"));
    if left == cut.frame {
        assert_eq!((recovered.last_lsn, &recovered.torn), (6, &None), "{what}");
        assert_eq!(read_all(&log.reader()).unwrap(), cut.groups, "{what}");
        return;
    }
    assert_eq!(recovered.last_lsn, 4, "{what}");
    match recovered.torn {
        None => assert!(left.iter().all(|byte| *byte == 0), "{what}: cut without a word"),
        Some(TornTail { segment, offset, bytes, kept_as }) => {
            assert_eq!((segment, offset), (1, cut.offset), "{what}");
            assert_eq!(kept_as, dir().join("torn-5-1.bin"), "{what}");
            let kept = disk.open_read(&kept_as).unwrap();
            let mut aside = vec![0; kept.bytes().unwrap() as usize];
            kept.read_exact_at(&mut aside, 0).unwrap();
            assert_eq!(aside, left[..bytes as usize], "{what}: kept aside as it was");
            assert!(left[bytes as usize..].iter().all(|byte| *byte == 0), "{what}: all of it is kept");
        }
    }
    assert_eq!(read_all(&log.reader()).unwrap(), cut.groups[..2], "{what}");
    append(&mut log, &cut.groups[2]).unwrap();
    drop(log);
    let (log, recovered) = open(&disk).unwrap();
    assert_eq!(recovered.torn, None, "{what}: repaired once and for all");
    assert_eq!(read_all(&log.reader()).unwrap(), cut.groups, "{what}");
}

#[test]
fn each_byte_length_of_the_last_group() {
    let cut = cut(500);
    for length in 0..=cut.frame.len() {
        let mut left = cut.frame.clone();
        left[length..].fill(0);
        check(&cut, &left, &format!("{length} bytes left"));
    }
}

#[test]
fn each_subset_of_the_last_groups_sectors() {
    let cut = cut(1_500);
    let sectors = cut.frame.len() / 512;
    assert_eq!(sectors, 6);
    for subset in 0..1_u32 << sectors {
        let mut left = cut.frame.clone();
        for (index, sector) in left.chunks_mut(512).enumerate() {
            if subset & (1 << index) == 0 {
                sector.fill(0);
            }
        }
        check(&cut, &left, &format!("sectors {subset:06b}"));
    }
}

#[test]
fn a_reader_beside_takes_a_torn_tail_for_the_end_and_leaves_it() {
    let cut = cut(1_500);
    let file = cut.disk.open(&segment_path(1)).unwrap();
    file.write_at(&cut.frame[..1_000], cut.offset).unwrap();
    let disk = std::sync::Arc::new(cut.disk.clone());
    let reader = wal::Reader::open(disk, dir(), None, &mut |_, _| {}).unwrap().unwrap();
    assert_eq!(read_all(&reader).unwrap(), cut.groups[..2]);
    let mut still = vec![0; 1_000];
    file.read_exact_at(&mut still, cut.offset).unwrap();
    assert_eq!(still, cut.frame[..1_000]);
}

#[test]
fn a_bad_group_before_a_good_one_is_damage() {
    let cut = cut(500);
    let file = cut.disk.open(&segment_path(1)).unwrap();
    file.write_at(&cut.frame, cut.offset).unwrap();
    // The second group, all of it: what a lost write leaves.
    file.write_at(&[0; 1024], 1024).unwrap();
    file.sync().unwrap();
    let error = open(&cut.disk).unwrap_err();
    let text = error.to_string();
    let Error::Corrupt { segment, offset, expected_lsn, .. } = error else { panic!("{text}") };
    assert_eq!((segment, offset, expected_lsn), (segment_path(1), 1024, 3));
    for part in ["later group of this log stands at byte 2048", "Restore this segment from a copy"] {
        assert!(text.contains(part), "{text}");
    }
}

/// Bytes of another log, or of another segment of the same log, that lie where the next group would: what a disk that
/// gives out old blocks shows. Number and time may fit; the checksum does not, being mixed with both ids.
#[test]
fn frames_of_another_log_or_segment_never_pass() {
    let cut = cut(500);
    let other = SimDisk::new(9);
    let identity = wal::Identity { log_id: [9; 16], created_micros: 1 };
    let options = wal::Options { identity: Some(identity), ..crate::workload::options() };
    let (mut log, _) = crate::workload::open_with(&other, options).unwrap();
    for group in &cut.groups {
        append(&mut log, group).unwrap();
    }
    let mut foreign = cut.frame.clone();
    other.open_read(&segment_path(1)).unwrap().read_exact_at(&mut foreign, cut.offset).unwrap();
    // Only ids differ: the checksum, the chain.
    assert_eq!(foreign[8..32], cut.frame[8..32]);
    assert_eq!(foreign[64..], cut.frame[64..]);
    check(&cut, &foreign, "another log");

    // The same log goes on until segment 2 begins; its first group goes where the third one of segment 1 would.
    let later = cut.disk.fork(3);
    let (mut log, _) = open(&later).unwrap();
    let filler = Group { time_micros: 12, records: vec![vec![1; (1 << 20) - 4_096]] };
    append(&mut log, &filler).unwrap();
    append(&mut log, &filler).unwrap();
    let mut foreign = vec![0; 512 * 2_048 - 1_024];
    later.open_read(&segment_path(2)).unwrap().read_exact_at(&mut foreign, 512).unwrap();
    let end = foreign.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    foreign.truncate(end.next_multiple_of(512));
    check(&cut, &foreign, "another segment");
}
