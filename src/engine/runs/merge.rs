//! Tiered merging: when eight or more runs of a similar size have gathered,
//! they become one. A row is thus rewritten once for each eightfold growth or
//! less, and the number of runs grows with the logarithm of the rows.

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tracing::warn;

use super::file::RunWriter;
use super::layout::{BLOCK_BYTES, BLOCK_ROWS};
use super::row::Row;
use super::run::{Index, Run};
use super::{Result, Runs};

/// How many runs of one tier become one at least.
const FAN_IN: usize = 8;

/// So many are overdue: a busy hour cannot put them off any longer. The more
/// go at once, the fewer times each row is rewritten.
const FAN_IN_BUSY: usize = 32;

/// Smaller runs, as a quiet hour or a shutdown leaves them, lie between larger
/// ones and go with them. This bounds the memory of one merge.
const SOURCES_MAX: usize = 64;
const _: () = assert!(FAN_IN_BUSY <= SOURCES_MAX);

/// What is read at once of each source, and what is written at once.
const PART_BLOCKS: usize = 64;

impl Runs {
    /// Does one merge if there is one to do, and tells whether it did: call it
    /// until it says no. Reads and `add` go on meanwhile.
    pub fn merge_if_due(&self) -> Result<bool> {
        self.merge_from(FAN_IN, &|_| {})
    }

    /// The same beside others' work: `rest` is called after each part, with
    /// what it took.
    pub fn merge_gently(&self, rest: &dyn Fn(Duration)) -> Result<bool> {
        self.merge_from(FAN_IN, rest)
    }

    /// The same for busy hours: leaves what can wait for a quieter one.
    pub fn merge_if_overdue(&self) -> Result<bool> {
        self.merge_from(FAN_IN_BUSY, &|_| {})
    }

    fn merge_from(&self, least: usize, rest: &dyn Fn(Duration)) -> Result<bool> {
        assert!(!self.is_read_only, "runs opened to read only stay as they are");
        let _one_at_a_time = self.merging.lock().unwrap_or_else(PoisonError::into_inner);
        let list = self.snapshot();
        let Some(due) = due(&list, least) else {
            return Ok(false);
        };
        let sources = &list[due];
        let Some(merged) = self.checked(self.merge(sources, rest))? else {
            return Ok(false);
        };
        let merged = Arc::new(merged);
        self.swap(|list| {
            let is_source = |run: &Arc<Run>| sources.iter().any(|old| Arc::ptr_eq(old, run));
            let start = list.iter().position(is_source);
            let start = start.expect("only a merge takes runs on disk out of the list");
            let end = start + sources.len();
            let before = list[..start].iter().cloned();
            before.chain([merged]).chain(list[end..].iter().cloned()).collect()
        });
        // Readers may still hold the old runs: an open file outlives its name.
        // What is not removed here is removed by the next `open`.
        for run in sources {
            if let Err(error) = self.disk.remove(run.path()) {
                warn!(path = %run.path().display(), %error, "merged run not removed");
            }
        }
        if let Err(error) = self.disk.sync_dir(&self.dir) {
            warn!(path = %self.dir.display(), %error, "folder not synced after a merge");
        }
        Ok(true)
    }

    /// Hands over every row that is on disk, all runs together, in the order of
    /// keys and then of LSNs, and checks the sums of every block on the way.
    pub fn for_each_by_key(&self, mut each: impl FnMut(Row)) -> Result<()> {
        let list: Vec<Arc<Run>> = self.snapshot().iter().filter(|run| run.is_on_disk()).cloned().collect();
        if list.is_empty() {
            return Ok(());
        }
        let mut merge = Merge::new(&list);
        let mut rows = Vec::with_capacity(PART_BLOCKS * BLOCK_ROWS);
        loop {
            rows.clear();
            self.checked(merge.fill(&mut rows))?;
            if rows.is_empty() {
                return Ok(());
            }
            rows.drain(..).for_each(&mut each);
        }
    }

    /// Nothing if it was given up.
    fn merge(&self, sources: &[Arc<Run>], rest: &dyn Fn(Duration)) -> Result<Option<Run>> {
        let (from, to) = (sources[0].from(), sources[sources.len() - 1].to());
        let key_count_max = sources.iter().map(|run| run.index.key_count).sum();
        let mut index = Index::for_at_most(from, to, key_count_max);
        let mut writer = RunWriter::create(&*self.disk, &self.dir, from, to)?;
        let mut merge = Merge::new(sources);
        let mut rows = Vec::with_capacity(PART_BLOCKS * BLOCK_ROWS);
        loop {
            if self.merging_stopped.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let began = Instant::now();
            rows.clear();
            merge.fill(&mut rows)?;
            if rows.is_empty() {
                break;
            }
            index.extend(&rows);
            writer.push(&rows)?;
            rest(began.elapsed());
        }
        let row_count: usize = sources.iter().map(|run| run.row_count()).sum();
        assert_eq!(index.row_count, row_count, "a merge neither makes nor loses rows");
        index.filter.fold(index.key_count);
        writer.finish(Arc::new(index)).map(Some)
    }
}

/// Below a million rows all are of tier 0; each tier above holds eight times
/// as many.
fn tier(run: &Run) -> u32 {
    match run.row_count() >> 20 {
        0 => 0,
        millions => millions.ilog2() / FAN_IN.ilog2() + 1,
    }
}

fn due(list: &[Arc<Run>], least: usize) -> Option<Range<usize>> {
    let tier_of = |run: &Arc<Run>| {
        let mergeable = run.is_on_disk() && !run.is_damaged();
        mergeable.then(|| tier(run))
    };
    due_of_tiers(&list.iter().map(tier_of).collect::<Vec<_>>(), least)
}

/// The oldest runs of the lowest tier that has at least so many in a row,
/// together with what lies between them. Runs in between may be of lower
/// tiers, which are few, but not of higher ones: these would be rewritten too
/// early. What cannot be merged has no tier.
pub(super) fn due_of_tiers(tiers: &[Option<u32>], least: usize) -> Option<Range<usize>> {
    let top = tiers.iter().flatten().max().copied()?;
    (0..=top).find_map(|tier| {
        let mut members: Vec<usize> = Vec::new();
        // One more that ends the last row.
        for (at, found) in tiers.iter().copied().chain([None]).enumerate() {
            match found {
                Some(found) if found < tier => {}
                Some(found) if found == tier => {
                    while members.first().is_some_and(|first| at - first >= SOURCES_MAX) {
                        if members.len() >= least {
                            return Some(range_of(&members));
                        }
                        members.remove(0);
                    }
                    members.push(at);
                }
                _ if members.len() >= least => return Some(range_of(&members)),
                _ => members.clear(),
            }
        }
        None
    })
}

fn range_of(members: &[usize]) -> Range<usize> {
    members[0]..members[members.len() - 1] + 1
}

/// The place of no row: it is above all that there can be.
const END: (u128, u64) = (u128::MAX, u64::MAX);

/// Merges sorted runs by a tournament of losers: after each row, only the
/// matches on its source's way to the top are played again.
struct Merge<'a> {
    sources: Vec<Source<'a>>,
    /// The next place of each source, kept together for the matches.
    heads: Vec<(u128, u64)>,
    /// The loser of each match; the winner of all at 0.
    tree: Vec<usize>,
}

impl<'a> Merge<'a> {
    fn new(runs: &'a [Arc<Run>]) -> Merge<'a> {
        Merge { sources: runs.iter().map(|run| Source::new(run)).collect(), heads: Vec::new(), tree: Vec::new() }
    }

    /// Appends the next rows, up to the capacity of `out`; none at the end.
    fn fill(&mut self, out: &mut Vec<Row>) -> Result<()> {
        if self.heads.is_empty() {
            self.begin()?;
        }
        let mut last_winner = usize::MAX;
        while out.len() < out.capacity() {
            let winner = self.tree[0];
            if self.heads[winner] == END {
                break;
            }
            if winner == last_winner {
                // Twice in a row: where the runs hardly overlap, as those of
                // ids made in order of time, all that is below the others'
                // next rows goes at once.
                let room = out.capacity() - out.len();
                let source = &self.sources[winner];
                let rows = &source.rows[source.at..];
                let rows = &rows[..rows.len().min(room)];
                let others = self.runner_up(winner);
                let count = match rows.last() {
                    Some(last) if last.place() <= others => rows.len(),
                    _ => rows.partition_point(|row| row.place() <= others),
                };
                out.extend_from_slice(&rows[..count]);
                self.sources[winner].at += count;
            } else {
                let source = &mut self.sources[winner];
                out.push(source.rows[source.at]);
                source.at += 1;
            }
            self.refill(winner)?;
            self.replay(winner);
            last_winner = winner;
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<()> {
        self.heads = vec![END; self.sources.len()];
        for source_index in 0..self.sources.len() {
            self.refill(source_index)?;
        }
        let source_count = self.sources.len();
        let mut winners = vec![0; source_count];
        winners.extend(0..source_count);
        self.tree = vec![0; source_count];
        for at in (1..source_count).rev() {
            let (left, right) = (winners[2 * at], winners[2 * at + 1]);
            let left_wins = self.heads[left] < self.heads[right];
            winners[at] = if left_wins { left } else { right };
            self.tree[at] = if left_wins { right } else { left };
        }
        self.tree[0] = winners[1];
        Ok(())
    }

    /// Plays again the matches of a source whose head has changed.
    fn replay(&mut self, source_index: usize) {
        let mut winner = source_index;
        let mut at = (source_index + self.tree.len()) / 2;
        while at > 0 {
            let loser = self.tree[at];
            if self.heads[loser] < self.heads[winner] {
                self.tree[at] = winner;
                winner = loser;
            }
            at /= 2;
        }
        self.tree[0] = winner;
    }

    /// The least place among the others: it lost to the winner directly.
    fn runner_up(&self, winner: usize) -> (u128, u64) {
        let mut least = END;
        let mut at = (winner + self.tree.len()) / 2;
        while at > 0 {
            least = least.min(self.heads[self.tree[at]]);
            at /= 2;
        }
        least
    }

    fn refill(&mut self, source_index: usize) -> Result<()> {
        let source = &mut self.sources[source_index];
        if source.at == source.rows.len() {
            source.read_on()?;
        }
        let head = source.rows.get(source.at);
        self.heads[source_index] = head.map_or(END, Row::place);
        Ok(())
    }
}

struct Source<'a> {
    run: &'a Run,
    next_block: usize,
    rows: Vec<Row>,
    at: usize,
    bytes: Vec<u8>,
}

impl<'a> Source<'a> {
    fn new(run: &'a Run) -> Source<'a> {
        Source { run, next_block: 0, rows: Vec::new(), at: 0, bytes: vec![0; PART_BLOCKS * BLOCK_BYTES] }
    }

    /// Reads the next part; no rows at the end.
    fn read_on(&mut self) -> Result<()> {
        self.rows.clear();
        self.at = 0;
        if self.next_block * BLOCK_ROWS >= self.run.row_count() {
            return Ok(());
        }
        let length = self.run.blocks_bytes(self.next_block, PART_BLOCKS);
        let bytes = &mut self.bytes[..length];
        self.run.read_blocks(self.next_block, bytes)?;
        self.next_block += length.div_ceil(BLOCK_BYTES);
        self.rows.extend(Row::decode_all(bytes));
        Ok(())
    }
}
