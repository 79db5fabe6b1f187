//! Opening a folder: which files make up the list, and what becomes of the
//! others.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tracing::warn;
use wal::disk::Disk;

use super::file::{self, io_error};
use super::layout::{file_name, is_temporary, range_of};
use super::run::Run;
use super::{Error, Result};

/// The runs from LSN 1 on without a gap. A crash may have left a merged run
/// beside those that it replaces; then the largest sound one is taken, so that
/// the smaller ones are still there if it is damaged.
pub(super) fn load(disk: &dyn Disk, dir: &Path) -> Result<Vec<Arc<Run>>> {
    disk.create_dir_all(dir).map_err(io_error("create the folder", dir))?;
    let names = disk.list(dir).map_err(io_error("list", dir))?;
    let temporaries = names.iter().filter(|name| is_temporary(name));
    let mut doomed: Vec<String> = temporaries.cloned().collect();

    let mut covered = 0;
    let mut list = Vec::new();
    for (from, to) in ranges(&names) {
        if to <= covered {
            doomed.push(file_name(from, to));
        } else if from != covered + 1 {
            warn!(from, to, covered, "run after a gap removed, to be filled again from the log");
            doomed.push(file_name(from, to));
        } else {
            match file::open(disk, dir, from, to) {
                Ok(run) => {
                    list.push(Arc::new(run));
                    covered = to;
                }
                Err(error @ Error::Damaged { .. }) => {
                    warn!(%error, "run refused");
                    file::set_aside(disk, &dir.join(file_name(from, to)));
                }
                Err(error) => return Err(error),
            }
        }
    }
    for name in &doomed {
        let path = dir.join(name);
        disk.remove(&path).map_err(io_error("remove", &path))?;
    }
    disk.sync_dir(dir).map_err(io_error("sync the folder", dir))?;
    Ok(list)
}

/// How often a folder is listed again because a merge took a file away between
/// the listing and the opening. A merge takes seconds, an opening much less.
const LOOKS_MAX: usize = 16;

/// The same choice of files without touching the folder, which may be a running
/// server's. Gives the damage that was met beside the runs.
pub(super) fn look(disk: &dyn Disk, dir: &Path) -> Result<(Vec<Arc<Run>>, Vec<Error>)> {
    let mut looks = 1;
    loop {
        match look_once(disk, dir) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound && looks < LOOKS_MAX => {
                looks += 1;
            }
            found => return found,
        }
    }
}

fn look_once(disk: &dyn Disk, dir: &Path) -> Result<(Vec<Arc<Run>>, Vec<Error>)> {
    let names = disk.list(dir).map_err(io_error("list", dir))?;
    let mut covered = 0;
    let mut list = Vec::new();
    let mut damage = Vec::new();
    for (from, to) in ranges(&names) {
        if to <= covered || from != covered + 1 {
            continue;
        }
        match file::open(disk, dir, from, to) {
            Ok(run) => {
                list.push(Arc::new(run));
                covered = to;
            }
            Err(error @ Error::Damaged { .. }) => damage.push(error),
            Err(error) => return Err(error),
        }
    }
    Ok((list, damage))
}

/// What the names say, in the order in which files are to be tried.
fn ranges(names: &[String]) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = names.iter().filter_map(|name| range_of(name)).collect();
    ranges.sort_by_key(|&(from, to)| (from, std::cmp::Reverse(to)));
    ranges
}
