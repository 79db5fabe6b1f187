//! The file of keys: its layout, how data keys are wrapped in it, and how it is replaced. The file holds no secret
//! that can be read without the master key; it is for its owner's eyes all the same.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, ExposeSecretMut as _, SecretBox};
use serde::{Deserialize, Serialize};

use crate::random::Random;
use crate::seal::{KEY_BYTES, SealKey};
use crate::{DataKey, Error, KeyId, MasterKey, Purpose, Result};

const VERSION: u32 = 1;
/// Some thousand keys: a rotation a day for years.
const FILE_BYTES_MAX: u64 = 4 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    florin_keys: u32,
    /// The name of the master key.
    wrapped_by: String,
    /// The oldest first; the last one of a purpose is the current one.
    keys: Vec<WrappedKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrappedKey {
    id: String,
    purpose: String,
    created_micros: u64,
    /// Base64 of the key, sealed; id, purpose and time are the context.
    wrapped: String,
}

/// Tells whether a file is the one that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

/// None if there is no file.
pub(crate) fn stamp(path: &Path) -> Result<Option<Stamp>> {
    match fs::metadata(path) {
        Ok(found) => {
            let changed = (found.mtime(), found.mtime_nsec());
            Ok(Some(Stamp { inode: found.ino(), bytes: found.len(), changed }))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file("look at", path)(error)),
    }
}

/// Held while the file is read, changed and replaced, so that two who rotate do not lose each other's keys.
pub(crate) fn lock(path: &Path) -> Result<File> {
    let lock_path = path.with_extension("lock");
    let open = || -> io::Result<File> {
        let options = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&lock_path)?;
        options.lock()?;
        Ok(options)
    };
    open().map_err(Error::file("lock", &lock_path))
}

pub(crate) fn read(path: &Path, master: &MasterKey, random: &Random) -> Result<Vec<DataKey>> {
    let metadata = fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::NoKeyFile { path: path.to_owned() },
        _ => Error::file("read", path)(error),
    })?;
    let refused = |what: String| Error::KeyFile { path: path.to_owned(), what };
    if metadata.len() > FILE_BYTES_MAX {
        return Err(refused("it is too long".to_owned()));
    }
    let bytes = fs::read(path).map_err(Error::file("read", path))?;
    let content: Content = serde_json::from_slice(&bytes).map_err(|error| refused(error.to_string()))?;
    if content.florin_keys != VERSION {
        return Err(refused(format!("it has version {}, and known is {VERSION}", content.florin_keys)));
    }
    if content.wrapped_by != master.name() {
        let (path, given) = (path.to_owned(), master.name());
        return Err(Error::OtherMaster { path, wrapped_by: content.wrapped_by, given });
    }
    let wrapping = master.wrapping(random)?;
    content.keys.iter().map(|key| key.unwrap(path, &wrapping, random)).collect()
}

/// Replaces the file as a whole; it is durable when this returns.
pub(crate) fn write(path: &Path, master: &MasterKey, keys: &[DataKey], random: &Random) -> Result<()> {
    let wrapping = master.wrapping(random)?;
    let wrapped: Result<Vec<WrappedKey>> = keys.iter().map(|key| WrappedKey::of(key, &wrapping)).collect();
    let content = Content { florin_keys: VERSION, wrapped_by: master.name(), keys: wrapped? };
    replace(path, &content).map_err(Error::file("write", path))
}

impl WrappedKey {
    fn of(key: &DataKey, wrapping: &SealKey) -> Result<WrappedKey> {
        let context = context(key.id(), key.purpose(), key.created_micros());
        let wrapped = wrapping.seal(&context, key.secret().expose_secret())?;
        Ok(WrappedKey {
            id: key.id().to_string(),
            purpose: key.purpose().name().to_owned(),
            created_micros: key.created_micros(),
            wrapped: STANDARD.encode(wrapped),
        })
    }

    fn unwrap(&self, path: &Path, wrapping: &SealKey, random: &Random) -> Result<DataKey> {
        let refused = |what: &str| Error::KeyFile { path: PathBuf::from(path), what: what.to_owned() };
        let id: KeyId = self.id.parse().map_err(|_| refused("the id of a key is none"))?;
        let purpose = Purpose::parse(&self.purpose).ok_or_else(|| refused("a key is for an unknown purpose"))?;
        let damaged = || Error::Wrapped { path: path.to_owned(), id };
        let wrapped = STANDARD.decode(&self.wrapped).map_err(|_| damaged())?;
        let opened = wrapping.open(&context(id, purpose, self.created_micros), &wrapped).map_err(|_| damaged())?;
        let opened = Zeroizing::new(opened);
        if opened.len() != KEY_BYTES {
            return Err(damaged());
        }
        let mut secret = SecretBox::new(Box::new([0; KEY_BYTES]));
        secret.expose_secret_mut().copy_from_slice(&opened);
        DataKey::new(id, purpose, self.created_micros, secret, random.clone())
    }
}

fn context(id: KeyId, purpose: Purpose, created_micros: u64) -> Vec<u8> {
    [b"florin key", &id.0[..], &created_micros.to_le_bytes(), purpose.name().as_bytes()].concat()
}

fn replace(path: &Path, content: &Content) -> io::Result<()> {
    let part = path.with_extension("part");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    serde_json::to_writer_pretty(&mut file, content)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
