//! Snapshots as files of one folder, `NNNNNNNNNNNNNNNNNNNN.snap`, named by
//! their LSN. A file gets that name only when it is whole and synced; what is
//! still being written has `.tmp` after it.

mod reader;
mod writer;

pub use reader::Reader;
pub(crate) use reader::Stored;
pub use writer::Writer;

use std::io;
use std::path::{Path, PathBuf};

use tracing::warn;
use wal::disk::Disk;

use crate::{Entry, Error, Header, Result};

/// The snapshots of a folder by their names, newest first. A folder that is
/// not there yet has none.
pub fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for name in names(disk, dir)? {
        let Some(lsn) = lsn_of(&name) else { continue };
        let path = dir.join(name);
        let bytes = disk.open_read(&path).and_then(|file| file.bytes()).map_err(io_error("read the size of", &path))?;
        entries.push(Entry { lsn, bytes, path });
    }
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.lsn));
    Ok(entries)
}

/// Removes what is older than the newest `keep` snapshots, and what unfinished
/// writers of earlier lives have left. No writer may be at work in the folder.
///
/// A snapshot without a valid header and trailer does not count, and while
/// there are not more than `keep` others nothing is removed: damage must not
/// push the last good one out. For the same reason at least one is kept.
pub fn prune(disk: &dyn Disk, dir: &Path, keep: usize) -> Result<()> {
    let mut doomed: Vec<PathBuf> =
        names(disk, dir)?.iter().filter(|name| is_temporary(name)).map(|name| dir.join(name)).collect();
    let mut kept = 0;
    for entry in list(disk, dir)? {
        if kept >= keep.max(1) {
            doomed.push(entry.path);
            continue;
        }
        match check(disk, dir, entry.lsn) {
            Ok(_) => kept += 1,
            Err(error @ Error::Io { .. }) => return Err(error),
            Err(error) => warn!(lsn = entry.lsn, %error, "snapshot does not count"),
        }
    }
    for path in &doomed {
        disk.remove(path).map_err(io_error("remove", path))?;
    }
    if !doomed.is_empty() {
        disk.sync_dir(dir).map_err(io_error("sync the folder", dir))?;
    }
    Ok(())
}

/// Looks whether header and trailer are right, for which no key is needed.
pub fn check(disk: &dyn Disk, dir: &Path, lsn: u64) -> Result<Header> {
    Stored::open(disk, dir, lsn).map(|stored| *stored.header())
}

const LSN_DIGITS: usize = 20;
const SUFFIX: &str = ".snap";
const TEMPORARY_SUFFIX: &str = ".snap.tmp";

pub(crate) fn file_path(dir: &Path, lsn: u64) -> PathBuf {
    dir.join(format!("{lsn:020}{SUFFIX}"))
}

fn temporary_path(dir: &Path, lsn: u64) -> PathBuf {
    dir.join(format!("{lsn:020}{TEMPORARY_SUFFIX}"))
}

fn lsn_of(name: &str) -> Option<u64> {
    digits(name.strip_suffix(SUFFIX)?)
}

fn is_temporary(name: &str) -> bool {
    name.strip_suffix(TEMPORARY_SUFFIX).is_some_and(|stem| digits(stem).is_some())
}

/// Exactly the digits that a writer makes: `parse` alone would take `+7` too.
fn digits(stem: &str) -> Option<u64> {
    if stem.len() != LSN_DIGITS || !stem.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    stem.parse().ok()
}

fn names(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>> {
    disk.list(dir).map_err(io_error("list", dir))
}

pub(crate) fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { doing, path, source }
}
