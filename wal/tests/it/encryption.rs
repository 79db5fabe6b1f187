//! Encrypted segments: nothing of a record stands in clear, nothing is read without its key, everything else works
//! without one, and a log may change between clear and encrypted, and from key to key, wherever it is.

use std::collections::BTreeSet;
use std::sync::Arc;

use vault::{Encryption, Keyring, Purpose};
use wal::disk::{Disk, SimDisk};
use wal::{Error, GROUP_BYTES_MAX, GroupBuilder, Log, Options, RECORD_BYTES_MAX, Reader};

use crate::workload::{Group, append, dir, groups, open, open_with, options, read_all, segment_path};

const CANARY: &[u8] = b"a canary that nobody should see";

fn keys(seed: u64) -> Keyring {
    Keyring::for_simulation(seed).unwrap()
}

fn with(encryption: Encryption) -> Options {
    Options { encryption, ..options() }
}

fn encrypted(disk: &SimDisk, keys: &Keyring) -> Log {
    open_with(disk, with(Encryption::On(keys.clone()))).unwrap().0
}

fn reader(disk: &SimDisk, encryption: Encryption) -> Reader {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Reader::open_with_keys(disk, dir(), None, encryption, &mut |_, _| {}).unwrap().unwrap()
}

fn canary(time_micros: u64) -> Group {
    Group { time_micros, records: vec![CANARY.to_vec(), vec![7; 40]] }
}

fn everything(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let contents = |name: String| {
        let file = disk.open_read(&dir().join(&name)).unwrap();
        let mut bytes = vec![0; file.bytes().unwrap() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        (name, bytes)
    };
    disk.list(dir()).unwrap().into_iter().map(contents).collect()
}

fn shows_canary(disk: &SimDisk) -> bool {
    everything(disk).iter().any(|(_, bytes)| bytes.windows(CANARY.len()).any(|window| window == CANARY))
}

/// The data keys that the headers name, none for a clear segment.
fn keys_of_segments(disk: &SimDisk) -> Vec<Option<[u8; 16]>> {
    let names = disk.list(dir()).unwrap();
    let segments = names.iter().filter(|name| name.ends_with(".wal"));
    let key = |name: &String| {
        let mut header = [0; 512];
        disk.open_read(&dir().join(name)).unwrap().read_exact_at(&mut header, 0).unwrap();
        (header[8] == 2).then(|| header[104..120].try_into().unwrap())
    };
    segments.map(key).collect()
}

#[test]
fn nothing_of_a_record_stands_in_clear() {
    for (encryption, is_shown) in [(Encryption::Without, true), (Encryption::On(keys(1)), false)] {
        let disk = SimDisk::new(1);
        let (mut log, _) = open_with(&disk, with(encryption.clone())).unwrap();
        append(&mut log, &canary(10)).unwrap();
        disk.fail_next(wal::disk::Fault::ShortWrite);
        append(&mut log, &canary(11)).unwrap_err();
        drop(log);
        // What was torn is kept aside as it was, so it shows no more than the log.
        let (log, _) = open_with(&disk, with(encryption)).unwrap();
        assert_eq!(read_all(&log.reader()).unwrap()[0], canary(10));
        assert_eq!(shows_canary(&disk), is_shown);
    }
}

#[test]
fn without_its_key_a_log_shows_its_chain_and_no_record() {
    let disk = SimDisk::new(2);
    let all = groups(2, 30, 100_000);
    let mut log = encrypted(&disk, &keys(2));
    for group in &all {
        append(&mut log, group).unwrap();
    }
    let whole = log.reader();
    drop(log);
    for (encryption, told) in [
        (Encryption::Without, "no keys were given"),
        (Encryption::On(keys(3)), "which is not in"),
        (Encryption::ReadOnly(keys(3)), "which is not in"),
    ] {
        let reader = reader(&disk, encryption.clone());
        assert_eq!((reader.durable_lsn(), reader.chain_at_end()), (whole.durable_lsn(), whole.chain_at_end()));
        for lsn in 1..=whole.durable_lsn() {
            assert_eq!(reader.chain_at(lsn).unwrap(), whole.chain_at(lsn).unwrap());
        }
        assert_eq!(reader.segment_files(), whole.segment_files());
        for refused in [reader.read(1).unwrap_err(), reader.scan(1).next_group().unwrap_err()] {
            let Error::Key { segment, source } = refused else { panic!("{refused}") };
            assert_eq!(segment, segment_path(1));
            assert!(source.to_string().contains(told), "{source}");
        }
        let before = everything(&disk);
        let refused = open_with(&disk, with(encryption)).unwrap_err();
        assert!(matches!(refused, Error::Key { .. }), "{refused}");
        assert!(everything(&disk) == before, "a log that cannot be gone on with is left as it is");
    }
    assert_eq!(read_all(&reader(&disk, Encryption::ReadOnly(keys(2)))).unwrap(), all);
}

#[test]
fn it_is_switched_on_and_off_between_two_groups() {
    let disk = SimDisk::new(3);
    let all = groups(3, 60, 60_000);
    let clear = |group: &Group| Group { records: vec![CANARY.to_vec()], ..group.clone() };
    let (mut log, _) = open(&disk).unwrap();
    append(&mut log, &all[0]).unwrap();
    drop(log);
    let mut written = vec![all[0].clone()];
    for (index, part) in all[1..].chunks(12).enumerate() {
        let is_on = index % 2 == 0;
        let encryption = if is_on { Encryption::On(keys(4)) } else { Encryption::ReadOnly(keys(4)) };
        let segments = keys_of_segments(&disk).len();
        let (mut log, _) = open_with(&disk, with(encryption)).unwrap();
        for group in part {
            append(&mut log, group).unwrap();
        }
        written.extend_from_slice(part);
        assert_eq!(read_all(&log.reader()).unwrap(), written);
        assert!(keys_of_segments(&disk)[segments..].iter().all(|key| key.is_some() == is_on));
    }
    // From the first group on, although the segment had room.
    let mut log = encrypted(&disk, &keys(4));
    append(&mut log, &clear(&all[59])).unwrap();
    assert!(!shows_canary(&disk));
    let verified = log.reader().verify(&mut |_, _| {}).unwrap();
    assert_eq!((verified.groups, verified.chain), (61, log.reader().chain_at_end()));
}

#[test]
fn a_rotated_key_is_for_new_segments_and_old_ones_stay_readable() {
    let disk = SimDisk::new(4);
    let all = groups(4, 90, 250_000);
    let ring = keys(5);
    let mut log = encrypted(&disk, &ring);
    for (index, group) in all.iter().enumerate() {
        if index % 30 == 10 {
            ring.rotate(Purpose::Log).unwrap();
        }
        append(&mut log, group).unwrap();
    }
    assert_eq!(read_all(&log.reader()).unwrap(), all);
    drop(log);
    let named = keys_of_segments(&disk);
    let distinct: BTreeSet<_> = named.iter().flatten().copied().collect();
    assert_eq!(distinct.len(), 4, "{named:?}");
    assert!(named.is_sorted_by_key(|key| ring.list().iter().position(|info| Some(info.id.0) == *key)));
    assert_eq!(read_all(&reader(&disk, Encryption::ReadOnly(ring))).unwrap(), all);
}

/// After a torn tail the same records may be appended at the same place again. With a nonce that followed from the place
/// the two would give their difference away.
#[test]
fn the_same_group_at_the_same_place_never_looks_the_same() {
    let disk = SimDisk::new(5);
    let ring = keys(6);
    let mut log = encrypted(&disk, &ring);
    append(&mut log, &canary(10)).unwrap();
    drop(log);
    let mut seen = BTreeSet::new();
    for _ in 0..8 {
        let fork = disk.fork(1);
        let mut log = encrypted(&fork, &ring);
        append(&mut log, &canary(11)).unwrap();
        let mut frame = [0; 512];
        fork.open_read(&segment_path(1)).unwrap().read_exact_at(&mut frame, 1024).unwrap();
        assert_eq!(frame[0..4], *b"FRM1");
        for bytes in frame[64..160].chunks(16) {
            assert!(seen.insert(bytes.to_vec()), "16 bytes are the same twice");
        }
    }
}

/// Somebody who has the disk and not the key changes a group and makes its checksum and chain anew.
#[test]
fn a_forged_group_is_not_believed() {
    let disk = SimDisk::new(6);
    let ring = keys(7);
    let mut log = encrypted(&disk, &ring);
    append(&mut log, &canary(10)).unwrap();
    drop(log);
    let log_id = crate::workload::IDENTITY.log_id;
    for at in [16, 24, 64, 64 + 31, 64 + 32 + 44, 64 + 80 + 4] {
        let fork = disk.fork(1);
        let file = fork.open(&segment_path(1)).unwrap();
        let mut frame = [0; 512];
        file.read_exact_at(&mut frame, 512).unwrap();
        // A record number would be noticed otherwise, so time and payload are what is left to change.
        frame[if at == 16 { 25 } else { at }] ^= 1;
        let payload_bytes = u32::from_le_bytes(frame[8..12].try_into().unwrap()) as usize;
        let mut chain = blake3::Hasher::new();
        chain.update(blake3::hash(&log_id).as_bytes()).update(&frame[8..32]).update(&frame[64..64 + payload_bytes]);
        frame[32..64].copy_from_slice(chain.finalize().as_bytes());
        let seed = crc32c::crc32c_append(crc32c::crc32c(&log_id), &1_u64.to_le_bytes());
        let crc = crc32c::crc32c_append(seed, &frame[8..]);
        frame[4..8].copy_from_slice(&crc.to_le_bytes());
        file.write_at(&frame, 512).unwrap();
        let reader = reader(&fork, Encryption::ReadOnly(ring.clone()));
        assert_eq!(reader.durable_lsn(), 2, "byte {at}: checksum and chain hold");
        for refused in [reader.read(1).unwrap_err(), reader.scan(1).next_group().unwrap_err()] {
            let Error::Corrupt { offset: 512, what, .. } = refused else { panic!("byte {at}: {refused}") };
            assert!(what.contains("changed by somebody"), "{what}");
        }
    }
}

#[test]
fn the_largest_group_fits() {
    let disk = SimDisk::new(7);
    let mut group = GroupBuilder::new();
    group.push(&vec![7; RECORD_BYTES_MAX]).unwrap();
    group.push(&vec![8; GROUP_BYTES_MAX - RECORD_BYTES_MAX - 8]).unwrap();
    assert_eq!(group.bytes(), GROUP_BYTES_MAX);
    let ring = keys(8);
    let mut log = encrypted(&disk, &ring);
    log.append(&mut group, 5).unwrap();
    log.append(&mut group, 6).unwrap();
    drop(log);
    let reader = reader(&disk, Encryption::ReadOnly(ring));
    assert_eq!(reader.read(3).unwrap().unwrap().bytes, vec![7; RECORD_BYTES_MAX]);
    assert_eq!(reader.durable_lsn(), 4);
}
