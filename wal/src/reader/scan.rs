//! Reading group after group from a record on, each verified against its checksum and the chain.

use std::sync::Arc;

use vault::SealKey;

use super::cache::length_of_first;
use super::shared::{Shared, View};
use crate::disk::DiskFile;
use crate::error::Error;
use crate::format::{BLOCK_BYTES, Chain, FrameHeader, RECORD_HEADER_BYTES, chain_after};
use crate::segment::window::Window;

const SCAN_READ_BYTES: usize = 2 << 20;

/// A place in the log that moves forward. At the durable end it gives nothing, and goes on when there is more.
#[derive(Debug)]
pub struct Scan {
    shared: Arc<Shared>,
    view: View,
    from_lsn: u64,
    position: Option<Position>,
    window: Window,
    /// The records of an encrypted group.
    decrypted: Vec<u8>,
}

#[derive(Debug)]
struct Position {
    index: usize,
    /// If the segment is encrypted.
    key: Option<SealKey>,
    file: Arc<dyn DiskFile>,
    offset: u64,
    next_lsn: u64,
    /// Unknown only before the first group of a scan that begins in the middle of a segment.
    chain: Option<Chain>,
}

/// One group, lent from the scan's buffers.
#[derive(Debug, Clone, Copy)]
pub struct GroupView<'a> {
    /// Of the whole group: `records` may begin later, in the first group of a scan.
    pub first_lsn: u64,
    pub last_lsn: u64,
    pub time_micros: u64,
    pub chain: Chain,
    from_lsn: u64,
    payload: &'a [u8],
}

impl<'a> GroupView<'a> {
    /// Number and bytes of each record, from the one on at which the scan was to begin.
    pub fn records(&self) -> Records<'a> {
        let mut records = Records { next_lsn: self.first_lsn, rest: self.payload };
        while records.next_lsn < self.from_lsn && records.next().is_some() {}
        records
    }
}

#[derive(Debug, Clone)]
pub struct Records<'a> {
    next_lsn: u64,
    rest: &'a [u8],
}

impl<'a> Iterator for Records<'a> {
    type Item = (u64, &'a [u8]);

    fn next(&mut self) -> Option<(u64, &'a [u8])> {
        let end = RECORD_HEADER_BYTES + length_of_first(self.rest)?;
        let record = &self.rest[RECORD_HEADER_BYTES..end];
        let lsn = self.next_lsn;
        self.rest = &self.rest[end..];
        self.next_lsn += 1;
        Some((lsn, record))
    }
}

impl Scan {
    pub(super) fn new(shared: Arc<Shared>, from_lsn: u64) -> Scan {
        let view = shared.view();
        let (from_lsn, window) = (from_lsn.max(1), Window::new(SCAN_READ_BYTES));
        Scan { shared, view, from_lsn, position: None, window, decrypted: Vec::new() }
    }

    /// The next durable group, or none for now.
    pub fn next_group(&mut self) -> Result<Option<GroupView<'_>>, Error> {
        let wanted = self.position.as_ref().map_or(self.from_lsn, |position| position.next_lsn);
        if wanted >= self.view.end.next_lsn {
            if wanted > self.shared.durable_lsn() {
                return Ok(None);
            }
            self.view = self.shared.view();
        }
        let mut position = match self.position.take() {
            Some(position) => position,
            None => self.begin()?,
        };
        // A scan that failed stays where it was: asking again gives the same error, not the group behind it.
        let result = self.step(&mut position);
        let is_encrypted = position.key.is_some();
        self.position = Some(position);
        let (offset, header) = result?;
        let frame = self.window.loaded(offset, header.frame_bytes());
        let payload = if is_encrypted { &self.decrypted } else { header.payload(frame) };
        Ok(Some(GroupView {
            first_lsn: header.first_lsn,
            last_lsn: header.next_lsn() - 1,
            time_micros: header.time_micros,
            chain: header.chain,
            from_lsn: self.from_lsn,
            payload,
        }))
    }

    fn begin(&mut self) -> Result<Position, Error> {
        let first_lsn = self.view.first_lsn();
        if self.from_lsn < first_lsn {
            return Err(Error::BeforeFirst { lsn: self.from_lsn, first_lsn });
        }
        let index = self.view.index_of(self.from_lsn);
        let place = self.shared.place_of(&self.view, index, self.from_lsn, &mut self.window)?;
        let segment = &self.view.segments[index];
        let file = self.shared.file(segment.header.number)?;
        let key = self.shared.key(segment)?;
        let next_lsn = place.header.first_lsn;
        Ok(Position { index, key, file, offset: place.offset, next_lsn, chain: place.chain_before })
    }

    /// Verifies the next frame and moves behind it; gives where it stands.
    fn step(&mut self, at: &mut Position) -> Result<(u64, FrameHeader), Error> {
        while at.next_lsn == self.view.next_lsn(at.index) {
            self.next_segment(at)?;
        }
        let (view, shared) = (&self.view, &self.shared);
        let header = shared.frame_at(view, at.index, &*at.file, &mut self.window, at.offset, at.next_lsn)?;
        let frame = self.window.loaded(at.offset, header.frame_bytes());
        if let Some(before) = at.chain
            && chain_after(&before, frame, header.payload_bytes) != header.chain
        {
            let what = "the group does not continue the chain of hashes";
            return Err(shared.corrupt(view, at.index, at.offset, at.next_lsn, what));
        }
        let offset = at.offset;
        if let Some(key) = &at.key {
            shared.open_frame(view, at.index, key, &header, offset, frame, &mut self.decrypted)?;
        }
        at.offset += header.frame_bytes() as u64;
        at.next_lsn = header.next_lsn();
        at.chain = Some(header.chain);
        Ok((offset, header))
    }

    fn next_segment(&mut self, at: &mut Position) -> Result<(), Error> {
        let index = at.index + 1;
        let header = self.view.segments[index].header;
        if at.chain.is_some_and(|chain| chain != header.chain_before) {
            let what = "the segment does not continue the chain of hashes";
            return Err(self.shared.corrupt(&self.view, index, 0, at.next_lsn, what));
        }
        let key = self.shared.key(&self.view.segments[index])?;
        at.file = self.shared.file(header.number)?;
        at.key = key;
        at.index = index;
        at.offset = BLOCK_BYTES as u64;
        at.chain = Some(header.chain_before);
        self.window.forget();
        Ok(())
    }
}
