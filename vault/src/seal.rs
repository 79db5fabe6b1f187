//! Data keys and the keys made of them, and what they do: seal and open with AES-256-GCM.
//! What is sealed is followed by its nonce (12 bytes, random) and its tag (16 bytes).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, hmac};
use secrecy::{ExposeSecret as _, SecretBox};

use crate::random::Random;
use crate::{Error, Purpose, Result};

const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
pub(crate) const KEY_BYTES: usize = 32;

/// What sealing adds to the length of what is sealed.
pub const SEAL_BYTES: usize = NONCE_BYTES + TAG_BYTES;

/// The name of a data key: random, and no secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub [u8; 16]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// The text was not 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key's id has 32 hexadecimal digits")]
pub struct NotAnId;

impl FromStr for KeyId {
    type Err = NotAnId;

    fn from_str(text: &str) -> std::result::Result<KeyId, NotAnId> {
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NotAnId);
        }
        u128::from_str_radix(text, 16).map(|number| KeyId(number.to_be_bytes())).map_err(|_| NotAnId)
    }
}

/// A key of one purpose. Files are not sealed with it but with keys derived from it, one for each file, so that no
/// key ever sees so many random nonces that two might be the same.
#[derive(Clone)]
pub struct DataKey {
    inner: Arc<Inner>,
}

struct Inner {
    id: KeyId,
    purpose: Purpose,
    created_micros: u64,
    secret: SecretBox<[u8; KEY_BYTES]>,
    values: SealKey,
    random: Random,
}

/// Shows nothing of the key itself.
impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataKey")
            .field("id", &self.inner.id)
            .field("purpose", &self.inner.purpose)
            .finish_non_exhaustive()
    }
}

impl DataKey {
    pub(crate) fn new(
        id: KeyId,
        purpose: Purpose,
        created_micros: u64,
        secret: SecretBox<[u8; KEY_BYTES]>,
        random: Random,
    ) -> Result<DataKey> {
        let values = derive(&secret, &[], &[b"florin values"], &random)?;
        Ok(DataKey { inner: Arc::new(Inner { id, purpose, created_micros, secret, values, random }) })
    }

    pub fn id(&self) -> KeyId {
        self.inner.id
    }

    pub fn purpose(&self) -> Purpose {
        self.inner.purpose
    }

    pub fn created_micros(&self) -> u64 {
        self.inner.created_micros
    }

    /// A salt for `derived`, to be kept with what is sealed.
    pub fn new_salt(&self) -> Result<[u8; 32]> {
        self.inner.random.array()
    }

    /// The key of one file: HKDF-SHA-256 of this key, the file's salt, and what the file is. The parts are put one behind
    /// the other, so give them fixed lengths.
    pub fn derived(&self, salt: &[u8; 32], what: &[&[u8]]) -> Result<SealKey> {
        derive(&self.inner.secret, salt, what, &self.inner.random)
    }

    /// For single values, of which there are few for a key.
    pub(crate) fn values(&self) -> &SealKey {
        &self.inner.values
    }

    pub(crate) fn secret(&self) -> &SecretBox<[u8; KEY_BYTES]> {
        &self.inner.secret
    }

    /// HMAC-SHA-256 of the parts.
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.inner.secret.expose_secret());
        let mut context = hmac::Context::with_key(&key);
        for part in parts {
            // Each part behind its length, so that no two lists of parts look the same.
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        let mut out = [0; 32];
        out.copy_from_slice(context.sign().as_ref());
        out
    }
}

fn derive(secret: &SecretBox<[u8; KEY_BYTES]>, salt: &[u8], what: &[&[u8]], random: &Random) -> Result<SealKey> {
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret.expose_secret());
    let key = UnboundKey::from(prk.expand(what, &AES_256_GCM)?);
    Ok(SealKey { key: Arc::new(LessSafeKey::new(key)), random: random.clone() })
}

/// A key that seals and opens.
#[derive(Clone)]
pub struct SealKey {
    key: Arc<LessSafeKey>,
    random: Random,
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey")
    }
}

impl SealKey {
    pub(crate) fn from_secret(secret: &SecretBox<[u8; KEY_BYTES]>, what: &[u8], random: &Random) -> Result<SealKey> {
        derive(secret, &[], &[what], random)
    }

    /// Writes to `sealed`, which has to be `SEAL_BYTES` longer. `context` is not written, and has to be the same when it
    /// is opened.
    pub fn seal_to(&self, context: &[u8], plain: &[u8], sealed: &mut [u8]) -> Result<()> {
        assert_eq!(sealed.len(), plain.len() + SEAL_BYTES, "what is sealed has its own length");
        let nonce: [u8; NONCE_BYTES] = self.random.array()?;
        let (body, end) = sealed.split_at_mut(plain.len());
        let (nonce_at, tag_at) = end.split_at_mut(NONCE_BYTES);
        nonce_at.copy_from_slice(&nonce);
        let nonce = Nonce::assume_unique_for_key(nonce);
        Ok(self.key.seal_out_of_place_scatter(nonce, Aad::from(context), plain, body, &[], tag_at)?)
    }

    /// Puts what was sealed into `plain`, in place of what is there.
    pub fn open_to(&self, context: &[u8], sealed: &[u8], plain: &mut Vec<u8>) -> Result<()> {
        let plain_bytes = sealed.len().checked_sub(SEAL_BYTES).ok_or(Error::Seal)?;
        let (body, end) = sealed.split_at(plain_bytes);
        let (nonce, tag) = end.split_at(NONCE_BYTES);
        let nonce = Nonce::try_assume_unique_for_key(nonce)?;
        plain.resize(plain_bytes, 0);
        self.key.open_separate_gather(nonce, Aad::from(context), body, tag, plain).map_err(|_| {
            plain.clear();
            Error::Seal
        })
    }

    pub fn seal(&self, context: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
        let mut sealed = vec![0; plain.len() + SEAL_BYTES];
        self.seal_to(context, plain, &mut sealed)?;
        Ok(sealed)
    }

    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
        let mut plain = Vec::new();
        self.open_to(context, sealed, &mut plain)?;
        Ok(plain)
    }
}
