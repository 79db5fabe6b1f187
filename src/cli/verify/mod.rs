//! `florin verify`: log, snapshots, indexes and books of a data folder, held against each other in one pass over
//! the log. Read only: nothing in the folder is made, removed or renamed, so it may run beside a server.

mod index;
mod once;
pub mod report;
mod snapshot;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use florin::engine::EngineConfig;
use florin::engine::claims;
use florin::engine::runs::Row;
use florin::ledger::Book;
use secrecy::SecretString;
use wal::disk::{Disk, RealDisk};

use super::failure::{self, Failure};
use super::keys::MasterArgs;
use super::tape::{Played, Step, Tape};
use super::{Verdict, screen};
use index::IndexCheck;
use once::OnceCheck;
use report::{Finding, Part, Report};
use snapshot::SnapshotChecks;

pub const EXAMPLES: &str = "\
Examples:
  florin verify --data-dir ./data
  florin verify --data-dir ./data --json | jq .verdict
  FLORIN_SNAPSHOTS=postgres://florin@db/florin florin verify --data-dir ./data

What is checked, in one pass over the log from its first record:
  log        every checksum, the chain of hashes, every record; the archive too
  books      that the events make sense in their order, each id is decided by one record, and each currency sums to zero
  snapshots  that each is whole, of this log, and equal to the books at its position; those in Postgres too, with
             --snapshots
  ids        that each id leads to the record that took it, and nothing else is there
  entries    that each balance after a change is in the history, and nothing else is

Nothing is written, so this may run beside a server. An index that ends before the log does is no fault: the \
    server keeps the newest part in memory and makes it again from the log when it starts. It is told as a note.

Exit code: 0 all agree; 1 something does not, and is named; 2 could not run.";

#[derive(Args, Clone, Debug)]
pub struct VerifyArgs {
    /// The data folder of a server, running or not
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The Postgres database that keeps the server's snapshots; see florin serve --help
    #[arg(long, env = "FLORIN_SNAPSHOTS", hide_env_values = true, value_name = "URL")]
    snapshots: Option<SecretString>,
    #[command(flatten)]
    master: MasterArgs,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: &VerifyArgs) -> Result<Verdict, Failure> {
    let mut config = EngineConfig::new(&args.data_dir);
    config.snapshots_in = args.snapshots.as_ref().map(snapshots::postgres::Address::parse).transpose()?;
    config.encryption = args.master.to_read(&args.data_dir)?;
    let report = examine(&config)?;
    screen::print(&if args.json { report.json() } else { report.table() })?;
    Ok(if report.is_fine() { Verdict::Fine } else { Verdict::Wrong })
}

/// Holds everything in a data folder against its log.
pub fn examine(config: &EngineConfig) -> Result<Report, Failure> {
    let began = Instant::now();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut report = Report::default();

    // What is derived from the log is opened before it: a running server goes on writing, and then the log has
    // at least what they have.
    let mut snapshots = SnapshotChecks::open(&*disk, config, &mut report)?;
    if config.snapshots_in.is_some()
        && let Ok(tape) = Tape::open(&config.data_dir, &config.encryption)
    {
        // The log's name says which of the database's snapshots are its own.
        snapshots.add_listed(config.snapshot_store(&disk, tape.reader().log_id()), &mut report)?;
    }
    let ids = IndexCheck::open(Part::Ids, &disk, &config.ids_dir(), &mut report)?;
    let entries = IndexCheck::open(Part::Entries, &disk, &config.entries_dir(), &mut report)?;
    let tape = match Tape::open(&config.data_dir, &config.encryption) {
        Err(failure) if failure.is_finding() => {
            report.find(finding_of(&failure));
            report.is_partial = true;
            report.notes.push("snapshots and indexes were not compared with the log".to_owned());
            report.elapsed = began.elapsed();
            return Ok(report);
        }
        tape => tape?,
    };
    let (index, covered_lsn) = ids.index();
    let once = OnceCheck::new(index, covered_lsn)?;
    let mut pass = Pass { book: Book::default(), snapshots, ids, entries, once, rows: Vec::new() };
    report.log_last_lsn = tape.last_lsn();
    let bar = screen::bar("verifying", tape.last_lsn());
    let played = tape.play(tape.last_lsn(), &bar, |step| pass.take(step, &tape, &mut report));
    bar.finish_and_clear();
    // An event that makes no sense leaves the books half changed: nothing may be concluded from them any more.
    let books_stand = !matches!(played, Err(Failure::Book(_)));
    if let Err(failure) = played {
        if !failure.is_finding() {
            return Err(failure);
        }
        report.find(finding_of(&failure));
        report.is_partial = true;
    }
    pass.end(books_stand, &mut report)?;
    report.elapsed = began.elapsed();
    Ok(report)
}

/// Everything that is held against the log while it is played.
struct Pass {
    book: Book,
    snapshots: SnapshotChecks,
    ids: IndexCheck,
    entries: IndexCheck,
    once: OnceCheck,
    rows: Vec<Row>,
}

impl Pass {
    fn take(&mut self, step: Step, tape: &Tape, report: &mut Report) -> Result<(), Failure> {
        match step {
            Step::Record(played) => self.take_record(&played, report),
            Step::GroupEnd(end) => self.snapshots.check(end, tape.reader().log_id(), &self.book, report),
        }
    }

    fn take_record(&mut self, played: &Played, report: &mut Report) -> Result<(), Failure> {
        let Played { lsn, time_micros, event } = played;
        let entries = self.book.apply(*lsn, *time_micros, event)?;
        let rows = entries.iter().map(|entry| Row { key: entry.wallet.0, lsn: *lsn, value: entry.balance_after });
        self.entries.take(*lsn, rows, report)?;

        self.rows.clear();
        claims::rows_of(event, *lsn, |row, _| self.rows.push(row));
        self.ids.take(*lsn, self.rows.iter().copied(), report)?;
        self.once.take(*lsn, event, report)
    }

    fn end(self, books_stand: bool, report: &mut Report) -> Result<(), Failure> {
        report.verified_lsn = self.book.last_lsn;
        report.wallets = self.book.wallets.len() as u64;
        report.open_holds = self.book.holds.len() as u64;
        if books_stand {
            report.state_hash = Some(self.book.state_hash());
            report.sums = self.book.sums();
        }
        for (currency, sum) in report.sums.clone() {
            if sum.posted != 0 {
                report.find(Finding {
                    part: Part::Books,
                    lsn: None,
                    what: format!("the balances in {currency} do not add up to zero"),
                    advice: "Keep a copy of the data folder and report this: the log's own events are out of balance.",
                });
            }
        }
        self.ids.end(self.book.last_lsn, report)?;
        self.entries.end(self.book.last_lsn, report)?;
        self.snapshots.end(self.book.last_lsn, report);
        Ok(())
    }
}

fn finding_of(failure: &Failure) -> Finding {
    let what = failure::with_causes(failure);
    match failure {
        Failure::Book(broken) => Finding {
            part: Part::Books,
            lsn: Some(broken.lsn),
            what,
            advice: "Keep a copy of the data folder and report this; `florin replay --until-lsn` shows the books before.",
        },
        Failure::Record { lsn, .. } => Finding {
            part: Part::Log,
            lsn: Some(*lsn),
            what,
            advice: "Its checksum is right, so a newer version may have written it: use that one.",
        },
        Failure::Log(wal::Error::Corrupt { expected_lsn, .. }) => Finding {
            part: Part::Log,
            lsn: Some(*expected_lsn),
            what,
            advice: "Everything before this position is sound, and nothing after it was checked.",
        },
        _ => Finding { part: Part::Log, lsn: None, what, advice: "Nothing after this was checked." },
    }
}
