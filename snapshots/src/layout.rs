//! The byte layout of a snapshot, versions 1 and 2, and nothing that reads or writes
//! a disk. The table with offsets stands in docs/formats-snapshots.md.
//!
//! All numbers are little endian. A file is: header, blocks, trailer. The
//! last 48 bytes are of a fixed shape, so that the trailer is found from the
//! end of the file and a file that stops early has none.

use vault::{KeyId, SEAL_BYTES};

use crate::encryption::SnapshotKey;
use crate::{Header, KindRows};

/// Rows and state stand in clear.
const VERSION_CLEAR: u32 = 1;
/// Rows and state are encrypted, with a key that is named behind the header.
const VERSION_ENCRYPTED: u32 = 2;
pub(crate) const VERSION: u32 = VERSION_ENCRYPTED;

const MAGIC: [u8; 8] = *b"FLRNSNAP";
const END_MAGIC: [u8; 8] = *b"SNAPDONE";

/// magic 8 | version 4 | lsn 8 | time_micros 8 | chain_hash 32 | log_id 16 | crc 4
pub(crate) const HEADER_BYTES: usize = 80;
/// In version 2 behind the header: data key 16 | salt 32 | crc 4.
pub(crate) const KEY_BYTES: usize = 52;
/// kind 1 | row_count 4 | bytes 4 | crc 4, the crc being over the nine bytes
/// before it and the rows after it.
pub(crate) const BLOCK_HEADER_BYTES: usize = 13;
/// blake3 32 | trailer_bytes 4 | crc 4 | end magic 8
pub(crate) const TAIL_BYTES: usize = 48;
/// The trailer begins with kind_count 2, then kind 1 | rows 8 for each kind,
/// then state_bytes 4 and the state.
const TRAILER_FIXED_BYTES: usize = 2 + 4 + TAIL_BYTES;
const KIND_BYTES: usize = 9;
pub(crate) const TRAILER_BYTES_MAX: usize =
    TRAILER_FIXED_BYTES + 256 * KIND_BYTES + crate::STATE_BYTES_MAX + SEAL_BYTES;

const _: () = assert!(TRAILER_BYTES_MAX < u32::MAX as usize);
const _: () = assert!(crate::BLOCK_BYTES_MAX < u32::MAX as usize);

/// Why bytes were not believed. The caller knows the file and the offset.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    Damaged(&'static str),
    Version(u32),
}

/// What version a snapshot has.
pub(crate) fn version(key: Option<&SnapshotKey>) -> u32 {
    if key.is_some() { VERSION_ENCRYPTED } else { VERSION_CLEAR }
}

/// What a block or the state has on top of its bytes.
pub(crate) fn extra_bytes(key: Option<&SnapshotKey>) -> usize {
    if key.is_some() { SEAL_BYTES } else { 0 }
}

/// Everything before the blocks.
pub(crate) fn encode_beginning(header: &Header, key: Option<&SnapshotKey>) -> Vec<u8> {
    let mut out = encode_header(header, key).to_vec();
    if let Some(key) = key {
        out.extend_from_slice(&encode_key(key));
    }
    out
}

fn encode_key(key: &SnapshotKey) -> [u8; KEY_BYTES] {
    let mut out = [0; KEY_BYTES];
    out[0..16].copy_from_slice(&key.data_key.0);
    out[16..48].copy_from_slice(&key.salt);
    let crc = crc32c::crc32c(&out[..48]);
    out[48..52].copy_from_slice(&crc.to_le_bytes());
    out
}

pub(crate) fn decode_key(bytes: &[u8; KEY_BYTES]) -> Result<SnapshotKey, Bad> {
    if u32_at(bytes, 48) != crc32c::crc32c(&bytes[..48]) {
        return Err(Bad::Damaged("checksum of the key's name"));
    }
    Ok(SnapshotKey { data_key: KeyId(array_at(bytes, 0)), salt: array_at(bytes, 16) })
}

pub(crate) fn encode_header(header: &Header, key: Option<&SnapshotKey>) -> [u8; HEADER_BYTES] {
    let mut out = [0; HEADER_BYTES];
    out[0..8].copy_from_slice(&MAGIC);
    out[8..12].copy_from_slice(&version(key).to_le_bytes());
    out[12..20].copy_from_slice(&header.lsn.to_le_bytes());
    out[20..28].copy_from_slice(&header.time_micros.to_le_bytes());
    out[28..60].copy_from_slice(&header.chain_hash);
    out[60..76].copy_from_slice(&header.log_id);
    let crc = crc32c::crc32c(&out[..76]);
    out[76..80].copy_from_slice(&crc.to_le_bytes());
    out
}

/// The header, and whether the name of a key is behind it.
pub(crate) fn decode_header(bytes: &[u8; HEADER_BYTES]) -> Result<(Header, bool), Bad> {
    if bytes[0..8] != MAGIC {
        return Err(Bad::Damaged("no magic of a snapshot"));
    }
    if u32_at(bytes, 76) != crc32c::crc32c(&bytes[..76]) {
        return Err(Bad::Damaged("checksum of the header"));
    }
    let version = u32_at(bytes, 8);
    if ![VERSION_CLEAR, VERSION_ENCRYPTED].contains(&version) {
        return Err(Bad::Version(version));
    }
    let header = Header {
        lsn: u64_at(bytes, 12),
        time_micros: u64_at(bytes, 20),
        chain_hash: array_at(bytes, 28),
        log_id: array_at(bytes, 60),
    };
    Ok((header, version == VERSION_ENCRYPTED))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    pub(crate) kind: u8,
    pub(crate) rows: u32,
    pub(crate) bytes: u32,
}

pub(crate) fn encode_block_header(kind: u8, rows: u32, bytes_len: u32, rows_bytes: &[u8]) -> [u8; BLOCK_HEADER_BYTES] {
    let mut out = [0; BLOCK_HEADER_BYTES];
    out[0] = kind;
    out[1..5].copy_from_slice(&rows.to_le_bytes());
    out[5..9].copy_from_slice(&bytes_len.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&out[..9]), rows_bytes);
    out[9..13].copy_from_slice(&crc.to_le_bytes());
    out
}

/// The checksum alone, for where the other fields stand in columns.
pub(crate) fn block_crc(kind: u8, rows: u32, bytes_len: u32, rows_bytes: &[u8]) -> u32 {
    u32_at(&encode_block_header(kind, rows, bytes_len, rows_bytes), 9)
}

/// Where a snapshot is a row with columns: CRC32C of the header, the key's
/// name, the body of the trailer and the hash, as they are in a file.
pub(crate) fn row_crc(
    header: &Header,
    key: Option<&SnapshotKey>,
    rows: &[KindRows],
    state: &[u8],
    hash: &[u8; 32],
) -> u32 {
    let crc = crc32c::crc32c(&encode_beginning(header, key));
    let crc = crc32c::crc32c_append(crc, &encode_trailer_body(rows, state));
    crc32c::crc32c_append(crc, hash)
}

/// Reads the fields; they are to be believed only once `block_is_whole` has
/// said so, except that `bytes` may be held against limits before that.
pub(crate) fn decode_block_header(bytes: &[u8; BLOCK_HEADER_BYTES]) -> BlockHeader {
    BlockHeader { kind: bytes[0], rows: u32_at(bytes, 1), bytes: u32_at(bytes, 5) }
}

pub(crate) fn block_is_whole(header: &[u8; BLOCK_HEADER_BYTES], rows_bytes: &[u8]) -> bool {
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header[..9]), rows_bytes);
    crc == u32_at(header, 9)
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub(crate) rows: Vec<KindRows>,
    pub(crate) state: Vec<u8>,
    pub(crate) hash: [u8; 32],
}

/// The part of the trailer that the hash covers: all of it before the tail.
pub(crate) fn encode_trailer_body(rows: &[KindRows], state: &[u8]) -> Vec<u8> {
    debug_assert!(rows.len() <= 256 && state.len() <= crate::STATE_BYTES_MAX + SEAL_BYTES);
    let mut out = Vec::with_capacity(6 + rows.len() * KIND_BYTES + state.len());
    out.extend_from_slice(&(rows.len() as u16).to_le_bytes());
    for kind_rows in rows {
        out.push(kind_rows.kind);
        out.extend_from_slice(&kind_rows.rows.to_le_bytes());
    }
    out.extend_from_slice(&(state.len() as u32).to_le_bytes());
    out.extend_from_slice(state);
    out
}

/// Closes a trailer whose body has been hashed with everything before it.
pub(crate) fn append_tail(trailer: &mut Vec<u8>, hash: &[u8; 32]) {
    let trailer_bytes = (trailer.len() + TAIL_BYTES) as u32;
    trailer.extend_from_slice(hash);
    trailer.extend_from_slice(&trailer_bytes.to_le_bytes());
    let crc = crc32c::crc32c(trailer);
    trailer.extend_from_slice(&crc.to_le_bytes());
    trailer.extend_from_slice(&END_MAGIC);
}

/// How long the trailer is, by the last bytes of the file.
pub(crate) fn decode_trailer_bytes(tail: &[u8; TAIL_BYTES]) -> Result<usize, Bad> {
    if tail[40..48] != END_MAGIC {
        return Err(Bad::Damaged("no end mark: the snapshot was not finished"));
    }
    let trailer_bytes = u32_at(tail, 32) as usize;
    if !(TRAILER_FIXED_BYTES..=TRAILER_BYTES_MAX).contains(&trailer_bytes) {
        return Err(Bad::Damaged("length of the trailer"));
    }
    Ok(trailer_bytes)
}

/// Reads a whole trailer, tail included; `extra_bytes` are what the state has on top.
pub(crate) fn decode_trailer(bytes: &[u8], extra_bytes: usize) -> Result<Trailer, Bad> {
    const SHAPE: Bad = Bad::Damaged("shape of the trailer");
    let body_bytes = bytes.len().checked_sub(TAIL_BYTES).ok_or(SHAPE)?;
    let (body, tail) = bytes.split_at(body_bytes);
    if u32_at(tail, 36) != crc32c::crc32c(&bytes[..body_bytes + 36]) {
        return Err(Bad::Damaged("checksum of the trailer"));
    }
    let (count, rest) = body.split_at_checked(2).ok_or(SHAPE)?;
    let kinds_bytes = usize::from(u16::from_le_bytes(array_at(count, 0))) * KIND_BYTES;
    let (kinds, rest) = rest.split_at_checked(kinds_bytes).ok_or(SHAPE)?;
    let (state_bytes, state) = rest.split_at_checked(4).ok_or(SHAPE)?;
    if u32_at(state_bytes, 0) as usize != state.len() || state.len() > crate::STATE_BYTES_MAX + extra_bytes {
        return Err(SHAPE);
    }
    let rows: Vec<KindRows> =
        kinds.chunks_exact(KIND_BYTES).map(|bytes| KindRows { kind: bytes[0], rows: u64_at(bytes, 1) }).collect();
    if !rows.is_sorted_by(|a, b| a.kind < b.kind) {
        return Err(SHAPE);
    }
    Ok(Trailer { rows, state: state.to_vec(), hash: array_at(tail, 0) })
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("a slice of N bytes is an array of N bytes")
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}
