//! Sorted runs on disk: a multimap from a 128-bit key to (LSN, value), made of
//! immutable files like the tables of an LSM tree.
//!
//! The indexes kept here are derived from the log. What is lost or damaged is
//! therefore not repaired: coverage ends before it, and the caller fills the
//! rest again from the log. What the keys and values mean is not known here.

mod add;
mod error;
mod file;
mod filter;
mod layout;
mod merge;
mod open;
mod read;
mod row;
mod run;

#[cfg(test)]
mod tests;

pub use error::Error;
pub use row::Row;

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use wal::disk::Disk;

use run::Run;

pub type Result<T> = std::result::Result<T, Error>;

/// The multimap. Reads come from any thread and never wait for the disk's
/// writes. `add` is called by one thread, `merge_if_due` by the same or by
/// one other: a long merge then does not hold up what comes in.
#[derive(Debug)]
pub struct Runs {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// The runs in ascending order of LSN, without gaps from 1 on. Replaced as
    /// a whole; the lock is held only to clone or to swap the `Arc`.
    list: RwLock<Arc<Vec<Arc<Run>>>>,
    adding: Mutex<()>,
    merging: Mutex<()>,
    merging_stopped: AtomicBool,
    /// The folder is somebody else's: nothing in it is touched.
    is_read_only: bool,
}

/// Some of the runs at one moment.
#[derive(Debug)]
pub struct View<'a> {
    runs: &'a Runs,
    list: Vec<Arc<Run>>,
}

impl View<'_> {
    /// Touches what looks for these keys will need, so that the memory fetches
    /// it side by side.
    pub fn fetch(&self, keys: impl Iterator<Item = u128> + Clone) {
        self.list.iter().for_each(|run| run.index.filter.fetch(keys.clone()));
    }

    /// The newest row of one of the keys that the view is of.
    pub fn newest(&self, key: u128) -> Result<Option<Row>> {
        self.runs.checked(read::newest(&self.list, key, u64::MAX))
    }
}

impl Runs {
    /// Opens the runs of a folder, making it if need be. Leftovers are
    /// removed, damaged files set aside as `*.bad`, and what lies after a gap
    /// is removed: `covered_lsn` tells where the caller goes on.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Runs> {
        let list = open::load(&*disk, dir)?;
        Ok(Runs::of(disk, dir, list, false))
    }

    /// The runs of a folder as they are at this moment, beside a running server
    /// too: nothing is made, removed or renamed, now or later. Files that cannot
    /// be read are left out and told of. What is opened stays readable when a
    /// merge replaces it.
    pub fn open_read_only(disk: Arc<dyn Disk>, dir: &Path) -> Result<(Runs, Vec<Error>)> {
        let (list, damage) = open::look(&*disk, dir)?;
        Ok((Runs::of(disk, dir, list, true), damage))
    }

    /// Hands over every row of LSNs from `from_lsn` to `to_lsn`, run after run,
    /// each in the order of its keys, and checks every block on the way.
    pub fn for_each(&self, from_lsn: u64, to_lsn: u64, each: impl FnMut(Row)) -> Result<()> {
        self.checked(read::for_each(&self.snapshot(), from_lsn, to_lsn, each))
    }

    /// Rows in all runs together.
    pub fn row_count(&self) -> u64 {
        self.snapshot().iter().map(|run| run.row_count() as u64).sum()
    }

    /// All rows of LSNs up to this one can be read. 0 when there are none.
    pub fn covered_lsn(&self) -> u64 {
        self.snapshot().last().map_or(0, |run| run.to())
    }

    /// All rows of LSNs up to this one are in synced files.
    pub fn durable_lsn(&self) -> u64 {
        let list = self.snapshot();
        let durable = list.iter().take_while(|run| run.is_on_disk());
        durable.last().map_or(0, |run| run.to())
    }

    /// The row of `key` with the greatest LSN that is not above
    /// `not_after_lsn`.
    pub fn newest(&self, key: u128, not_after_lsn: u64) -> Result<Option<Row>> {
        self.checked(read::newest(&self.snapshot(), key, not_after_lsn))
    }

    /// The runs as they are now that can have rows of these keys, for many
    /// looks. Keys made in order of time are in the newest runs only.
    pub fn view(&self, keys: &RangeInclusive<u128>) -> View<'_> {
        let list = self.snapshot();
        View { runs: self, list: list.iter().filter(|run| run.overlaps(keys)).cloned().collect() }
    }

    /// Appends to `out` up to `limit` rows of `key` with LSNs below
    /// `before_lsn`, newest first. After an error, `out` holds some of them.
    pub fn rows_before(&self, key: u128, before_lsn: u64, limit: usize, out: &mut Vec<Row>) -> Result<()> {
        self.checked(read::rows_before(&self.snapshot(), key, before_lsn, limit, out))
    }

    /// Appends to `out` up to `limit` rows of `key` with LSNs above
    /// `after_lsn`, oldest first. After an error, `out` holds some of them.
    pub fn rows_after(&self, key: u128, after_lsn: u64, limit: usize, out: &mut Vec<Row>) -> Result<()> {
        self.checked(read::rows_after(&self.snapshot(), key, after_lsn, limit, out))
    }

    /// Whether any row has this key.
    pub fn contains(&self, key: u128) -> Result<bool> {
        Ok(self.newest(key, u64::MAX)?.is_some())
    }

    /// Reads everything that is on disk and checks it, for an operator who
    /// wants to know. The first damage found is the answer.
    pub fn verify(&self) -> Result<()> {
        self.checked(read::verify(&self.snapshot()))
    }

    /// Makes a merge under way give up, and later ones not begin. For
    /// shutdown; nothing is lost, the merge is done in the next life.
    pub fn stop_merging(&self) {
        self.merging_stopped.store(true, Ordering::Relaxed);
    }

    fn of(disk: Arc<dyn Disk>, dir: &Path, list: Vec<Arc<Run>>, is_read_only: bool) -> Runs {
        Runs {
            disk,
            dir: dir.to_owned(),
            list: RwLock::new(Arc::new(list)),
            adding: Mutex::new(()),
            merging: Mutex::new(()),
            merging_stopped: AtomicBool::new(false),
            is_read_only,
        }
    }

    fn snapshot(&self) -> Arc<Vec<Arc<Run>>> {
        // A panic while the lock was held cannot have left half a list: the
        // only write is the swap of one pointer.
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&list)
    }

    /// Replaces the list by what `change` makes of it, at once for readers.
    fn swap(&self, change: impl FnOnce(&[Arc<Run>]) -> Vec<Arc<Run>>) {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        let next = change(&list);
        debug_assert!(
            next.windows(2).all(|pair| pair[0].to() + 1 == pair[1].from()),
            "runs follow each other without gaps"
        );
        *list = Arc::new(next);
    }

    /// Sees to it that a damaged block, found while reading, is not found
    /// again in the next life: the file is set aside, so that the next `open`
    /// ends its coverage before it. In this life the run stays in the list,
    /// and reads that touch the damaged block keep failing.
    fn checked<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(Error::Damaged { path, .. }) = &result
            && !self.is_read_only
        {
            let list = self.snapshot();
            let run = list.iter().find(|run| run.path() == path);
            if run.is_some_and(|run| run.mark_damaged()) {
                file::set_aside(&*self.disk, path);
            }
        }
        result
    }
}
