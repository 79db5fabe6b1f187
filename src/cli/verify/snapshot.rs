//! The snapshots of a data folder, and of a database, each held against the books while the log passes its position.

use std::io;
use std::path::{Path, PathBuf};

use florin::engine::EngineConfig;
use florin::engine::snapshot::{self, SnapshotError};
use florin::engine::snapshot_rows::SnapshotRow;
use florin::ledger::{Authorization, Book, Hold};
use snapshots::{Reader, Store, disk};
use vault::Encryption;
use wal::disk::Disk;

use super::report::{Finding, Part, Report};
use crate::cli::failure::{self, Failure};
use crate::cli::tape::GroupEnd;

const ADVICE: &str = "No money is lost: the log has everything. Move this snapshot away; the server recovers from an \
                      older one or from the log alone, and takes a new one.";

/// How often the folder is listed again because the server removed a snapshot between listing and opening.
const LOOKS_MAX: usize = 16;

pub struct SnapshotChecks {
    /// Oldest first.
    waiting: Vec<Waiting>,
    /// Where those are that are not open yet.
    database: Option<Store>,
}

struct Waiting {
    path: PathBuf,
    lsn: u64,
    /// A file is open already, so that a running server cannot take it away. One in a database is opened when its turn
    /// comes, since it may be taken away all the same.
    reader: Option<Reader>,
}

impl SnapshotChecks {
    pub fn open(disk: &dyn Disk, config: &EngineConfig, report: &mut Report) -> Result<SnapshotChecks, Failure> {
        let dir = config.snapshots_dir();
        for _ in 0..LOOKS_MAX {
            if let Some(checks) = SnapshotChecks::look(disk, &dir, &config.encryption, report)? {
                return Ok(checks);
            }
        }
        Err(Failure::Usage(format!("the snapshots in {} change faster than they can be opened", dir.display())))
    }

    /// None if a snapshot has gone away in between.
    fn look(
        disk: &dyn Disk,
        dir: &Path,
        encryption: &Encryption,
        report: &mut Report,
    ) -> Result<Option<SnapshotChecks>, Failure> {
        let gone = |error: &snapshots::Error| matches!(error, snapshots::Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound);
        let entries = match snapshots::disk::list(disk, dir) {
            Err(error) if gone(&error) => return Ok(None),
            entries => entries?,
        };
        let mut waiting = Vec::new();
        let mut findings = Vec::new();
        for entry in entries.iter().rev() {
            match disk::Reader::open_with_keys(disk, dir, entry.lsn, encryption) {
                Ok(reader) => {
                    waiting.push(Waiting { path: entry.path.clone(), lsn: entry.lsn, reader: Some(reader.into()) });
                }
                Err(error) if gone(&error) => return Ok(None),
                Err(error @ (snapshots::Error::Io { .. } | snapshots::Error::Key { .. })) => return Err(error.into()),
                Err(error) => findings.push(finding(entry.lsn, error.to_string())),
            }
        }
        report.snapshots = entries.len() as u64;
        report.findings.extend(findings);
        Ok(Some(SnapshotChecks { waiting, database: None }))
    }

    /// The snapshots that a database lists for this log.
    pub fn add_listed(&mut self, database: Store, report: &mut Report) -> Result<(), Failure> {
        let entries = database.list()?;
        report.snapshots += entries.len() as u64;
        let waiting = entries.into_iter().map(|entry| Waiting { path: entry.path, lsn: entry.lsn, reader: None });
        self.waiting.extend(waiting);
        self.waiting.sort_by_key(|waiting| waiting.lsn);
        self.database = Some(database);
        Ok(())
    }

    /// The books are at the end of a group; a snapshot of this position must be equal to them.
    pub fn check(&mut self, end: GroupEnd, log_id: [u8; 16], book: &Book, report: &mut Report) -> Result<(), Failure> {
        while self.waiting.first().is_some_and(|waiting| waiting.lsn <= end.last_lsn) {
            let Waiting { path, lsn, reader } = self.waiting.remove(0);
            let is_listed = reader.is_none();
            let compared = match reader {
                Some(mut reader) => compare(&mut reader, end, log_id, book),
                None => self.open_listed(lsn).and_then(|mut reader| compare(&mut reader, end, log_id, book)),
            };
            match compared {
                Ok(()) => report.snapshots_fine += 1,
                // The server has taken a newer one meanwhile and removed this one.
                Err(_) if is_listed && self.has_gone(lsn)? => report.snapshots -= 1,
                Err(Difference::Found(what)) => report.find(finding(lsn, format!("{}: {what}", path.display()))),
                Err(Difference::Unreadable(error)) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn open_listed(&self, lsn: u64) -> Result<Reader, Difference> {
        let database = self.database.as_ref().expect("only a database lists what is not open yet");
        database.open(lsn).map_err(|error| Difference::of(error.into()))
    }

    /// Whether the database had this snapshot and has it no longer.
    fn has_gone(&self, lsn: u64) -> Result<bool, Failure> {
        let Some(database) = &self.database else { return Ok(false) };
        Ok(!database.list()?.iter().any(|entry| entry.lsn == lsn))
    }

    /// The log is at its end: what is still waiting knows more than it.
    pub fn end(self, last_lsn: u64, report: &mut Report) {
        for Waiting { path, lsn, .. } in self.waiting {
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

/// In what a snapshot is not what the books are.
enum Difference {
    Found(String),
    /// It is not known: the database did not answer.
    Unreadable(snapshots::Error),
}

impl Difference {
    fn of(error: SnapshotError) -> Difference {
        match error {
            SnapshotError::Store(error @ (snapshots::Error::Database { .. } | snapshots::Error::Key { .. })) => {
                Difference::Unreadable(error)
            }
            error => Difference::Found(failure::with_causes(&error)),
        }
    }
}

/// The first difference is the answer.
fn compare(reader: &mut Reader, end: GroupEnd, log_id: [u8; 16], book: &Book) -> Result<(), Difference> {
    let found = |what: &str| Err(Difference::Found(what.to_owned()));
    let header = *reader.header();
    if header.log_id != log_id {
        return found("it was taken of another log");
    }
    if header.lsn != end.last_lsn {
        return found("its position is in the middle of a group of the log, where no snapshot can be");
    }
    if header.chain_hash != end.chain {
        return found("it was taken of another history: the log's hash at its position is another");
    }
    let (mut wallets, mut wrong_wallet) = (0, None);
    let (mut holds, mut wrong_hold) = (0, None);
    let loaded = snapshot::load(
        reader,
        |row| match row {
            SnapshotRow::Wallet(row) => {
                wallets += 1;
                let known = book.wallets.get(&row.opening.wallet);
                let same = known.is_some_and(|known| {
                    (known.opening, known.status, known.posted, known.held)
                        == (row.opening, row.status, row.posted, row.held)
                });
                if !same {
                    wrong_wallet.get_or_insert(row.opening.wallet);
                }
            }
            // One too few is told by the state hash.
            SnapshotRow::Spending(wallet, spending) => {
                let known = book.wallets.get(&wallet).and_then(|known| known.spending);
                if known.map(|known| known.state()) != Some(spending) {
                    wrong_wallet.get_or_insert(wallet);
                }
            }
            SnapshotRow::Hold(authorization, captured) => {
                holds += 1;
                if !is_in_book(&authorization, captured, book) {
                    wrong_hold.get_or_insert(authorization.hold);
                }
            }
        },
        |_, _| {},
    );
    let hash = loaded.map_err(Difference::of)?;
    let counted = (wallets, holds);
    let known = (book.wallets.len(), book.holds.len());
    match (wrong_wallet, wrong_hold) {
        (Some(wallet), _) => found(&format!("wallet {wallet} is not as in the books")),
        (None, Some(hold)) => found(&format!("hold {hold} is not as in the books")),
        (None, None) if counted != known => found(&format!(
            "it has {wallets} wallets and {holds} open holds; the books have {} and {}",
            known.0, known.1
        )),
        (None, None) if hash != book.state_hash() => found("its state hash is not that of the books"),
        (None, None) => Ok(()),
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
