//! Reads through a file in large steps, handing out slices of one buffer that is used again.

use std::io;

use crate::disk::DiskFile;

#[derive(Debug)]
pub(crate) struct Window {
    buf: Vec<u8>,
    start: u64,
    filled: usize,
    step_bytes: usize,
}

impl Window {
    pub(crate) fn new(step_bytes: usize) -> Window {
        Window { buf: Vec::new(), start: 0, filled: 0, step_bytes }
    }

    /// What was read is out of date, or the file is another one.
    pub(crate) fn forget(&mut self) {
        self.filled = 0;
    }

    /// The bytes from `offset` on; reads ahead, but never at or past `limit`, because what lies there may still change.
    pub(crate) fn at(&mut self, file: &dyn DiskFile, offset: u64, bytes: usize, limit: u64) -> io::Result<&[u8]> {
        if offset + bytes as u64 > limit {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let inside = offset >= self.start && offset + bytes as u64 <= self.start + self.filled as u64;
        if !inside {
            self.load(file, offset, bytes, limit)?;
        }
        Ok(self.loaded(offset, bytes))
    }

    /// Bytes that the last call of `at` has given already.
    pub(crate) fn loaded(&self, offset: u64, bytes: usize) -> &[u8] {
        let from = (offset - self.start) as usize;
        &self.buf[from..from + bytes]
    }

    fn load(&mut self, file: &dyn DiskFile, offset: u64, bytes: usize, limit: u64) -> io::Result<()> {
        let end = self.start + self.filled as u64;
        let kept = if offset >= self.start && offset < end {
            let from = (offset - self.start) as usize;
            self.buf.copy_within(from..self.filled, 0);
            self.filled - from
        } else {
            0
        };
        self.start = offset;
        self.filled = kept;
        let target = (kept.max(bytes).max(self.step_bytes) as u64).min(limit - offset) as usize;
        if self.buf.len() < target {
            self.buf.resize(target, 0);
        }
        file.read_exact_at(&mut self.buf[kept..target], offset + kept as u64)?;
        self.filled = target;
        Ok(())
    }
}
