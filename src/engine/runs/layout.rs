//! The byte layout of a run, version 1, and its file's name; nothing here
//! touches a disk. The table with offsets stands in docs/formats-runs.md.
//!
//! All numbers are little endian: header (one block long, so that blocks lie
//! on pages), rows, fences, filter, footer. The length of each part follows
//! from the counts in the footer.

use super::filter::LINE_BYTES;
use super::row::ROW_BYTES;

pub(super) const VERSION: u32 = 1;
pub(super) const BLOCK_ROWS: usize = 128;
pub(super) const BLOCK_BYTES: usize = BLOCK_ROWS * ROW_BYTES;
pub(super) const HEADER_BYTES: usize = BLOCK_BYTES;
/// key 16 | lsn 8 | crc 4: the place of a block's first row, and the CRC32C of
/// the block. Kept here, the crc also tells a block from one of elsewhere.
pub(super) const FENCE_BYTES: usize = 28;
pub(super) const FOOTER_BYTES: usize = 80;

const MAGIC: [u8; 8] = *b"FLRNRUN\0";
const END_MAGIC: [u8; 8] = *b"RUNWHOLE";
const _: () = assert!(BLOCK_BYTES == 4096);

/// magic 8 | version 4 | rows of a block 4 | from 8 | to 8 | zeros | crc 4
pub(super) fn encode_header(from: u64, to: u64) -> [u8; HEADER_BYTES] {
    let mut out = [0; HEADER_BYTES];
    out[0..8].copy_from_slice(&MAGIC);
    out[8..12].copy_from_slice(&VERSION.to_le_bytes());
    out[12..16].copy_from_slice(&(BLOCK_ROWS as u32).to_le_bytes());
    out[16..24].copy_from_slice(&from.to_le_bytes());
    out[24..32].copy_from_slice(&to.to_le_bytes());
    let crc = crc32c::crc32c(&out[..HEADER_BYTES - 4]);
    out[HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
    out
}

/// The header's range is known from the name, so there is exactly one header
/// that is right. Gives its checksum, which the footer repeats.
pub(super) fn check_header(bytes: &[u8], from: u64, to: u64) -> Result<u32, &'static str> {
    if bytes[0..8] != MAGIC {
        return Err("no magic of a run");
    }
    if bytes[8..12] != VERSION.to_le_bytes() {
        return Err("a version that is not known here");
    }
    if bytes != encode_header(from, to) {
        return Err("header, or its range is not that of the file's name");
    }
    Ok(u32_at(bytes, HEADER_BYTES - 4))
}

/// Counts of a whole run, and the checksums of what lies between rows and
/// footer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) row_count: u64,
    pub(super) key_count: u64,
    pub(super) filter_lines: u64,
    pub(super) min_key: u128,
    pub(super) max_key: u128,
    pub(super) fences_crc: u32,
    pub(super) filter_crc: u32,
    /// Ties the two ends of a file together.
    pub(super) header_crc: u32,
}

impl Footer {
    pub(super) fn encode(&self) -> [u8; FOOTER_BYTES] {
        let mut out = [0; FOOTER_BYTES];
        out[0..8].copy_from_slice(&self.row_count.to_le_bytes());
        out[8..16].copy_from_slice(&self.key_count.to_le_bytes());
        out[16..24].copy_from_slice(&self.filter_lines.to_le_bytes());
        out[24..40].copy_from_slice(&self.min_key.to_le_bytes());
        out[40..56].copy_from_slice(&self.max_key.to_le_bytes());
        out[56..60].copy_from_slice(&self.fences_crc.to_le_bytes());
        out[60..64].copy_from_slice(&self.filter_crc.to_le_bytes());
        out[64..68].copy_from_slice(&self.header_crc.to_le_bytes());
        let crc = crc32c::crc32c(&out[..68]);
        out[68..72].copy_from_slice(&crc.to_le_bytes());
        out[72..80].copy_from_slice(&END_MAGIC);
        out
    }

    pub(super) fn decode(bytes: &[u8; FOOTER_BYTES]) -> Result<Footer, &'static str> {
        if bytes[72..80] != END_MAGIC {
            return Err("no end mark");
        }
        if u32_at(bytes, 68) != crc32c::crc32c(&bytes[..68]) {
            return Err("checksum of the footer");
        }
        Ok(Footer {
            row_count: u64_at(bytes, 0),
            key_count: u64_at(bytes, 8),
            filter_lines: u64_at(bytes, 16),
            min_key: u128_at(bytes, 24),
            max_key: u128_at(bytes, 40),
            fences_crc: u32_at(bytes, 56),
            filter_crc: u32_at(bytes, 60),
            header_crc: u32_at(bytes, 64),
        })
    }

    pub(super) fn block_count(&self) -> u64 {
        self.row_count.div_ceil(BLOCK_ROWS as u64)
    }

    pub(super) fn fences_offset(&self) -> Option<u64> {
        let rows_bytes = self.row_count.checked_mul(ROW_BYTES as u64)?;
        rows_bytes.checked_add(HEADER_BYTES as u64)
    }

    pub(super) fn filter_offset(&self) -> Option<u64> {
        let fences_bytes = self.block_count().checked_mul(FENCE_BYTES as u64)?;
        self.fences_offset()?.checked_add(fences_bytes)
    }

    /// The length of the file that has this footer, if there can be one.
    pub(super) fn file_bytes(&self) -> Option<u64> {
        let filter_bytes = self.filter_lines.checked_mul(LINE_BYTES as u64)?;
        let footer_offset = self.filter_offset()?.checked_add(filter_bytes)?;
        footer_offset.checked_add(FOOTER_BYTES as u64)
    }
}

const SUFFIX: &str = ".run";
const LSN_DIGITS: usize = 20;

pub(super) fn file_name(from: u64, to: u64) -> String {
    format!("{from:020}-{to:020}{SUFFIX}")
}

pub(super) fn temporary_name(from: u64, to: u64) -> String {
    format!("{from:020}-{to:020}{SUFFIX}.tmp")
}

pub(super) fn is_temporary(name: &str) -> bool {
    name.strip_suffix(".tmp").is_some_and(|name| range_of(name).is_some())
}

/// The range in a run's name; nothing for what no writer would call a run.
pub(super) fn range_of(name: &str) -> Option<(u64, u64)> {
    let (from, to) = name.strip_suffix(SUFFIX)?.split_once('-')?;
    let (from, to) = (lsn_of(from)?, lsn_of(to)?);
    (1 <= from && from <= to).then_some((from, to))
}

fn lsn_of(digits: &str) -> Option<u64> {
    if digits.len() != LSN_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

pub(super) fn u128_at(bytes: &[u8], at: usize) -> u128 {
    u128::from_le_bytes(array_at(bytes, at))
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("a slice of N bytes is an array of N bytes")
}
