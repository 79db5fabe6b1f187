//! The operator's API key: made at the first start, shown once, kept as a hash. People and roles
//! are not here; who is let in by what header is in `door`.

use std::fs;
use std::hint::black_box;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::TryRng as _;
use rand::rngs::SysRng;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub const FILE_NAME: &str = "operator-key.json";
pub const KEY_PREFIX: &str = "flk_";
/// A key that an operator chooses: the prefix and at least as much as 128 bits in hexadecimal.
pub const KEY_CHARACTERS_MIN: usize = 36;
pub const KEY_CHARACTERS_MAX: usize = 200;

/// The keys that open the /v1 routes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct OperatorKeys {
    hashes: Arc<[[u8; 32]]>,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    #[error("the operator's key file {} cannot be used", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the operator's key file {} is not one that Florin wrote", path.display())]
    Content { path: PathBuf, source: Option<serde_json::Error> },
    #[error("the operating system gives no random bytes")]
    Random(#[source] rand::rngs::SysError),
    #[error(
        "an API key starts with {KEY_PREFIX} and has {KEY_CHARACTERS_MIN} to {KEY_CHARACTERS_MAX} visible characters"
    )]
    Chosen,
    #[error("the chosen API key is not the one of {}; take it back, or remove the file to begin anew", path.display())]
    OtherKey { path: PathBuf },
}

/// The file's content.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    version: u32,
    sha256: Vec<String>,
}

impl OperatorKeys {
    /// Reads the key's hash, or makes a key (or takes `chosen`) and keeps its hash. The key is given
    /// once, at the first start; nobody can read it again. At later starts `chosen` must be the key
    /// that is kept: a server that silently kept another one would look broken to its clients.
    pub fn load_or_create(
        directory: &Path,
        chosen: Option<SecretString>,
    ) -> Result<(OperatorKeys, Option<SecretString>), AuthError> {
        let path = directory.join(FILE_NAME);
        match fs::read(&path) {
            Ok(bytes) => {
                let keys = parse(&bytes, &path)?;
                match chosen {
                    Some(key) if !keys.accepts(key.expose_secret().as_bytes()) => Err(AuthError::OtherKey { path }),
                    _ => Ok((keys, None)),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = match chosen {
                    Some(key) => {
                        OperatorKeys::check_chosen(&key)?;
                        key
                    }
                    None => generate()?,
                };
                let keys = OperatorKeys::of([sha256(key.expose_secret().as_bytes())]);
                keys.write(directory, &path).map_err(|source| AuthError::File { path, source })?;
                Ok((keys, Some(key)))
            }
            Err(source) => Err(AuthError::File { path, source }),
        }
    }

    /// Whether a key that an operator chose has the form of one.
    pub fn check_chosen(key: &SecretString) -> Result<(), AuthError> {
        let text = key.expose_secret();
        let fits = text.starts_with(KEY_PREFIX)
            && (KEY_CHARACTERS_MIN..=KEY_CHARACTERS_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(()) } else { Err(AuthError::Chosen) }
    }

    pub fn accepts(&self, key: &[u8]) -> bool {
        let hash = sha256(key);
        // All are compared, so that the time does not tell which one was near.
        self.hashes.iter().fold(false, |found, known| found | same_bytes(known, &hash))
    }

    fn of<const N: usize>(hashes: [[u8; 32]; N]) -> OperatorKeys {
        OperatorKeys { hashes: Arc::new(hashes) }
    }

    /// A crash leaves either no file or a whole one.
    fn write(&self, directory: &Path, path: &Path) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        let temporary = path.with_extension("json.tmp");
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        let content = KeyFile { version: 1, sha256: self.hashes.iter().map(|hash| hex(hash)).collect() };
        serde_json::to_writer_pretty(&mut file, &content)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        fs::File::open(directory)?.sync_all()
    }
}

fn parse(bytes: &[u8], path: &Path) -> Result<OperatorKeys, AuthError> {
    let broken = |source| AuthError::Content { path: path.to_owned(), source };
    let content: KeyFile = serde_json::from_slice(bytes).map_err(|error| broken(Some(error)))?;
    let hashes: Option<Vec<[u8; 32]>> = content.sha256.iter().map(|text| unhex(text)).collect();
    match hashes {
        Some(hashes) if content.version == 1 && !hashes.is_empty() => Ok(OperatorKeys { hashes: hashes.into() }),
        _ => Err(broken(None)),
    }
}

fn generate() -> Result<SecretString, AuthError> {
    let mut bytes = [0; 32];
    SysRng.try_fill_bytes(&mut bytes).map_err(AuthError::Random)?;
    Ok(SecretString::from(format!("{KEY_PREFIX}{}", hex(&bytes))))
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Takes as long for the first difference as for the last; only the length shows.
pub(super) fn same_bytes(one: &[u8], other: &[u8]) -> bool {
    let ((words, rest), (other_words, other_rest)) = (one.as_chunks::<8>(), other.as_chunks::<8>());
    let word = |bytes: &[u8; 8]| u64::from_ne_bytes(*bytes);
    let seen = words.iter().zip(other_words).fold(0, |seen, (a, b)| black_box(seen | (word(a) ^ word(b))));
    let difference = rest.iter().zip(other_rest).fold(seen, |seen, (a, b)| black_box(seen | u64::from(a ^ b)));
    one.len() == other.len() && difference == 0
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_key_is_shown_once_and_kept_as_a_hash() {
        let folder = tempfile::tempdir().unwrap();
        let (_, key) = OperatorKeys::load_or_create(folder.path(), None).unwrap();
        let key = key.unwrap();
        let path = folder.path().join(FILE_NAME);
        let kept = fs::read_to_string(&path).unwrap();
        assert!(!kept.contains(&key.expose_secret()[KEY_PREFIX.len()..]));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (keys, again) = OperatorKeys::load_or_create(folder.path(), None).unwrap();
        assert!(again.is_none());
        assert!(keys.accepts(key.expose_secret().as_bytes()));
        assert!(!keys.accepts(b"flk_"));
    }

    #[test]
    fn a_chosen_key_is_taken_at_the_first_start_only() {
        let folder = tempfile::tempdir().unwrap();
        let refused = OperatorKeys::load_or_create(folder.path(), Some(SecretString::from("flk_short")));
        assert!(matches!(refused, Err(AuthError::Chosen)));
        let chosen = || Some(SecretString::from("flk_0123456789abcdef0123456789abcdef"));
        let (keys, shown) = OperatorKeys::load_or_create(folder.path(), chosen()).unwrap();
        assert!(shown.is_some() && keys.accepts(b"flk_0123456789abcdef0123456789abcdef"));
        assert!(OperatorKeys::load_or_create(folder.path(), chosen()).is_ok());
        let other = Some(SecretString::from("flk_ffffffffffffffffffffffffffffffff"));
        let refused = OperatorKeys::load_or_create(folder.path(), other);
        assert!(matches!(refused, Err(AuthError::OtherKey { .. })));
    }

    #[test]
    fn a_damaged_file_opens_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for content in ["", "{}", r#"{"version":1,"sha256":[]}"#, r#"{"version":1,"sha256":["00"]}"#] {
            fs::write(folder.path().join(FILE_NAME), content).unwrap();
            let loaded = OperatorKeys::load_or_create(folder.path(), None);
            assert!(matches!(loaded, Err(AuthError::Content { .. })), "{content}");
        }
    }
}
