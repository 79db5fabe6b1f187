//! The power goes, or the disk fails, at each operation in turn.

use super::*;
use snapshots::disk::prune;
use wal::disk::SimFaults;

fn check(disk: &SimDisk, lsn: u64) {
    match lsn {
        20 => assert_eq!(read_all(disk, 20).unwrap(), (header(20), b"new".to_vec(), large_blocks())),
        _ => check_small(disk, lsn),
    }
}

/// Snapshot 10 stands; 20 is written and the folder pruned to one. Whenever
/// the power goes, the newest snapshot that opens is 10 or 20, and is whole.
#[test]
fn the_newest_is_always_an_old_or_the_new_one() {
    for seed in 0..8 {
        let base = SimDisk::new(seed);
        write_small(&base, 10).unwrap();
        let mut operation = 0;
        loop {
            operation += 1;
            let disk = base.fork(seed * 100 + operation);
            disk.crash_at(operation);
            let written = write(&disk, 20, &large_blocks(), b"new").is_ok();
            let pruned = written && prune(&disk, dir(), 1).is_ok();
            disk.crash();

            let newest = lsns(&disk)[0];
            assert!(newest == 10 || newest == 20, "seed {seed}, operation {operation}: {newest}");
            assert!(newest == 20 || !written, "seed {seed}, operation {operation}: acknowledged and lost");
            check(&disk, newest);

            prune(&disk, dir(), 1).unwrap();
            assert_eq!(names(&disk), [snap_name(newest)], "seed {seed}, operation {operation}");
            check(&disk, newest);
            if pruned {
                break;
            }
        }
        assert!(operation > 8, "only {operation} operations");
    }
}

#[test]
fn taking_the_same_lsn_again_leaves_one_whole_at_any_crash() {
    let base = SimDisk::new(1);
    write(&base, 10, &vec![(1, 1, vec![7; 5000])], b"first").unwrap();
    for operation in 1..20 {
        let disk = base.fork(operation);
        disk.crash_at(operation);
        let written = write_small(&disk, 10).is_ok();
        disk.crash();
        let (_, state, _) = read_all(&disk, 10).unwrap();
        assert!(state == b"state" || (state == b"first" && !written), "operation {operation}");
    }
}

#[test]
fn a_disk_that_fails_leaves_no_snapshot_and_no_rubbish() {
    let write_error = SimFaults { write_error: 1.0, ..SimFaults::default() };
    let short_write = SimFaults { short_write: 1.0, ..SimFaults::default() };
    let sync_error = SimFaults { sync_error: 1.0, ..SimFaults::default() };
    for faults in [write_error, short_write, sync_error] {
        let disk = SimDisk::new(1);
        write_small(&disk, 10).unwrap();
        disk.set_faults(faults);
        let error = write_small(&disk, 20).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{faults:?}: {error}");
        assert_eq!(names(&disk), [snap_name(10)], "{faults:?}");
    }
    let disk = SimDisk::new(1);
    disk.set_capacity_bytes(Some(300));
    let error = write_small(&disk, 20).unwrap_err();
    assert!(matches!(&error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull), "{error}");
    assert_eq!(names(&disk), Vec::<String>::new());
}
