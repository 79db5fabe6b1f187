//! Torn last writes: what the disk may have kept of a group that was being written when everything ended. Only what
//! lies behind the last acknowledged record is touched; that the server then cuts it off, and nothing else, is for
//! `faults` to check.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::faults::all;
use crate::cli::failure::Failure;

/// See docs/formats.md: what a disk writes whole or not at all; a group's header and its fields.
const BLOCK_BYTES: usize = 512;
const HEADER_BYTES: usize = 64;
const SEGMENT_MAGIC: &[u8] = b"FLORWAL\0";
const GROUP_MAGIC: &[u8] = b"FRM1";
const FIRST_LSN_AT: usize = 16;

/// How a write is cut short: it stops somewhere, or some of its blocks are missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tear {
    End,
    Blocks,
}

/// The last segment that has a header.
struct Segment {
    path: PathBuf,
    bytes: Vec<u8>,
    groups: Vec<Group>,
}

#[derive(Clone, Copy)]
struct Group {
    at: usize,
    bytes: usize,
    first_lsn: u64,
    records: u64,
}

/// Leaves part of a group behind the log's end, as if the server had died while it wrote the next one: an earlier group
/// with the number that would have come. Nobody was told of it. False where there is no group to take after.
pub fn leave_half_a_group(log: &Path, tear: Tear) -> Result<bool, Failure> {
    let Some(segment) = last_segment(log)? else { return Ok(false) };
    let Some(last) = segment.groups.last() else { return Ok(false) };
    let at = last.at + last.bytes;
    // A larger one would have gone to the next segment.
    let fitting: Vec<&Group> = segment.groups.iter().filter(|like| at + like.bytes <= segment.bytes.len()).collect();
    if fitting.is_empty() {
        return Ok(false);
    }
    let like = fitting[rand::random_range(0..fitting.len())];
    let mut torn = segment.bytes[like.at..like.at + like.bytes].to_vec();
    torn[FIRST_LSN_AT..FIRST_LSN_AT + 8].copy_from_slice(&(last.first_lsn + last.records).to_le_bytes());
    match tear {
        Tear::End => torn.truncate(rand::random_range(HEADER_BYTES..=torn.len())),
        Tear::Blocks => lose_blocks(&mut torn),
    }
    write(&segment.path, &torn, at)
}

/// Takes blocks out of the group that follows after `last_lsn`: its fdatasync has failed, so the disk may have kept any of
/// them. False where the log has no such group, or one of a single block.
pub fn tear_group_after(log: &Path, last_lsn: u64) -> Result<bool, Failure> {
    let Some(segment) = last_segment(log)? else { return Ok(false) };
    let Some(group) = segment.groups.iter().find(|group| group.first_lsn > last_lsn) else { return Ok(false) };
    if group.bytes <= BLOCK_BYTES || group.first_lsn != last_lsn + 1 {
        return Ok(false);
    }
    let mut torn = segment.bytes[group.at..group.at + group.bytes].to_vec();
    lose_blocks(&mut torn);
    write(&segment.path, &torn, group.at)
}

/// Some blocks are as they were before, zero; at least one is lost, and one is there.
fn lose_blocks(group: &mut [u8]) {
    let count = group.len() / BLOCK_BYTES;
    let lost = rand::random_range(0..count);
    let kept = (lost + 1) % count;
    for (index, block) in group.chunks_mut(BLOCK_BYTES).enumerate() {
        if count > 1 && (index == lost || (index != kept && rand::random_bool(0.5))) {
            block.fill(0);
        }
    }
}

fn write(path: &Path, bytes: &[u8], at: usize) -> Result<bool, Failure> {
    let file = fs::OpenOptions::new().write(true).open(path).map_err(Failure::file("open", path))?;
    file.write_all_at(bytes, at as u64).map_err(Failure::file("damage", path))?;
    Ok(true)
}

fn last_segment(log: &Path) -> Result<Option<Segment>, Failure> {
    let mut paths = all(log, "wal")?;
    paths.sort_unstable();
    // The newest may have been made ahead, and be empty.
    while let Some(path) = paths.pop() {
        let bytes = fs::read(&path).map_err(Failure::file("read", &path))?;
        if bytes.starts_with(SEGMENT_MAGIC) {
            let groups = groups(&bytes);
            return Ok(Some(Segment { path, bytes, groups }));
        }
    }
    Ok(None)
}

fn groups(segment: &[u8]) -> Vec<Group> {
    let mut groups = Vec::new();
    let mut at = BLOCK_BYTES;
    while let Some(header) = segment.get(at..at + HEADER_BYTES)
        && header.starts_with(GROUP_MAGIC)
    {
        let bytes = (HEADER_BYTES + u32_at(header, 8) as usize).next_multiple_of(BLOCK_BYTES);
        if at + bytes > segment.len() {
            break;
        }
        let first_lsn = u64::from(u32_at(header, FIRST_LSN_AT)) | u64::from(u32_at(header, FIRST_LSN_AT + 4)) << 32;
        groups.push(Group { at, bytes, first_lsn, records: u64::from(u32_at(header, 12)) });
        at += bytes;
    }
    groups
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wal::disk::RealDisk;
    use wal::{GroupBuilder, Log, Options, Recovered, SEGMENT_BYTES_MIN};

    use super::*;

    fn open(log: &Path) -> (Log, Recovered) {
        let options = Options { segment_bytes: SEGMENT_BYTES_MIN, prepare_ahead: false, ..Options::default() };
        Log::open(Arc::new(RealDisk), log, options, &mut |_, _| {}).unwrap()
    }

    /// A group of three records, several blocks long.
    fn append(log: &mut Log) -> u64 {
        let mut group = GroupBuilder::new();
        (1..=3).for_each(|byte| group.push(&[byte; 700]).unwrap());
        log.append(&mut group, 1).unwrap().last_lsn
    }

    #[test]
    fn what_is_left_behind_the_end_is_cut_off_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!leave_half_a_group(folder.path(), Tear::End).unwrap(), "there is no log yet");
        for number in 0..60 {
            let last_lsn = append(&mut open(folder.path()).0);
            let tear = if number % 2 == 0 { Tear::End } else { Tear::Blocks };
            assert!(leave_half_a_group(folder.path(), tear).unwrap(), "{number}");
            let recovered = open(folder.path()).1;
            assert_eq!(recovered.last_lsn, last_lsn, "{tear:?}");
            assert!(recovered.torn.is_some(), "{tear:?}");
        }
    }

    #[test]
    fn a_group_is_torn_only_if_it_comes_right_after_what_was_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..60 {
            let acknowledged = append(&mut open(folder.path()).0);
            let failed = append(&mut open(folder.path()).0);
            assert!(!tear_group_after(folder.path(), failed).unwrap());
            assert!(!tear_group_after(folder.path(), acknowledged - 1).unwrap(), "its group is half acknowledged");
            assert!(tear_group_after(folder.path(), acknowledged).unwrap());
            let recovered = open(folder.path()).1;
            assert_eq!(recovered.last_lsn, acknowledged);
            assert!(recovered.torn.is_some());
        }
    }
}
