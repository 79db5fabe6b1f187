//! The ids that are not in the index yet: those under way, and those of durable records since the last marks. Every
//! transfer passes here twice, so it is laid out for the cache: an id that is nowhere touches two bytes of tags, and
//! forgetting a mark's ids is forgetting a table, not each of them.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam::utils::CachePadded;
use hashbrown::{DefaultHashBuilder, HashTable};

use super::runs::Row;

/// Parts with a lock each: enough for the threads of a large machine to meet seldom.
const PARTS: usize = 64;

/// Stripes of a part's tables, by the upper bits of a place in tables as large as they usually are.
const STRIPES: usize = 64;
const STRIPE_SHIFT: u32 = 8;

/// Who has an id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    UnderWay,
    /// The record at this position.
    By(u64),
}

/// Where a row stands.
#[derive(Clone, Copy, Debug)]
struct Place {
    row: u32,
    /// A part of the id's hash: nearly every other id is told apart without a look at its row.
    check: u32,
}

/// Ids by part, a part by the upper bits of their hash.
#[derive(Debug)]
pub struct Recent {
    parts: Vec<CachePadded<Mutex<Part>>>,
    /// Keyed by chance, so that nobody can choose ids that all meet in one place.
    hasher: DefaultHashBuilder,
    unmarked: AtomicUsize,
}

#[derive(Debug, Default)]
struct Part {
    under_way: HashTable<u128>,
    /// Since the last mark.
    unmarked: Generation,
    /// Before it, oldest first, with the positions of their marks.
    marked: VecDeque<(u64, Marked)>,
    /// Forgotten, and used again: its memory has been touched before.
    spare: Option<Generation>,
}

/// The rows between two marks, and where each stands.
#[derive(Debug, Default)]
struct Generation {
    rows: Vec<Row>,
    places: HashTable<Place>,
}

/// A generation to which nothing is added any more; its rows are on their way to the index, which only reads them.
#[derive(Debug)]
struct Marked {
    rows: Arc<Vec<Row>>,
    places: HashTable<Place>,
}

impl Recent {
    pub fn new() -> Recent {
        let parts = (0..PARTS).map(|_| CachePadded::default()).collect();
        Recent { parts, hasher: DefaultHashBuilder::default(), unmarked: AtomicUsize::new(0) }
    }

    /// Takes an id that nobody has here, if `is_free` says that it is free elsewhere too; otherwise tells who has it.
    /// The id's part stays locked while `is_free` asks, so two requests cannot both find the id free.
    pub fn take<E>(&self, id: u128, is_free: impl FnOnce() -> Result<bool, E>) -> Result<Option<Taken>, E> {
        let (hash, mut part) = self.part(id);
        part.take(hash, id, &self.hasher, is_free)
    }

    /// The same for many; `told` hears of each, part by part. Of two that are the same, the first in order is first.
    /// `look` is called once a part with those that are in it, when it is locked: what has been forgotten here by then is
    /// to be found there.
    pub fn take_all<V, E>(
        &self,
        count: usize,
        id: impl Fn(usize) -> u128,
        look: impl Fn(&[u32]) -> V,
        mut is_free: impl FnMut(&V, usize) -> Result<bool, E>,
        mut told: impl FnMut(usize, Result<Option<Taken>, E>),
    ) {
        self.for_each_part(count, &id, |part, these, hashes| {
            let view = look(these);
            for index in these.iter().map(|index| *index as usize) {
                let hash = hashes[index];
                told(index, part.take(hash, id(index), &self.hasher, || is_free(&view, index)));
            }
        });
    }

    pub fn find(&self, id: u128) -> Option<Taken> {
        let (hash, part) = self.part(id);
        part.find(hash, id)
    }

    pub fn abandon(&self, id: u128) {
        let (hash, mut part) = self.part(id);
        let was_under_way = part.end(hash, id);
        debug_assert!(was_under_way, "only a claim that is under way is abandoned");
    }

    /// The id belongs to a durable record from now on.
    pub fn settle(&self, row: Row) {
        let (hash, mut part) = self.part(row.key);
        part.settle(hash, row, &self.hasher);
        drop(part);
        self.unmarked.fetch_add(1, Ordering::Relaxed);
    }

    /// The same for many, part by part: each part is locked once, and its tables stay in the cache meanwhile.
    pub fn settle_all(&self, rows: &[Row]) {
        self.for_each_part(
            rows.len(),
            |index| rows[index].key,
            |part, these, hashes| {
                for index in these.iter().map(|index| *index as usize) {
                    part.settle(hashes[index], rows[index], &self.hasher);
                }
            },
        );
        self.unmarked.fetch_add(rows.len(), Ordering::Relaxed);
    }

    /// A row that goes to the index with the others and is not looked for here.
    pub fn add(&self, row: Row) {
        self.part(row.key).1.unmarked.rows.push(row);
        self.unmarked.fetch_add(1, Ordering::Relaxed);
    }

    /// Hands over all rows since the last mark, in pieces; they can be found until they are forgotten. Nothing is copied:
    /// the journal waits for this, and everybody for the journal.
    pub fn mark(&self, lsn: u64) -> Vec<Arc<Vec<Row>>> {
        self.unmarked.store(0, Ordering::Relaxed);
        let mark = |part: &CachePadded<Mutex<Part>>| {
            let mut part = lock(part);
            let next = part.spare.take().unwrap_or_default();
            let Generation { rows, places } = std::mem::replace(&mut part.unmarked, next);
            let rows = Arc::new(rows);
            part.marked.push_back((lsn, Marked { rows: Arc::clone(&rows), places }));
            rows
        };
        self.parts.iter().map(mark).collect()
    }

    /// Forgets the rows of all marks up to this position.
    pub fn forget(&self, lsn: u64) {
        for part in &self.parts {
            let mut part = lock(part);
            while part.marked.front().is_some_and(|(of, _)| *of <= lsn) {
                let (_, Marked { rows, mut places }) = part.marked.pop_front().expect("looked at a moment ago");
                places.clear();
                // Whoever still reads the rows keeps them.
                let mut rows = Arc::into_inner(rows).unwrap_or_default();
                rows.clear();
                part.spare = Some(Generation { rows, places });
            }
        }
    }

    pub fn unmarked_count(&self) -> usize {
        self.unmarked.load(Ordering::Relaxed)
    }

    /// All ids that are here.
    pub fn count(&self) -> usize {
        let count = |part: &Mutex<Part>| {
            let part = lock(part);
            let marked: usize = part.marked.iter().map(|(_, generation)| generation.rows.len()).sum();
            part.under_way.len() + part.unmarked.rows.len() + marked
        };
        self.parts.iter().map(|part| count(part)).sum()
    }

    /// Runs through `count` ids, part by part: which of them are in the part, the same id in their order, and the hashes of all.
    fn for_each_part(&self, count: usize, id: impl Fn(usize) -> u128, mut f: impl FnMut(&mut Part, &[u32], &[u64])) {
        let hashes: Vec<u64> = (0..count).map(|index| self.hasher.hash_one(id(index))).collect();
        // Few ids are told apart by part only: more would not meet in one line of the cache anyway.
        let shift = if count < PARTS * STRIPES / 4 { STRIPES.ilog2() } else { 0 };
        let stripe = |hash: &u64| stripe_of(*hash) >> shift;
        let mut ends = vec![0u32; ((PARTS * STRIPES) >> shift) + 1];
        hashes.iter().for_each(|hash| ends[stripe(hash) + 1] += 1);
        (1..ends.len()).for_each(|at| ends[at] += ends[at - 1]);
        let mut order = vec![0u32; count];
        for (index, hash) in (0u32..).zip(&hashes) {
            let end = &mut ends[stripe(hash)];
            order[*end as usize] = index;
            *end += 1;
        }
        let mut rest = &order[..];
        while let Some(&first) = rest.first() {
            let number = part_of(hashes[first as usize]);
            let end = ends[(((number + 1) * STRIPES) >> shift) - 1] as usize;
            let (these, others) = rest.split_at(rest.len() + end - count);
            let mut part = lock(&self.parts[number]);
            f(&mut part, these, &hashes);
            rest = others;
        }
    }

    fn part(&self, id: u128) -> (u64, MutexGuard<'_, Part>) {
        let hash = self.hasher.hash_one(id);
        (hash, lock(&self.parts[part_of(hash)]))
    }
}

impl Part {
    fn find(&self, hash: u64, id: u128) -> Option<Taken> {
        if self.under_way.find(hash, |other| *other == id).is_some() {
            return Some(Taken::UnderWay);
        }
        let unmarked = (&self.unmarked.rows, &self.unmarked.places);
        let marked = self.marked.iter().map(|(_, Marked { rows, places })| (&**rows, places));
        let lsn = |(rows, places): (&Vec<Row>, &HashTable<Place>)| {
            let is_it = |place: &Place| place.check == check_of(hash) && rows[place.row as usize].key == id;
            places.find(hash, is_it).map(|place| rows[place.row as usize].lsn)
        };
        std::iter::once(unmarked).chain(marked).filter_map(lsn).next().map(Taken::By)
    }

    fn take<E>(
        &mut self,
        hash: u64,
        id: u128,
        hasher: &DefaultHashBuilder,
        is_free: impl FnOnce() -> Result<bool, E>,
    ) -> Result<Option<Taken>, E> {
        let taken = self.find(hash, id);
        if taken.is_none() && is_free()? {
            self.under_way.insert_unique(hash, id, |id| hasher.hash_one(id));
        }
        Ok(taken)
    }

    fn settle(&mut self, hash: u64, row: Row, hasher: &DefaultHashBuilder) {
        self.end(hash, row.key);
        let Generation { rows, places } = &mut self.unmarked;
        let number = u32::try_from(rows.len()).expect("a mark is set before there are so many");
        rows.push(row);
        let place = Place { row: number, check: check_of(hash) };
        places.insert_unique(hash, place, |place| hasher.hash_one(rows[place.row as usize].key));
    }

    fn end(&mut self, hash: u64, id: u128) -> bool {
        self.under_way.find_entry(hash, |other| *other == id).map(|entry| entry.remove()).is_ok()
    }
}

/// A table takes its tags from the uppermost bits of a hash and its buckets from the lowest, so the part takes others.
fn part_of(hash: u64) -> usize {
    (hash >> 48) as usize % PARTS
}

/// More of the hash than a table looks at.
fn check_of(hash: u64) -> u32 {
    (hash >> 24) as u32
}

/// Which stripe of which part: through many ids a part's tables are walked from one end to the other, which the processor
/// sees and reads ahead.
fn stripe_of(hash: u64) -> usize {
    part_of(hash) * STRIPES + (hash >> STRIPE_SHIFT) as usize % STRIPES
}

fn lock(part: &Mutex<Part>) -> MutexGuard<'_, Part> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(recent: &Recent, id: u128) -> Option<Taken> {
        recent.take(id, || Ok::<bool, ()>(true)).expect("nothing fails here")
    }

    #[test]
    fn an_id_is_found_from_its_claim_until_it_is_forgotten() {
        let recent = Recent::new();
        for id in 0..10_000 {
            assert_eq!(take(&recent, id), None);
            assert_eq!(take(&recent, id), Some(Taken::UnderWay));
        }
        recent.abandon(0);
        assert_eq!(recent.find(0), None);
        for round in 0..5u64 {
            for id in 1 + round * 1_000..=(round + 1) * 1_000 {
                recent.settle(Row { key: id.into(), lsn: id, value: 0 });
            }
            assert_eq!(recent.unmarked_count(), 1_000);
            let marked = recent.mark((round + 1) * 1_000);
            let mut rows: Vec<u64> = marked.iter().flat_map(|rows| rows.iter().map(|row| row.lsn)).collect();
            rows.sort_unstable();
            assert_eq!(rows, (1 + round * 1_000..=(round + 1) * 1_000).collect::<Vec<_>>());
            // One mark is on its way to the index while the next one is collected.
            recent.forget(round * 1_000);
            for id in 1..=(round + 1) * 1_000 {
                let expected = (id > round * 1_000).then_some(Taken::By(id));
                assert_eq!(recent.find(id.into()), expected, "{id} in round {round}");
            }
            assert_eq!(recent.find(9_000), Some(Taken::UnderWay));
        }
        assert_eq!(recent.count(), 1_000 + 10_000 - 5_000 - 1);
    }

    #[test]
    fn an_id_that_is_taken_elsewhere_is_not_taken_here() {
        let recent = Recent::new();
        assert_eq!(recent.take(7, || Ok::<bool, ()>(false)), Ok(None));
        assert_eq!(recent.take(7, || Err("the disk cannot be read")), Err("the disk cannot be read"));
        assert_eq!(recent.count(), 0);
    }
}
