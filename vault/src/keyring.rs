//! The keyring: all data keys of a data folder in memory, found by id or by purpose, and rotated. A file that another
//! process has changed is read again when somebody asks for it by `refresh`, which those do who begin a new file.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use secrecy::{ExposeSecretMut as _, SecretBox};

use crate::file::{self, Stamp};
use crate::random::Random;
use crate::seal::{KEY_BYTES, SEAL_BYTES};
use crate::{DataKey, Error, KeyId, MasterKey, MasterSource, Purpose, Result};

/// A sealed value is this, the key's id, and what was sealed.
const VALUE_VERSION: u8 = 1;
const VALUE_HEADER_BYTES: usize = 1 + 16;

/// Cheap to clone; all clones are the same keyring.
#[derive(Clone, Debug)]
pub struct Keyring {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// None for one that lives in memory only.
    place: Option<Place>,
    keys: RwLock<Vec<DataKey>>,
    /// Of the file, as it was last read.
    stamp: Mutex<Option<Stamp>>,
    random: Random,
}

#[derive(Debug)]
struct Place {
    path: PathBuf,
    master: MasterSource,
}

/// What may be told of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    pub id: KeyId,
    pub purpose: Purpose,
    pub created_micros: u64,
    /// What is new is sealed with it.
    pub is_current: bool,
}

impl Keyring {
    /// Reads the file, or makes it with a key for each purpose; a purpose that it has no key for yet gets one.
    pub fn open_or_create(path: &Path, master: MasterSource) -> Result<Keyring> {
        let random = Random::System;
        let master_key = master.read()?;
        let _lock = file::lock(path)?;
        let mut keys = match file::read(path, &master_key, &random) {
            Err(Error::NoKeyFile { .. }) => Vec::new(),
            read => read?,
        };
        let before = keys.len();
        for purpose in Purpose::ALL {
            if !keys.iter().any(|key| key.purpose() == purpose) {
                keys.push(new_key(purpose, now_micros(), &random, &random)?);
            }
        }
        if keys.len() > before {
            file::write(path, &master_key, &keys, &random)?;
        }
        let stamp = file::stamp(path)?;
        Ok(Keyring::of(Some(Place { path: path.to_owned(), master }), keys, stamp, random))
    }

    /// For who only reads: nothing is made.
    pub fn open(path: &Path, master: MasterSource) -> Result<Keyring> {
        let random = Random::System;
        // Looked at before it is read: a file that changes in between is read again at the next `refresh`.
        let stamp = file::stamp(path)?;
        let keys = file::read(path, &master.read()?, &random)?;
        Ok(Keyring::of(Some(Place { path: path.to_owned(), master }), keys, stamp, random))
    }

    /// A keyring without a file whose keys and nonces follow from a seed, so that a simulation runs the same way twice.
    /// It protects nothing.
    pub fn for_simulation(seed: u64) -> Result<Keyring> {
        // Keys come from one stream and nonces from another, so that a new purpose changes nothing for the others.
        let (for_keys, random) = (Random::seeded(seed), Random::seeded(!seed));
        let key = |purpose| new_key(purpose, 1, &for_keys, &random);
        let keys: Result<Vec<DataKey>> = Purpose::ALL.into_iter().map(key).collect();
        Ok(Keyring::of(None, keys?, None, random))
    }

    /// The key for what is new.
    pub fn current(&self, purpose: Purpose) -> Result<DataKey> {
        let keys = self.shared.keys.read().unwrap_or_else(PoisonError::into_inner);
        let newest = keys.iter().rev().find(|key| key.purpose() == purpose);
        newest
            .cloned()
            .ok_or_else(|| Error::KeyFile { path: self.path(), what: format!("no key for {}", purpose.name()) })
    }

    /// The key that a file or a value names. One that is not known may have come meanwhile.
    pub fn by_id(&self, id: KeyId) -> Result<DataKey> {
        if let Some(key) = self.known(id) {
            return Ok(key);
        }
        self.refresh();
        self.known(id).ok_or_else(|| Error::NoSuchKey { id, place: self.path().display().to_string() })
    }

    pub fn list(&self) -> Vec<KeyInfo> {
        let keys = self.shared.keys.read().unwrap_or_else(PoisonError::into_inner);
        let is_current = |key: &DataKey| {
            let newest = keys.iter().rev().find(|other| other.purpose() == key.purpose());
            newest.is_some_and(|newest| newest.id() == key.id())
        };
        let info = |key: &DataKey| KeyInfo {
            id: key.id(),
            purpose: key.purpose(),
            created_micros: key.created_micros(),
            is_current: is_current(key),
        };
        keys.iter().map(info).collect()
    }

    /// Makes a new current key; the old ones stay, and what they sealed stays readable.
    pub fn rotate(&self, purpose: Purpose) -> Result<KeyId> {
        if !purpose.rotates() {
            return Err(Error::NeverRotated { purpose: purpose.name() });
        }
        let random = &self.shared.random;
        let Some(place) = &self.shared.place else {
            let mut keys = self.shared.keys.write().unwrap_or_else(PoisonError::into_inner);
            let key = new_key(purpose, keys.len() as u64 + 1, random, random)?;
            let id = key.id();
            keys.push(key);
            return Ok(id);
        };
        let master = place.master.read()?;
        let _lock = file::lock(&place.path)?;
        let mut keys = file::read(&place.path, &master, random)?;
        let key = new_key(purpose, now_micros(), random, random)?;
        let id = key.id();
        keys.push(key);
        file::write(&place.path, &master, &keys, random)?;
        self.take(keys, file::stamp(&place.path)?);
        Ok(id)
    }

    /// Reads the file again if it has changed. If it cannot be read, which is told, the keys that are known still serve:
    /// a wrong file must not stop a server that has what it needs.
    pub fn refresh(&self) {
        let Some(place) = &self.shared.place else { return };
        let read = || -> Result<()> {
            let stamp = file::stamp(&place.path)?;
            if stamp == *self.shared.stamp.lock().unwrap_or_else(PoisonError::into_inner) {
                return Ok(());
            }
            let keys = file::read(&place.path, &place.master.read()?, &self.shared.random)?;
            self.take(keys, stamp);
            Ok(())
        };
        if let Err(error) = read() {
            tracing::warn!(path = %place.path.display(), %error, "changed keys not read; going on with those known");
        }
    }

    /// Wraps all keys of a file with another master key. A server that runs goes on with the keys that it has.
    pub fn rewrap(path: &Path, old: &MasterKey, new: &MasterKey) -> Result<usize> {
        let random = Random::System;
        let _lock = file::lock(path)?;
        let keys = file::read(path, old, &random)?;
        file::write(path, new, &keys, &random)?;
        Ok(keys.len())
    }

    /// Seals a single value, such as a column of a row. `context` says where it belongs, so that it opens nowhere else.
    pub fn seal(&self, purpose: Purpose, context: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
        let key = self.current(purpose)?;
        let mut sealed = vec![0; VALUE_HEADER_BYTES + plain.len() + SEAL_BYTES];
        sealed[0] = VALUE_VERSION;
        sealed[1..VALUE_HEADER_BYTES].copy_from_slice(&key.id().0);
        key.values().seal_to(context, plain, &mut sealed[VALUE_HEADER_BYTES..])?;
        Ok(sealed)
    }

    /// Opens what `seal` gave, whichever key of the purpose it was sealed with.
    pub fn open_value(&self, purpose: Purpose, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
        let id = Keyring::key_of_value(sealed).ok_or(Error::Seal)?;
        let key = self.by_id(id)?;
        if key.purpose() != purpose {
            return Err(Error::Seal);
        }
        key.values().open(context, &sealed[VALUE_HEADER_BYTES..])
    }

    /// The key that a value was sealed with: whoever seals old rows anew looks whether it is the current one.
    pub fn key_of_value(sealed: &[u8]) -> Option<KeyId> {
        let (header, _) = sealed.split_at_checked(VALUE_HEADER_BYTES)?;
        if header[0] != VALUE_VERSION {
            return None;
        }
        header[1..].try_into().ok().map(KeyId)
    }

    /// What stands for a value where it has to be found again, such as a phone number: the same each time, for this
    /// keyring only (HMAC-SHA-256). It tells nothing but whether two values are the same.
    pub fn lookup(&self, context: &[u8], value: &[u8]) -> Result<[u8; 32]> {
        Ok(self.current(Purpose::Lookup)?.mac(&[context, value]))
    }

    fn of(place: Option<Place>, keys: Vec<DataKey>, stamp: Option<Stamp>, random: Random) -> Keyring {
        Keyring { shared: Arc::new(Shared { place, keys: RwLock::new(keys), stamp: Mutex::new(stamp), random }) }
    }

    fn known(&self, id: KeyId) -> Option<DataKey> {
        let keys = self.shared.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.iter().find(|key| key.id() == id).cloned()
    }

    fn take(&self, keys: Vec<DataKey>, stamp: Option<Stamp>) {
        *self.shared.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        *self.shared.stamp.lock().unwrap_or_else(PoisonError::into_inner) = stamp;
    }

    fn path(&self) -> PathBuf {
        self.shared.place.as_ref().map_or_else(|| PathBuf::from("memory"), |place| place.path.clone())
    }
}

/// The key keeps a source of its own for what it will need later.
fn new_key(purpose: Purpose, created_micros: u64, source: &Random, kept: &Random) -> Result<DataKey> {
    let mut secret = SecretBox::new(Box::new([0; KEY_BYTES]));
    source.fill(secret.expose_secret_mut())?;
    DataKey::new(KeyId(source.array()?), purpose, created_micros, secret, kept.clone())
}

fn now_micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| u64::try_from(age.as_micros()).unwrap_or(u64::MAX))
}
