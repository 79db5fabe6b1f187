//! Finding a frame by record or by time: segment, then mark, then from frame to frame, each one verified.

use std::sync::{Arc, PoisonError};

use vault::SealKey;

use super::cache::Frame;
use super::shared::{Shared, View};
use crate::disk::DiskFile;
use crate::encryption;
use crate::error::Error;
use crate::format::{BLOCK_BYTES, Chain, FRAME_HEADER_BYTES, FrameHeader, SegmentHeader, records_add_up};
use crate::segment::marks::{MARK_STEP_BYTES, Mark, Marks};
use crate::segment::window::Window;

/// A frame that was found, and the chain before it where that is known.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) header: FrameHeader,
    pub(super) chain_before: Option<Chain>,
}

impl Shared {
    /// The frame that holds a record, which must be durable.
    pub(super) fn frame_of(&self, view: &View, lsn: u64) -> Result<Arc<Frame>, Error> {
        if let Some(frame) = self.cache.lock().unwrap_or_else(PoisonError::into_inner).get(lsn) {
            return Ok(frame);
        }
        let index = view.index_of(lsn);
        let mut window = Window::new(MARK_STEP_BYTES as usize);
        let place = self.place_of(view, index, lsn, &mut window)?;
        let bytes = window.loaded(place.offset, place.header.frame_bytes());
        let records = match self.key(&view.segments[index])? {
            None => place.header.payload(bytes).to_vec(),
            Some(key) => {
                let mut records = Vec::new();
                self.open_frame(view, index, &key, &place.header, place.offset, bytes, &mut records)?;
                records
            }
        };
        let frame = Arc::new(Frame { header: place.header, records });
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).put(Arc::clone(&frame));
        Ok(frame)
    }

    /// The header of the frame that holds a record, for which no key is needed.
    pub(super) fn header_of(&self, view: &View, lsn: u64) -> Result<FrameHeader, Error> {
        if let Some(frame) = self.cache.lock().unwrap_or_else(PoisonError::into_inner).get(lsn) {
            return Ok(frame.header);
        }
        let mut window = Window::new(MARK_STEP_BYTES as usize);
        Ok(self.place_of(view, view.index_of(lsn), lsn, &mut window)?.header)
    }

    /// Decrypts the records of a frame, and looks whether they add up.
    #[allow(clippy::too_many_arguments)] // Where the frame is, and what is in it.
    pub(super) fn open_frame(
        &self,
        view: &View,
        index: usize,
        key: &SealKey,
        header: &FrameHeader,
        offset: u64,
        frame: &[u8],
        records: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let corrupt = |what| self.corrupt(view, index, offset, header.first_lsn, what);
        let opened = encryption::open(key, header, frame, records);
        opened
            .map_err(|_| corrupt("the group was not encrypted with its segment's key, or was changed by somebody"))?;
        if !records_add_up(records, header.record_count) {
            return Err(corrupt("the lengths of the group's records do not add up"));
        }
        Ok(())
    }

    /// Where the frame that holds a durable record begins.
    pub(super) fn place_of(&self, view: &View, index: usize, lsn: u64, window: &mut Window) -> Result<Place, Error> {
        self.load_marks(view, index)?;
        let start = self.mark(view, index, |marks| marks.before_lsn(lsn));
        match self.walk(view, index, start, window, &mut |_, header| lsn < header.next_lsn())? {
            Some(place) => Ok(place),
            None => Err(self.corrupt(view, index, view.limit(index), lsn, "the record is in no group")),
        }
    }

    /// The first durable record whose group is not older than the time.
    pub(super) fn first_at_or_after(&self, view: &View, time_micros: u64) -> Result<Option<u64>, Error> {
        if view.end.next_lsn == view.first_lsn() || time_micros > view.end.time_micros {
            return Ok(None);
        }
        let later = view.segments.partition_point(|segment| segment.header.time_before_micros < time_micros);
        let Some(index) = later.checked_sub(1) else { return Ok(Some(view.first_lsn())) };
        self.load_marks(view, index)?;
        let start = self.mark(view, index, |marks| marks.before_time(time_micros));
        let mut window = Window::new(MARK_STEP_BYTES as usize);
        let place = self.walk(view, index, start, &mut window, &mut |_, header| header.time_micros >= time_micros)?;
        // All frames of the segment are older, and the next segment begins at a group that is not.
        Ok(Some(place.map_or(view.next_lsn(index), |place| place.header.first_lsn)))
    }

    pub(super) fn corrupt(&self, view: &View, index: usize, offset: u64, expected_lsn: u64, what: &str) -> Error {
        Error::Corrupt { segment: self.segment_path(view, index), offset, expected_lsn, what: what.to_owned() }
    }

    fn segment_path(&self, view: &View, index: usize) -> std::path::PathBuf {
        self.places.segment_path(view.segments[index].header.number)
    }

    fn mark(&self, view: &View, index: usize, choose: impl FnOnce(&Marks) -> Option<Mark>) -> Mark {
        let segment = &view.segments[index];
        let marks = segment.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let header = &segment.header;
        let start = Mark { lsn: header.first_lsn, time_micros: 0, offset: BLOCK_BYTES as u64 };
        marks.as_ref().and_then(choose).unwrap_or(start)
    }

    fn load_marks(&self, view: &View, index: usize) -> Result<(), Error> {
        let segment = &view.segments[index];
        let known = segment.marks.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if known {
            return Ok(());
        }
        let marks = match Marks::load(&self.places, &segment.header) {
            Some(marks) => marks,
            None => self.make_marks(view, index)?,
        };
        *segment.marks.lock().unwrap_or_else(PoisonError::into_inner) = Some(marks);
        Ok(())
    }

    fn make_marks(&self, view: &View, index: usize) -> Result<Marks, Error> {
        let mut marks = Marks::default();
        let start = Mark { lsn: view.segments[index].header.first_lsn, time_micros: 0, offset: BLOCK_BYTES as u64 };
        let mut note = |offset, header: &FrameHeader| {
            marks.note(Mark { lsn: header.first_lsn, time_micros: header.time_micros, offset });
            false
        };
        self.walk(view, index, start, &mut Window::new(1 << 20), &mut note)?;
        Ok(marks)
    }

    /// Goes from frame to frame until one is what is looked for. Each is verified: a time or a length with a flipped
    /// bit would lead to the wrong record as surely as a wrong record itself.
    fn walk(
        &self,
        view: &View,
        index: usize,
        start: Mark,
        window: &mut Window,
        found: &mut dyn FnMut(u64, &FrameHeader) -> bool,
    ) -> Result<Option<Place>, Error> {
        let segment = &view.segments[index].header;
        let file = self.file(segment.number)?;
        let (mut lsn, mut offset) = (start.lsn, start.offset);
        let mut chain_before = (offset == BLOCK_BYTES as u64).then_some(segment.chain_before);
        while lsn < view.next_lsn(index) {
            let header = self.frame_at(view, index, &*file, window, offset, lsn)?;
            if found(offset, &header) {
                return Ok(Some(Place { offset, header, chain_before }));
            }
            chain_before = Some(header.chain);
            lsn = header.next_lsn();
            offset += header.frame_bytes() as u64;
        }
        Ok(None)
    }

    /// The verified header of the frame at a place; its bytes then stand in the window.
    pub(super) fn frame_at(
        &self,
        view: &View,
        index: usize,
        file: &dyn DiskFile,
        window: &mut Window,
        offset: u64,
        lsn: u64,
    ) -> Result<FrameHeader, Error> {
        let segment: &SegmentHeader = &view.segments[index].header;
        let limit = view.limit(index);
        let corrupt = |what| self.corrupt(view, index, offset, lsn, what);
        let read = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => corrupt("the segment ends before the group does"),
            _ => Error::io("read segment", &self.segment_path(view, index))(error),
        };
        let bytes = window.at(file, offset, FRAME_HEADER_BYTES, limit).map_err(read)?;
        let header = FrameHeader::decode(bytes, segment).ok_or_else(|| corrupt("no group's header is here"))?;
        let frame = window.at(file, offset, header.frame_bytes(), limit).map_err(read)?;
        if !header.crc_holds(frame, segment.frame_seed()) {
            return Err(corrupt("the group's checksum does not match"));
        }
        if header.first_lsn != lsn {
            return Err(corrupt("the group has another record number"));
        }
        if segment.encryption.is_none() && !records_add_up(header.payload(frame), header.record_count) {
            return Err(corrupt("the lengths of the group's records do not add up"));
        }
        Ok(header)
    }
}
