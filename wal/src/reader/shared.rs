//! What the writer and all readers of a log share: the list of segments and the durable end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use vault::{Encryption, SealKey};

use super::cache::FrameCache;
use crate::disk::DiskFile;
use crate::error::Error;
use crate::format::{Chain, SegmentHeader};
use crate::segment::marks::Marks;
use crate::segment::{Places, Segment};

/// Handles of segments kept open; the log may have thousands of segments, and the process not that many handles.
const OPEN_FILES_MAX: usize = 32;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) places: Arc<Places>,
    encryption: Encryption,
    durable_lsn: AtomicU64,
    view: RwLock<View>,
    pub(super) cache: Mutex<FrameCache>,
    /// Most recently used last.
    files: Mutex<Vec<(u64, Arc<dyn DiskFile>)>>,
}

/// The durable end of a log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    pub(crate) next_lsn: u64,
    pub(crate) chain: Chain,
    pub(crate) time_micros: u64,
    /// In the last segment.
    pub(crate) offset: u64,
}

/// The log as it was at one moment; it only ever grows, so indexes into `segments` stay good.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) segments: Arc<Vec<Arc<Segment>>>,
    pub(crate) end: End,
}

impl View {
    pub(crate) fn first_lsn(&self) -> u64 {
        self.segments[0].header.first_lsn
    }

    /// The segment that holds the record, or would.
    pub(crate) fn index_of(&self, lsn: u64) -> usize {
        self.segments.partition_point(|segment| segment.header.first_lsn <= lsn).saturating_sub(1)
    }

    /// Where durable bytes of the segment end at the latest.
    pub(crate) fn limit(&self, index: usize) -> u64 {
        if index + 1 == self.segments.len() { self.end.offset } else { self.segments[index].header.segment_bytes }
    }

    pub(crate) fn next_lsn(&self, index: usize) -> u64 {
        self.segments.get(index + 1).map_or(self.end.next_lsn, |next| next.header.first_lsn)
    }
}

impl Shared {
    /// The marks are those of the last segment; earlier ones load theirs when asked.
    pub(crate) fn new(
        places: Arc<Places>,
        encryption: Encryption,
        headers: &[SegmentHeader],
        marks: Marks,
        end: End,
    ) -> Arc<Shared> {
        let mut marks = Some(marks);
        let mut segments: Vec<Arc<Segment>> =
            headers.iter().rev().map(|header| Segment::new(*header, marks.take())).collect();
        segments.reverse();
        Arc::new(Shared {
            places,
            encryption,
            durable_lsn: AtomicU64::new(end.next_lsn - 1),
            view: RwLock::new(View { segments: Arc::new(segments), end }),
            cache: Mutex::new(FrameCache::new()),
            files: Mutex::new(Vec::new()),
        })
    }

    pub(crate) fn publish(&self, end: End, segment: Option<Arc<Segment>>) {
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        view.end = end;
        if let Some(segment) = segment {
            Arc::make_mut(&mut view.segments).push(segment);
        }
        drop(view);
        self.durable_lsn.store(end.next_lsn - 1, Ordering::Release);
    }

    pub(crate) fn durable_lsn(&self) -> u64 {
        self.durable_lsn.load(Ordering::Acquire)
    }

    pub(crate) fn view(&self) -> View {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn last_segment(&self) -> Arc<Segment> {
        let view = self.view();
        Arc::clone(&view.segments[view.segments.len() - 1])
    }

    /// The key of an encrypted segment; none if it stands in clear.
    pub(super) fn key(&self, segment: &Segment) -> Result<Option<SealKey>, Error> {
        if segment.header.encryption.is_none() {
            return Ok(None);
        }
        if let Some(key) = segment.key.get() {
            return Ok(Some(key.clone()));
        }
        let no_key = |source| Error::Key { segment: self.places.segment_path(segment.header.number), source };
        let key = segment.header.key(&self.encryption).map_err(no_key)?;
        Ok(key.map(|key| segment.key.get_or_init(|| key).clone()))
    }

    pub(super) fn file(&self, number: u64) -> Result<Arc<dyn DiskFile>, Error> {
        if let Some(file) = self.kept_file(number) {
            return Ok(file);
        }
        let file: Arc<dyn DiskFile> = Arc::from(self.places.open_segment(number)?.0);
        let mut files = self.files();
        if files.len() >= OPEN_FILES_MAX {
            files.remove(0);
        }
        files.push((number, Arc::clone(&file)));
        Ok(file)
    }

    fn kept_file(&self, number: u64) -> Option<Arc<dyn DiskFile>> {
        let mut files = self.files();
        let index = files.iter().position(|(kept, _)| *kept == number)?;
        let entry = files.remove(index);
        let file = Arc::clone(&entry.1);
        files.push(entry);
        Some(file)
    }

    fn files(&self) -> MutexGuard<'_, Vec<(u64, Arc<dyn DiskFile>)>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
