//! The disk as the log needs it: a few calls, so that a simulated disk can stand in for the real one.
//! Not in here: buffering, retries, and any idea of what the bytes mean.

use std::fmt::Debug;
use std::io;
use std::path::Path;

mod real;
mod sim;

pub use real::RealDisk;
pub use sim::{Fault, SimDisk, SimFaults, SimSectors};

/// Buffers that begin at a multiple of this can be written straight to any disk.
pub const DIRECT_BYTES: usize = 4096;

/// Folders and names. What changes here is durable only after `sync_dir` of the folder.
pub trait Disk: Send + Sync + Debug {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// The names of the plain files in `dir`, sorted; a missing folder is an empty list.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// A new file, or an old one made empty; for reading and writing.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// A file that exists, for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// The same, for one who syncs after each write: what is aligned to `DIRECT_BYTES` in memory, and to blocks of the
    /// disk in the file, goes straight there where the file system can do that, without a copy in the page cache.
    fn open_direct(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.open(path)
    }
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Exclusive until dropped or until the process dies; `ErrorKind::WouldBlock` if another holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>>;
}

/// One open file. All positions are given, so that one handle serves many threads.
pub trait DiskFile: Send + Sync + Debug {
    /// Reads up to `buf.len()` bytes; 0 at the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes`, or fails with any part of them written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// fdatasync: contents and length are durable when it returns. After an error nothing is known.
    fn sync(&self) -> io::Result<()>;
    fn bytes(&self) -> io::Result<u64>;
    fn set_bytes(&self, bytes: u64) -> io::Result<()>;

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let mut done = 0;
        while done < buf.len() {
            let n = self.read_at(&mut buf[done..], offset + done as u64)?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            done += n;
        }
        Ok(())
    }
}

/// Held as long as the lock is.
pub trait DiskLock: Send + Sync + Debug {}
