//! Frames that were read and verified, the least recently used dropped first.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::format::{FrameHeader, RECORD_HEADER_BYTES, u32_at};

const CACHE_BYTES_MAX: usize = 8 << 20;
/// What an entry costs beside its bytes, about.
const ENTRY_BYTES: usize = 256;

/// The records of one frame whose checksum holds, in clear.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) header: FrameHeader,
    pub(super) records: Vec<u8>,
}

impl Frame {
    pub(super) fn record(&self, lsn: u64) -> Option<&[u8]> {
        let index = lsn.checked_sub(self.header.first_lsn)?;
        let mut rest = self.records.as_slice();
        for _ in 0..index {
            rest = rest.get(RECORD_HEADER_BYTES + length_of_first(rest)?..)?;
        }
        rest.get(RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + length_of_first(rest)?)
    }
}

pub(super) fn length_of_first(records: &[u8]) -> Option<usize> {
    (records.len() >= RECORD_HEADER_BYTES).then(|| u32_at(records, 0) as usize)
}

#[derive(Debug)]
pub(super) struct FrameCache {
    /// By first record; with the moment of last use.
    frames: BTreeMap<u64, (u64, Arc<Frame>)>,
    by_use: BTreeMap<u64, u64>,
    uses: u64,
    bytes: usize,
}

impl FrameCache {
    pub(super) fn new() -> FrameCache {
        FrameCache { frames: BTreeMap::new(), by_use: BTreeMap::new(), uses: 0, bytes: 0 }
    }

    pub(super) fn get(&mut self, lsn: u64) -> Option<Arc<Frame>> {
        let (&first_lsn, (used, frame)) = self.frames.range_mut(..=lsn).next_back()?;
        if lsn >= frame.header.next_lsn() {
            return None;
        }
        self.uses += 1;
        self.by_use.remove(used);
        self.by_use.insert(self.uses, first_lsn);
        *used = self.uses;
        Some(Arc::clone(frame))
    }

    pub(super) fn put(&mut self, frame: Arc<Frame>) {
        let first_lsn = frame.header.first_lsn;
        self.uses += 1;
        self.bytes += frame.records.len() + ENTRY_BYTES;
        self.by_use.insert(self.uses, first_lsn);
        // Two readers may have read the same frame at the same time.
        if let Some((used, old)) = self.frames.insert(first_lsn, (self.uses, frame)) {
            self.by_use.remove(&used);
            self.bytes -= old.records.len() + ENTRY_BYTES;
        }
        while self.bytes > CACHE_BYTES_MAX {
            let Some((_, oldest)) = self.by_use.pop_first() else { break };
            if let Some((_, frame)) = self.frames.remove(&oldest) {
                self.bytes -= frame.records.len() + ENTRY_BYTES;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first_lsn: u64, bytes: usize) -> Arc<Frame> {
        let header =
            FrameHeader { crc: 0, payload_bytes: 0, record_count: 10, first_lsn, time_micros: 0, chain: [0; 32] };
        Arc::new(Frame { header, records: vec![0; bytes] })
    }

    #[test]
    fn keeps_what_was_used_last_within_its_bytes() {
        let mut cache = FrameCache::new();
        let third = CACHE_BYTES_MAX / 3 - ENTRY_BYTES;
        for first_lsn in [1, 11, 21] {
            cache.put(frame(first_lsn, third));
        }
        assert!(cache.get(10).is_some_and(|frame| frame.header.first_lsn == 1));
        assert!(cache.get(31).is_none());
        cache.put(frame(31, third));
        cache.put(frame(31, third));
        let kept: Vec<bool> = [1, 11, 21, 31].map(|lsn| cache.get(lsn).is_some()).to_vec();
        assert_eq!(kept, [true, false, true, true]);
        assert!(cache.bytes <= CACHE_BYTES_MAX);
        assert_eq!(cache.by_use.len(), cache.frames.len());
    }
}
