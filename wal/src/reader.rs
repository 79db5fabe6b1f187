//! Reading a log while it is written: single records, scans, and searches by time. Only what is durable is seen.

use std::path::Path;
use std::sync::Arc;

use vault::Encryption;

use crate::disk::{Disk, DiskFile};
use crate::error::Error;
use crate::format::Chain;
use crate::recovery;
use crate::segment::{Places, segment_name};
use cache::Frame;
use shared::{End, Shared, View};

mod cache;
mod find;
mod scan;
pub(crate) mod shared;

pub use scan::{GroupView, Records, Scan};

/// Cheap to clone; any number may read at once.
#[derive(Debug, Clone)]
pub struct Reader {
    shared: Arc<Shared>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub lsn: u64,
    pub time_micros: u64,
    pub bytes: Vec<u8>,
}

/// The group that holds a record, and the chain with this group as its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupRange {
    pub first_lsn: u64,
    pub last_lsn: u64,
    pub time_micros: u64,
    pub chain: Chain,
}

/// One file of the log, as whoever copies it has to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentFile {
    /// Without a folder: it may be moved to the archive at any time. Names are in the order of the log.
    pub name: String,
    pub bytes: u64,
    /// All of a sealed one, which never changes again; of the last one, what the whole groups take. The rest of a copy
    /// has to be zeros.
    pub written_bytes: u64,
}

/// What `Reader::verify` went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    pub first_lsn: u64,
    pub last_lsn: u64,
    pub groups: u64,
    pub record_bytes: u64,
    pub chain: Chain,
}

impl Reader {
    /// Opens a log to read only: no lock, so it works beside a running server, and nothing is written. It sees the
    /// groups that are whole now, and takes a tail cut short for the end. None if there is no log.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        archive_dir: Option<&Path>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Option<Reader>, Error> {
        Reader::open_with_keys(disk, dir, archive_dir, Encryption::Without, progress)
    }

    /// The same, for a log of which segments may be encrypted. Without their keys everything works but reading records.
    pub fn open_with_keys(
        disk: Arc<dyn Disk>,
        dir: &Path,
        archive_dir: Option<&Path>,
        encryption: Encryption,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Option<Reader>, Error> {
        let places = Arc::new(Places::new(disk, dir, archive_dir));
        let found = recovery::find(&places, progress)?;
        let Some(tail) = found.tail else { return Ok(None) };
        let end =
            End { next_lsn: tail.next_lsn, chain: tail.chain, time_micros: tail.time_micros, offset: tail.offset };
        Ok(Some(Reader { shared: Shared::new(places, encryption, &found.segments, tail.marks, end) }))
    }

    pub(crate) fn new(shared: Arc<Shared>) -> Reader {
        Reader { shared }
    }

    /// Whether the last segment is: what comes next will be too, unless its writer is told otherwise.
    pub fn is_encrypted(&self) -> bool {
        self.shared.last_segment().header.encryption.is_some()
    }

    /// The files that have a header, archive included, as they are now. A log that is opened beside a running server stays
    /// at the end that it had then.
    pub fn segment_files(&self) -> Vec<SegmentFile> {
        let view = self.shared.view();
        let file = |index: usize| SegmentFile {
            name: segment_name(view.segments[index].header.number),
            bytes: view.segments[index].header.segment_bytes,
            written_bytes: view.limit(index),
        };
        (0..view.segments.len()).map(file).collect()
    }

    /// Opens one of those, wherever it lies at this moment; it stays readable when it is moved.
    pub fn open_segment_file(&self, file: &SegmentFile) -> Result<Box<dyn DiskFile>, Error> {
        let places = &self.shared.places;
        let opened = places.open_read(&file.name).map_err(Error::io("open segment", &places.dir.join(&file.name)))?;
        Ok(opened.0)
    }

    /// 0 while there are no records.
    pub fn durable_lsn(&self) -> u64 {
        self.shared.durable_lsn()
    }

    /// The first record that is in the log or its archive.
    pub fn first_lsn(&self) -> u64 {
        self.shared.view().first_lsn()
    }

    /// The time of the last durable group; 0 while there is none.
    pub fn durable_time_micros(&self) -> u64 {
        self.shared.view().end.time_micros
    }

    pub fn log_id(&self) -> [u8; 16] {
        self.shared.view().segments[0].header.log_id
    }

    pub fn chain_at_end(&self) -> Chain {
        self.shared.view().end.chain
    }

    /// One record; none if it is not durable yet.
    pub fn read(&self, lsn: u64) -> Result<Option<Record>, Error> {
        let Some(frame) = self.frame_of(lsn)? else { return Ok(None) };
        let bytes = frame.record(lsn).map(<[u8]>::to_vec);
        Ok(bytes.map(|bytes| Record { lsn, time_micros: frame.header.time_micros, bytes }))
    }

    pub fn chain_at(&self, lsn: u64) -> Result<Option<GroupRange>, Error> {
        let Some(view) = self.view_with(lsn)? else { return Ok(None) };
        let header = self.shared.header_of(&view, lsn)?;
        Ok(Some(GroupRange {
            first_lsn: header.first_lsn,
            last_lsn: header.next_lsn() - 1,
            time_micros: header.time_micros,
            chain: header.chain,
        }))
    }

    /// Groups from the one that holds `from_lsn` on; also for a record that is yet to come.
    pub fn scan(&self, from_lsn: u64) -> Scan {
        Scan::new(Arc::clone(&self.shared), from_lsn)
    }

    /// The first durable record with this time or a later one.
    pub fn first_lsn_at_or_after(&self, time_micros: u64) -> Result<Option<u64>, Error> {
        self.shared.first_at_or_after(&self.shared.view(), time_micros)
    }

    /// The last durable record with this time or an earlier one; none if all are later.
    pub fn last_lsn_at_or_before(&self, time_micros: u64) -> Result<Option<u64>, Error> {
        let view = self.shared.view();
        let later = match time_micros.checked_add(1) {
            Some(later) => self.shared.first_at_or_after(&view, later)?,
            None => None,
        };
        let last_lsn = later.unwrap_or(view.end.next_lsn) - 1;
        Ok((last_lsn >= view.first_lsn()).then_some(last_lsn))
    }

    /// Reads everything, archive included, and checks each checksum and the whole chain. `progress` hears how many
    /// records are done, and of how many.
    pub fn verify(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<Verified, Error> {
        let view = self.shared.view();
        let (first_lsn, last_lsn) = (view.first_lsn(), view.end.next_lsn - 1);
        let chain = view.segments[0].header.chain_before;
        let mut verified = Verified { first_lsn, last_lsn, groups: 0, record_bytes: 0, chain };
        let mut scan = self.scan(first_lsn);
        let mut next_lsn = first_lsn;
        while next_lsn <= last_lsn
            && let Some(group) = scan.next_group()?
        {
            verified.groups += 1;
            verified.record_bytes += group.records().map(|(_, record)| record.len() as u64).sum::<u64>();
            verified.chain = group.chain;
            next_lsn = group.last_lsn + 1;
            progress(next_lsn - first_lsn, last_lsn + 1 - first_lsn);
        }
        Ok(verified)
    }

    fn frame_of(&self, lsn: u64) -> Result<Option<Arc<Frame>>, Error> {
        let Some(view) = self.view_with(lsn)? else { return Ok(None) };
        self.shared.frame_of(&view, lsn).map(Some)
    }

    /// None if the record is not durable yet.
    fn view_with(&self, lsn: u64) -> Result<Option<View>, Error> {
        if lsn == 0 || lsn > self.durable_lsn() {
            return Ok(None);
        }
        let view = self.shared.view();
        let first_lsn = view.first_lsn();
        if lsn < first_lsn {
            return Err(Error::BeforeFirst { lsn, first_lsn });
        }
        Ok(Some(view))
    }
}
