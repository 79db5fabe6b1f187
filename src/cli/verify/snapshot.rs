//! The snapshots of a data folder, each held against the books while the log passes its position.

use std::io;
use std::path::{Path, PathBuf};

use florin::engine::snapshot;
use florin::ledger::{Authorization, Book, Hold};
use snapshots::{Reader, disk};
use wal::disk::Disk;

use super::report::{Finding, Part, Report};
use crate::cli::failure::{self, Failure};
use crate::cli::tape::GroupEnd;

const ADVICE: &str = "No money is lost: the log has everything. Move this snapshot away; the server recovers from an \
                      older one or from the log alone, and takes a new one.";

/// How often the folder is listed again because the server removed a snapshot between listing and opening.
const LOOKS_MAX: usize = 16;

pub struct SnapshotChecks {
    /// Oldest first; open already, so that a running server cannot take them away.
    waiting: Vec<Waiting>,
}

struct Waiting {
    path: PathBuf,
    reader: Reader,
}

impl SnapshotChecks {
    pub fn open(disk: &dyn Disk, dir: &Path, report: &mut Report) -> Result<SnapshotChecks, Failure> {
        for _ in 0..LOOKS_MAX {
            if let Some(checks) = SnapshotChecks::look(disk, dir, report)? {
                return Ok(checks);
            }
        }
        Err(Failure::Usage(format!("the snapshots in {} change faster than they can be opened", dir.display())))
    }

    /// None if a snapshot has gone away in between.
    fn look(disk: &dyn Disk, dir: &Path, report: &mut Report) -> Result<Option<SnapshotChecks>, Failure> {
        let gone = |error: &snapshots::Error| matches!(error, snapshots::Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound);
        let entries = match snapshots::disk::list(disk, dir) {
            Err(error) if gone(&error) => return Ok(None),
            entries => entries?,
        };
        let mut waiting = Vec::new();
        let mut findings = Vec::new();
        for entry in entries.iter().rev() {
            match disk::Reader::open(disk, dir, entry.lsn) {
                Ok(reader) => waiting.push(Waiting { path: entry.path.clone(), reader: reader.into() }),
                Err(error) if gone(&error) => return Ok(None),
                Err(error @ snapshots::Error::Io { .. }) => return Err(error.into()),
                Err(error) => findings.push(finding(entry.lsn, error.to_string())),
            }
        }
        report.snapshots = entries.len() as u64;
        report.findings.extend(findings);
        Ok(Some(SnapshotChecks { waiting }))
    }

    /// The books are at the end of a group; a snapshot of this position must be equal to them.
    pub fn check(&mut self, end: GroupEnd, log_id: [u8; 16], book: &Book, report: &mut Report) {
        while self.waiting.first().is_some_and(|waiting| waiting.reader.header().lsn <= end.last_lsn) {
            let Waiting { path, mut reader } = self.waiting.remove(0);
            let lsn = reader.header().lsn;
            match difference(&mut reader, end, log_id, book) {
                None => report.snapshots_fine += 1,
                Some(what) => report.find(finding(lsn, format!("{}: {what}", path.display()))),
            }
        }
    }

    /// The log is at its end: what is still waiting knows more than it.
    pub fn end(self, last_lsn: u64, report: &mut Report) {
        for Waiting { path, reader } in self.waiting {
            let lsn = reader.header().lsn;
            if last_lsn < report.log_last_lsn {
                report.notes.push(format!("{} was not checked: the log is damaged before it", path.display()));
                continue;
            }
            report.find(Finding {
                part: Part::Log,
                lsn: Some(last_lsn),
                what: format!("the log ends before the snapshot {} at position {lsn}", path.display()),
                advice: "Records are missing that were acknowledged, or the snapshot is of another ledger: look for the \
                         log's last segment before a server is started here.",
            });
        }
    }
}

/// The first thing in which a snapshot is not what the books are.
fn difference(reader: &mut Reader, end: GroupEnd, log_id: [u8; 16], book: &Book) -> Option<String> {
    let header = *reader.header();
    if header.log_id != log_id {
        return Some("it was taken of another log".to_owned());
    }
    if header.lsn != end.last_lsn {
        return Some("its position is in the middle of a group of the log, where no snapshot can be".to_owned());
    }
    if header.chain_hash != end.chain {
        return Some("it was taken of another history: the log's hash at its position is another".to_owned());
    }
    let (mut wallets, mut wrong_wallet) = (0, None);
    let (mut holds, mut wrong_hold) = (0, None);
    let loaded = snapshot::load(
        reader,
        |row| {
            wallets += 1;
            let known = book.wallets.get(&row.opening.wallet);
            let same = known.is_some_and(|known| {
                (known.opening, known.status, known.posted, known.held)
                    == (row.opening, row.status, row.posted, row.held)
            });
            if !same {
                wrong_wallet.get_or_insert(row.opening.wallet);
            }
        },
        |authorization, captured| {
            holds += 1;
            if !is_in_book(&authorization, captured, book) {
                wrong_hold.get_or_insert(authorization.hold);
            }
        },
        |_, _| {},
    );
    match (loaded, wrong_wallet, wrong_hold) {
        (Err(error), ..) => Some(failure::with_causes(&error)),
        (Ok(_), Some(wallet), _) => Some(format!("wallet {wallet} is not as in the books")),
        (Ok(_), None, Some(hold)) => Some(format!("hold {hold} is not as in the books")),
        (Ok(_), ..) if (wallets, holds) != (book.wallets.len(), book.holds.len()) => Some(format!(
            "it has {wallets} wallets and {holds} open holds; the books have {} and {}",
            book.wallets.len(),
            book.holds.len()
        )),
        (Ok(hash), ..) if hash != book.state_hash() => Some("its state hash is not that of the books".to_owned()),
        (Ok(_), ..) => None,
    }
}

fn is_in_book(authorization: &Authorization, captured: i64, book: &Book) -> bool {
    let known = book.holds.get(&authorization.hold);
    known.is_some_and(|known| {
        Hold::restore(&known.authorization, known.captured) == Hold::restore(authorization, captured)
            && known.authorization.reference == authorization.reference
    })
}

fn finding(lsn: u64, what: String) -> Finding {
    Finding { part: Part::Snapshots, lsn: Some(lsn), what, advice: ADVICE }
}
