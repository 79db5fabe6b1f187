//! The buffer in which one group of records is put together, in the bytes that go to the disk.

use std::fmt;

use crate::disk::DIRECT_BYTES;
use crate::format::{
    BLOCK_BYTES, Chain, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, FrameFields, FrameHeader, GROUP_BYTES_MAX,
    RECORD_BYTES_MAX, RECORD_HEADER_BYTES,
};

/// Records that become durable together. Meant to be filled, appended, cleared and filled again: the buffer stays.
pub struct GroupBuilder {
    /// Room for the frame's header, then the records, each behind its length; from `start` on.
    buffer: Vec<u8>,
    /// What lies before is there so that the frame begins where a disk can take it from directly. The buffer has all of
    /// its room from the beginning and never moves.
    start: usize,
    record_count: u32,
}

/// The largest frame, with a record on top that turns out to be too much.
const ROOM_BYTES: usize = FRAME_BYTES_MAX + RECORD_HEADER_BYTES + RECORD_BYTES_MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    #[error("a record of {bytes} bytes is over the limit of {RECORD_BYTES_MAX}")]
    RecordTooLarge { bytes: usize },
    /// The group is as it was; append it, clear it, and push the record again.
    #[error("the group is full: {GROUP_BYTES_MAX} bytes")]
    GroupFull,
}

impl GroupBuilder {
    pub fn new() -> GroupBuilder {
        let mut buffer: Vec<u8> = Vec::with_capacity(DIRECT_BYTES + ROOM_BYTES);
        let start = buffer.as_ptr().align_offset(DIRECT_BYTES).min(DIRECT_BYTES);
        buffer.resize(start + FRAME_HEADER_BYTES, 0);
        GroupBuilder { buffer, start, record_count: 0 }
    }

    /// Adds the record that `encode` writes at the end of the buffer; it must not touch what stands there before.
    pub fn push_with(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> Result<(), PushError> {
        let length_at = self.buffer.len();
        let record_at = length_at + RECORD_HEADER_BYTES;
        self.buffer.extend_from_slice(&[0; RECORD_HEADER_BYTES]);
        encode(&mut self.buffer);
        assert!(self.buffer.len() >= record_at, "an encoder cut off bytes that were not its own");
        let bytes = self.buffer.len() - record_at;
        let refusal = if bytes > RECORD_BYTES_MAX {
            Some(PushError::RecordTooLarge { bytes })
        } else if self.bytes() > GROUP_BYTES_MAX {
            Some(PushError::GroupFull)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            self.buffer.truncate(length_at);
            return Err(refusal);
        }
        self.buffer[length_at..record_at].copy_from_slice(&(bytes as u32).to_le_bytes());
        self.record_count += 1;
        Ok(())
    }

    pub fn push(&mut self, record: &[u8]) -> Result<(), PushError> {
        self.push_with(|frame| frame.extend_from_slice(record))
    }

    pub fn records(&self) -> usize {
        self.record_count as usize
    }

    pub(crate) fn record_count(&self) -> u32 {
        self.record_count
    }

    /// Bytes of the records and their lengths; `GROUP_BYTES_MAX` is the limit.
    pub fn bytes(&self) -> usize {
        self.buffer.len() - self.start - FRAME_HEADER_BYTES
    }

    pub fn is_empty(&self) -> bool {
        self.record_count == 0
    }

    pub fn clear(&mut self) {
        self.buffer.truncate(self.start + FRAME_HEADER_BYTES);
        self.record_count = 0;
    }

    /// With what the segment's groups have beside their records.
    pub(crate) fn frame_bytes(&self, extra_bytes: usize) -> usize {
        (self.buffer.len() - self.start + extra_bytes).next_multiple_of(BLOCK_BYTES)
    }

    /// The records with their lengths.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.buffer[self.start + FRAME_HEADER_BYTES..]
    }

    /// Fills in header and padding, lends the finished frame to `write`, and takes the padding off again, so that a
    /// group that could not be written is still the same group.
    pub(crate) fn sealed<T>(
        &mut self,
        first_lsn: u64,
        time_micros: u64,
        chain_before: &Chain,
        seed: u32,
        write: impl FnOnce(&[u8], Chain) -> T,
    ) -> T {
        let bytes = self.buffer.len();
        let padded = self.start + self.frame_bytes(0);
        let fields =
            FrameFields { payload_bytes: self.bytes() as u32, record_count: self.record_count, first_lsn, time_micros };
        self.buffer.resize(padded, 0);
        let frame = &mut self.buffer[self.start..];
        let chain = FrameHeader::seal(frame, fields, chain_before, seed);
        let result = write(frame, chain);
        self.buffer.truncate(bytes);
        result
    }
}

impl Default for GroupBuilder {
    fn default() -> GroupBuilder {
        GroupBuilder::new()
    }
}

impl fmt::Debug for GroupBuilder {
    /// Records may hold what does not belong into a line of the program's own log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupBuilder").field("records", &self.records()).field("bytes", &self.bytes()).finish()
    }
}
