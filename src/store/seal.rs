//! Sealing of what is sensitive in the database: AES-256-GCM with a random nonce, bound to the column it stands in, and
//! keyed digests by which a sealed value can be found.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::{hmac, rand};

use super::StoreError;

pub const FILE_NAME: &str = "store.key";

const KEY_BYTES: usize = 32;

/// The keys of the database's sensitive columns.
pub struct Seal {
    sealing: LessSafeKey,
    finding: hmac::Key,
    signing: [u8; KEY_BYTES],
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error("the database's key file {} cannot be used", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the database's key file {} is not one that Florin wrote", path.display())]
    Content { path: PathBuf },
    #[error("the operating system gives no random bytes")]
    Random,
}

impl Seal {
    pub fn load_or_create(directory: &Path) -> Result<Seal, SealError> {
        let path = directory.join(FILE_NAME);
        match fs::read(&path) {
            Ok(bytes) => {
                let root = <[u8; KEY_BYTES]>::try_from(bytes).map_err(|_| SealError::Content { path })?;
                Ok(Seal::new(&root))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut root = [0; KEY_BYTES];
                rand::fill(&mut root).map_err(|_| SealError::Random)?;
                write(directory, &path, &root).map_err(|source| SealError::File { path, source })?;
                Ok(Seal::new(&root))
            }
            Err(source) => Err(SealError::File { path, source }),
        }
    }

    /// One key for each use, all made from `root` (RFC 5869).
    pub fn new(root: &[u8; KEY_BYTES]) -> Seal {
        let derive = |what: &[u8]| {
            let mut key = [0; KEY_BYTES];
            let root = Salt::new(HKDF_SHA256, b"florin store").extract(root);
            let filled = root.expand(&[what], HKDF_SHA256).and_then(|key_material| key_material.fill(&mut key));
            filled.expect("a SHA-256 has room for a key");
            key
        };
        let sealing = UnboundKey::new(&AES_256_GCM, &derive(b"sealing")).expect("the key has the cipher's length");
        Seal {
            sealing: LessSafeKey::new(sealing),
            finding: hmac::Key::new(hmac::HMAC_SHA256, &derive(b"finding")),
            signing: derive(b"signing"),
        }
    }

    /// The key that access tokens are signed with.
    pub fn signing_key(&self) -> &[u8; KEY_BYTES] {
        &self.signing
    }

    /// `column` names where the text stands; it can be opened only as what it was sealed as.
    pub fn seal(&self, column: &str, text: &str) -> String {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).expect("the operating system gave random bytes at the start");
        let mut bytes = text.as_bytes().to_vec();
        let sealed = self.sealing.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(column.as_bytes()),
            &mut bytes,
        );
        sealed.expect("a column's text is far below the cipher's limit");
        hex(nonce.iter().chain(&bytes))
    }

    pub fn open(&self, column: &str, sealed: &str) -> Result<String, StoreError> {
        let broken = || StoreError::content(format!("a {column} that its key does not open"));
        let mut bytes = unhex(sealed).ok_or_else(broken)?;
        let (nonce, rest) = bytes.split_at_mut_checked(NONCE_LEN).ok_or_else(broken)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| broken())?;
        let plain = self.sealing.open_in_place(nonce, Aad::from(column.as_bytes()), rest).map_err(|_| broken())?;
        String::from_utf8(plain.to_vec()).map_err(|_| broken())
    }

    /// The same text gives the same digest; without the key, neither can be told from the other.
    pub fn digest(&self, column: &str, text: &str) -> String {
        let mut context = hmac::Context::with_key(&self.finding);
        context.update(column.as_bytes());
        context.update(&[0]);
        context.update(text.as_bytes());
        hex(context.sign().as_ref())
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal")
    }
}

fn write(directory: &Path, path: &Path, root: &[u8]) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let temporary = path.with_extension("tmp");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(root)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    fs::File::open(directory)?.sync_all()
}

fn hex<'b>(bytes: impl IntoIterator<Item = &'b u8>) -> String {
    bytes.into_iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let is_hex = text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let byte = |index: usize| u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok();
    is_hex.then(|| (0..text.len() / 2).map(byte).collect::<Option<Vec<u8>>>()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_column_and_key_open_it() {
        let seal = Seal::new(&[1; KEY_BYTES]);
        let sealed = seal.seal("name", "Asha ☂");
        assert_ne!(sealed, seal.seal("name", "Asha ☂"));
        assert_eq!(seal.open("name", &sealed).unwrap(), "Asha ☂");
        assert!(seal.open("email", &sealed).is_err());
        assert!(Seal::new(&[2; KEY_BYTES]).open("name", &sealed).is_err());
        for damaged in
            ["", "00", "zz", &sealed[2..], &sealed[..sealed.len() - 2], &sealed.replace(&sealed[40..42], "  ")]
        {
            assert!(seal.open("name", damaged).is_err(), "{damaged}");
        }
    }

    #[test]
    fn digests_find_and_do_not_tell() {
        let seal = Seal::new(&[1; KEY_BYTES]);
        assert_eq!(seal.digest("email", "a@b.in"), seal.digest("email", "a@b.in"));
        assert_ne!(seal.digest("email", "a@b.in"), seal.digest("phone", "a@b.in"));
        assert_ne!(seal.digest("email", "a@b.in"), Seal::new(&[2; KEY_BYTES]).digest("email", "a@b.in"));
    }

    #[test]
    fn the_key_file_is_made_once_and_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let first = Seal::load_or_create(folder.path()).unwrap();
        let path = folder.path().join(FILE_NAME);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let sealed = first.seal("name", "x");
        assert_eq!(Seal::load_or_create(folder.path()).unwrap().open("name", &sealed).unwrap(), "x");
        fs::write(&path, b"short").unwrap();
        assert!(matches!(Seal::load_or_create(folder.path()), Err(SealError::Content { .. })));
    }
}
