//! An index held against the log in bounded memory. The positions are cut into windows; of each window's rows a
//! count and a sum of hashes is kept, once as the index has them and once as the log makes them. Only where
//! the two differ are the rows themselves put side by side, to name the first that is wrong.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use florin::engine::runs::{self, Row, Runs};
use wal::disk::Disk;
use xxhash_rust::xxh3::xxh3_128;

use super::report::{Covered, Finding, Part, Report};
use crate::cli::failure::Failure;

/// Two sums of 24 bytes each for every window.
const WINDOWS_MAX: u64 = 1 << 16;

const ADVICE: &str = "No money is lost: an index is made from the log. Stop the server, remove this folder, and start \
                      it again: it makes the index anew.";

pub struct IndexCheck {
    part: Part,
    dir: PathBuf,
    runs: Arc<Runs>,
    covered_lsn: u64,
    window_lsns: u64,
    /// As the index has them.
    windows: Vec<Sum>,
    /// Of the log's present window.
    sum: Sum,
    rows: Vec<Row>,
    /// Nothing more is compared after the first difference.
    is_over: bool,
}

/// A multiset of rows: equal ones have equal sums, whatever their order.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Sum {
    rows: u64,
    hash: u128,
}

impl IndexCheck {
    pub fn open(part: Part, disk: &Arc<dyn Disk>, dir: &Path, report: &mut Report) -> Result<IndexCheck, Failure> {
        let (runs, damage) = Runs::open_read_only(Arc::clone(disk), dir)?;
        let covered_lsn = runs.covered_lsn();
        let window_lsns = covered_lsn.div_ceil(WINDOWS_MAX).max(1);
        let mut check = IndexCheck {
            part,
            dir: dir.to_owned(),
            runs: Arc::new(runs),
            covered_lsn,
            window_lsns,
            windows: vec![Sum::default(); covered_lsn.div_ceil(window_lsns) as usize],
            sum: Sum::default(),
            rows: Vec::new(),
            is_over: false,
        };
        for error in &damage {
            report.find(damaged(part, error));
        }
        let (windows, row_count) = (&mut check.windows, check.runs.row_count());
        match check.runs.for_each(1, covered_lsn, |row| windows[window_of(row.lsn, window_lsns)].add(&row)) {
            Ok(()) => {}
            Err(error @ runs::Error::Io { .. }) => return Err(error.into()),
            Err(error) => {
                report.find(damaged(part, &error));
                check.is_over = true;
            }
        }
        report.covered.insert(part, Covered { lsn: covered_lsn, rows: row_count });
        Ok(check)
    }

    /// The index, and how far it can be relied on: it is whole that far.
    pub fn index(&self) -> (Arc<Runs>, u64) {
        (Arc::clone(&self.runs), if self.is_over { 0 } else { self.covered_lsn })
    }

    /// The rows that the log's record makes. Records come in their order.
    pub fn take(&mut self, lsn: u64, rows: impl Iterator<Item = Row>, report: &mut Report) -> Result<(), Failure> {
        if self.is_over || lsn > self.covered_lsn {
            return Ok(());
        }
        for row in rows {
            self.sum.add(&row);
            self.rows.push(row);
        }
        if lsn.is_multiple_of(self.window_lsns) || lsn == self.covered_lsn {
            if self.sum != self.windows[window_of(lsn, self.window_lsns)] {
                self.name_difference(lsn, report)?;
            }
            self.sum = Sum::default();
            self.rows.clear();
        }
        Ok(())
    }

    pub fn end(self, last_lsn: u64, report: &mut Report) -> Result<(), Failure> {
        let name = self.part.name();
        if last_lsn < report.log_last_lsn && last_lsn < self.covered_lsn {
            report.notes.push(format!("the index of {name} was checked up to {last_lsn} only: the log is damaged"));
        } else if self.covered_lsn > last_lsn {
            report.find(Finding {
                part: Part::Log,
                lsn: Some(last_lsn),
                what: format!("the log ends before the index of {name}, which reaches {}", self.covered_lsn),
                advice: "Records are missing that were acknowledged, or the index is of another ledger: look for the \
                         log's last segment before a server is started here.",
            });
        } else if self.covered_lsn < last_lsn {
            report.notes.push(format!(
                "the index of {name} ends at position {}; the rest is made from the log when the server starts",
                self.covered_lsn
            ));
        }
        Ok(())
    }

    /// The window that ends at `lsn` differs: both sides of it, in order of position.
    fn name_difference(&mut self, lsn: u64, report: &mut Report) -> Result<(), Failure> {
        self.is_over = true;
        let first_lsn = (lsn - 1) / self.window_lsns * self.window_lsns + 1;
        let mut found = Vec::new();
        self.runs.for_each(first_lsn, lsn, |row| found.push(row))?;
        let by_position = |row: &Row| (row.lsn, row.key, row.value);
        found.sort_unstable_by_key(by_position);
        self.rows.sort_unstable_by_key(by_position);
        let pairs = found.iter().zip(&self.rows);
        let same = pairs.take_while(|(found, made)| found == made).count();
        let (at, what) = match (found.get(same), self.rows.get(same)) {
            (found, Some(made)) if found.is_none_or(|found| by_position(found) > by_position(made)) => {
                (made.lsn, format!("{} is missing", self.describe(made)))
            }
            (Some(found), _) => (found.lsn, format!("{} is there and should not be", self.describe(found))),
            (None, _) => (lsn, "rows are there twice".to_owned()),
        };
        let what = format!("{}: {what}", self.dir.display());
        report.find(Finding { part: self.part, lsn: Some(at), what, advice: ADVICE });
        Ok(())
    }

    fn describe(&self, row: &Row) -> String {
        let id = uuid::Uuid::from_u128(row.key);
        match self.part {
            Part::Entries => format!("the entry of wallet {id} with a balance of {} in minor units", row.value),
            _ => format!("the id {id}"),
        }
    }
}

impl Sum {
    fn add(&mut self, row: &Row) {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&row.key.to_le_bytes());
        bytes[16..24].copy_from_slice(&row.lsn.to_le_bytes());
        bytes[24..].copy_from_slice(&row.value.to_le_bytes());
        self.rows += 1;
        self.hash = self.hash.wrapping_add(xxh3_128(&bytes));
    }
}

fn window_of(lsn: u64, window_lsns: u64) -> usize {
    ((lsn - 1) / window_lsns) as usize
}

fn damaged(part: Part, error: &runs::Error) -> Finding {
    Finding { part, lsn: None, what: error.to_string(), advice: ADVICE }
}
