//! The keyring as its users see it: what is sealed opens again after rotations, restarts and another master key, and
//! nothing else opens.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use vault::{Error, KeyId, Keyring, MasterKey, MasterSource, Purpose, SEAL_BYTES};

const MASTER: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const OTHER: &str = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn value(text: &str) -> MasterSource {
    MasterSource::Value { text: SecretString::from(text), from: "the test" }
}

fn keys_path(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join(vault::KEYS_FILE_NAME)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn write_master(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).expect("it can be written");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

#[test]
fn a_value_opens_where_it_belongs_and_nowhere_else() {
    let dir = folder();
    let keys = Keyring::open_or_create(&keys_path(&dir), value(MASTER)).expect("a new keyring");
    let sealed = keys.seal(Purpose::Store, b"people.phone 7", b"+919812345678").expect("sealed");
    assert!(!sealed.windows(6).any(|bytes| bytes == b"981234"), "the value stands in clear");
    assert_ne!(sealed, keys.seal(Purpose::Store, b"people.phone 7", b"+919812345678").expect("sealed"));
    assert_eq!(keys.open_value(Purpose::Store, b"people.phone 7", &sealed).expect("opened"), b"+919812345678");
    for (purpose, context) in [(Purpose::Store, &b"people.phone 8"[..]), (Purpose::Log, b"people.phone 7")] {
        assert!(matches!(keys.open_value(purpose, context, &sealed), Err(Error::Seal)));
    }
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert!(keys.open_value(Purpose::Store, b"people.phone 7", &changed).is_err(), "byte {at} may be changed");
    }
    for bytes in 0..sealed.len() {
        assert!(keys.open_value(Purpose::Store, b"people.phone 7", &sealed[..bytes]).is_err(), "{bytes} bytes");
    }
}

#[test]
fn rotation_keeps_old_values_readable_and_others_notice_it() {
    let dir = folder();
    let keys = Keyring::open_or_create(&keys_path(&dir), value(MASTER)).expect("a new keyring");
    let beside = Keyring::open(&keys_path(&dir), value(MASTER)).expect("another process's");
    let first = keys.current(Purpose::Store).expect("a key").id();
    let old = keys.seal(Purpose::Store, b"", b"old").expect("sealed");
    let second = keys.rotate(Purpose::Store).expect("rotated");
    assert_ne!(first, second);
    let new = keys.seal(Purpose::Store, b"", b"new").expect("sealed");
    assert_eq!((Keyring::key_of_value(&old), Keyring::key_of_value(&new)), (Some(first), Some(second)));

    assert_eq!(beside.current(Purpose::Store).expect("a key").id(), first);
    assert_eq!(beside.open_value(Purpose::Store, b"", &new).expect("it looks again"), b"new");
    assert_eq!(beside.current(Purpose::Store).expect("a key").id(), second);
    let third = keys.rotate(Purpose::Log).expect("rotated");
    beside.refresh();
    assert_eq!(beside.current(Purpose::Log).expect("a key").id(), third);

    let again = Keyring::open_or_create(&keys_path(&dir), value(MASTER)).expect("after a restart");
    assert_eq!(again.list(), keys.list());
    assert_eq!(again.open_value(Purpose::Store, b"", &old).expect("opened"), b"old");
    let current: Vec<KeyId> = again.list().iter().filter(|key| key.is_current).map(|key| key.id).collect();
    assert_eq!(current.len(), Purpose::ALL.len());
    assert!(current.contains(&second) && !current.contains(&first));
}

#[test]
fn two_who_rotate_at_once_lose_no_key() {
    let dir = folder();
    let path = keys_path(&dir);
    Keyring::open_or_create(&path, value(MASTER)).expect("a new keyring");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let keys = Keyring::open(&path, value(MASTER)).expect("it is there");
                for _ in 0..8 {
                    keys.rotate(Purpose::Log).expect("rotated");
                }
            });
        }
    });
    let keys = Keyring::open(&path, value(MASTER)).expect("it is there");
    assert_eq!(keys.list().iter().filter(|key| key.purpose == Purpose::Log).count(), 1 + 4 * 8);
}

#[test]
fn another_master_key_is_named_and_rewrapping_moves_to_it() {
    let dir = folder();
    let path = keys_path(&dir);
    let master_path = dir.path().join("kek");
    write_master(&master_path, MASTER, 0o600);
    let running = Keyring::open_or_create(&path, MasterSource::File(master_path.clone())).expect("a new keyring");
    let sealed = running.seal(Purpose::Store, b"", b"kept").expect("sealed");
    let wrong = Keyring::open(&path, value(OTHER)).expect_err("another master key");
    assert!(matches!(&wrong, Error::OtherMaster { .. }), "{wrong}");
    assert!(wrong.to_string().contains("florin keys rewrap"), "{wrong}");

    let (old, new) = (MasterKey::parse(MASTER, "").expect("a key"), MasterKey::parse(OTHER, "").expect("a key"));
    assert!(matches!(Keyring::rewrap(&path, &new, &old), Err(Error::OtherMaster { .. })));
    assert_eq!(Keyring::rewrap(&path, &old, &new).expect("rewrapped"), Purpose::ALL.len());
    assert!(matches!(Keyring::open(&path, value(MASTER)), Err(Error::OtherMaster { .. })));
    let moved = Keyring::open(&path, value(OTHER)).expect("the new master key");
    assert_eq!(moved.open_value(Purpose::Store, b"", &sealed).expect("opened"), b"kept");

    // Who runs goes on with what it has, and rotates again once its master key file holds the new one.
    running.refresh();
    assert_eq!(running.open_value(Purpose::Store, b"", &sealed).expect("opened"), b"kept");
    assert!(matches!(running.rotate(Purpose::Store), Err(Error::OtherMaster { .. })));
    write_master(&master_path, OTHER, 0o600);
    running.rotate(Purpose::Store).expect("the master key is read again");
}

#[test]
fn damaged_keys_are_told_from_a_wrong_master_key() {
    let dir = folder();
    let path = keys_path(&dir);
    Keyring::open_or_create(&path, value(MASTER)).expect("a new keyring");
    let text = fs::read_to_string(&path).expect("it is text");
    let at = text.find("\"wrapped\": \"").expect("a key") + "\"wrapped\": \"".len();
    let mut bytes = text.clone().into_bytes();
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    fs::write(&path, &bytes).expect("written");
    assert!(matches!(Keyring::open(&path, value(MASTER)), Err(Error::Wrapped { .. })));
    fs::write(&path, text.replacen("\"purpose\": \"log\"", "\"purpose\": \"store\"", 1)).expect("written");
    assert!(matches!(Keyring::open(&path, value(MASTER)), Err(Error::Wrapped { .. })), "a key may change its purpose");
    fs::write(&path, "{").expect("written");
    assert!(matches!(Keyring::open(&path, value(MASTER)), Err(Error::KeyFile { .. })));
    fs::remove_file(&path).expect("removed");
    assert!(matches!(Keyring::open(&path, value(MASTER)), Err(Error::NoKeyFile { .. })));
}

#[test]
fn master_keys_are_read_in_their_forms_and_refused_otherwise() {
    let hex = MasterKey::parse(&format!(" {MASTER}\n"), "").expect("hexadecimal");
    let base64 = MasterKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "").expect("base64");
    assert_eq!(hex.name(), base64.name());
    for wrong in ["", "00", &MASTER[1..], &format!("{MASTER}00"), &MASTER.replace('a', "g"), "AAEC"] {
        let refused = MasterKey::parse(wrong, "here").expect_err("no key");
        assert!(matches!(refused, Error::MasterFormat { .. }), "{wrong}");
        assert!(wrong.len() < 8 || !refused.to_string().contains(wrong), "the message shows what was given");
    }

    let dir = folder();
    let path = dir.path().join("kek");
    for (mode, is_taken) in
        [(0o600, true), (0o400, true), (0o640, true), (0o644, false), (0o660, false), (0o604, false)]
    {
        write_master(&path, MASTER, mode);
        match MasterKey::from_file(&path) {
            Ok(_) => assert!(is_taken, "{mode:o}"),
            Err(error) => assert!(!is_taken && matches!(error, Error::MasterExposed { .. }), "{mode:o}: {error}"),
        }
        fs::remove_file(&path).expect("removed");
    }
    MasterKey::make_file(&path).expect("made");
    let made = MasterKey::from_file(&path).expect("read").name();
    MasterKey::make_file(&path).expect("it is there");
    assert_eq!(MasterKey::from_file(&path).expect("read").name(), made);
    assert_ne!(made, hex.name());
    for (name, mode) in [("kek", 0o600), (vault::KEYS_FILE_NAME, 0o600)] {
        Keyring::open_or_create(&keys_path(&dir), MasterSource::File(path.clone())).expect("a keyring");
        let found = fs::metadata(dir.path().join(name)).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(found, mode, "{name}");
    }
}

#[test]
fn nothing_shows_a_key() {
    let dir = folder();
    let keys = Keyring::open_or_create(&keys_path(&dir), value(MASTER)).expect("a new keyring");
    let shown = format!("{keys:?} {:?} {:?}", MasterKey::parse(MASTER, "").expect("a key"), value(MASTER));
    assert!(!shown.contains(MASTER) && !shown.contains("0, 1, 2, 3") && !shown.contains("00010203"), "{shown}");
    let file = fs::read_to_string(keys_path(&dir)).expect("text");
    assert!(!file.contains("00010203"), "{file}");
}

#[test]
fn lookups_are_the_same_each_time_and_never_rotated() {
    let dir = folder();
    let keys = Keyring::open_or_create(&keys_path(&dir), value(MASTER)).expect("a new keyring");
    let found = keys.lookup(b"phone", b"+91981").expect("made");
    for purpose in [Purpose::Store, Purpose::Log, Purpose::Snapshots, Purpose::Indexes] {
        keys.rotate(purpose).expect("rotated");
    }
    assert!(matches!(keys.rotate(Purpose::Lookup), Err(Error::NeverRotated { .. })));
    assert_eq!(found, keys.lookup(b"phone", b"+91981").expect("made"));
    assert_ne!(found, keys.lookup(b"email", b"+91981").expect("made"));
    assert_ne!(keys.lookup(b"a", b"bc").expect("made"), keys.lookup(b"ab", b"c").expect("made"));
    let other = folder();
    let others = Keyring::open_or_create(&keys_path(&other), value(MASTER)).expect("another keyring");
    assert_ne!(found, others.lookup(b"phone", b"+91981").expect("made"));
}

#[test]
fn keys_of_files_differ_by_salt_and_place_and_a_simulation_repeats_itself() {
    let run = || {
        let keys = Keyring::for_simulation(7).expect("keys of a seed");
        let key = keys.current(Purpose::Log).expect("a key");
        let salt = key.new_salt().expect("a salt");
        let sealed =
            key.derived(&salt, &[b"segment", b"1"]).expect("a key").seal(b"header", b"records").expect("sealed");
        (salt, sealed)
    };
    let (salt, sealed) = run();
    assert_eq!((salt, sealed.clone()), run());
    assert_eq!(sealed.len(), b"records".len() + SEAL_BYTES);
    let key = Keyring::for_simulation(7).expect("keys").current(Purpose::Log).expect("a key");
    let open = |salt: &[u8; 32], what: &[&[u8]], context: &[u8]| {
        key.derived(salt, what).expect("a key").open(context, &sealed)
    };
    assert_eq!(open(&salt, &[b"segment", b"1"], b"header").expect("opened"), b"records");
    assert!(open(&[0; 32], &[b"segment", b"1"], b"header").is_err());
    assert!(open(&salt, &[b"segment", b"2"], b"header").is_err());
    assert!(open(&salt, &[b"segment", b"1"], b"other").is_err());
    assert!(Keyring::for_simulation(8).expect("keys").by_id(key.id()).is_err());
}
