//! How files come into a backup: read beside a server that moves and removes them, written aside, synced, and only then
//! given their names.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use florin::store::{SQLITE_FILE, Store};
use indicatif::ProgressBar;
use wal::Reader;
use wal::disk::{Disk, DiskFile};

use super::Copied;
use crate::cli::failure::Failure;

const CHUNK_BYTES: usize = 1 << 20;

/// How often a folder is listed again because the server has taken a file away in between.
const LOOKS_MAX: usize = 16;

pub struct Copier<'a> {
    disk: Arc<dyn Disk>,
    incoming: PathBuf,
    bar: &'a ProgressBar,
    copied: Copied,
    chunk: Vec<u8>,
}

/// A folder of derived files that have been gathered, and are to be put in place when the log is there.
pub struct Part {
    gathered: PathBuf,
    into: PathBuf,
    suffix: &'static str,
    /// What the folder is to have, old and new.
    names: Vec<String>,
}

impl<'a> Copier<'a> {
    pub fn new(disk: &Arc<dyn Disk>, incoming: PathBuf, bar: &'a ProgressBar) -> Result<Copier<'a>, Failure> {
        // What an earlier backup that was broken off has gathered is not looked at.
        remove_dir(&incoming)?;
        disk.create_dir_all(&incoming).map_err(Failure::file("make the folder", &incoming))?;
        let disk = Arc::clone(disk);
        Ok(Copier { disk, incoming, bar, copied: Copied::default(), chunk: vec![0; CHUNK_BYTES] })
    }

    /// The newest snapshot that can be read.
    pub fn newest_snapshot(&mut self, from: &Path, into: &Path) -> Result<Part, Failure> {
        let disk = Arc::clone(&self.disk);
        self.part("snapshots", ".snap", from, into, |_| {
            let entries = snapshots::disk::list(&*disk, from).map_err(or_gone)?;
            for entry in entries {
                match snapshots::disk::check(&*disk, from, entry.lsn) {
                    Ok(_) => {
                        return Ok(entry
                            .path
                            .file_name()
                            .and_then(|name| name.to_str())
                            .map(str::to_owned)
                            .into_iter()
                            .collect());
                    }
                    Err(error @ snapshots::Error::Io { .. }) => return Err(or_gone(error)),
                    Err(error) => tracing::warn!(lsn = entry.lsn, %error, "this snapshot is not copied"),
                }
            }
            Ok(Vec::new())
        })
    }

    /// All files of an index. Between the listing and the copying, merges may replace some by others; what is then
    /// there twice, or is missing, a server sees to at its start.
    pub fn index(&mut self, name: &str, from: &Path, into: &Path) -> Result<Part, Failure> {
        self.part(name, ".run", from, into, Ok)
    }

    fn part(
        &mut self,
        name: &str,
        suffix: &'static str,
        from: &Path,
        into: &Path,
        choose: impl Fn(Vec<String>) -> Result<Vec<String>, Gone>,
    ) -> Result<Part, Failure> {
        let gathered = self.incoming.join(name);
        self.disk.create_dir_all(&gathered).map_err(Failure::file("make the folder", &gathered))?;
        let kept = (self.copied.kept_files, self.copied.kept_bytes);
        for _ in 0..LOOKS_MAX {
            (self.copied.kept_files, self.copied.kept_bytes) = kept;
            let mut names = self.disk.list(from).map_err(Failure::file("list", from))?;
            names.retain(|name| name.ends_with(suffix));
            let gathering = choose(names).and_then(|names| {
                names.iter().try_for_each(|name| self.gather(name, from, into, &gathered))?;
                Ok(names)
            });
            match gathering {
                Ok(names) => return Ok(Part { gathered, into: into.to_owned(), suffix, names }),
                Err(Gone::Gone) => {}
                Err(Gone::Failed(failure)) => return Err(failure),
            }
        }
        Err(Failure::Usage(format!("the files in {} change faster than they can be copied", from.display())))
    }

    /// These files never change under their names, so one that is here with its size is here.
    fn gather(&mut self, name: &str, from: &Path, into: &Path, gathered: &Path) -> Result<(), Gone> {
        let path = from.join(name);
        let file = match self.disk.open_read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Gone::Gone),
            file => file.map_err(Failure::file("open", &path))?,
        };
        let bytes = file.bytes().map_err(Failure::file("measure", &path))?;
        let is_there = |dir: &Path| fs::metadata(dir.join(name)).is_ok_and(|found| found.len() == bytes);
        if is_there(gathered) {
            return Ok(());
        }
        if is_there(into) {
            self.copied.kept_files += 1;
            self.copied.kept_bytes += bytes;
            return Ok(());
        }
        self.bar.inc_length(bytes);
        Ok(self.copy(&*file, &path, (bytes, bytes), &gathered.join(name))?)
    }

    /// The log: segments in order, each under its name when it is whole, so that the log here ends somewhere at every
    /// moment and never has a hole. The last one that is here, whose rest is to come, is replaced.
    pub fn segments(&mut self, reader: &Reader, last_there: Option<&str>, log_dir: &Path) -> Result<(), Failure> {
        let files = reader.segment_files();
        let (kept, wanted): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|file| last_there.is_some_and(|last| file.name.as_str() < last));
        self.copied.kept_files += kept.len() as u64;
        self.copied.kept_bytes += kept.iter().map(|file| file.bytes).sum::<u64>();
        self.bar.inc_length(wanted.iter().map(|file| file.written_bytes).sum());
        for file in wanted {
            let source = reader.open_segment_file(&file)?;
            let (part, path) = (self.incoming.join(&file.name), log_dir.join(&file.name));
            self.copy(&*source, &path, (file.written_bytes, file.bytes), &part)?;
            self.disk.rename(&part, &path).map_err(Failure::file("put in place", &path))?;
            self.sync_dir(log_dir)?;
        }
        Ok(())
    }

    /// Gives gathered files their names, and then removes those that they replace.
    pub fn put_in_place(&self, part: &Part) -> Result<(), Failure> {
        let Part { gathered, into, suffix, names } = part;
        self.disk.create_dir_all(into).map_err(Failure::file("make the folder", into))?;
        for name in names {
            let (from, to) = (gathered.join(name), into.join(name));
            match self.disk.rename(&from, &to) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {} // It was there before.
                renamed => renamed.map_err(Failure::file("put in place", &to))?,
            }
        }
        self.sync_dir(into)?;
        for name in self.disk.list(into).map_err(Failure::file("list", into))? {
            if name.ends_with(suffix) && !names.contains(&name) {
                let path = into.join(name);
                self.disk.remove(&path).map_err(Failure::file("remove", &path))?;
            }
        }
        self.sync_dir(into)?;
        into.parent().map_or(Ok(()), |parent| self.sync_dir(parent))
    }

    /// A file that may not be there, and is written anew each time.
    pub fn small_file(&mut self, from: &Path, to: &Path) -> Result<(), Failure> {
        match fs::read(from) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            bytes => {
                let bytes = bytes.map_err(Failure::file("read", from))?;
                self.copied.files += 1;
                self.copied.bytes += bytes.len() as u64;
                write_file(&*self.disk, to, &bytes)
            }
        }
    }

    /// The people, as they are at one moment: what is put in place later, when the log is there.
    pub fn people(&mut self, data_dir: &Path) -> Result<Option<PathBuf>, Failure> {
        let gathered = self.incoming.join(SQLITE_FILE);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
        if !runtime.block_on(Store::copy_sqlite(data_dir, &gathered))? {
            return Ok(None);
        }
        let file = fs::File::open(&gathered).map_err(Failure::file("open", &gathered))?;
        file.sync_all().map_err(Failure::file("sync", &gathered))?;
        self.copied.files += 1;
        self.copied.bytes += file.metadata().map_err(Failure::file("measure", &gathered))?.len();
        Ok(Some(gathered))
    }

    /// Journals of the database that was there before would be taken for the new one's.
    pub fn put_people_in_place(&self, gathered: &Path, to: &Path) -> Result<(), Failure> {
        let path = to.join(SQLITE_FILE);
        for journal in ["-wal", "-shm"] {
            let journal = to.join(format!("{SQLITE_FILE}{journal}"));
            match fs::remove_file(&journal) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Failure::file("remove", &journal)(error));
                }
                _ => {}
            }
        }
        self.disk.rename(gathered, &path).map_err(Failure::file("put in place", &path))?;
        self.sync_dir(to)
    }

    pub fn finish(self) -> Result<Copied, Failure> {
        remove_dir(&self.incoming)?;
        Ok(self.copied)
    }

    /// Copies `written` bytes of a file; what is missing to `length` are zeros. Durable when it returns.
    fn copy(
        &mut self,
        source: &dyn DiskFile,
        from: &Path,
        (written, length): (u64, u64),
        to: &Path,
    ) -> Result<(), Failure> {
        let target = self.disk.create(to).map_err(Failure::file("create", to))?;
        let mut at = 0;
        while at < written {
            let wanted = (written - at).min(CHUNK_BYTES as u64) as usize;
            let chunk = &mut self.chunk[..wanted];
            source.read_exact_at(chunk, at).map_err(Failure::file("read", from))?;
            target.write_at(chunk, at).map_err(Failure::file("write", to))?;
            at += wanted as u64;
            self.bar.inc(wanted as u64);
        }
        target.set_bytes(length).map_err(Failure::file("write", to))?;
        target.sync().map_err(Failure::file("sync", to))?;
        self.copied.files += 1;
        self.copied.bytes += written;
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), Failure> {
        self.disk.sync_dir(dir).map_err(Failure::file("sync the folder", dir))
    }
}

/// Why a folder could not be gathered.
enum Gone {
    /// The server has removed a file between the listing and the copying.
    Gone,
    Failed(Failure),
}

impl From<Failure> for Gone {
    fn from(failure: Failure) -> Gone {
        Gone::Failed(failure)
    }
}

fn or_gone(error: snapshots::Error) -> Gone {
    match error {
        snapshots::Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => Gone::Gone,
        error => Gone::Failed(error.into()),
    }
}

/// Writes a small file as a whole or not at all, for its owner's eyes only.
pub fn write_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let part = path.with_extension("part");
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(&part);
    let mut file = file.map_err(Failure::file("create", &part))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(Failure::file("write", &part))?;
    disk.rename(&part, path).map_err(Failure::file("put in place", path))?;
    let dir = path.parent().unwrap_or(path);
    disk.sync_dir(dir).map_err(Failure::file("sync the folder", dir))
}

fn remove_dir(dir: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::file("remove", dir)(error)),
        _ => Ok(()),
    }
}
