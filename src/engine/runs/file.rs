//! Run files: writing one so that it is there whole or not at all, and opening
//! one. Which runs there are to be is decided in `add`, `merge` and `open`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::warn;
use wal::disk::{Disk, DiskFile};

use super::filter::{Filter, LINE_BYTES};
use super::layout::{self, BLOCK_BYTES, FENCE_BYTES, FOOTER_BYTES, Footer, HEADER_BYTES, u32_at, u64_at, u128_at};
use super::row::{ROW_BYTES, Row};
use super::run::{Body, Index, Run};
use super::{Error, Result};

/// What is gathered before a write: whole blocks.
const BUFFER_BYTES: usize = 256 * BLOCK_BYTES;

/// Synced in parts, so that a large run does not hold up the log's own syncs
/// for long.
const SYNC_EVERY_BYTES: u64 = 16 << 20;

/// A run being written, under a temporary name. Dropped unfinished, it is
/// removed.
pub(super) struct RunWriter<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    temporary: PathBuf,
    file: Box<dyn DiskFile>,
    header_crc: u32,
    buffer: Vec<u8>,
    written_bytes: u64,
    unsynced_bytes: u64,
    block_crcs: Vec<u32>,
    renamed: bool,
}

impl<'a> RunWriter<'a> {
    pub(super) fn create(disk: &'a dyn Disk, dir: &'a Path, from: u64, to: u64) -> Result<Self> {
        let temporary = dir.join(layout::temporary_name(from, to));
        let file = disk.create(&temporary).map_err(io_error("create", &temporary))?;
        let header = layout::encode_header(from, to);
        let mut writer = RunWriter {
            disk,
            dir,
            temporary,
            file,
            header_crc: u32_at(&header, HEADER_BYTES - 4),
            buffer: Vec::with_capacity(BUFFER_BYTES),
            written_bytes: 0,
            unsynced_bytes: 0,
            block_crcs: Vec::new(),
            renamed: false,
        };
        writer.write(&header)?;
        Ok(writer)
    }

    pub(super) fn push(&mut self, mut rows: &[Row]) -> Result<()> {
        while !rows.is_empty() {
            let room = (BUFFER_BYTES - self.buffer.len()) / ROW_BYTES;
            let (now, later) = rows.split_at(room.min(rows.len()));
            let start = self.buffer.len();
            self.buffer.resize(start + now.len() * ROW_BYTES, 0);
            let places = self.buffer[start..].chunks_exact_mut(ROW_BYTES);
            for (row, place) in now.iter().zip(places) {
                row.encode(place);
            }
            if self.buffer.len() == BUFFER_BYTES {
                self.flush_rows()?;
            }
            rows = later;
        }
        Ok(())
    }

    /// Writes what follows the rows, makes all of it durable, and gives the
    /// file its name.
    pub(super) fn finish(mut self, index: Arc<Index>) -> Result<Run> {
        self.flush_rows()?;
        assert_eq!(self.block_crcs.len(), index.fences.len(), "the index was made of the rows that were written");
        let fences_crc = self.write_fences(&index)?;
        let filter_crc = self.write_filter(&index.filter)?;
        let footer = Footer {
            row_count: index.row_count as u64,
            key_count: index.key_count,
            filter_lines: index.filter.line_count(),
            min_key: index.min_key,
            max_key: index.max_key,
            fences_crc,
            filter_crc,
            header_crc: self.header_crc,
        };
        self.write(&footer.encode())?;
        assert_eq!(footer.file_bytes(), Some(self.written_bytes));
        self.sync()?;

        let path = self.dir.join(layout::file_name(index.from, index.to));
        self.disk.rename(&self.temporary, &path).map_err(io_error("name", &path))?;
        self.renamed = true;
        self.disk.sync_dir(self.dir).map_err(io_error("sync the folder", self.dir))?;
        let file = self.disk.open_read(&path).map_err(io_error("open", &path))?;
        let body = Body::File(file, std::mem::take(&mut self.block_crcs));
        Ok(Run::new(self.dir, index, body))
    }

    fn write_fences(&mut self, index: &Index) -> Result<u32> {
        let mut crc = 0;
        let mut bytes = Vec::with_capacity(BUFFER_BYTES);
        let mut at = 0;
        for fences in index.fences.chunks(BUFFER_BYTES / FENCE_BYTES) {
            bytes.clear();
            for (key, lsn) in fences {
                bytes.extend_from_slice(&key.to_le_bytes());
                bytes.extend_from_slice(&lsn.to_le_bytes());
                bytes.extend_from_slice(&self.block_crcs[at].to_le_bytes());
                at += 1;
            }
            crc = crc32c::crc32c_append(crc, &bytes);
            self.write(&bytes)?;
        }
        Ok(crc)
    }

    fn write_filter(&mut self, filter: &Filter) -> Result<u32> {
        let mut crc = 0;
        let mut bytes = Vec::with_capacity(BUFFER_BYTES);
        let line_count = filter.line_count() as usize;
        for from in (0..line_count).step_by(BUFFER_BYTES / LINE_BYTES) {
            bytes.clear();
            let to = line_count.min(from + BUFFER_BYTES / LINE_BYTES);
            filter.append_lines(from, to, &mut bytes);
            crc = crc32c::crc32c_append(crc, &bytes);
            self.write(&bytes)?;
        }
        Ok(crc)
    }

    fn flush_rows(&mut self) -> Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        self.block_crcs.extend(buffer.chunks(BLOCK_BYTES).map(crc32c::crc32c));
        self.write(&buffer)?;
        buffer.clear();
        self.buffer = buffer;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_at(bytes, self.written_bytes).map_err(io_error("write", &self.temporary))?;
        self.written_bytes += bytes.len() as u64;
        self.unsynced_bytes += bytes.len() as u64;
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

impl Drop for RunWriter<'_> {
    fn drop(&mut self) {
        if self.renamed {
            return;
        }
        if let Err(error) = self.disk.remove(&self.temporary) {
            let path = self.temporary.display();
            warn!(%path, %error, "unfinished run not removed");
        }
    }
}

/// Opens a run and reads what is kept of it in memory. The rows are checked
/// block by block when they are read.
pub(super) fn open(disk: &dyn Disk, dir: &Path, from: u64, to: u64) -> Result<Run> {
    let path = dir.join(layout::file_name(from, to));
    let file = disk.open_read(&path).map_err(io_error("open", &path))?;
    let damaged = |offset: u64, what: &'static str| Error::Damaged { path: path.clone(), offset, what };
    let read = |bytes: &mut [u8], offset: u64| file.read_exact_at(bytes, offset).map_err(io_error("read", &path));

    let file_bytes = file.bytes().map_err(io_error("read the size of", &path))?;
    let footer_offset = file_bytes
        .checked_sub(FOOTER_BYTES as u64)
        .filter(|&offset| offset >= HEADER_BYTES as u64)
        .ok_or_else(|| damaged(file_bytes, "too short for a run"))?;
    let mut header = [0; HEADER_BYTES];
    read(&mut header, 0)?;
    let header_crc = layout::check_header(&header, from, to).map_err(|what| damaged(0, what))?;
    let mut footer = [0; FOOTER_BYTES];
    read(&mut footer, footer_offset)?;
    let footer = Footer::decode(&footer).map_err(|what| damaged(footer_offset, what))?;
    // Held against the true length, the counts below are safe to allocate by.
    let sound = footer.header_crc == header_crc
        && footer.file_bytes() == Some(file_bytes)
        && footer.key_count <= footer.row_count
        && (footer.row_count == 0) == (footer.filter_lines == 0);
    let (true, Some(fences_offset), Some(filter_offset)) = (sound, footer.fences_offset(), footer.filter_offset())
    else {
        return Err(damaged(footer_offset, "counts that do not fit the file"));
    };

    let block_count = footer.block_count() as usize;
    let mut fences = Vec::with_capacity(block_count);
    let mut block_crcs = Vec::with_capacity(block_count);
    let mut crc = 0;
    let fences_bytes = filter_offset - fences_offset;
    read_parts(fences_offset, fences_bytes, FENCE_BYTES, read, |_, bytes| {
        crc = crc32c::crc32c_append(crc, bytes);
        for fence in bytes.chunks_exact(FENCE_BYTES) {
            fences.push((u128_at(fence, 0), u64_at(fence, 16)));
            block_crcs.push(u32_at(fence, 24));
        }
    })?;
    if crc != footer.fences_crc {
        return Err(damaged(fences_offset, "checksum of the fences"));
    }

    let mut filter = Filter::with_lines(footer.filter_lines);
    let mut crc = 0;
    let filter_bytes = footer_offset - filter_offset;
    read_parts(filter_offset, filter_bytes, LINE_BYTES, read, |at, bytes| {
        crc = crc32c::crc32c_append(crc, bytes);
        filter.set_lines(at, bytes);
    })?;
    if crc != footer.filter_crc {
        return Err(damaged(filter_offset, "checksum of the filter"));
    }

    let index = Index {
        from,
        to,
        row_count: footer.row_count as usize,
        key_count: footer.key_count,
        min_key: footer.min_key,
        max_key: footer.max_key,
        fences,
        filter,
    };
    Ok(Run::new(dir, Arc::new(index), Body::File(file, block_crcs)))
}

/// Puts a damaged file out of the way under another name, for whoever wants to
/// look at it. A failure is only told: the next life meets the same damage.
pub(super) fn set_aside(disk: &dyn Disk, path: &Path) {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".bad");
    let renamed = disk.rename(path, Path::new(&aside));
    let path = path.display();
    match renamed {
        Ok(()) => warn!(%path, "damaged run set aside, to be filled again from the log"),
        Err(error) => warn!(%path, %error, "damaged run could not be set aside"),
    }
}

pub(super) fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { doing, path, source }
}

/// Reads `length` bytes from `offset` on in parts of whole items, handing each
/// part on with the number of its first item.
fn read_parts(
    offset: u64,
    length: u64,
    item_bytes: usize,
    read: impl Fn(&mut [u8], u64) -> Result<()>,
    mut take: impl FnMut(usize, &[u8]),
) -> Result<()> {
    let part_bytes = BUFFER_BYTES / item_bytes * item_bytes;
    let mut bytes = vec![0; part_bytes.min(length as usize)];
    let mut done: u64 = 0;
    while done < length {
        let part = &mut bytes[..part_bytes.min((length - done) as usize)];
        read(part, offset + done)?;
        take(done as usize / item_bytes, part);
        done += part.len() as u64;
    }
    Ok(())
}
