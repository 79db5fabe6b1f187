//! Writing one snapshot file: blocks as they come, then the trailer, then the
//! name. The checks of the bytes are in `layout`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vault::Encryption;
use wal::disk::{DIRECT_BYTES, Disk, DiskFile};

use super::{file_path, io_error, temporary_path};
use crate::encryption::{Cipher, SnapshotKey, no_key};
use crate::layout::{self, BLOCK_HEADER_BYTES};
use crate::{BLOCK_BYTES_MAX, Error, Header, KindRows, Result, STATE_BYTES_MAX, Summary};

/// What is written at once, past the page cache where the disk can do that:
/// a piece that it takes within the time of one of the log's own writes.
const BUFFER_BYTES: usize = 256 << 10;
const _: () = assert!(BUFFER_BYTES.is_multiple_of(DIRECT_BYTES));

/// A snapshot of many gigabytes that is synced only at its end would hold up
/// the log, whose own syncs wait behind it. Synced in parts, it holds up each
/// of them a little.
const SYNC_EVERY_BYTES: u64 = 4 << 20;

/// A snapshot under way. Until `finish` has returned it does not exist for
/// readers, and dropping it removes what was written.
#[derive(Debug)]
pub struct Writer {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    lsn: u64,
    temporary: PathBuf,
    file: Box<dyn DiskFile>,
    buffer: Buffer,
    written_bytes: u64,
    unsynced_bytes: u64,
    block_count: u64,
    rows: BTreeMap<u8, u64>,
    hasher: blake3::Hasher,
    cipher: Option<Cipher>,
    renamed: bool,
}

impl Writer {
    /// Begins a snapshot. One that stands at the same LSN stays until `finish`
    /// puts the new one into its place.
    pub fn create(disk: Arc<dyn Disk>, dir: &Path, header: Header) -> Result<Writer> {
        Writer::create_with_keys(disk, dir, header, &Encryption::Without)
    }

    /// The same, encrypted if that is wanted.
    pub fn create_with_keys(
        disk: Arc<dyn Disk>,
        dir: &Path,
        header: Header,
        encryption: &Encryption,
    ) -> Result<Writer> {
        let path = file_path(dir, header.lsn);
        let key = SnapshotKey::new(encryption).map_err(no_key(&path))?;
        let cipher = Cipher::new(key.as_ref(), &header, encryption).map_err(no_key(&path))?;
        disk.create_dir_all(dir).map_err(io_error("create the folder", dir))?;
        let temporary = temporary_path(dir, header.lsn);
        drop(disk.create(&temporary).map_err(io_error("create", &temporary))?);
        let file = disk.open_direct(&temporary).map_err(io_error("open", &temporary))?;
        let mut writer = Writer {
            disk,
            dir: dir.to_owned(),
            lsn: header.lsn,
            temporary,
            file,
            buffer: Buffer::new(),
            written_bytes: 0,
            unsynced_bytes: 0,
            block_count: 0,
            rows: BTreeMap::new(),
            hasher: blake3::Hasher::new(),
            cipher,
            renamed: false,
        };
        writer.put(&layout::encode_beginning(&header, key.as_ref()))?;
        Ok(writer)
    }

    /// Appends `rows` rows of one kind, already encoded. After an error the
    /// writer is good for nothing but to be dropped.
    pub fn block(&mut self, kind: u8, rows: u32, bytes: &[u8]) -> Result<()> {
        if bytes.len() > BLOCK_BYTES_MAX {
            return Err(Error::TooLarge { what: "block", given: bytes.len(), limit: BLOCK_BYTES_MAX });
        }
        match self.cipher.take() {
            None => self.put_block(kind, rows, bytes)?,
            Some(mut cipher) => {
                let encrypted = cipher.encrypt(kind, rows, bytes).map_err(no_key(&self.temporary))?;
                self.put_block(kind, rows, encrypted)?;
                self.cipher = Some(cipher);
            }
        }
        self.block_count += 1;
        *self.rows.entry(kind).or_default() += u64::from(rows);
        Ok(())
    }

    /// Writes the trailer, makes everything durable, and only then gives the
    /// file its name. When this returns, the snapshot survives a power cut.
    pub fn finish(mut self, state: &[u8]) -> Result<Summary> {
        if state.len() > STATE_BYTES_MAX {
            return Err(Error::TooLarge { what: "state", given: state.len(), limit: STATE_BYTES_MAX });
        }
        let rows: Vec<KindRows> = self.rows.iter().map(|(&kind, &rows)| KindRows { kind, rows }).collect();
        let encrypted = self.cipher.as_ref().map(|cipher| cipher.encrypt_state(state)).transpose();
        let encrypted = encrypted.map_err(no_key(&self.temporary))?;
        let mut trailer = layout::encode_trailer_body(&rows, encrypted.as_deref().unwrap_or(state));
        self.hasher.update(&trailer);
        let hash = *self.hasher.finalize().as_bytes();
        layout::append_tail(&mut trailer, &hash);
        self.put(&trailer)?;
        self.flush()?;
        self.sync()?;

        let path = file_path(&self.dir, self.lsn);
        self.disk.rename(&self.temporary, &path).map_err(io_error("name", &path))?;
        self.renamed = true;
        self.disk.sync_dir(&self.dir).map_err(io_error("sync the folder", &self.dir))?;
        Ok(Summary { lsn: self.lsn, bytes: self.written_bytes, block_count: self.block_count, rows, hash })
    }

    fn put_block(&mut self, kind: u8, rows: u32, bytes: &[u8]) -> Result<()> {
        let length = u32::try_from(bytes.len()).expect("a block is below its limit");
        let header: [u8; BLOCK_HEADER_BYTES] = layout::encode_block_header(kind, rows, length, bytes);
        self.put(&header)?;
        self.put(bytes)
    }

    /// Takes bytes into the hash and the buffer. The trailer passes here too,
    /// after its hash has been taken, so what it adds is never asked for.
    fn put(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        while !bytes.is_empty() {
            bytes = self.buffer.take(bytes);
            if self.buffer.is_full() {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// All pieces but the last are full, so that each begins at a whole block.
    fn flush(&mut self) -> Result<()> {
        let piece = self.buffer.bytes();
        self.file.write_at(piece, self.written_bytes).map_err(io_error("write", &self.temporary))?;
        self.written_bytes += piece.len() as u64;
        self.unsynced_bytes += piece.len() as u64;
        self.buffer.clear();
        if self.unsynced_bytes >= SYNC_EVERY_BYTES {
            self.sync()?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.file.sync().map_err(io_error("sync", &self.temporary))?;
        self.unsynced_bytes = 0;
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.renamed {
            return;
        }
        if let Err(error) = self.disk.remove(&self.temporary) {
            let path = self.temporary.display();
            tracing::warn!(%path, %error, "unfinished snapshot not removed");
        }
    }
}

/// Memory that begins where a disk can be written from straight.
#[derive(Debug)]
struct Buffer {
    memory: Vec<u8>,
    start: usize,
}

impl Buffer {
    fn new() -> Buffer {
        let mut memory: Vec<u8> = Vec::with_capacity(DIRECT_BYTES + BUFFER_BYTES);
        let start = memory.as_ptr().align_offset(DIRECT_BYTES).min(DIRECT_BYTES);
        memory.resize(start, 0);
        Buffer { memory, start }
    }

    /// Takes as many of the bytes as there is room for; the rest comes back.
    fn take<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (now, later) = bytes.split_at(bytes.len().min(BUFFER_BYTES - self.bytes().len()));
        self.memory.extend_from_slice(now);
        later
    }

    fn is_full(&self) -> bool {
        self.bytes().len() == BUFFER_BYTES
    }

    fn bytes(&self) -> &[u8] {
        &self.memory[self.start..]
    }

    fn clear(&mut self) {
        self.memory.truncate(self.start);
    }
}
