//! Sealing of what is sensitive in the database: by the keyring's current key, bound to the column it stands in; and keyed
//! digests by which a sealed value can be found. How keys are kept and rotated is the vault's business.

use std::path::Path;

use vault::{KEYS_FILE_NAME, Keyring, MASTER_FILE_NAME, MasterKey, MasterSource, Purpose};

use super::StoreError;

#[derive(Clone, Debug)]
pub struct Seal {
    keyring: Keyring,
}

impl Seal {
    pub fn new(keyring: Keyring) -> Seal {
        Seal { keyring }
    }

    /// With a master key that is made in the data folder, for want of one that is kept elsewhere.
    pub fn load_or_create(data_dir: &Path) -> Result<Seal, vault::Error> {
        let master = data_dir.join(MASTER_FILE_NAME);
        MasterKey::make_file(&master)?;
        Keyring::open_or_create(&data_dir.join(KEYS_FILE_NAME), MasterSource::File(master)).map(Seal::new)
    }

    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// `column` names where the text stands; it can be opened only as what it was sealed as.
    pub fn seal(&self, column: &str, text: &str) -> String {
        let sealed = self.keyring.seal(Purpose::Store, column.as_bytes(), text.as_bytes());
        hex(&sealed.expect("there is a key for the store, and texts are far below the cipher's limit"))
    }

    pub fn open(&self, column: &str, sealed: &str) -> Result<String, StoreError> {
        let broken = || StoreError::content(format!("a {column} that its key does not open"));
        let sealed = unhex(sealed).ok_or_else(broken)?;
        let plain = self.keyring.open_value(Purpose::Store, column.as_bytes(), &sealed).map_err(|_| broken())?;
        String::from_utf8(plain).map_err(|_| broken())
    }

    /// The same text gives the same digest; without the key, neither can be told from the other.
    pub fn digest(&self, column: &str, text: &str) -> String {
        let digest = self.keyring.lookup(column.as_bytes(), text.as_bytes());
        hex(&digest.expect("there is a key for looking up"))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let is_hex = text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let byte = |index: usize| u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok();
    is_hex.then(|| (0..text.len() / 2).map(byte).collect::<Option<Vec<u8>>>()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(seed: u64) -> Seal {
        Seal::new(Keyring::for_simulation(seed).unwrap())
    }

    #[test]
    fn only_the_same_column_and_key_open_it() {
        let (one, other) = (seal(1), seal(2));
        let sealed = one.seal("name", "Asha ☂");
        assert_ne!(sealed, one.seal("name", "Asha ☂"));
        assert_eq!(one.open("name", &sealed).unwrap(), "Asha ☂");
        assert!(one.open("email", &sealed).is_err());
        assert!(other.open("name", &sealed).is_err());
        for damaged in ["", "00", "zz", &sealed[2..], &sealed[..sealed.len() - 2]] {
            assert!(one.open("name", damaged).is_err(), "{damaged}");
        }
    }

    #[test]
    fn what_was_sealed_before_a_rotation_opens_after_it() {
        let seal = seal(1);
        let (before, digest) = (seal.seal("name", "Asha"), seal.digest("name", "Asha"));
        seal.keyring().rotate(Purpose::Store).unwrap();
        assert_eq!(seal.open("name", &before).unwrap(), "Asha");
        assert_eq!(seal.digest("name", "Asha"), digest);
        let after = unhex(&seal.seal("name", "Asha")).unwrap();
        assert_ne!(Keyring::key_of_value(&after), Keyring::key_of_value(&unhex(&before).unwrap()));
    }

    #[test]
    fn digests_find_and_do_not_tell() {
        let (one, other) = (seal(1), seal(2));
        assert_eq!(one.digest("email", "a@b.in"), one.digest("email", "a@b.in"));
        assert_ne!(one.digest("email", "a@b.in"), one.digest("phone", "a@b.in"));
        assert_ne!(one.digest("email", "a@b.in"), other.digest("email", "a@b.in"));
    }

    #[test]
    fn the_folder_opens_its_own_again() {
        let folder = tempfile::tempdir().unwrap();
        let sealed = Seal::load_or_create(folder.path()).unwrap().seal("name", "x");
        assert_eq!(Seal::load_or_create(folder.path()).unwrap().open("name", &sealed).unwrap(), "x");
    }
}
