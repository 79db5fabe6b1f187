//! Damage to the folder of a stopped ledger, and what a server must make of each.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::plan::Fault;
use super::torn::{self, Tear};
use crate::cli::failure::Failure;
use crate::cli::trial::child::{Process, Ready};
use crate::cli::trial::ground::Ground;

/// Bytes of a file's beginning that damage leaves alone: with them gone the file is not damaged but another thing.
const HEAD_BYTES: u64 = 4096;

/// What was done, to be looked for after the next start.
#[derive(Debug)]
pub enum Damage {
    /// The newest snapshot is bad: an older one is to be taken.
    Snapshot { path: PathBuf, lsn: u64 },
    /// Without an index there is nothing that a snapshot could be used with: all of the log is to be played.
    Index,
    /// A write that nobody was told of is there in part: it is to be cut off, and nothing before it.
    TornTail {
        /// The last record before it, where that is known for certain.
        last_lsn: Option<u64>,
    },
    /// Nothing that a start would show.
    None,
}

/// Does it to the stopped ledger, if there is something to do it to.
pub fn put_in(fault: Fault, ground: &Ground, problems: &mut Vec<String>) -> Result<Option<Damage>, Failure> {
    let data = &ground.data_dir;
    match fault {
        Fault::SnapshotFlipped | Fault::SnapshotCut => {
            let Some(path) = newest(&data.join("snapshots"), "snap")? else { return Ok(None) };
            let lsn = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            let Some(lsn) = lsn else { return Ok(None) };
            let bytes = fs::metadata(&path).map_err(Failure::file("look at", &path))?.len();
            if fault == Fault::SnapshotCut {
                let file = fs::OpenOptions::new().write(true).open(&path).map_err(Failure::file("open", &path))?;
                file.set_len(bytes / 2).map_err(Failure::file("cut off", &path))?;
            } else {
                flip(&path, rand::random_range(0..bytes))?;
            }
            Ok(Some(Damage::Snapshot { path, lsn }))
        }
        Fault::HistoryIndexLost | Fault::IdsIndexLost => {
            let name = if fault == Fault::IdsIndexLost { "ids" } else { "entries" };
            let path = data.join("index").join(name);
            fs::remove_dir_all(&path).map_err(Failure::file("remove", &path))?;
            Ok(Some(Damage::Index))
        }
        Fault::SegmentDamaged => damaged_copy(ground, problems),
        Fault::SecondServer => Ok(Some(Damage::None)),
        Fault::TailCut | Fault::TailGarbled => {
            let tear = if fault == Fault::TailCut { Tear::End } else { Tear::Blocks };
            let is_torn = torn::leave_half_a_group(&data.join("log"), tear)?;
            Ok(is_torn.then_some(Damage::TornTail { last_lsn: None }))
        }
    }
}

/// Holds the start against the damage, and takes a bad snapshot away, as the operator would. A start before this one,
/// that was killed, may have mended it already: it may have come so far as to take a snapshot of its own.
pub fn check(
    damage: &Damage,
    ready: &Ready,
    was_started_before: bool,
    problems: &mut Vec<String>,
) -> Result<(), Failure> {
    match damage {
        Damage::Snapshot { path, lsn } => {
            if ready.snapshot_lsn >= *lsn && !was_started_before {
                problems.push(format!("the damaged snapshot at {lsn} was used"));
            }
            match fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failure::file("remove", path)(error)),
                _ => Ok(()),
            }
        }
        Damage::Index => {
            if ready.replayed_records != ready.last_lsn && !was_started_before {
                problems.push(format!("{} records were replayed of {}", ready.replayed_records, ready.last_lsn));
            }
            Ok(())
        }
        Damage::TornTail { last_lsn } => {
            if ready.torn_tail_bytes == 0 && !was_started_before {
                problems.push("the torn write was not cut off".to_owned());
            }
            if last_lsn.is_some_and(|last_lsn| last_lsn != ready.last_lsn) {
                problems.push(format!(
                    "the log ended at {last_lsn:?} before the torn write, and at {} now",
                    ready.last_lsn
                ));
            }
            Ok(())
        }
        Damage::None => Ok(()),
    }
}

/// A second server beside the one that runs must be refused.
pub fn second_server(ground: &Ground, problems: &mut Vec<String>) -> Result<(), Failure> {
    must_refuse(ground, &ground.data_dir, &[], 2, &["in use by another process"], problems)
}

/// A server whose disk still gives errors must not start, and not take what it cannot read for a torn write.
pub fn start_on_errors(ground: &Ground, env: &[String], problems: &mut Vec<String>) -> Result<(), Failure> {
    // By the words of whoever meets the disk first, the log or the people's database.
    must_refuse(ground, &ground.data_dir, env, 2, &["Input/output error", "disk I/O error"], problems)
}

/// A log with damage that no crash leaves, in front of records that were acknowledged: no server may start on it.
fn damaged_copy(ground: &Ground, problems: &mut Vec<String>) -> Result<Option<Damage>, Failure> {
    let copy = ground.path("damaged");
    let log = copy.join("log");
    fs::create_dir_all(&log).map_err(Failure::file("make the folder", &log))?;
    let from = ground.data_dir.join("log");
    for name in names(&from)? {
        let (from, to) = (from.join(&name), log.join(&name));
        fs::copy(&from, &to).map_err(Failure::file("copy", &from))?;
    }
    // A segment is written from its beginning, and zeros up to its end; the newest may have nothing yet.
    let mut segments = all(&log, "wal")?;
    segments.sort_unstable();
    let mut damage = None;
    while damage.is_none()
        && let Some(segment) = segments.pop()
    {
        let bytes = fs::read(&segment).map_err(Failure::file("read", &segment))?;
        let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at as u64);
        if written > 4 * HEAD_BYTES {
            flip(&segment, rand::random_range(HEAD_BYTES..written / 2))?;
            must_refuse(ground, &copy, &[], 1, &["the log is damaged"], problems)?;
            damage = Some(Damage::None);
        }
    }
    fs::remove_dir_all(&copy).map_err(Failure::file("remove", &copy))?;
    Ok(damage)
}

fn must_refuse(
    ground: &Ground,
    data_dir: &Path,
    env: &[String],
    code: i32,
    words: &[&str],
    problems: &mut Vec<String>,
) -> Result<(), Failure> {
    let said = ground.path("refused.log");
    fs::write(&said, "").map_err(Failure::file("write", &said))?;
    let mut command = Command::new("env");
    command.args(env).arg(&ground.programs.florin);
    command.args(["serve", "--json", "--listen", "127.0.0.1:0", "--log-level", "error"]);
    command.arg("--data-dir").arg(data_dir).env_remove("FLORIN_API_KEY");
    // One that does start goes on until the patience of `finish` is at its end, and is a failure then.
    let (found, _) = Process::start("the server that must not start", command, &said)?.finish(&ground.interrupted)?;
    let text = fs::read_to_string(&said).map_err(Failure::file("read", &said))?;
    if found != code || !words.iter().any(|words| text.contains(words)) {
        problems.push(format!("a server that must be refused ended with {found} and said: {}", text.trim()));
    }
    Ok(())
}

fn flip(path: &Path, at: u64) -> Result<(), Failure> {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).map_err(Failure::file("open", path))?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).map_err(Failure::file("read", path))?;
    byte[0] ^= 1 << rand::random_range(0..8);
    file.write_all_at(&byte, at).map_err(Failure::file("damage", path))
}

/// The last by name: snapshots have numbers of a fixed width.
fn newest(folder: &Path, extension: &str) -> Result<Option<PathBuf>, Failure> {
    Ok(all(folder, extension)?.into_iter().max())
}

pub fn all(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, Failure> {
    let found = names(folder)?.into_iter().map(|name| folder.join(name));
    Ok(found.filter(|path| path.extension().is_some_and(|found| found == extension)).collect())
}

fn names(folder: &Path) -> Result<Vec<String>, Failure> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Failure::file("list", folder))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Failure::file("list", folder))?;
        names.extend(entry.file_name().into_string());
    }
    Ok(names)
}
