//! Segment files: their names, where they lie, and how they are made. Not in here: what the frames in them say.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use vault::SealKey;

use crate::disk::{DIRECT_BYTES, Disk, DiskFile};
use crate::error::Error;
use crate::format::SegmentHeader;
use marks::{Mark, Marks};

pub(crate) mod marks;
pub(crate) mod window;

/// Zeros are written and synced in steps, so that an append beside it never waits behind a whole segment.
const FILL_BYTES: u64 = 256 << 10;

/// A segment that has a header. Its marks are known from the start while it is written, and loaded when first asked for
/// when it was sealed before the log was opened.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    pub(crate) marks: Mutex<Option<Marks>>,
    /// Known from the first reading of an encrypted segment on.
    pub(crate) key: OnceLock<SealKey>,
}

impl Segment {
    pub(crate) fn new(header: SegmentHeader, marks: Option<Marks>) -> Arc<Segment> {
        Arc::new(Segment { header, marks: Mutex::new(marks), key: OnceLock::new() })
    }

    pub(crate) fn note_frame(&self, mark: Mark) {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        marks.get_or_insert_default().note(mark);
    }
}

/// The folders of one log.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    archive_dirs: RwLock<Vec<PathBuf>>,
}

impl Places {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: &Path, archive_dir: Option<&Path>) -> Places {
        let archive_dirs = RwLock::new(archive_dir.map(Path::to_owned).into_iter().collect());
        Places { disk, dir: dir.to_owned(), archive_dirs }
    }

    pub(crate) fn add_archive(&self, dir: &Path) {
        let mut dirs = self.archive_dirs.write().unwrap_or_else(PoisonError::into_inner);
        if !dirs.iter().any(|known| known == dir) {
            dirs.push(dir.to_owned());
        }
    }

    pub(crate) fn archive_dirs(&self) -> Vec<PathBuf> {
        self.archive_dirs.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn segment_path(&self, number: u64) -> PathBuf {
        self.dir.join(segment_name(number))
    }

    /// Opens a file of the log wherever it lies. The log's own folder comes first and is asked again last: a file that
    /// is being moved to the archive is in one or the other whenever one looks in this order.
    pub(crate) fn open_read(&self, name: &str) -> io::Result<(Box<dyn DiskFile>, PathBuf)> {
        let mut result = Err(io::ErrorKind::NotFound.into());
        let archives = self.archive_dirs();
        for dir in std::iter::once(&self.dir).chain(&archives).chain(std::iter::once(&self.dir)) {
            let path = dir.join(name);
            match self.disk.open_read(&path) {
                Ok(file) => return Ok((file, path)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => result = Err(error),
                Err(error) => return Err(error),
            }
        }
        result
    }

    pub(crate) fn open_segment(&self, number: u64) -> Result<(Box<dyn DiskFile>, PathBuf), Error> {
        self.open_read(&segment_name(number)).map_err(Error::io("open segment", &self.segment_path(number)))
    }

    pub(crate) fn sync_dir(&self) -> Result<(), Error> {
        self.disk.sync_dir(&self.dir).map_err(Error::io("sync folder", &self.dir))
    }

    /// The segments in all folders, in order, each once.
    pub(crate) fn numbers(&self) -> Result<Vec<u64>, Error> {
        let mut numbers = Vec::new();
        // The log itself is listed twice, around the archive, for the same reason as in `open_read`.
        for dir in std::iter::once(&self.dir).chain(&self.archive_dirs()).chain(std::iter::once(&self.dir)) {
            let names = self.disk.list(dir).map_err(Error::io("list folder", dir))?;
            numbers.extend(names.iter().filter_map(|name| number_of(name)));
        }
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }

    /// A new file of zeros, durable under its name. `pause` hears after each step how long it took.
    pub(crate) fn make_zeroed(
        &self,
        number: u64,
        bytes: u64,
        pause: impl FnMut(Duration),
    ) -> Result<Box<dyn DiskFile>, Error> {
        let path = self.segment_path(number);
        self.disk.create(&path).map_err(Error::io("create segment", &path))?;
        let file = self.disk.open_direct(&path).map_err(Error::io("open segment", &path))?;
        fill_zeros(&*file, &path, 0, bytes, pause)?;
        self.sync_dir()?;
        Ok(file)
    }
}

pub(crate) fn fill_zeros(
    file: &dyn DiskFile,
    path: &Path,
    from: u64,
    to: u64,
    mut pause: impl FnMut(Duration),
) -> Result<(), Error> {
    let zeros = vec![0; FILL_BYTES.min(to.saturating_sub(from)) as usize + DIRECT_BYTES];
    let zeros = &zeros[zeros.as_ptr().align_offset(DIRECT_BYTES).min(DIRECT_BYTES)..];
    let mut at = from;
    while at < to {
        let began = Instant::now();
        let count = (to - at).min(FILL_BYTES);
        file.write_at(&zeros[..count as usize], at).map_err(Error::io("fill segment", path))?;
        at += count;
        file.sync().map_err(Error::io("sync segment", path))?;
        pause(began.elapsed());
    }
    Ok(())
}

pub(crate) fn segment_name(number: u64) -> String {
    format!("{number:016}.wal")
}

pub(crate) fn marks_name(number: u64) -> String {
    format!("{number:016}.marks")
}

fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".wal")?;
    (digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}
