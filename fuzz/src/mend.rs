//! Puts right the checksums of damaged files, so that a fuzzer comes past them to what they guard: a reader must not
//! trust a length or a count only because a checksum fits. Offsets are those of docs/formats.md, written down here
//! a second time on purpose.

use crc32c::{crc32c, crc32c_append};

/// Headers and frames of a segment; the hashes of the chain too if `chain`.
pub fn segment(bytes: &mut [u8], chain: bool) {
    if bytes.len() < 512 {
        return;
    }
    let crc = crc32c(&bytes[..508]);
    bytes[508..512].copy_from_slice(&crc.to_le_bytes());
    let seed = crc32c_append(crc32c(&bytes[16..32]), &bytes[32..40]);
    let mut before: [u8; 32] = bytes[48..80].try_into().expect("32 bytes");
    let mut rest = &mut bytes[512..];
    while rest.len() >= 512 && rest[..4] == *b"FRM1" {
        let payload_bytes = u32_at(rest, 8);
        let frame_bytes = (64 + payload_bytes).next_multiple_of(512);
        if frame_bytes > rest.len() {
            return;
        }
        let (frame, after) = rest.split_at_mut(frame_bytes);
        if chain {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&before).update(&frame[8..32]).update(&frame[64..64 + payload_bytes]);
            before = *hasher.finalize().as_bytes();
            frame[32..64].copy_from_slice(&before);
        }
        let crc = crc32c_append(seed, &frame[8..]);
        frame[4..8].copy_from_slice(&crc.to_le_bytes());
        rest = after;
    }
}

/// Header, blocks, trailer and the hash of a whole snapshot.
pub fn snapshot(bytes: &mut [u8]) {
    let end = bytes.len();
    if end < 80 + 48 {
        return;
    }
    let crc = crc32c(&bytes[..76]);
    bytes[76..80].copy_from_slice(&crc.to_le_bytes());
    let trailer_bytes = u32_at(bytes, end - 16);
    let Some(trailer) = end.checked_sub(trailer_bytes).filter(|&trailer| trailer >= 80 && trailer <= end - 48) else {
        return;
    };
    let mut at = 80;
    while trailer - at >= 13 {
        let length = u32_at(bytes, at + 5);
        let next = at + 13 + length;
        if next > trailer {
            break;
        }
        let crc = crc32c_append(crc32c(&bytes[at..at + 9]), &bytes[at + 13..next]);
        bytes[at + 9..at + 13].copy_from_slice(&crc.to_le_bytes());
        at = next;
    }
    let hash = blake3::hash(&bytes[..end - 48]);
    bytes[end - 48..end - 16].copy_from_slice(hash.as_bytes());
    let crc = crc32c(&bytes[trailer..end - 12]);
    bytes[end - 12..end - 8].copy_from_slice(&crc.to_le_bytes());
}

/// Header, blocks, fences, filter and footer of a run.
pub fn run(bytes: &mut [u8]) {
    let end = bytes.len();
    if end < 4096 + 80 {
        return;
    }
    let header_crc = crc32c(&bytes[..4092]);
    bytes[4092..4096].copy_from_slice(&header_crc.to_le_bytes());
    let footer = end - 80;
    let rows = usize::try_from(u64::from_le_bytes(bytes[footer..footer + 8].try_into().expect("8 bytes")));
    let fences = rows.ok().and_then(|rows| Some((rows, 4096 + rows.checked_mul(32)?)));
    if let Some((rows, fences)) = fences.filter(|(_, fences)| *fences <= footer) {
        let blocks = rows.div_ceil(128);
        if let Some(filter) = blocks.checked_mul(28).map(|bytes| fences + bytes).filter(|&filter| filter <= footer) {
            for block in 0..blocks {
                let from = 4096 + block * 4096;
                let crc = crc32c(&bytes[from..(from + 4096).min(fences)]);
                let fence = fences + block * 28;
                bytes[fence + 24..fence + 28].copy_from_slice(&crc.to_le_bytes());
            }
            let (fences_crc, filter_crc) = (crc32c(&bytes[fences..filter]), crc32c(&bytes[filter..footer]));
            bytes[footer + 56..footer + 60].copy_from_slice(&fences_crc.to_le_bytes());
            bytes[footer + 60..footer + 64].copy_from_slice(&filter_crc.to_le_bytes());
        }
    }
    bytes[footer + 64..footer + 68].copy_from_slice(&header_crc.to_le_bytes());
    let crc = crc32c(&bytes[footer..footer + 68]);
    bytes[footer + 68..footer + 72].copy_from_slice(&crc.to_le_bytes());
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize
}
