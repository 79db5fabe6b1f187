//! The master key, which wraps data keys: out of a file or a variable, or made for a data folder that was given none.

use std::fmt::{self, Write as _};
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, ExposeSecretMut as _, SecretBox, SecretString};

use crate::random::Random;
use crate::seal::{KEY_BYTES, SealKey};
use crate::{Error, Result};

/// The name, in a data folder, of a master key that was made there for want of another.
pub const MASTER_FILE_NAME: &str = "master.key";

/// More than a key in any form takes.
const FILE_BYTES_MAX: u64 = 4096;

/// 32 bytes that wrap data keys. Cloning and showing it are not offered: it lives as long as it is needed.
pub struct MasterKey {
    secret: SecretBox<[u8; KEY_BYTES]>,
}

/// Shows a name that does not tell the key.
impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", self.name())
    }
}

/// Where the master key is found, each time that it is needed: so a file that was replaced is noticed.
#[derive(Clone, Debug)]
pub enum MasterSource {
    File(PathBuf),
    /// The key's text, from the variable named.
    Value {
        text: SecretString,
        from: &'static str,
    },
}

impl MasterSource {
    pub fn read(&self) -> Result<MasterKey> {
        match self {
            MasterSource::File(path) => MasterKey::from_file(path),
            MasterSource::Value { text, from } => MasterKey::parse(text.expose_secret(), from),
        }
    }
}

impl MasterKey {
    /// Refused if the file's mode lets others than owner and group read it, or others than its owner change it.
    pub fn from_file(path: &Path) -> Result<MasterKey> {
        let metadata = fs::metadata(path).map_err(Error::file("read the master key file", path))?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o027 != 0 {
            return Err(Error::MasterExposed { path: path.to_owned(), mode });
        }
        let place = path.display().to_string();
        if metadata.len() > FILE_BYTES_MAX {
            return Err(Error::MasterFormat { place });
        }
        let bytes = Zeroizing::new(fs::read(path).map_err(Error::file("read the master key file", path))?);
        let text = std::str::from_utf8(&bytes).map_err(|_| Error::MasterFormat { place: place.clone() })?;
        MasterKey::parse(text, &place)
    }

    /// `place` is for the message when this is no key.
    pub fn parse(text: &str, place: &str) -> Result<MasterKey> {
        let text = text.trim();
        let bytes = if text.len() == 2 * KEY_BYTES { unhex(text) } else { unbase64(text) };
        let refused = || Error::MasterFormat { place: place.to_owned() };
        let bytes = bytes.filter(|bytes| bytes.len() == KEY_BYTES).ok_or_else(refused)?;
        let mut secret = SecretBox::new(Box::new([0; KEY_BYTES]));
        secret.expose_secret_mut().copy_from_slice(&bytes);
        Ok(MasterKey { secret })
    }

    /// Makes a new key in a file that only its owner can read, unless there is one.
    pub fn make_file(path: &Path) -> Result<()> {
        if fs::exists(path).map_err(Error::file("look for the master key file", path))? {
            return Ok(());
        }
        let bytes: Zeroizing<[u8; KEY_BYTES]> = Zeroizing::new(Random::System.array()?);
        let mut text = Zeroizing::new(String::with_capacity(2 * KEY_BYTES + 1));
        for byte in bytes.iter() {
            write!(text, "{byte:02x}").expect("a string takes what is written to it");
        }
        text.push('\n');
        match write_new(path, text.as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            written => written.map_err(Error::file("make the master key file", path)),
        }
    }

    /// What tells this master key from others, and tells nothing of it.
    pub fn name(&self) -> String {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"florin master key's name");
        context.update(self.secret.expose_secret());
        context.finish().as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn wrapping(&self, random: &Random) -> Result<SealKey> {
        SealKey::from_secret(&self.secret, b"florin wrapped keys", random)
    }
}

/// Whole and durable under its name, or not there: a key of which half is written would lock its owner out.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = path.with_extension("part");
    match fs::remove_file(&part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    // A link, since a rename would replace a key that another process has made meanwhile.
    fs::hard_link(&part, path)?;
    fs::remove_file(&part)?;
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn unhex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_BYTES));
    for pair in text.as_bytes().chunks(2) {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let value = digit(pair[0])? * 16 + digit(*pair.get(1)?)?;
        bytes.push(u8::try_from(value).ok()?);
    }
    Some(bytes)
}

fn unbase64(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let bytes = STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok()?;
    Some(Zeroizing::new(bytes))
}
