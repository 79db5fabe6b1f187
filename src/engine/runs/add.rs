//! Taking in a batch: readable at once from memory, then written, then read
//! from its file.

use std::sync::{Arc, PoisonError};

use super::file::RunWriter;
use super::run::Run;
use super::{Error, Result, Row, Runs, row};

impl Runs {
    /// Takes in all rows of the LSNs from `covered_lsn()` + 1 to `covered_lsn`,
    /// in any order. Rows of LSNs that are covered already are the same rows
    /// again, and are passed over.
    ///
    /// They can be read as soon as they are sorted, while their file is still
    /// being written; `durable_lsn` tells when it has been. If writing fails,
    /// the rows stay readable, and the next call begins by writing them again
    /// before it takes more: at most one batch waits in memory.
    pub fn add(&self, rows: Vec<Row>, covered_lsn: u64) -> Result<()> {
        let _one_at_a_time = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        self.write_waiting()?;
        self.take_in(rows, covered_lsn)?;
        self.write_waiting()
    }

    /// The same without the disk, for when it has failed: the rows can be read
    /// as long as this process lives. Whoever calls this bounds how many come.
    pub fn hold(&self, rows: Vec<Row>, covered_lsn: u64) -> Result<()> {
        let _one_at_a_time = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        self.take_in(rows, covered_lsn)
    }

    fn take_in(&self, mut rows: Vec<Row>, covered_lsn: u64) -> Result<()> {
        assert!(!self.is_read_only, "runs opened to read only take nothing in");
        let covered = self.covered_lsn();
        if rows.is_empty() && covered_lsn == covered {
            return Ok(());
        }
        if covered_lsn <= covered || covered_lsn == u64::MAX {
            return Err(Error::Coverage { given: covered_lsn, covered });
        }
        let from = covered + 1;
        if let Some(row) = rows.iter().find(|row| row.lsn > covered_lsn) {
            return Err(Error::OutOfRange { lsn: row.lsn, from, to: covered_lsn });
        }
        rows.retain(|row| row.lsn >= from);
        row::sort(&mut rows);
        let run = Arc::new(Run::in_memory(&self.dir, from, covered_lsn, rows));
        self.swap(|list| list.iter().cloned().chain([run]).collect());
        Ok(())
    }

    /// Writes the runs that are in memory only, oldest first, so that files
    /// never leave a gap.
    fn write_waiting(&self) -> Result<()> {
        for run in self.snapshot().iter() {
            let Some(rows) = run.memory_rows() else {
                continue;
            };
            let mut writer = RunWriter::create(&*self.disk, &self.dir, run.from(), run.to())?;
            writer.push(rows)?;
            let on_disk = Arc::new(writer.finish(Arc::clone(&run.index))?);
            self.swap(|list| {
                let replaced = list.iter().map(|old| {
                    let new = if Arc::ptr_eq(old, run) { &on_disk } else { old };
                    Arc::clone(new)
                });
                replaced.collect()
            });
        }
        Ok(())
    }
}
