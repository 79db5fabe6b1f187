//! Looking into a list of runs. LSNs of different runs do not overlap, so the
//! list is walked in their order and left as soon as the answer is there.

use std::sync::Arc;

use super::layout::{BLOCK_BYTES, BLOCK_ROWS};
use super::row::Row;
use super::run::{Cursor, Run};
use super::{Error, Result};

type List = [Arc<Run>];

pub(super) fn newest(list: &List, key: u128, not_after_lsn: u64) -> Result<Option<Row>> {
    // No row has the greatest LSN that there is, so nothing is missed there.
    let before_lsn = not_after_lsn.saturating_add(1);
    for run in list.iter().rev() {
        if run.from() >= before_lsn || !run.may_contain(key) {
            continue;
        }
        let mut cursor = Cursor::new(run);
        let end = cursor.lower_bound(key, before_lsn)?;
        if end > 0 {
            let row = cursor.row(end - 1)?;
            if row.key == key {
                return Ok(Some(row));
            }
        }
    }
    Ok(None)
}

pub(super) fn rows_before(list: &List, key: u128, before_lsn: u64, limit: usize, out: &mut Vec<Row>) -> Result<()> {
    let mut left = limit;
    for run in list.iter().rev() {
        if left == 0 {
            break;
        }
        if run.from() >= before_lsn || !run.may_contain(key) {
            continue;
        }
        let mut cursor = Cursor::new(run);
        let mut at = cursor.lower_bound(key, before_lsn)?;
        while left > 0 && at > 0 {
            at -= 1;
            let row = cursor.row(at)?;
            if row.key != key {
                break;
            }
            out.push(row);
            left -= 1;
        }
    }
    Ok(())
}

pub(super) fn rows_after(list: &List, key: u128, after_lsn: u64, limit: usize, out: &mut Vec<Row>) -> Result<()> {
    let Some(from_lsn) = after_lsn.checked_add(1) else {
        return Ok(());
    };
    let mut left = limit;
    for run in list {
        if left == 0 {
            break;
        }
        if run.to() < from_lsn || !run.may_contain(key) {
            continue;
        }
        let mut cursor = Cursor::new(run);
        let mut at = cursor.lower_bound(key, from_lsn)?;
        while left > 0 && at < run.row_count() {
            let row = cursor.row(at)?;
            if row.key != key {
                break;
            }
            out.push(row);
            left -= 1;
            at += 1;
        }
    }
    Ok(())
}

/// Reads every block of every file: the checksums, and the order of the rows.
pub(super) fn verify(list: &List) -> Result<()> {
    for_each(list, 0, u64::MAX, |_| {})
}

/// The same for the runs that have rows of these LSNs, handing those over.
pub(super) fn for_each(list: &List, from_lsn: u64, to_lsn: u64, mut each: impl FnMut(Row)) -> Result<()> {
    let mut bytes = vec![0; BLOCK_BYTES];
    let concerned = |run: &&Arc<Run>| run.is_on_disk() && run.from() <= to_lsn && from_lsn <= run.to();
    for run in list.iter().filter(concerned) {
        let mut last = None;
        for (block_index, fence) in run.index.fences.iter().enumerate() {
            let length = run.blocks_bytes(block_index, 1);
            run.read_blocks(block_index, &mut bytes[..length])?;
            let rows: Vec<Row> = Row::decode_all(&bytes[..length]).collect();
            let first_is_fence = rows[0].place() == *fence;
            let follows = last < Some(rows[0].place());
            let ascending = rows.is_sorted_by(|a, b| a.place() < b.place());
            let in_range = rows.iter().all(|row| (run.from()..=run.to()).contains(&row.lsn));
            if !(first_is_fence && follows && ascending && in_range) {
                return Err(Error::Damaged {
                    path: run.path().to_owned(),
                    offset: run.block_offset(block_index),
                    what: "rows that are not where they belong",
                });
            }
            last = rows.last().map(Row::place);
            rows.into_iter().filter(|row| (from_lsn..=to_lsn).contains(&row.lsn)).for_each(&mut each);
        }
        debug_assert!(run.index.fences.len() == run.row_count().div_ceil(BLOCK_ROWS));
    }
    Ok(())
}
