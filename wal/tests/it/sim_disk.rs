//! The simulated disk itself: what lasts, what is lost, and what fails when asked to.

use std::io::ErrorKind;
use std::path::Path;

use wal::disk::{Disk, DiskFile, Fault, SimDisk};

const FILE: &str = "/d/file";

fn contents(file: &dyn DiskFile) -> Vec<u8> {
    let mut bytes = vec![0; file.bytes().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn with_durable_file(seed: u64, bytes: &[u8]) -> (SimDisk, Box<dyn DiskFile>) {
    let disk = SimDisk::new(seed);
    let file = disk.create(Path::new(FILE)).unwrap();
    file.write_at(bytes, 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    (disk, file)
}

#[test]
fn unsynced_sectors_survive_one_by_one() {
    let mut outcomes = std::collections::BTreeSet::new();
    for seed in 0..64 {
        let (disk, file) = with_durable_file(seed, &[1; 1536]);
        file.write_at(&[2; 1536], 0).unwrap();
        disk.crash();
        assert!(file.bytes().is_err(), "handles from before the crash fail");
        let after = contents(&*disk.open(Path::new(FILE)).unwrap());
        assert!(after.chunks(512).all(|sector| sector == [1; 512] || sector == [2; 512]));
        outcomes.insert([after[0], after[512], after[1024]]);
    }
    assert_eq!(outcomes.len(), 8, "each subset of three sectors comes up: {outcomes:?}");
}

#[test]
fn names_last_once_their_folder_is_synced() {
    let (mut kept, mut lost, mut renamed) = (0, 0, 0);
    for seed in 0..32 {
        let (disk, _) = with_durable_file(seed, b"old");
        disk.create(Path::new("/d/new")).unwrap().sync().unwrap();
        disk.rename(Path::new(FILE), Path::new("/d/renamed")).unwrap();
        let synced = disk.fork(seed);
        synced.sync_dir(Path::new("/d")).unwrap();
        synced.crash();
        assert_eq!(synced.list(Path::new("/d")).unwrap(), ["new", "renamed"]);
        disk.crash();
        let names = disk.list(Path::new("/d")).unwrap();
        assert!(names.contains(&"file".to_owned()) != names.contains(&"renamed".to_owned()), "{names:?}");
        if names.contains(&"new".to_owned()) {
            kept += 1
        } else {
            lost += 1
        }
        renamed += usize::from(names.contains(&"renamed".to_owned()));
    }
    assert!(kept > 0 && lost > 0 && renamed > 0 && renamed < 32);
}

#[test]
fn a_failed_sync_shows_bytes_that_no_later_sync_keeps() {
    let (disk, file) = with_durable_file(3, &[1; 4096]);
    file.write_at(&[2; 4096], 0).unwrap();
    disk.fail_next(Fault::SyncError);
    file.sync().unwrap_err();
    assert_eq!(contents(&*file), [2; 4096], "the page cache still shows them");
    file.sync().unwrap();
    disk.crash();
    let after = contents(&*disk.open(Path::new(FILE)).unwrap());
    assert!(after.contains(&1), "and the disk never got all of them");
}

#[test]
fn the_machine_goes_down_at_an_operation_and_comes_back() {
    let (disk, file) = with_durable_file(4, b"x");
    let _lock = disk.lock(Path::new("/d/lock")).unwrap();
    assert_eq!(disk.lock(Path::new("/d/lock")).unwrap_err().kind(), ErrorKind::WouldBlock);
    disk.crash_at(3);
    let before = disk.operations();
    file.bytes().unwrap();
    file.write_at(b"y", 0).unwrap();
    file.sync().unwrap_err();
    disk.list(Path::new("/d")).unwrap_err();
    assert_eq!(disk.operations(), before + 4);
    disk.kill();
    assert_eq!(contents(&*disk.open_read(Path::new(FILE)).unwrap()), b"y", "a killed process loses nothing");
    disk.lock(Path::new("/d/lock")).unwrap();
}

#[test]
fn faults_on_request() {
    let (disk, file) = with_durable_file(5, &[1; 2048]);
    disk.fail_next(Fault::ReadError);
    file.read_at(&mut [0], 0).unwrap_err();
    assert_eq!(file.read_at(&mut [0], 0).unwrap(), 1);
    disk.fail_next(Fault::WriteError);
    file.write_at(&[2; 512], 0).unwrap_err();
    assert_eq!(contents(&*file), [1; 2048]);
    disk.set_capacity_bytes(Some(2048));
    assert_eq!(file.write_at(&[2; 512], 2000).unwrap_err().kind(), ErrorKind::StorageFull);
    file.write_at(&[2; 512], 1536).unwrap();
    disk.flip_bit(Path::new(FILE), 9).unwrap();
    assert_eq!(contents(&*file)[..2], [1, 3]);
    file.set_bytes(700).unwrap();
    file.set_bytes(1024).unwrap();
    assert_eq!(contents(&*file)[699..701], [1, 0], "bytes behind a cut are zeros when the file grows again");
    let read_only = disk.open_read(Path::new(FILE)).unwrap();
    assert_eq!(read_only.write_at(b"z", 0).unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(disk.open(Path::new("/d/none")).unwrap_err().kind(), ErrorKind::NotFound);
}
