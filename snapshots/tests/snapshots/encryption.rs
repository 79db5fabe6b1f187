//! Encrypted snapshots: rows and state stand nowhere in clear, every change is noticed, and nothing opens without the key.

use super::stores::{check_small_in, put_small};
use super::*;
use snapshots::Store;
use snapshots::disk::check;
use vault::{Encryption, Keyring, Purpose};

/// The snapshot `small_blocks(77)` with keys of seed 1.
const FIXTURE: &[u8] = include_bytes!("../fixtures/v2.snap");

pub fn on() -> Encryption {
    Encryption::On(Keyring::for_simulation(1).unwrap())
}

pub fn other() -> Encryption {
    Encryption::On(Keyring::for_simulation(2).unwrap())
}

fn store(disk: &SimDisk, encryption: Encryption) -> Store {
    Store::Disk { disk: Arc::new(disk.clone()), dir: dir().to_owned(), encryption }
}

#[test]
fn version_2_is_read_and_written() {
    let disk = SimDisk::new(1);
    put(&disk, &snap_name(77), FIXTURE);
    check_small_in(&store(&disk, on()), 77);
    let disk = SimDisk::new(1);
    put_small(&store(&disk, on()), 77);
    assert!(get(&disk, &snap_name(77)) == FIXTURE, "other bytes than those of version 2");
}

#[test]
fn rows_and_state_stand_nowhere_in_clear() {
    for (encryption, is_shown) in [(Encryption::Without, true), (on(), false)] {
        let disk = SimDisk::new(1);
        put_small(&store(&disk, encryption), 77);
        let bytes = get(&disk, &snap_name(77));
        for shown in [&b"three wallets"[..], b"one hold", b"state"] {
            assert_eq!(bytes.windows(shown.len()).any(|window| window == shown), is_shown);
        }
    }
}

#[test]
fn without_its_key_a_snapshot_is_known_and_not_read() {
    let disk = SimDisk::new(1);
    for lsn in [5, 6, 7] {
        put_small(&store(&disk, on()), lsn);
    }
    for encryption in [Encryption::Without, other()] {
        let store = store(&disk, encryption);
        let error = store.open(7).unwrap_err();
        assert!(matches!(error, Error::Key { .. }), "{error}");
        assert_eq!(check(&disk, dir(), 7).unwrap(), header(7));
        store.prune(3).unwrap();
        assert_eq!(lsns(&disk), [7, 6, 5], "they count although their key is not there");
    }
    check_small_in(&store(&disk, on()), 7);
}

#[test]
fn every_flipped_bit_of_an_encrypted_one_is_noticed() {
    let disk = SimDisk::new(1);
    let bytes = put_small(&store(&disk, on()), 42).bytes;
    for bit in 0..bytes * 8 {
        disk.flip_bit(&path(&snap_name(42)), bit).unwrap();
        let read = || -> Result<()> {
            let mut reader = store(&disk, on()).open(42)?;
            while reader.next_block()?.is_some() {}
            Ok(())
        };
        let error = read().expect_err("a flipped bit is noticed");
        assert!(is_damage(&error), "bit {bit}: {error}");
        disk.flip_bit(&path(&snap_name(42)), bit).unwrap();
    }
    check_small_in(&store(&disk, on()), 42);
}

#[test]
fn a_rotated_key_is_for_new_snapshots() {
    let disk = SimDisk::new(1);
    let keys = Keyring::for_simulation(3).unwrap();
    let store = store(&disk, Encryption::On(keys.clone()));
    put_small(&store, 1);
    keys.rotate(Purpose::Snapshots).unwrap();
    put_small(&store, 2);
    assert_ne!(get(&disk, &snap_name(1))[80..96], get(&disk, &snap_name(2))[80..96], "the same key");
    for lsn in [1, 2] {
        check_small_in(&store, lsn);
    }
}
