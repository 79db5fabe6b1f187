//! Finds out what a log holds: the headers of all segments, and the groups of the last one. Reads only; `Log::open`
//! repairs. Here a write cut short is told from damage.

use std::path::{Path, PathBuf};

use crate::disk::DiskFile;
use crate::error::Error;
use crate::format::{
    BLOCK_BYTES, Chain, FORMAT_VERSION, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, FrameHeader, HeaderFlaw, SegmentHeader,
    chain_after, records_add_up,
};
use crate::segment::Places;
use crate::segment::marks::{Mark, Marks};
use crate::segment::window::Window;

const READ_BYTES: usize = 256 << 10;
const ZERO_BLOCK: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];

#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) segments: Vec<SegmentHeader>,
    /// A last segment that was made ahead and holds nothing, or whose header was being written when the power went.
    pub(crate) blank: Option<u64>,
    /// Of the last segment; none if there is no segment.
    pub(crate) tail: Option<Tail>,
}

#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) path: PathBuf,
    pub(crate) marks: Marks,
    pub(crate) next_lsn: u64,
    pub(crate) time_micros: u64,
    pub(crate) chain: Chain,
    /// Where the next frame goes.
    pub(crate) offset: u64,
    pub(crate) last_frame: Option<(u64, usize)>,
    /// How many bytes from `offset` on are left of a group that was cut short.
    pub(crate) torn_bytes: u64,
}

pub(crate) fn find(places: &Places, progress: &mut dyn FnMut(u64, u64)) -> Result<Found, Error> {
    let numbers = places.numbers()?;
    let mut segments: Vec<SegmentHeader> = Vec::with_capacity(numbers.len());
    let mut blank = None;
    for (index, &number) in numbers.iter().enumerate() {
        if index > 0 && number != numbers[index - 1] + 1 {
            let missing = places.segment_path(numbers[index - 1] + 1);
            let expected_lsn = segments.last().map_or(1, |header| header.first_lsn + 1);
            let what = format!("this segment is missing, and segment {number} is there");
            return Err(Error::Corrupt { segment: missing, offset: 0, expected_lsn, what });
        }
        match read_header(places, number, segments.last())? {
            Some(header) => segments.push(header),
            None if index + 1 == numbers.len() => blank = Some(number),
            None => {
                let segment = places.segment_path(number);
                let expected_lsn = segments.last().map_or(1, |header| header.first_lsn + 1);
                let what = "its header is damaged, and a later segment is there".to_owned();
                return Err(Error::Corrupt { segment, offset: 0, expected_lsn, what });
            }
        }
    }
    let tail = match segments.last() {
        Some(header) => Some(scan_tail(places, header, progress)?),
        None => None,
    };
    Ok(Found { segments, blank, tail })
}

/// None for a segment without a header. A header is durable before the first frame, so anything behind a bad header
/// means that the header was good once.
fn read_header(places: &Places, number: u64, before: Option<&SegmentHeader>) -> Result<Option<SegmentHeader>, Error> {
    let (file, path) = places.open_segment(number)?;
    let expected_lsn = before.map_or(1, |before| before.first_lsn);
    let corrupt = |what: &str| Error::Corrupt { segment: path.clone(), offset: 0, expected_lsn, what: what.to_owned() };
    let header = match decode_header(&*file, &path)? {
        Ok(header) => header,
        Err(HeaderFlaw::Version(found)) => {
            return Err(Error::Version { segment: path, found, known: FORMAT_VERSION });
        }
        Err(HeaderFlaw::Bad) => {
            let rest_is_zero = is_zero_after(&*file, &path, BLOCK_BYTES as u64)?;
            // Read once more: beside a running server the header may have come while the rest was looked at.
            match decode_header(&*file, &path)? {
                Ok(header) => header,
                Err(_) if rest_is_zero => return Ok(None),
                Err(_) => return Err(corrupt("the segment's header is damaged, and there is data behind it")),
            }
        }
    };
    if header.number != number {
        return Err(corrupt(&format!("the file's header says that it is segment {}", header.number)));
    }
    if header.first_lsn == 0 {
        return Err(corrupt("the header says that its first record is 0, and records are numbered from 1"));
    }
    if file.bytes().map_err(Error::io("measure segment", &path))? < header.segment_bytes {
        return Err(corrupt("the file is shorter than it was made"));
    }
    if let Some(before) = before {
        if header.log_id != before.log_id {
            return Err(corrupt("the segment belongs to another log"));
        }
        if header.first_lsn < before.first_lsn || header.time_before_micros < before.time_before_micros {
            return Err(corrupt("the segment begins earlier than the one before it"));
        }
    }
    Ok(Some(header))
}

fn decode_header(file: &dyn DiskFile, path: &Path) -> Result<Result<SegmentHeader, HeaderFlaw>, Error> {
    let mut block = [0; BLOCK_BYTES];
    if file.bytes().map_err(Error::io("measure segment", path))? < BLOCK_BYTES as u64 {
        return Ok(Err(HeaderFlaw::Bad));
    }
    file.read_exact_at(&mut block, 0).map_err(Error::io("read segment", path))?;
    Ok(SegmentHeader::decode(&block))
}

fn is_zero_after(file: &dyn DiskFile, path: &Path, from: u64) -> Result<bool, Error> {
    let bytes = file.bytes().map_err(Error::io("measure segment", path))?;
    let mut chunk = vec![0; READ_BYTES];
    let mut at = from;
    while at < bytes {
        let count = (bytes - at).min(READ_BYTES as u64) as usize;
        file.read_exact_at(&mut chunk[..count], at).map_err(Error::io("read segment", path))?;
        if chunk[..count].chunks(BLOCK_BYTES).any(|block| block != &ZERO_BLOCK[..block.len()]) {
            return Ok(false);
        }
        at += count as u64;
    }
    Ok(true)
}

fn scan_tail(places: &Places, header: &SegmentHeader, progress: &mut dyn FnMut(u64, u64)) -> Result<Tail, Error> {
    let (file, path) = places.open_segment(header.number)?;
    // The segment that is written is never archived, so an archive alone is a log that lost its end.
    if path.parent() != Some(places.dir.as_path()) {
        return Err(Error::Corrupt {
            segment: places.segment_path(header.number + 1),
            offset: 0,
            expected_lsn: header.first_lsn + 1,
            what: "this segment is missing; the archive has all segments before it".to_owned(),
        });
    }
    let mut window = Window::new(READ_BYTES);
    let mut tail = Tail {
        path,
        marks: Marks::default(),
        next_lsn: header.first_lsn,
        time_micros: header.time_before_micros,
        chain: header.chain_before,
        offset: BLOCK_BYTES as u64,
        last_frame: None,
        torn_bytes: 0,
    };
    let mut doubted = None;
    loop {
        match next_frame(&*file, header, &mut window, &tail)? {
            Ok(frame) => {
                tail.marks.note(Mark { lsn: frame.first_lsn, time_micros: frame.time_micros, offset: tail.offset });
                tail.last_frame = Some((tail.offset, frame.frame_bytes()));
                tail.offset += frame.frame_bytes() as u64;
                tail.next_lsn = frame.next_lsn();
                tail.time_micros = frame.time_micros;
                tail.chain = frame.chain;
                progress(tail.offset, header.segment_bytes);
            }
            Err(flaw) => match look_behind(&*file, header, &tail)? {
                Behind::Nothing { torn_bytes } => {
                    tail.torn_bytes = torn_bytes;
                    progress(header.segment_bytes, header.segment_bytes);
                    return Ok(tail);
                }
                // Beside a running server this frame and the next may have been written between the two looks.
                Behind::Damage(_) if doubted != Some(tail.offset) => {
                    doubted = Some(tail.offset);
                    window.forget();
                }
                Behind::Damage(behind) => {
                    return Err(Error::Corrupt {
                        segment: tail.path,
                        offset: tail.offset,
                        expected_lsn: tail.next_lsn,
                        what: format!("{flaw}, and {behind}, so this is damage and not a write cut short"),
                    });
                }
            },
        }
    }
}

/// The frame at the tail's offset, or why there is none. A frame whose checksum holds and that does not continue the
/// log is an error at once: no crash makes one.
fn next_frame(
    file: &dyn DiskFile,
    segment: &SegmentHeader,
    window: &mut Window,
    tail: &Tail,
) -> Result<Result<FrameHeader, &'static str>, Error> {
    let limit = segment.segment_bytes;
    if tail.offset + FRAME_HEADER_BYTES as u64 > limit {
        return Ok(Err("the segment is full"));
    }
    let read = Error::io("read segment", &tail.path);
    let bytes = match window.at(file, tail.offset, FRAME_HEADER_BYTES, limit) {
        Ok(bytes) => bytes,
        Err(error) => return Err(read(error)),
    };
    let Some(header) = FrameHeader::decode(bytes, segment) else { return Ok(Err("no group's header is here")) };
    if tail.offset + header.frame_bytes() as u64 > limit {
        return Ok(Err("the group would not fit into the segment"));
    }
    let frame = window.at(file, tail.offset, header.frame_bytes(), limit).map_err(read)?;
    if !header.crc_holds(frame, segment.frame_seed()) {
        return Ok(Err("the group's checksum does not match"));
    }
    let flaw = if header.first_lsn != tail.next_lsn {
        "the group has another record number"
    } else if header.time_micros < tail.time_micros {
        "the group is older than the one before it"
    } else if header.chain != chain_after(&tail.chain, frame, header.payload_bytes) {
        "the group does not continue the chain of hashes"
    } else if segment.encryption.is_none() && !records_add_up(header.payload(frame), header.record_count) {
        "the lengths of the group's records do not add up"
    } else {
        return Ok(Ok(header));
    };
    Err(Error::Corrupt {
        segment: tail.path.clone(),
        offset: tail.offset,
        expected_lsn: tail.next_lsn,
        what: flaw.to_owned(),
    })
}

enum Behind {
    Nothing { torn_bytes: u64 },
    Damage(String),
}

/// Looks for a reason why a bad frame cannot be the last write cut short: a whole group behind it, or bytes further on
/// than one group reaches.
fn look_behind(file: &dyn DiskFile, segment: &SegmentHeader, tail: &Tail) -> Result<Behind, Error> {
    let read = |error| Error::io("read segment", &tail.path)(error);
    let mut chunk = vec![0; READ_BYTES];
    let mut torn_bytes = 0;
    let mut at = tail.offset;
    while at < segment.segment_bytes {
        let count = (segment.segment_bytes - at).min(READ_BYTES as u64) as usize;
        file.read_exact_at(&mut chunk[..count], at).map_err(read)?;
        for (index, block) in chunk[..count].chunks_exact(BLOCK_BYTES).enumerate() {
            if block == ZERO_BLOCK {
                continue;
            }
            let offset = at + (index * BLOCK_BYTES) as u64;
            torn_bytes = offset + BLOCK_BYTES as u64 - tail.offset;
            if offset > tail.offset && is_later_frame(file, segment, tail, offset, block).map_err(read)? {
                return Ok(Behind::Damage(format!("a later group of this log stands at byte {offset}")));
            }
        }
        at += count as u64;
    }
    if torn_bytes > FRAME_BYTES_MAX as u64 {
        return Ok(Behind::Damage(format!("{torn_bytes} bytes follow, more than one group can have")));
    }
    Ok(Behind::Nothing { torn_bytes })
}

fn is_later_frame(
    file: &dyn DiskFile,
    segment: &SegmentHeader,
    tail: &Tail,
    offset: u64,
    block: &[u8],
) -> std::io::Result<bool> {
    let Some(header) = FrameHeader::decode(block, segment) else { return Ok(false) };
    if header.first_lsn <= tail.next_lsn || offset + header.frame_bytes() as u64 > segment.segment_bytes {
        return Ok(false);
    }
    let mut frame = vec![0; header.frame_bytes()];
    file.read_exact_at(&mut frame, offset)?;
    Ok(header.crc_holds(&frame, segment.frame_seed()))
}
