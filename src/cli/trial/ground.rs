//! The ground of a trial: a folder with a ledger in it, servers on that ledger, and what they are held to when
//! they have recovered.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use serde::Deserialize;
use serde_json::Value;

use super::child::{PATIENCE, Process, Serving};
use super::{LOOK_PERIOD, Programs, read_json};
use crate::cli::failure::Failure;
use crate::cli::keys::MasterArgs;
use crate::cli::tape::{Step, Tape};

#[derive(Debug)]
pub struct Ground {
    pub programs: Programs,
    pub interrupted: Arc<AtomicBool>,
    /// Lists, reports and what the children said.
    pub folder: Folder,
    pub data_dir: PathBuf,
}

/// A folder that is removed in the end, unless it is to be kept.
#[derive(Debug)]
pub struct Folder {
    pub path: PathBuf,
    pub keep: bool,
}

/// What `loadtest audit` found.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Audit {
    pub acknowledged: u64,
    pub found: u64,
    pub missing: u64,
    pub different: u64,
    pub refusals: u64,
    pub refusals_different: u64,
    pub wallets_checked: u64,
    pub wallets_different: u64,
    pub sums: Vec<(String, String)>,
    pub sums_zero: bool,
    pub problems: Vec<String>,
}

/// What is wrong in a log, if anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlayedThrough {
    /// Ids that more than one record took: requests that happened twice.
    pub doubled: u64,
    /// Records with an earlier time than the one before.
    pub times_back: u64,
}

impl Ground {
    /// A server on this ground, not started yet.
    pub fn serving<'a>(&'a self, listen: &'a str, more: &'a [&'a str]) -> Serving<'a> {
        Serving {
            florin: &self.programs.florin,
            data_dir: &self.data_dir,
            said: self.path("server.log"),
            listen,
            more,
            env: &[],
        }
    }

    /// Asks a running server for everything on the list.
    pub fn audit(&self, url: &str, key: &str, list: &Path, wallets_checked: u32) -> Result<Audit, Failure> {
        let (found, said) = (self.path("audit.json"), self.path("audit.log"));
        if found.is_file() {
            fs::remove_file(&found).map_err(Failure::file("remove", &found))?;
        }
        let mut command = Command::new(&self.programs.loadtest);
        command.args(["audit", "--quiet", "--url", url, "--wallets-checked", &wallets_checked.to_string()]);
        command.arg("--acknowledged").arg(list).arg("--json").arg(&found).env("FLORIN_API_KEY", key);
        let mut process = Process::start("the audit", command, &said)?;
        // It asks for each line of the list; a line has about a hundred bytes.
        let list_bytes = fs::metadata(list).map_err(Failure::file("look at", list))?.len();
        process.patience += Duration::from_micros(list_bytes.saturating_mul(2));
        let (code, _) = process.finish(&self.interrupted)?;
        if !found.is_file() {
            let said = fs::read_to_string(&said).unwrap_or_default();
            return Err(Failure::Usage(format!("the audit ended with {code}: {}", said.trim())));
        }
        let text = fs::read(&found).map_err(Failure::file("read", &found))?;
        serde_json::from_slice(&text).map_err(|error| Failure::file("read", &found)(error.into()))
    }

    /// The report that a load has written, once it has ended.
    pub fn load_report(&self, load: &Process, report: &Path) -> Result<Value, Failure> {
        if report.is_file() { read_json(report) } else { Err(load.failed("ended without a report")) }
    }

    /// The last line that `florin <command> --json` prints, if it has this field.
    pub fn florin_json(&self, command: &'static str, more: &[&str], field: &str) -> Result<Value, Failure> {
        let mut asked = Command::new(&self.programs.florin);
        asked.args([command, "--json", "--data-dir"]).arg(&self.data_dir).args(more);
        let log = self.path("florin.log");
        let (code, printed) = Process::start(command, asked, &log)?.finish(&self.interrupted)?;
        let last = printed.last().and_then(|line| serde_json::from_str::<Value>(line).ok());
        last.filter(|value| !value[field].is_null()).ok_or_else(|| {
            let said = fs::read_to_string(&log).unwrap_or_default();
            Failure::Usage(format!("florin {command} ended with {code}: {}", said.trim()))
        })
    }

    /// Plays the log through, for what no client could see.
    pub fn play_through(&self) -> Result<PlayedThrough, Failure> {
        let tape = Tape::open(&self.data_dir, &MasterArgs::of_environment().to_read(&self.data_dir)?)?;
        let mut ids = HashSet::new();
        let mut found = PlayedThrough::default();
        let mut time_micros = 0;
        tape.play(tape.last_lsn(), &ProgressBar::hidden(), |step| {
            if let Step::Record(played) = step {
                found.times_back += u64::from(played.time_micros < time_micros);
                time_micros = played.time_micros;
                found.doubled += u64::from(played.event.request().is_some_and(|(id, _)| !ids.insert(id)));
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// The list begins with what opening and funding the wallets was answered; transfers come after that.
    pub fn wait_for_transfers(&self, load: &mut Process, list: &Path) -> Result<(), Failure> {
        let began = Instant::now();
        loop {
            let text = fs::read_to_string(list).unwrap_or_default();
            if text.lines().any(|line| line.starts_with("a ")) {
                return Ok(());
            }
            if load.ended()?.is_some() || began.elapsed() > PATIENCE {
                return Err(load.failed("did not get to its transfers"));
            }
            self.check_interrupted()?;
            std::thread::sleep(LOOK_PERIOD);
        }
    }

    pub fn check_interrupted(&self) -> Result<(), Failure> {
        if self.interrupted.load(Ordering::Relaxed) { Err(Failure::Interrupted) } else { Ok(()) }
    }

    /// A file of the trial's own.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("florin: the folder {} could not be removed: {error}", self.path.display());
        }
    }
}
