//! What is so of files only; what holds in every store is in `stores`.

use super::*;
use snapshots::disk::prune;
use snapshots::{BLOCK_BYTES_MAX, STATE_BYTES_MAX};
use wal::disk::RealDisk;

#[test]
fn the_hash_is_of_all_bytes_before_it() {
    let disk = SimDisk::new(1);
    let summary = write_small(&disk, 5).unwrap();
    assert_eq!(list(&disk, dir()).unwrap()[0].path, path(&snap_name(5)));
    let bytes = get(&disk, &snap_name(5));
    let before = &bytes[..bytes.len() - 48];
    assert_eq!(*blake3::hash(before).as_bytes(), summary.hash);
}

/// Many buffers long, with blocks of the largest size among small ones, on the
/// real disk: what passes through in parts arrives in order.
#[test]
fn large_blocks_go_and_come() {
    let folder = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let sizes = [1, 70_000, BLOCK_BYTES_MAX, 3, 1 << 20, (1 << 20) - 13, BLOCK_BYTES_MAX, 9, 500_000];
    let content = |at: usize| -> Vec<u8> { (0..sizes[at]).map(|n| (n * 31 + at * 7) as u8).collect() };
    let mut writer = Writer::create(Arc::clone(&disk), folder.path(), header(9)).unwrap();
    for at in 0..sizes.len() * 2 {
        writer.block(3, at as u32, &content(at % sizes.len())).unwrap();
    }
    let state = vec![5; STATE_BYTES_MAX];
    let summary = writer.finish(&state).unwrap();

    let mut reader = Reader::open(&*disk, folder.path(), 9).unwrap();
    assert_eq!(reader.state(), state);
    for at in 0..sizes.len() * 2 {
        let block = reader.next_block().unwrap().unwrap();
        assert_eq!((block.kind, block.rows), (3, at as u32));
        assert!(block.bytes == content(at % sizes.len()), "block {at}");
    }
    assert_eq!(reader.next_block().unwrap(), None);
    assert_eq!(reader.next_block().unwrap(), None, "the end stays the end");
    assert_eq!(summary.bytes, list(&*disk, folder.path()).unwrap()[0].bytes);
}

#[test]
fn a_dropped_writer_leaves_nothing_and_spares_what_stands() {
    let disk = SimDisk::new(1);
    write_small(&disk, 3).unwrap();
    let mut writer = Writer::create(Arc::new(disk.clone()), dir(), header(3)).unwrap();
    writer.block(1, 1, b"half of").unwrap();
    assert_eq!(names(&disk).len(), 2);
    drop(writer);
    assert_eq!(names(&disk), [snap_name(3)]);
    check_small(&disk, 3);
}

#[test]
fn the_list_is_newest_first_and_knows_a_snapshot_by_its_name() {
    let disk = SimDisk::new(1);
    assert_eq!(lsns(&disk), Vec::<u64>::new(), "a folder that is not there");
    for lsn in [9, 100, 20] {
        write_small(&disk, lsn).unwrap();
    }
    for name in
        ["7.snap", "+0000000000000000007.snap", "notes", "00000000000000000007.snap.tmp", "99999999999999999999.snap"]
    {
        put(&disk, name, b"no snapshot");
    }
    assert_eq!(lsns(&disk), [100, 20, 9]);
}

#[test]
fn pruning_keeps_the_newest() {
    let disk = SimDisk::new(1);
    for lsn in 1..=5 {
        write_small(&disk, lsn).unwrap();
    }
    put(&disk, &(snap_name(6) + ".tmp"), b"half");
    put(&disk, "notes", b"not ours");
    prune(&disk, dir(), 9).unwrap();
    assert_eq!(lsns(&disk), [5, 4, 3, 2, 1]);
    prune(&disk, dir(), 3).unwrap();
    assert_eq!(names(&disk), [snap_name(3), snap_name(4), snap_name(5), "notes".into()]);
    prune(&disk, dir(), 0).unwrap();
    assert_eq!(lsns(&disk), [5], "the last one is never removed");
}

#[test]
fn damaged_ones_do_not_count_when_pruning() {
    let disk = SimDisk::new(1);
    for lsn in 1..=4 {
        write_small(&disk, lsn).unwrap();
    }
    disk.flip_bit(&path(&snap_name(4)), 0).unwrap();
    prune(&disk, dir(), 2).unwrap();
    assert_eq!(lsns(&disk), [4, 3, 2]);
    for lsn in [2, 3] {
        disk.flip_bit(&path(&snap_name(lsn)), 0).unwrap();
    }
    prune(&disk, dir(), 1).unwrap();
    assert_eq!(lsns(&disk), [4, 3, 2], "none is good, so none is removed");
}
