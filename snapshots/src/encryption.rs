//! Encrypted snapshots: the key of each, and what its blocks and its state are opened with. Checksums and the hash are
//! over the bytes as they are stored, so a snapshot is copied, sent and counted without a key.

use std::path::Path;

use vault::{Encryption, KeyId, Purpose, SEAL_BYTES, SealKey};

use crate::{Block, Error, Header, Result, layout};

/// A snapshot's key is derived from a data key and a salt of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotKey {
    pub(crate) data_key: KeyId,
    pub(crate) salt: [u8; 32],
}

impl SnapshotKey {
    /// For a snapshot that is about to begin; none if it is to stand in clear.
    pub(crate) fn new(encryption: &Encryption) -> vault::Result<Option<SnapshotKey>> {
        let Some(keys) = encryption.writes() else { return Ok(None) };
        // Another process may have rotated the keys.
        keys.refresh();
        let key = keys.current(Purpose::Snapshots)?;
        Ok(Some(SnapshotKey { data_key: key.id(), salt: key.new_salt()? }))
    }
}

/// Encrypts or decrypts one snapshot's blocks, in their order.
#[derive(Debug)]
pub(crate) struct Cipher {
    key: SealKey,
    block_no: u64,
    bytes: Vec<u8>,
}

impl Cipher {
    /// None if the snapshot stands in clear.
    pub(crate) fn new(
        key: Option<&SnapshotKey>,
        header: &Header,
        encryption: &Encryption,
    ) -> vault::Result<Option<Cipher>> {
        let Some(key) = key else { return Ok(None) };
        let header = layout::encode_header(header, Some(key));
        let key = encryption.by_id(key.data_key)?.derived(&key.salt, &[b"florin snapshot", &header])?;
        Ok(Some(Cipher { key, block_no: 0, bytes: Vec::new() }))
    }

    pub(crate) fn encrypt(&mut self, kind: u8, rows: u32, bytes: &[u8]) -> vault::Result<&[u8]> {
        self.bytes.resize(bytes.len() + SEAL_BYTES, 0);
        self.key.seal_to(&context(kind, rows, self.block_no), bytes, &mut self.bytes)?;
        self.block_no += 1;
        Ok(&self.bytes)
    }

    pub(crate) fn decrypt(&mut self, block: Block<'_>) -> vault::Result<Block<'_>> {
        let Block { kind, rows, bytes } = block;
        self.key.open_to(&context(kind, rows, self.block_no), bytes, &mut self.bytes)?;
        self.block_no += 1;
        Ok(Block { kind, rows, bytes: &self.bytes })
    }

    pub(crate) fn encrypt_state(&self, state: &[u8]) -> vault::Result<Vec<u8>> {
        self.key.seal(STATE, state)
    }

    pub(crate) fn decrypt_state(&self, state: &[u8]) -> vault::Result<Vec<u8>> {
        self.key.open(STATE, state)
    }
}

/// What an error of the keys is, for the snapshot that it happened with.
pub(crate) fn no_key(path: &Path) -> impl FnOnce(vault::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Key { path, source }
}

/// What does not open although its checksum holds was changed by somebody who can make checksums.
pub(crate) fn forged(path: &Path, offset: u64) -> impl FnOnce(vault::Error) -> Error {
    let path = path.to_owned();
    move |_| Error::Damaged { path, offset, what: "not encrypted with the snapshot's key, or changed by somebody" }
}

/// A block opens as what it was written, and where it was written, only.
fn context(kind: u8, rows: u32, block_no: u64) -> [u8; 13] {
    let mut context = [0; 13];
    context[0] = kind;
    context[1..5].copy_from_slice(&rows.to_le_bytes());
    context[5..].copy_from_slice(&block_no.to_le_bytes());
    context
}

const STATE: &[u8] = b"state";

/// Decrypts what a reader found, if it is encrypted, and hands it on as it is otherwise.
pub(crate) fn opened<'a>(
    cipher: &'a mut Option<Cipher>,
    block: Block<'a>,
    path: &Path,
    offset: u64,
) -> Result<Block<'a>> {
    match cipher {
        None => Ok(block),
        Some(cipher) => cipher.decrypt(block).map_err(forged(path, offset)),
    }
}
