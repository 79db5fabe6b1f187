//! Opening a folder: which files make up the list, and what becomes of the
//! others.

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
    let mut ranges: Vec<(u64, u64)> = names.iter().filter_map(|name| range_of(name)).collect();
    ranges.sort_by_key(|&(from, to)| (from, std::cmp::Reverse(to)));

    let mut covered = 0;
    let mut list = Vec::new();
    for (from, to) in ranges {
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
