//! Bytes that are not those that were written.

use super::*;

#[test]
fn every_flipped_bit_is_noticed() {
    let disk = SimDisk::new(1);
    let bytes = write_small(&disk, 42).unwrap().bytes;
    for bit in 0..bytes * 8 {
        disk.flip_bit(&path(&snap_name(42)), bit).unwrap();
        let error = read_only_right_blocks(&disk).expect_err("a flipped bit is noticed");
        assert!(is_damage(&error), "bit {bit}: {error}");
        disk.flip_bit(&path(&snap_name(42)), bit).unwrap();
    }
    check_small(&disk, 42);
}

/// Reads snapshot 42 as far as it goes, and sees to it that what comes out
/// before the damage is noticed is what was written.
fn read_only_right_blocks(disk: &SimDisk) -> Result<()> {
    let mut reader = Reader::open(disk, dir(), 42)?;
    let mut expected = small_blocks(42).into_iter();
    while let Some(block) = reader.next_block()? {
        let given = (block.kind, block.rows, block.bytes.to_vec());
        assert_eq!(Some(given), expected.next());
    }
    Ok(())
}

#[test]
fn every_other_length_is_noticed() {
    let disk = SimDisk::new(1);
    write_small(&disk, 42).unwrap();
    let whole = get(&disk, &snap_name(42));
    for length in 0..whole.len() {
        put(&disk, &snap_name(42), &whole[..length]);
        let error = Reader::open(&disk, dir(), 42).expect_err("a cut file is noticed when it is opened");
        assert!(is_damage(&error), "{length} bytes: {error}");
    }
    put(&disk, &snap_name(42), &[&whole[..], &[0]].concat());
    assert!(is_damage(&Reader::open(&disk, dir(), 42).unwrap_err()));
}

/// Blocks that are whole each by itself, but not those of this file: only the
/// hash over everything can tell.
#[test]
fn whole_blocks_in_another_order_are_noticed_at_the_end() {
    let disk = SimDisk::new(1);
    let blocks = vec![(1, 2, b"aaaa".to_vec()), (1, 2, b"bbbb".to_vec())];
    write(&disk, 8, &blocks, b"").unwrap();
    let mut bytes = get(&disk, &snap_name(8));
    let first = bytes[80..97].to_vec();
    bytes.copy_within(97..114, 80);
    bytes[97..114].copy_from_slice(&first);
    put(&disk, &snap_name(8), &bytes);

    let mut reader = Reader::open(&disk, dir(), 8).unwrap();
    assert_eq!(reader.next_block().unwrap().unwrap().bytes, b"bbbb");
    assert_eq!(reader.next_block().unwrap().unwrap().bytes, b"aaaa");
    for _ in 0..2 {
        assert!(is_damage(&reader.next_block().unwrap_err()));
    }
}

/// A writer that counts wrongly, under checksums that are all right.
#[test]
fn numbers_of_rows_that_do_not_add_up_are_noticed() {
    let disk = SimDisk::new(1);
    write(&disk, 8, &vec![(1, 5, b"rows".to_vec())], b"").unwrap();
    let mut bytes = get(&disk, &snap_name(8));
    let trailer = 80 + 13 + 4;
    let tail = bytes.len() - 48;
    bytes[trailer + 3] = 6;
    let hash = blake3::hash(&bytes[..tail]);
    bytes[tail..tail + 32].copy_from_slice(hash.as_bytes());
    let crc = crc32c::crc32c(&bytes[trailer..tail + 36]);
    bytes[tail + 36..tail + 40].copy_from_slice(&crc.to_le_bytes());
    put(&disk, &snap_name(8), &bytes);

    let error = read_all(&disk, 8).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/snapshots/00000000000000000008.snap is damaged at byte 97: number of rows differs from the trailer's"
    );
}

#[test]
fn a_length_above_the_limit_is_refused_before_memory_is_taken() {
    let disk = SimDisk::new(1);
    write(&disk, 8, &vec![(1, 1, b"row".to_vec())], b"").unwrap();
    let mut bytes = get(&disk, &snap_name(8));
    bytes[85..89].copy_from_slice(&u32::MAX.to_le_bytes());
    put(&disk, &snap_name(8), &bytes);
    let mut reader = Reader::open(&disk, dir(), 8).unwrap();
    let error = reader.next_block().unwrap_err();
    assert_eq!(
        error.to_string(),
        "/snapshots/00000000000000000008.snap is damaged at byte 80: block above the largest length"
    );
}

#[test]
fn a_snapshot_under_another_name_is_refused() {
    let disk = SimDisk::new(1);
    write_small(&disk, 1).unwrap();
    disk.rename(&path(&snap_name(1)), &path(&snap_name(2))).unwrap();
    assert!(is_damage(&Reader::open(&disk, dir(), 2).unwrap_err()));
}

#[test]
fn a_later_version_is_named() {
    let disk = SimDisk::new(1);
    write_small(&disk, 1).unwrap();
    let mut bytes = get(&disk, &snap_name(1));
    bytes[8] = 3;
    let crc = crc32c::crc32c(&bytes[..76]);
    bytes[76..80].copy_from_slice(&crc.to_le_bytes());
    put(&disk, &snap_name(1), &bytes);
    let error = Reader::open(&disk, dir(), 1).unwrap_err();
    assert!(matches!(error, Error::Version { version: 3, known: 2, .. }), "{error}");
}

#[test]
fn one_that_is_not_there_is_an_error_of_the_disk() {
    let error = Reader::open(&SimDisk::new(1), dir(), 1).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
}
