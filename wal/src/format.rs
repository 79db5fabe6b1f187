//! The bytes of segment and frame headers; see docs/formats.md. Everything is little endian.
//! Not in here: any reading or writing of files.

use vault::{KeyId, SEAL_BYTES};

/// Segments whose groups stand in clear.
const VERSION_CLEAR: u32 = 1;
/// Segments whose groups are encrypted, with a key that the header names.
const VERSION_ENCRYPTED: u32 = 2;
pub(crate) const FORMAT_VERSION: u32 = VERSION_ENCRYPTED;
/// What the disk writes whole or not at all; headers and frames begin at multiples of it.
pub(crate) const BLOCK_BYTES: usize = 512;
pub(crate) const FRAME_HEADER_BYTES: usize = 64;
pub const SEGMENT_BYTES_MIN: u64 = 1 << 20;
pub const SEGMENT_BYTES_DEFAULT: u64 = 64 << 20;
pub const SEGMENT_BYTES_MAX: u64 = 4 << 30;
/// Records of one group with their lengths; encrypted, it has its nonce and tag on top.
pub const GROUP_BYTES_MAX: usize = 4 << 20;
pub const RECORD_BYTES_MAX: usize = 2 << 20;
pub(crate) const RECORD_HEADER_BYTES: usize = 4;
pub(crate) const FRAME_BYTES_MAX: usize =
    (FRAME_HEADER_BYTES + GROUP_BYTES_MAX + SEAL_BYTES).next_multiple_of(BLOCK_BYTES);

const _: () = assert!(RECORD_BYTES_MAX + RECORD_HEADER_BYTES <= GROUP_BYTES_MAX);
const _: () = assert!(FRAME_BYTES_MAX as u64 + BLOCK_BYTES as u64 <= SEGMENT_BYTES_DEFAULT);
const _: () = assert!(FRAME_BYTES_MAX < u32::MAX as usize);
const _: () = assert!(SEGMENT_BYTES_MIN.is_multiple_of(BLOCK_BYTES as u64));

const SEGMENT_MAGIC: [u8; 8] = *b"FLORWAL\0";
const FRAME_MAGIC: u32 = u32::from_le_bytes(*b"FRM1");

/// BLAKE3 of all groups so far, one over the other.
pub type Chain = [u8; 32];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) log_id: [u8; 16],
    pub(crate) number: u64,
    pub(crate) first_lsn: u64,
    pub(crate) chain_before: Chain,
    pub(crate) created_micros: u64,
    /// The time of the last group in earlier segments: what makes a search by time skip whole segments.
    pub(crate) time_before_micros: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) encryption: Option<SegmentKey>,
}

/// The key of an encrypted segment is derived from a data key and a salt of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentKey {
    pub(crate) data_key: KeyId,
    pub(crate) salt: [u8; 32],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderFlaw {
    Bad,
    Version(u32),
}

impl SegmentHeader {
    // 0 magic 8 | 8 version 4 | 12 block 4 | 16 log id 16 | 32 number 8 | 40 first lsn 8 | 48 chain before 32
    // | 80 created 8 | 88 time before 8 | 96 segment bytes 8 | 104 zeros | 508 crc32c of 0..508
    // version 2: | 104 data key 16 | 120 salt 32 | 152 zeros
    pub(crate) fn encode(&self) -> [u8; BLOCK_BYTES] {
        let mut block = [0; BLOCK_BYTES];
        block[0..8].copy_from_slice(&SEGMENT_MAGIC);
        let version = if self.encryption.is_some() { VERSION_ENCRYPTED } else { VERSION_CLEAR };
        block[8..12].copy_from_slice(&version.to_le_bytes());
        block[12..16].copy_from_slice(&(BLOCK_BYTES as u32).to_le_bytes());
        block[16..32].copy_from_slice(&self.log_id);
        block[32..40].copy_from_slice(&self.number.to_le_bytes());
        block[40..48].copy_from_slice(&self.first_lsn.to_le_bytes());
        block[48..80].copy_from_slice(&self.chain_before);
        block[80..88].copy_from_slice(&self.created_micros.to_le_bytes());
        block[88..96].copy_from_slice(&self.time_before_micros.to_le_bytes());
        block[96..104].copy_from_slice(&self.segment_bytes.to_le_bytes());
        if let Some(key) = &self.encryption {
            block[104..120].copy_from_slice(&key.data_key.0);
            block[120..152].copy_from_slice(&key.salt);
        }
        let crc = crc32c::crc32c(&block[..508]);
        block[508..].copy_from_slice(&crc.to_le_bytes());
        block
    }

    pub(crate) fn decode(block: &[u8; BLOCK_BYTES]) -> Result<SegmentHeader, HeaderFlaw> {
        if block[0..8] != SEGMENT_MAGIC || crc32c::crc32c(&block[..508]) != u32_at(block, 508) {
            return Err(HeaderFlaw::Bad);
        }
        let version = u32_at(block, 8);
        let encryption = match version {
            VERSION_CLEAR => None,
            VERSION_ENCRYPTED => Some(SegmentKey { data_key: KeyId(array_at(block, 104)), salt: array_at(block, 120) }),
            unknown => return Err(HeaderFlaw::Version(unknown)),
        };
        Ok(SegmentHeader {
            log_id: array_at(block, 16),
            number: u64_at(block, 32),
            first_lsn: u64_at(block, 40),
            chain_before: array_at(block, 48),
            created_micros: u64_at(block, 80),
            time_before_micros: u64_at(block, 88),
            segment_bytes: u64_at(block, 96),
            encryption,
        })
    }

    /// What a frame's payload has beside its records.
    pub(crate) fn extra_bytes(&self) -> usize {
        if self.encryption.is_some() { SEAL_BYTES } else { 0 }
    }

    /// What frames of this segment mix into their checksum, so that bytes of another log or segment never pass.
    pub(crate) fn frame_seed(&self) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(&self.log_id), &self.number.to_le_bytes())
    }
}

/// The chain before the first group of a log.
pub(crate) fn chain_of_nothing(log_id: &[u8; 16]) -> Chain {
    *blake3::hash(log_id).as_bytes()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) crc: u32,
    pub(crate) payload_bytes: u32,
    pub(crate) record_count: u32,
    pub(crate) first_lsn: u64,
    pub(crate) time_micros: u64,
    pub(crate) chain: Chain,
}

impl FrameHeader {
    // 0 magic 4 | 4 crc 4 | 8 payload bytes 4 | 12 records 4 | 16 first lsn 8 | 24 time 8 | 32 chain 32 | 64 payload
    /// Fills in the header of a whole frame, of which the payload and the padding stand already.
    pub(crate) fn seal(frame: &mut [u8], fields: FrameFields, chain_before: &Chain, seed: u32) -> Chain {
        frame[0..4].copy_from_slice(&FRAME_MAGIC.to_le_bytes());
        frame[8..32].copy_from_slice(&fields.encode());
        let chain = chain_after(chain_before, frame, fields.payload_bytes);
        frame[32..64].copy_from_slice(&chain);
        let crc = crc32c::crc32c_append(seed, &frame[8..]);
        frame[4..8].copy_from_slice(&crc.to_le_bytes());
        chain
    }

    /// None if these bytes cannot be the beginning of a frame of the segment. Lengths are capped here, before anyone
    /// allocates by them.
    pub(crate) fn decode(bytes: &[u8], segment: &SegmentHeader) -> Option<FrameHeader> {
        if bytes.len() < FRAME_HEADER_BYTES || u32_at(bytes, 0) != FRAME_MAGIC {
            return None;
        }
        let header = FrameHeader {
            crc: u32_at(bytes, 4),
            payload_bytes: u32_at(bytes, 8),
            record_count: u32_at(bytes, 12),
            first_lsn: u64_at(bytes, 16),
            time_micros: u64_at(bytes, 24),
            chain: array_at(bytes, 32),
        };
        let records_bytes = (header.payload_bytes as usize).checked_sub(segment.extra_bytes())?;
        let sound = records_bytes <= GROUP_BYTES_MAX
            && header.record_count >= 1
            && header.record_count as usize <= records_bytes / RECORD_HEADER_BYTES
            && header.first_lsn >= 1
            && header.first_lsn.checked_add(u64::from(header.record_count)).is_some();
        sound.then_some(header)
    }

    pub(crate) fn frame_bytes(&self) -> usize {
        (FRAME_HEADER_BYTES + self.payload_bytes as usize).next_multiple_of(BLOCK_BYTES)
    }

    pub(crate) fn next_lsn(&self) -> u64 {
        self.first_lsn + u64::from(self.record_count)
    }

    pub(crate) fn crc_holds(&self, frame: &[u8], seed: u32) -> bool {
        crc32c::crc32c_append(seed, &frame[8..self.frame_bytes()]) == self.crc
    }

    pub(crate) fn fields(&self) -> FrameFields {
        let FrameHeader { payload_bytes, record_count, first_lsn, time_micros, .. } = *self;
        FrameFields { payload_bytes, record_count, first_lsn, time_micros }
    }

    pub(crate) fn payload<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        &frame[FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + self.payload_bytes as usize]
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameFields {
    pub(crate) payload_bytes: u32,
    pub(crate) record_count: u32,
    pub(crate) first_lsn: u64,
    pub(crate) time_micros: u64,
}

impl FrameFields {
    /// As they stand in the header; an encrypted payload opens with the same ones only.
    pub(crate) fn encode(&self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[0..4].copy_from_slice(&self.payload_bytes.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.record_count.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.first_lsn.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.time_micros.to_le_bytes());
        bytes
    }
}

pub(crate) fn chain_after(before: &Chain, frame: &[u8], payload_bytes: u32) -> Chain {
    let mut hasher = blake3::Hasher::new();
    hasher.update(before);
    hasher.update(&frame[8..32]);
    hasher.update(&frame[FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + payload_bytes as usize]);
    *hasher.finalize().as_bytes()
}

/// Whether the records' lengths add up to the payload: checked after the checksum, which a faulty writer would pass.
pub(crate) fn records_add_up(payload: &[u8], record_count: u32) -> bool {
    let mut at = 0;
    for _ in 0..record_count {
        if payload.len() - at < RECORD_HEADER_BYTES {
            return false;
        }
        let bytes = u32_at(payload, at) as usize;
        at += RECORD_HEADER_BYTES;
        if payload.len() - at < bytes {
            return false;
        }
        at += bytes;
    }
    at == payload.len()
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}
