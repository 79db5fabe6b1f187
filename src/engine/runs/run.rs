//! One immutable sorted run, in memory or in a file, and the cursor that reads
//! it. Writing and opening files is in `file`.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wal::disk::DiskFile;

use super::filter::Filter;
use super::layout::{BLOCK_BYTES, BLOCK_ROWS, HEADER_BYTES, file_name};
use super::row::{ROW_BYTES, Row};
use super::{Error, Result};

/// What is kept in memory of every run: about 1.5 bytes a row.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) row_count: usize,
    pub(super) key_count: u64,
    pub(super) min_key: u128,
    pub(super) max_key: u128,
    /// The place of the first row of each block.
    pub(super) fences: Vec<(u128, u64)>,
    pub(super) filter: Filter,
}

impl Index {
    /// An index to be filled by `extend`, for rows of so many keys.
    pub(super) fn new(from: u64, to: u64, key_count: u64) -> Index {
        Index::with_filter(from, to, Filter::new(key_count))
    }

    /// The same where only a bound is known: runs that are merged may have
    /// their keys in common. The filter wants folding in the end.
    pub(super) fn for_at_most(from: u64, to: u64, key_count_max: u64) -> Index {
        Index::with_filter(from, to, Filter::foldable(key_count_max))
    }

    fn with_filter(from: u64, to: u64, filter: Filter) -> Index {
        Index { from, to, row_count: 0, key_count: 0, min_key: 0, max_key: 0, fences: Vec::new(), filter }
    }

    /// Takes in the next rows in ascending order.
    pub(super) fn extend(&mut self, rows: &[Row]) {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return;
        };
        let in_block = self.row_count % BLOCK_ROWS;
        let to_next_block = (BLOCK_ROWS - in_block) % BLOCK_ROWS;
        self.fences.extend(rows.iter().skip(to_next_block).step_by(BLOCK_ROWS).map(Row::place));

        let mut new_keys = Vec::with_capacity(NEW_KEYS_MAX);
        if self.row_count == 0 {
            self.min_key = first.key;
        }
        let mut last_key = (self.row_count > 0).then_some(self.max_key);
        for row in rows {
            if last_key == Some(row.key) {
                continue;
            }
            debug_assert!(last_key < Some(row.key), "rows ascend");
            last_key = Some(row.key);
            new_keys.push(row.key);
            if new_keys.len() == NEW_KEYS_MAX {
                self.insert_keys(&mut new_keys);
            }
        }
        self.insert_keys(&mut new_keys);
        self.max_key = last.key;
        self.row_count += rows.len();
    }

    fn insert_keys(&mut self, keys: &mut Vec<u128>) {
        self.filter.insert_all(keys);
        self.key_count += keys.len() as u64;
        keys.clear();
    }
}

/// How many keys are gathered before they go into the filter together.
const NEW_KEYS_MAX: usize = 1024;

#[derive(Debug)]
pub(super) enum Body {
    Memory(Vec<Row>),
    /// An open file and the checksum of each of its blocks.
    File(Box<dyn DiskFile>, Vec<u32>),
}

#[derive(Debug)]
pub(super) struct Run {
    pub(super) index: Arc<Index>,
    body: Body,
    path: PathBuf,
    damaged: AtomicBool,
}

impl Run {
    pub(super) fn new(dir: &Path, index: Arc<Index>, body: Body) -> Run {
        let path = dir.join(file_name(index.from, index.to));
        Run { index, body, path, damaged: AtomicBool::new(false) }
    }

    /// The run of a batch whose rows are sorted and unique.
    pub(super) fn in_memory(dir: &Path, from: u64, to: u64, rows: Vec<Row>) -> Run {
        let changes = rows.windows(2).filter(|pair| pair[0].key != pair[1].key);
        let key_count = changes.count() + usize::from(!rows.is_empty());
        let mut index = Index::new(from, to, key_count as u64);
        index.extend(&rows);
        Run::new(dir, Arc::new(index), Body::Memory(rows))
    }

    pub(super) fn from(&self) -> u64 {
        self.index.from
    }

    pub(super) fn to(&self) -> u64 {
        self.index.to
    }

    pub(super) fn row_count(&self) -> usize {
        self.index.row_count
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn is_on_disk(&self) -> bool {
        matches!(self.body, Body::File(..))
    }

    /// The rows, while they are not yet in a file.
    pub(super) fn memory_rows(&self) -> Option<&[Row]> {
        match &self.body {
            Body::Memory(rows) => Some(rows),
            Body::File(..) => None,
        }
    }

    pub(super) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Answers true to the first who finds the damage.
    pub(super) fn mark_damaged(&self) -> bool {
        !self.damaged.swap(true, Ordering::Relaxed)
    }

    /// The keys of fresh transfers are above all older ones, so most looks end
    /// at the two bounds and never reach the filter's memory.
    pub(super) fn may_contain(&self, key: u128) -> bool {
        let index = &*self.index;
        index.row_count > 0 && (index.min_key..=index.max_key).contains(&key) && index.filter.may_contain(key)
    }

    /// Whether a key of this range may be here, by the bounds alone.
    pub(super) fn overlaps(&self, keys: &RangeInclusive<u128>) -> bool {
        self.index.row_count > 0 && self.index.min_key <= *keys.end() && *keys.start() <= self.index.max_key
    }

    /// How many bytes the blocks from `first` on have, `count` of them or as
    /// many as there are.
    pub(super) fn blocks_bytes(&self, first: usize, count: usize) -> usize {
        let rows_left = self.row_count() - first * BLOCK_ROWS;
        rows_left.min(count * BLOCK_ROWS) * ROW_BYTES
    }

    pub(super) fn block_offset(&self, block_index: usize) -> u64 {
        (HEADER_BYTES + block_index * BLOCK_BYTES) as u64
    }

    /// Reads whole blocks of a run on disk, as many as `bytes` holds, and
    /// checks each.
    pub(super) fn read_blocks(&self, first: usize, bytes: &mut [u8]) -> Result<()> {
        let Body::File(file, crcs) = &self.body else {
            unreachable!("rows in memory are read in place");
        };
        let offset = self.block_offset(first);
        file.read_exact_at(bytes, offset).map_err(|source| Error::Io {
            doing: "read",
            path: self.path.clone(),
            source,
        })?;
        for (at, block) in bytes.chunks(BLOCK_BYTES).enumerate() {
            if crc32c::crc32c(block) != crcs[first + at] {
                return Err(Error::Damaged {
                    path: self.path.clone(),
                    offset: self.block_offset(first + at),
                    what: "checksum of a block",
                });
            }
        }
        Ok(())
    }
}

/// Reads rows of one run by their number, holding the block last read.
pub(super) struct Cursor<'a> {
    run: &'a Run,
    block_index: Option<usize>,
    block: [u8; BLOCK_BYTES],
}

impl Cursor<'_> {
    pub(super) fn new(run: &Run) -> Cursor<'_> {
        Cursor { run, block_index: None, block: [0; BLOCK_BYTES] }
    }

    /// The number of the first row that is not below (key, lsn); the number of
    /// rows if there is none.
    pub(super) fn lower_bound(&mut self, key: u128, lsn: u64) -> Result<usize> {
        let fences = &self.run.index.fences;
        let blocks_below = fences.partition_point(|&fence| fence < (key, lsn));
        let Some(block_index) = blocks_below.checked_sub(1) else {
            return Ok(0);
        };
        // The row is in the last block that begins below, or is the first row
        // of the next.
        let mut low = block_index * BLOCK_ROWS + 1;
        let mut high = (blocks_below * BLOCK_ROWS).min(self.run.row_count());
        while low < high {
            let middle = low.midpoint(high);
            if self.row(middle)?.place() < (key, lsn) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    pub(super) fn row(&mut self, row_index: usize) -> Result<Row> {
        if let Some(rows) = self.run.memory_rows() {
            return Ok(rows[row_index]);
        }
        let block_index = row_index / BLOCK_ROWS;
        if self.block_index != Some(block_index) {
            self.block_index = None;
            let length = self.run.blocks_bytes(block_index, 1);
            self.run.read_blocks(block_index, &mut self.block[..length])?;
            self.block_index = Some(block_index);
        }
        let at = row_index % BLOCK_ROWS * ROW_BYTES;
        Ok(Row::decode(&self.block[at..at + ROW_BYTES]))
    }
}
