//! The writing side of a log: opening it, with the repair of a tail cut short, and appending groups.
//! Not in here: reading records, which goes through `Reader`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vault::Encryption;

use crate::disk::{Disk, DiskFile, DiskLock};
use crate::encryption::Encryptor;
use crate::error::Error;
use crate::format::{BLOCK_BYTES, Chain, FrameFields, SegmentHeader, SegmentKey};
use crate::group::GroupBuilder;
use crate::options::Options;
use crate::reader::Reader;
use crate::reader::shared::{End, Shared};
use crate::segment::marks::Mark;
use crate::segment::{Segment, fill_zeros};
use prepare::Preparer;

mod archive;
mod open;
mod prepare;

/// The one writer of a log. Dropping it frees the lock; readers go on.
#[derive(Debug)]
pub struct Log {
    shared: Arc<Shared>,
    preparer: Preparer,
    segment_bytes: u64,
    segment: Arc<Segment>,
    file: Box<dyn DiskFile>,
    end: End,
    encryption: Encryption,
    /// Of the segment that is written, if it is an encrypted one.
    encryptor: Option<Encryptor>,
    poisoned: bool,
    _lock: Box<dyn DiskLock>,
}

/// What was found when a log was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// 0 for a log without records.
    pub last_lsn: u64,
    pub last_time_micros: u64,
    /// The rest of a group that a crash had cut short: it was never acknowledged, and is kept aside.
    pub torn: Option<TornTail>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    pub segment: u64,
    pub offset: u64,
    pub bytes: u64,
    pub kept_as: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    pub first_lsn: u64,
    pub last_lsn: u64,
    pub chain: Chain,
}

impl Log {
    /// Opens the log in the folder `dir`, or begins one. `progress` hears how many bytes of the last segment are
    /// checked, and of how many.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: Options,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(Log, Recovered), Error> {
        open::open(disk, dir, options, progress)
    }

    /// Makes the group durable: one write, one sync. The group stays as it is; clear it before using it again.
    ///
    /// # Panics
    /// If `time_micros` is below that of the group before: a log whose time goes back cannot be searched by time.
    pub fn append(&mut self, group: &mut GroupBuilder, time_micros: u64) -> Result<Appended, Error> {
        if self.poisoned {
            return Err(Error::Poisoned { source: None });
        }
        if group.is_empty() {
            return Err(Error::EmptyGroup);
        }
        assert!(time_micros >= self.end.time_micros, "the time of a group went back");
        self.write(group, time_micros).map_err(|source| {
            self.poisoned = true;
            Error::Poisoned { source: Some(Box::new(source)) }
        })
    }

    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared))
    }

    pub fn log_id(&self) -> [u8; 16] {
        self.segment.header.log_id
    }

    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    /// Moves sealed segments whose records are all below `lsn` to `archive_dir`, where readers still find them, and
    /// gives their new paths. Later openings must name the folder in `Options::archive_dir`.
    pub fn archive_before(&self, lsn: u64, archive_dir: &Path) -> Result<Vec<PathBuf>, Error> {
        archive::archive_before(&self.shared, lsn, archive_dir)
    }

    fn write(&mut self, group: &mut GroupBuilder, time_micros: u64) -> Result<Appended, Error> {
        let mut frame_bytes = group.frame_bytes(self.segment.header.extra_bytes()) as u64;
        // Once encryption is switched on, nothing more is written in clear, and the other way round.
        let is_of_its_kind = self.segment.header.encryption.is_some() == self.encryption.writes().is_some();
        if self.end.offset + frame_bytes > self.segment.header.segment_bytes || !is_of_its_kind {
            self.roll(group, time_micros)?;
            frame_bytes = group.frame_bytes(self.segment.header.extra_bytes()) as u64;
        }
        let header = &self.segment.header;
        let (first_lsn, offset) = (self.end.next_lsn, self.end.offset);
        let (file, shared) = (&self.file, &self.shared);
        let path = || shared.places.segment_path(header.number);
        let write = |frame: &[u8], chain| {
            file.write_at(frame, offset).map_err(|error| Error::io("write to segment", &path())(error))?;
            file.sync().map_err(|error| Error::io("sync segment", &path())(error))?;
            Ok::<Chain, Error>(chain)
        };
        let seed = header.frame_seed();
        let chain = match &mut self.encryptor {
            None => group.sealed(first_lsn, time_micros, &self.end.chain, seed, write)?,
            Some(encryptor) => {
                let fields =
                    FrameFields { payload_bytes: 0, record_count: group.record_count(), first_lsn, time_micros };
                let framed = encryptor.frame(group, fields, &self.end.chain, seed);
                let (frame, chain) = framed.map_err(|source| Error::Key { segment: path(), source })?;
                write(frame, chain)?
            }
        };

        self.segment.note_frame(Mark { lsn: first_lsn, time_micros, offset });
        let next_lsn = first_lsn + group.records() as u64;
        self.end = End { next_lsn, chain, time_micros, offset: offset + frame_bytes };
        self.shared.publish(self.end, None);
        Ok(Appended { first_lsn, last_lsn: next_lsn - 1, chain })
    }

    /// Goes on in the next segment. Its header is durable before any frame, so that a bad header with frames behind it
    /// can only be damage.
    fn roll(&mut self, group: &GroupBuilder, time_micros: u64) -> Result<(), Error> {
        let number = self.segment.header.number + 1;
        let path = self.shared.places.segment_path(number);
        let no_key = |source| Error::Key { segment: path.clone(), source };
        let encryption = SegmentKey::new(&self.encryption).map_err(no_key)?;
        let file = self.preparer.take(&self.shared.places, number, self.segment_bytes)?;
        let extra_bytes = if encryption.is_some() { vault::SEAL_BYTES } else { 0 };
        let needed = (group.frame_bytes(extra_bytes) + BLOCK_BYTES) as u64;
        if needed > self.segment_bytes {
            fill_zeros(&*file, &path, self.segment_bytes, needed, |_| {})?;
        }
        let header = SegmentHeader {
            log_id: self.segment.header.log_id,
            number,
            first_lsn: self.end.next_lsn,
            chain_before: self.end.chain,
            created_micros: time_micros,
            time_before_micros: self.end.time_micros,
            segment_bytes: self.segment_bytes.max(needed),
            encryption,
        };
        let key = header.key(&self.encryption).map_err(no_key)?;
        write_header(&*file, &path, &header)?;
        let segment = Segment::new(header, Some(Default::default()));
        self.end.offset = BLOCK_BYTES as u64;
        self.shared.publish(self.end, Some(Arc::clone(&segment)));
        let sealed = std::mem::replace(&mut self.segment, segment);
        self.file = file;
        self.encryptor = key.map(|key| match self.encryptor.take() {
            Some(encryptor) => encryptor.with_key(key),
            None => Encryptor::new(key),
        });
        self.preparer.prepare(number + 1);
        self.preparer.save_marks(&self.shared.places, sealed);
        Ok(())
    }
}

fn write_header(file: &dyn DiskFile, path: &Path, header: &SegmentHeader) -> Result<(), Error> {
    file.write_at(&header.encode(), 0).map_err(Error::io("write header of segment", path))?;
    file.sync().map_err(Error::io("sync segment", path))
}
