//! Marks: where in a segment a record is to be looked for, about every 64 KiB, and the sidecar that keeps them.
//! A sidecar is only a shortcut: one that is missing or bad is made again from the segment.

use std::path::Path;

use crate::disk::Disk;
use crate::error::Error;
use crate::format::{SegmentHeader, u32_at, u64_at};
use crate::segment::{Places, marks_name};

pub(crate) const MARK_STEP_BYTES: u64 = 64 << 10;
const MAGIC: [u8; 8] = *b"FLORMRK\0";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 40;
const MARK_BYTES: usize = 24;
const SIDECAR_BYTES_MAX: u64 = 16 << 20;

/// A frame's place, first record and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) lsn: u64,
    pub(crate) time_micros: u64,
    pub(crate) offset: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    list: Vec<Mark>,
}

impl Marks {
    /// Called with each frame in order; keeps the first and then one every step.
    pub(crate) fn note(&mut self, mark: Mark) {
        if self.list.last().is_none_or(|last| mark.offset - last.offset >= MARK_STEP_BYTES) {
            self.list.push(mark);
        }
    }

    /// The last mark at or before the record.
    pub(crate) fn before_lsn(&self, lsn: u64) -> Option<Mark> {
        let index = self.list.partition_point(|mark| mark.lsn <= lsn);
        Some(self.list[index.checked_sub(1)?])
    }

    /// The last mark before the time: frames at that time may begin between it and the next one.
    pub(crate) fn before_time(&self, time_micros: u64) -> Option<Mark> {
        let index = self.list.partition_point(|mark| mark.time_micros < time_micros);
        Some(self.list[index.checked_sub(1)?])
    }

    // 0 magic 8 | 8 version 4 | 12 count 4 | 16 log id 16 | 32 segment 8 | 40 marks: lsn 8, time 8, offset 8 | crc32c 4
    pub(crate) fn encode(&self, header: &SegmentHeader) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.list.len() * MARK_BYTES + 4);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(self.list.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&header.log_id);
        bytes.extend_from_slice(&header.number.to_le_bytes());
        for mark in &self.list {
            bytes.extend_from_slice(&mark.lsn.to_le_bytes());
            bytes.extend_from_slice(&mark.time_micros.to_le_bytes());
            bytes.extend_from_slice(&mark.offset.to_le_bytes());
        }
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8], header: &SegmentHeader) -> Option<Marks> {
        let body_bytes = bytes.len().checked_sub(4)?;
        if body_bytes < HEADER_BYTES || crc32c::crc32c(&bytes[..body_bytes]) != u32_at(bytes, body_bytes) {
            return None;
        }
        let same = bytes[0..8] == MAGIC
            && u32_at(bytes, 8) == VERSION
            && bytes[16..32] == header.log_id
            && u64_at(bytes, 32) == header.number
            && body_bytes == HEADER_BYTES + u32_at(bytes, 12) as usize * MARK_BYTES;
        let mark = |at: &[u8]| Mark { lsn: u64_at(at, 0), time_micros: u64_at(at, 8), offset: u64_at(at, 16) };
        same.then(|| Marks { list: bytes[HEADER_BYTES..body_bytes].chunks_exact(MARK_BYTES).map(mark).collect() })
    }

    /// Not synced: its checksum tells a sidecar that a crash has cut.
    pub(crate) fn save(&self, disk: &dyn Disk, dir: &Path, header: &SegmentHeader) -> Result<(), Error> {
        let path = dir.join(marks_name(header.number));
        let file = disk.create(&path).map_err(Error::io("create marks", &path))?;
        file.write_at(&self.encode(header), 0).map_err(Error::io("write marks", &path))
    }

    pub(crate) fn load(places: &Places, header: &SegmentHeader) -> Option<Marks> {
        let (file, _) = places.open_read(&marks_name(header.number)).ok()?;
        let count = file.bytes().ok().filter(|&count| count <= SIDECAR_BYTES_MAX)?;
        let mut bytes = vec![0; count as usize];
        file.read_exact_at(&mut bytes, 0).ok()?;
        Marks::decode(&bytes, header)
    }
}
