//! `florin backup`: a copy of a data folder, of a running server's too, from which a server can start. What is derived
//! from the log is copied before it and put in its place after it, so that at every moment the backup is a ledger whose
//! log has at least what the rest knows; a backup that was broken off is one of an earlier position.

mod copy;
mod target;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use florin::engine::EngineConfig;
use florin::http::auth;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use vault::Encryption;
use wal::disk::{Disk, RealDisk};

use super::failure::Failure;
use super::keys::MasterArgs;
use super::tape::Tape;
use super::verify::report::Report;
use super::{Verdict, screen, verify};
use copy::{Copier, Part};
use target::Target;

pub const EXAMPLES: &str = "\
Examples:
  florin backup --data-dir ./data --to /mnt/backup/florin
  florin backup --data-dir ./data --to /mnt/backup/florin --json | jq .lsn
  florin serve --data-dir /mnt/restored        of a copy of the backup: that is how it is restored

The server may run, and need not know. The backup has everything that was acknowledged before it began, and what \
    else the log had when its turn came; the position is told. Run again with the same folder it copies only what \
    is new: sealed segments of the log never change. It goes into a new or empty folder, or into an earlier backup \
    of the same ledger, and overwrites nothing else. Everything is synced, and the whole copy checked as by florin \
    verify. Broken off, it leaves a backup of an earlier position; run it again.

Log, indexes, the newest snapshot, the people with the keys that open what is sealed of them, and the operator key's \
    hash are copied; not copied are TLS files, snapshots in Postgres, which a restored server does without, and people \
    in Postgres: dump those before, not after, with pg_dump.

Exit code: 0 copied and sound; 1 the log or the copy is damaged, and how is told; 2 not copied.";

#[derive(Args, Clone, Debug)]
pub struct BackupArgs {
    /// The data folder of a server, running or not
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The folder of the backup: a new one, an empty one, or an earlier backup of the same ledger
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Leave the check of the whole copy to a later florin verify
    #[arg(long)]
    no_verify: bool,
    #[command(flatten)]
    master: MasterArgs,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

/// What came of it.
struct Outcome {
    lsn: u64,
    copied: Copied,
    /// None if it was not asked for.
    report: Option<Report>,
    elapsed: Duration,
}

/// What was copied, and what was there already.
#[derive(Clone, Copy, Debug, Default)]
struct Copied {
    files: u64,
    bytes: u64,
    kept_files: u64,
    kept_bytes: u64,
}

pub fn run(args: &BackupArgs) -> Result<Verdict, Failure> {
    let began = Instant::now();
    let bar = screen::bar("copying", 0);
    let copied = back_up(&args.data_dir, &args.to, &bar);
    bar.finish_and_clear();
    let (lsn, copied) = copied?;
    let report = if args.no_verify {
        None
    } else {
        let mut config = EngineConfig::new(&args.to);
        config.encryption = args.master.to_read(&args.to)?;
        Some(verify::examine(&config)?)
    };
    let outcome = Outcome { lsn, copied, report, elapsed: began.elapsed() };
    screen::print(&if args.json { format!("{}\n", outcome.json(&args.to)) } else { outcome.table(&args.to) })?;
    Ok(if outcome.is_fine() { Verdict::Fine } else { Verdict::Wrong })
}

fn back_up(data_dir: &Path, to: &Path, bar: &ProgressBar) -> Result<(u64, Copied), Failure> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    // Before anything is made there: is there a ledger, and which?
    let log_id = Tape::open(data_dir, &Encryption::Without)?.reader().log_id();
    let target = Target::open(&disk, to, data_dir, log_id)?;
    let (from, into) = (EngineConfig::new(data_dir), EngineConfig::new(to));
    let mut copier = Copier::new(&disk, target.incoming_dir(), bar)?;

    // People come first and are put in place last: a row that leads to money is written before the money moves, so a log
    // that has more than the database is one after a crash, and a database that has more than the log is a loss.
    for name in [vault::KEYS_FILE_NAME, vault::MASTER_FILE_NAME] {
        copier.small_file(&data_dir.join(name), &to.join(name))?;
    }
    let people = copier.people(data_dir)?;

    // A snapshot is of use only if the indexes reach it, and both only if the log does: so they are looked at in
    // this order.
    let parts = [
        copier.newest_snapshot(&from.snapshots_dir(), &into.snapshots_dir())?,
        copier.index("ids", &from.ids_dir(), &into.ids_dir())?,
        copier.index("entries", &from.entries_dir(), &into.entries_dir())?,
    ];
    let tape = Tape::open(data_dir, &Encryption::Without)?;
    let last_there = target.last_segment(&tape)?;
    copier.segments(tape.reader(), last_there.as_deref(), &into.log_dir())?;
    parts.iter().try_for_each(|part: &Part| copier.put_in_place(part))?;
    // Once more, after the segments, so that it has every key that one of them names.
    copier.small_file(&data_dir.join(vault::KEYS_FILE_NAME), &to.join(vault::KEYS_FILE_NAME))?;
    copier.small_file(&data_dir.join(auth::FILE_NAME), &to.join(auth::FILE_NAME))?;
    if let Some(people) = people {
        copier.put_people_in_place(&people, to)?;
    }
    let copied = copier.finish()?;
    target.finish(tape.last_lsn())?;
    Ok((tape.last_lsn(), copied))
}

impl Outcome {
    fn is_fine(&self) -> bool {
        self.report.as_ref().is_none_or(Report::is_fine)
    }

    fn json(&self, to: &Path) -> Value {
        let verdict = match &self.report {
            None => "not_checked",
            Some(report) if report.is_fine() => "fine",
            Some(_) => "wrong",
        };
        let hash = self.report.as_ref().and_then(|report| report.state_hash).map(|hash| hash.to_string());
        json!({
            "to": to,
            "lsn": self.lsn,
            "copied_files": self.copied.files,
            "copied_bytes": self.copied.bytes,
            "kept_files": self.copied.kept_files,
            "kept_bytes": self.copied.kept_bytes,
            "verdict": verdict,
            "findings": self.report.as_ref().map_or(&[][..], |report| &report.findings),
            "state_hash": hash,
            "seconds": self.elapsed.as_secs_f64(),
        })
    }

    fn table(&self, to: &Path) -> String {
        let files = |files, bytes| format!("{} files, {} bytes", screen::grouped(files), screen::grouped(bytes));
        let checked = match &self.report {
            None => "no; florin verify does it".to_owned(),
            Some(report) if report.is_fine() => "log, books, snapshot and indexes agree".to_owned(),
            Some(_) => "WRONG: this copy is not sound".to_owned(),
        };
        let mut out = String::new();
        for (name, value) in [
            ("backup", to.display().to_string()),
            ("position", screen::grouped(self.lsn)),
            ("copied", files(self.copied.files, self.copied.bytes)),
            ("there", files(self.copied.kept_files, self.copied.kept_bytes)),
            ("checked", checked),
            ("time", screen::seconds(self.elapsed)),
        ] {
            out.push_str(&format!("{name:<12}{value}\n"));
        }
        if let Some(report) = self.report.as_ref().filter(|report| !report.is_fine()) {
            out.push_str(&format!("\n{}", report.table()));
        }
        out
    }
}
