//! Reading one snapshot file from its first block to its last, checking on
//! the way. What the rows mean is the caller's affair.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use vault::Encryption;
use wal::disk::{Disk, DiskFile};

use super::{file_path, io_error};
use crate::encryption::{self, Cipher, SnapshotKey, forged, no_key};
use crate::layout::{self, BLOCK_HEADER_BYTES, Bad, HEADER_BYTES, KEY_BYTES, TAIL_BYTES, Trailer};
use crate::{BLOCK_BYTES_MAX, Block, Error, Header, KindRows, Result};

/// A snapshot whose header and trailer are right. Its rows are right block by
/// block, and all together only when `next_block` has answered `None`: what
/// was built from them must not be used before that.
#[derive(Debug)]
pub struct Reader {
    stored: Stored,
    cipher: Option<Cipher>,
    state: Vec<u8>,
}

impl Reader {
    /// Opens one that stands in clear.
    pub fn open(disk: &dyn Disk, dir: &Path, lsn: u64) -> Result<Reader> {
        Reader::open_with_keys(disk, dir, lsn, &Encryption::Without)
    }

    pub fn open_with_keys(disk: &dyn Disk, dir: &Path, lsn: u64, encryption: &Encryption) -> Result<Reader> {
        let stored = Stored::open(disk, dir, lsn)?;
        let path = &stored.path;
        let cipher = Cipher::new(stored.key(), stored.header(), encryption).map_err(no_key(path))?;
        let state = match &cipher {
            None => stored.state().to_vec(),
            Some(cipher) => cipher.decrypt_state(stored.state()).map_err(forged(path, stored.trailer_offset))?,
        };
        Ok(Reader { stored, cipher, state })
    }

    pub fn header(&self) -> &Header {
        self.stored.header()
    }

    /// What the writer gave to `finish`.
    pub fn state(&self) -> &[u8] {
        &self.state
    }

    /// How many rows of each kind there will be, ascending by kind.
    pub fn rows(&self) -> &[KindRows] {
        self.stored.rows()
    }

    /// BLAKE3 of the whole file, by its trailer.
    pub fn hash(&self) -> &[u8; 32] {
        self.stored.hash()
    }

    /// The size of the file.
    pub fn bytes(&self) -> u64 {
        self.stored.file_bytes
    }

    /// How far reading has come, for a progress bar.
    pub fn bytes_read(&self) -> u64 {
        self.stored.offset
    }

    /// The next block, or `None` once all of them have been read and the file
    /// as a whole has been found to be what was written. An error is final:
    /// the same one comes again.
    pub fn next_block(&mut self) -> Result<Option<Block<'_>>> {
        let at = self.stored.offset;
        match self.stored.next_block()? {
            None => Ok(None),
            Some((path, block)) => encryption::opened(&mut self.cipher, block, path, at).map(Some),
        }
    }
}

/// The bytes of a snapshot as they are stored, encrypted or not.
#[derive(Debug)]
pub(crate) struct Stored {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    header: Header,
    key: Option<SnapshotKey>,
    trailer: Trailer,
    offset: u64,
    trailer_offset: u64,
    file_bytes: u64,
    hasher: blake3::Hasher,
    rows: BTreeMap<u8, u64>,
    buffer: Vec<u8>,
}

impl Stored {
    pub(crate) fn open(disk: &dyn Disk, dir: &Path, lsn: u64) -> Result<Stored> {
        let path = file_path(dir, lsn);
        let file = disk.open_read(&path).map_err(io_error("open", &path))?;
        let file_bytes = file.bytes().map_err(io_error("read the size of", &path))?;
        if file_bytes < (HEADER_BYTES + TAIL_BYTES) as u64 {
            let what = "too short for a snapshot";
            return Err(damaged(&path, file_bytes, what));
        }

        let mut header_bytes = [0; HEADER_BYTES];
        read(&*file, &path, &mut header_bytes, 0)?;
        let (header, has_key) = layout::decode_header(&header_bytes).map_err(|bad| refused(&path, 0, bad))?;
        if header.lsn != lsn {
            return Err(damaged(&path, 0, "another LSN than in the file's name"));
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&header_bytes);
        let mut offset = HEADER_BYTES as u64;
        let mut key = None;
        if has_key {
            if file_bytes < (HEADER_BYTES + KEY_BYTES + TAIL_BYTES) as u64 {
                return Err(damaged(&path, file_bytes, "too short for a snapshot"));
            }
            let mut key_bytes = [0; KEY_BYTES];
            read(&*file, &path, &mut key_bytes, offset)?;
            key = Some(layout::decode_key(&key_bytes).map_err(|bad| refused(&path, offset, bad))?);
            hasher.update(&key_bytes);
            offset += KEY_BYTES as u64;
        }

        let tail_offset = file_bytes - TAIL_BYTES as u64;
        let mut tail = [0; TAIL_BYTES];
        read(&*file, &path, &mut tail, tail_offset)?;
        let trailer_bytes = layout::decode_trailer_bytes(&tail).map_err(|bad| refused(&path, tail_offset, bad))?;
        let trailer_offset = file_bytes
            .checked_sub(trailer_bytes as u64)
            .filter(|&trailer_offset| trailer_offset >= offset)
            .ok_or_else(|| damaged(&path, tail_offset, "length of the trailer"))?;
        let mut buffer = vec![0; trailer_bytes];
        read(&*file, &path, &mut buffer, trailer_offset)?;
        let extra_bytes = layout::extra_bytes(key.as_ref());
        let trailer =
            layout::decode_trailer(&buffer, extra_bytes).map_err(|bad| refused(&path, trailer_offset, bad))?;
        Ok(Stored {
            path,
            file,
            header,
            key,
            trailer,
            offset,
            trailer_offset,
            file_bytes,
            hasher,
            rows: BTreeMap::new(),
            buffer,
        })
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    pub(crate) fn key(&self) -> Option<&SnapshotKey> {
        self.key.as_ref()
    }

    pub(crate) fn state(&self) -> &[u8] {
        &self.trailer.state
    }

    pub(crate) fn rows(&self) -> &[KindRows] {
        &self.trailer.rows
    }

    pub(crate) fn hash(&self) -> &[u8; 32] {
        &self.trailer.hash
    }

    /// The next block with the file's name, for whoever finds more wrong with it.
    pub(crate) fn next_block(&mut self) -> Result<Option<(&Path, Block<'_>)>> {
        if self.offset == self.trailer_offset {
            self.check_whole()?;
            return Ok(None);
        }
        let at = self.offset;
        let blocks_left = self.trailer_offset - at;
        if blocks_left < BLOCK_HEADER_BYTES as u64 {
            return Err(damaged(&self.path, at, "block reaches into the trailer"));
        }
        let mut header_bytes = [0; BLOCK_HEADER_BYTES];
        read(&*self.file, &self.path, &mut header_bytes, at)?;
        let header = layout::decode_block_header(&header_bytes);
        let length = header.bytes as usize;
        if length > BLOCK_BYTES_MAX + layout::extra_bytes(self.key.as_ref()) {
            return Err(damaged(&self.path, at, "block above the largest length"));
        }
        let next = at + (BLOCK_HEADER_BYTES + length) as u64;
        if next > self.trailer_offset {
            return Err(damaged(&self.path, at, "block reaches into the trailer"));
        }

        if self.buffer.len() < length {
            self.buffer.resize(length, 0);
        }
        let bytes = &mut self.buffer[..length];
        read(&*self.file, &self.path, bytes, at + BLOCK_HEADER_BYTES as u64)?;
        if !layout::block_is_whole(&header_bytes, bytes) {
            return Err(damaged(&self.path, at, "checksum of the block"));
        }
        self.hasher.update(&header_bytes);
        self.hasher.update(bytes);
        *self.rows.entry(header.kind).or_default() += u64::from(header.rows);
        self.offset = next;
        let block = Block { kind: header.kind, rows: header.rows, bytes: &self.buffer[..length] };
        Ok(Some((&self.path, block)))
    }

    /// The hash is taken on from the bytes that were read, not from an
    /// encoding made again, except for the trailer's body, which decodes to
    /// exactly one encoding and was held against its own checksum.
    fn check_whole(&self) -> Result<()> {
        let body = layout::encode_trailer_body(&self.trailer.rows, &self.trailer.state);
        let mut hasher = self.hasher.clone();
        hasher.update(&body);
        if hasher.finalize() != self.trailer.hash {
            let what = "hash of the whole file";
            return Err(damaged(&self.path, self.trailer_offset, what));
        }
        let counted = self.rows.iter().map(|(&kind, &rows)| KindRows { kind, rows });
        if !counted.eq(self.trailer.rows.iter().copied()) {
            let what = "number of rows differs from the trailer's";
            return Err(damaged(&self.path, self.trailer_offset, what));
        }
        Ok(())
    }
}

fn read(file: &dyn DiskFile, path: &Path, bytes: &mut [u8], offset: u64) -> Result<()> {
    file.read_exact_at(bytes, offset).map_err(io_error("read", path))
}

fn damaged(path: &Path, offset: u64, what: &'static str) -> Error {
    Error::Damaged { path: path.to_owned(), offset, what }
}

fn refused(path: &Path, offset: u64, bad: Bad) -> Error {
    match bad {
        Bad::Damaged(what) => damaged(path, offset, what),
        Bad::Version(version) => Error::Version { path: path.to_owned(), version, known: layout::VERSION },
    }
}
