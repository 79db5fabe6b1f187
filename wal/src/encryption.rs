//! Encrypted segments: the key of each, and the frame in which a group is put together encrypted. Checksum and chain are
//! over the bytes as they are stored, so everything but reading records works without a key. Not in here: cryptography.

use std::fmt;

use vault::{Encryption, Purpose, SealKey};

use crate::disk::DIRECT_BYTES;
use crate::format::{
    BLOCK_BYTES, Chain, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, FrameFields, FrameHeader, SegmentHeader, SegmentKey,
};
use crate::group::GroupBuilder;

impl SegmentKey {
    /// For a segment that is about to begin; none if it is to stand in clear. Each has a salt of its own and so a key of
    /// its own: whatever becomes of a torn tail, and however long the log gets, no key sees many nonces.
    pub(crate) fn new(encryption: &Encryption) -> Result<Option<SegmentKey>, vault::Error> {
        let Some(keys) = encryption.writes() else { return Ok(None) };
        // Another process may have rotated the keys.
        keys.refresh();
        let key = keys.current(Purpose::Log)?;
        Ok(Some(SegmentKey { data_key: key.id(), salt: key.new_salt()? }))
    }
}

impl SegmentHeader {
    /// None if the segment stands in clear.
    pub(crate) fn key(&self, encryption: &Encryption) -> Result<Option<SealKey>, vault::Error> {
        let Some(SegmentKey { data_key, salt }) = &self.encryption else { return Ok(None) };
        let what: [&[u8]; 3] = [b"florin log segment", &self.log_id, &self.number.to_le_bytes()];
        encryption.by_id(*data_key)?.derived(salt, &what).map(Some)
    }
}

/// The records of a frame as they were appended, in place of what is in `plain`. An error means that somebody who can
/// make checksums has changed the frame.
pub(crate) fn open(key: &SealKey, header: &FrameHeader, frame: &[u8], plain: &mut Vec<u8>) -> Result<(), vault::Error> {
    key.open_to(&header.fields().encode(), header.payload(frame), plain)
}

/// Puts the frames of one segment together.
pub(crate) struct Encryptor {
    key: SealKey,
    /// Begins at `start` where a disk can take it from directly; the buffer has all of its room from the beginning.
    buffer: Vec<u8>,
    start: usize,
}

impl fmt::Debug for Encryptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encryptor").finish_non_exhaustive()
    }
}

impl Encryptor {
    pub(crate) fn new(key: SealKey) -> Encryptor {
        let mut buffer: Vec<u8> = Vec::with_capacity(DIRECT_BYTES + FRAME_BYTES_MAX);
        let start = buffer.as_ptr().align_offset(DIRECT_BYTES).min(DIRECT_BYTES);
        buffer.resize(start, 0);
        Encryptor { key, buffer, start }
    }

    /// Goes on with the key of another segment.
    pub(crate) fn with_key(self, key: SealKey) -> Encryptor {
        Encryptor { key, ..self }
    }

    /// The finished frame, with the chain behind it. The group stays as it is.
    pub(crate) fn frame(
        &mut self,
        group: &GroupBuilder,
        mut fields: FrameFields,
        chain_before: &Chain,
        seed: u32,
    ) -> Result<(&[u8], Chain), vault::Error> {
        let payload = group.payload();
        let payload_bytes = payload.len() + vault::SEAL_BYTES;
        fields.payload_bytes = payload_bytes as u32;
        let frame_bytes = (FRAME_HEADER_BYTES + payload_bytes).next_multiple_of(BLOCK_BYTES);
        self.buffer.resize(self.start + frame_bytes, 0);
        let frame = &mut self.buffer[self.start..];
        let (sealed, padding) = frame[FRAME_HEADER_BYTES..].split_at_mut(payload_bytes);
        self.key.seal_to(&fields.encode(), payload, sealed)?;
        padding.fill(0);
        let chain = FrameHeader::seal(frame, fields, chain_before, seed);
        Ok((frame, chain))
    }
}
