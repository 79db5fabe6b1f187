//! The folder of a backup: what may be taken for one, and that it is of this ledger and of no other history of it.
//! How files come into it is in `copy`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use florin::engine::EngineConfig;
use serde::{Deserialize, Serialize};
use wal::Reader;
use wal::disk::{Disk, DiskLock};

use super::copy::write_file;
use crate::cli::failure::Failure;
use crate::cli::screen;
use crate::cli::tape::Tape;

const MARKER: &str = "backup.json";
const MARKER_VERSION: u32 = 1;

pub struct Target {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    log_id: [u8; 16],
    /// The log's own lock: neither a server nor another backup is at work here.
    _lock: Box<dyn DiskLock>,
}

/// Says of a folder that it is a backup, so that no server's folder is taken for one by a mistake on the command line.
#[derive(Serialize, Deserialize)]
struct Marker {
    florin_backup: u32,
    log_id: String,
    /// The last record, when the backup was finished; none before the first was.
    last_lsn: Option<u64>,
    finished_at: Option<String>,
}

impl Target {
    pub fn open(disk: &Arc<dyn Disk>, dir: &Path, data_dir: &Path, log_id: [u8; 16]) -> Result<Target, Failure> {
        let is_new = match fs::read_dir(dir) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(Failure::file("list", dir)(error)),
        };
        check_apart(dir, data_dir)?;
        if !is_new {
            check_marker(dir, log_id)?;
        }
        fs::create_dir_all(dir).map_err(Failure::file("make the folder", dir))?;
        let log_dir = EngineConfig::new(dir).log_dir();
        if is_new {
            let marker =
                Marker { florin_backup: MARKER_VERSION, log_id: hex(log_id), last_lsn: None, finished_at: None };
            write_file(&**disk, &dir.join(MARKER), &encode(&marker))?;
        }
        disk.create_dir_all(&log_dir).map_err(Failure::file("make the folder", &log_dir))?;
        disk.sync_dir(dir).map_err(Failure::file("sync the folder", dir))?;
        let lock = log_dir.join("lock");
        let lock = disk.lock(&lock).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => Failure::Usage(format!(
                "{} is in use: a server or another backup has it open. To serve from a backup, copy it first",
                dir.display()
            )),
            _ => Failure::file("lock", &lock)(error),
        })?;
        Ok(Target { disk: Arc::clone(disk), dir: dir.to_owned(), log_id, _lock: lock })
    }

    /// Where files are gathered before they get their names.
    pub fn incoming_dir(&self) -> PathBuf {
        self.dir.join("incoming")
    }

    /// The name of the last segment that is here; those before it are whole. The log here must be the beginning of
    /// the one that is copied.
    pub fn last_segment(&self, tape: &Tape) -> Result<Option<String>, Failure> {
        let log_dir = EngineConfig::new(&self.dir).log_dir();
        let Some(here) = Reader::open(Arc::clone(&self.disk), &log_dir, None, &mut |_, _| {})? else { return Ok(None) };
        let last_lsn = here.durable_lsn();
        let is_beginning = here.log_id() == self.log_id
            && (last_lsn == 0
                || tape
                    .reader()
                    .chain_at(last_lsn)?
                    .is_some_and(|group| group.last_lsn == last_lsn && group.chain == here.chain_at_end()));
        if !is_beginning {
            return Err(Failure::Usage(format!(
                "the backup in {} has records up to {last_lsn} that are not those of this ledger, which ends at {}: one of \
                 the two was put back to an earlier state, and went on from there. Keep this backup, and begin a new one \
                 in another folder",
                self.dir.display(),
                tape.last_lsn()
            )));
        }
        Ok(here.segment_files().pop().map(|file| file.name))
    }

    pub fn finish(self, last_lsn: u64) -> Result<(), Failure> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let marker = Marker {
            florin_backup: MARKER_VERSION,
            log_id: hex(self.log_id),
            last_lsn: Some(last_lsn),
            finished_at: Some(screen::time(u64::try_from(now.as_micros()).unwrap_or(u64::MAX))),
        };
        write_file(&*self.disk, &self.dir.join(MARKER), &encode(&marker))
    }
}

fn check_marker(dir: &Path, log_id: [u8; 16]) -> Result<(), Failure> {
    let path = dir.join(MARKER);
    let no_backup = || {
        Failure::Usage(format!(
            "{} is not empty and is no backup: choose a new folder, or one that florin backup has made",
            dir.display()
        ))
    };
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(no_backup()),
        bytes => bytes.map_err(Failure::file("read", &path))?,
    };
    let marker: Marker = serde_json::from_slice(&bytes).map_err(|_| no_backup())?;
    if marker.florin_backup != MARKER_VERSION {
        return Err(Failure::Usage(format!("{} is a backup of another version: use a new folder", dir.display())));
    }
    if marker.log_id != hex(log_id) {
        return Err(Failure::Usage(format!("{} is a backup of another ledger", dir.display())));
    }
    Ok(())
}

/// A backup inside the data folder would be lost with it, and the other way round would be a mistake.
fn check_apart(dir: &Path, data_dir: &Path) -> Result<(), Failure> {
    let absolute = std::path::absolute(dir).map_err(Failure::file("find", dir))?;
    let existing = absolute.ancestors().find(|path| path.exists()).unwrap_or(&absolute);
    let real = |path: &Path| path.canonicalize().map_err(Failure::file("find", path));
    let (existing, data_dir) = (real(existing)?, real(data_dir)?);
    if existing.starts_with(&data_dir) || (dir.exists() && data_dir.starts_with(&existing)) {
        let what = "is the data folder itself, in it, or around it: a backup belongs elsewhere, best on another disk";
        return Err(Failure::Usage(format!("{} {what}", dir.display())));
    }
    Ok(())
}

fn encode(marker: &Marker) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(marker).expect("plain data with text keys always serialises");
    bytes.push(b'\n');
    bytes
}

fn hex(id: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(id))
}
