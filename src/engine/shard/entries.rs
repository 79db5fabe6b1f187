//! The entries of the shard's wallets since the last mark: appended while settling (one push), found
//! again by following each wallet's chain backwards. At a mark they leave for the index.

use std::ops::Index;

use crate::ledger::Wallet;

use super::super::runs::Row;

/// Entries in the order of their LSNs.
#[derive(Debug, Default)]
pub struct Entries {
    rows: Pieces<Row>,
    links: Pieces<Link>,
    /// The number of the first row; numbers go on over marks and wrap around.
    first_number: u32,
    marked_lsn: u64,
}

/// The entries of a shard between two marks, in pieces, all but the last one full.
#[derive(Debug, Default)]
pub struct EntriesPart {
    rows: Vec<Vec<Row>>,
    links: Vec<Vec<Link>>,
}

impl EntriesPart {
    pub fn count(&self) -> usize {
        self.rows.iter().map(Vec::len).sum()
    }

    /// Each entry, and the slot of its wallet.
    pub fn iter(&self) -> impl Iterator<Item = (&Row, u32)> {
        let pieces = self.rows.iter().zip(&self.links);
        pieces.flat_map(|(rows, links)| rows.iter().zip(links.iter().map(|link| link.slot)))
    }
}

/// Which wallet an entry is of.
#[derive(Clone, Copy, Debug)]
struct Link {
    slot: u32,
    /// The number that the wallet's mark had before: its entry before this one, if that is still here.
    previous: u32,
}

/// A list that grows without moving what is in it: a busy shard has millions of rows between two marks, and to copy them
/// to a place twice as large would hold up all of its wallets.
#[derive(Debug)]
struct Pieces<T> {
    /// All but the last one are full.
    pieces: Vec<Vec<T>>,
    len: usize,
}

const PIECE: usize = 4096;

/// Steps along a chain before a search by position is cheaper.
const CHAIN_STEPS_MAX: usize = 64;

impl Entries {
    /// Entries up to `marked_lsn` are in the index already.
    pub fn after(marked_lsn: u64) -> Entries {
        Entries { marked_lsn, ..Entries::default() }
    }

    pub fn marked_lsn(&self) -> u64 {
        self.marked_lsn
    }

    #[inline]
    pub fn push(&mut self, slot: u32, wallet: &mut Wallet, lsn: u64, balance_after: i64) {
        if lsn <= self.marked_lsn {
            return; // Replay of what the index has.
        }
        let number = self.first_number.wrapping_add(self.rows.len() as u32);
        self.links.push(Link { slot, previous: wallet.host_mark });
        self.rows.push(Row { key: wallet.id().0, lsn, value: balance_after });
        wallet.host_mark = number;
    }

    /// Hands over all entries, in pieces; from now on they are looked for in the index.
    pub fn mark(&mut self, lsn: u64) -> EntriesPart {
        assert!(self.rows.last().is_none_or(|row| row.lsn <= lsn), "a mark is set after what it covers");
        self.first_number = self.first_number.wrapping_add(self.rows.len() as u32);
        self.marked_lsn = self.marked_lsn.max(lsn);
        EntriesPart { rows: std::mem::take(&mut self.rows).pieces, links: std::mem::take(&mut self.links).pieces }
    }

    /// The wallet's entries below `before_lsn`, newest first.
    pub fn newest(&self, slot: u32, wallet: &Wallet, before_lsn: u64, limit: usize) -> Vec<Row> {
        let mut found = Vec::new();
        let mut place = self.place_of(wallet.host_mark, slot, self.rows.len());
        let mut steps = 0;
        while let Some(index) = place {
            if found.len() == limit {
                break;
            }
            if self.rows[index].lsn < before_lsn {
                found.push(self.rows[index]);
            } else if steps == CHAIN_STEPS_MAX {
                // A busy wallet and a position far back: search by position, the next of so many
                // entries is near.
                let end = self.rows.partition_point(|row| row.lsn < before_lsn);
                place = (0..end).rfind(|index| self.links[*index].slot == slot);
                steps += 1;
                continue;
            }
            steps += 1;
            place = self.place_of(self.links[index].previous, slot, index);
        }
        found
    }

    /// Where the entry with this number stands, if it is one of this wallet's before `end`. Numbers wrap
    /// around, so an old one may point at another wallet's entry: the slot tells. It cannot point
    /// at one of its own by chance: had the wallet any entry here, its mark would be younger.
    fn place_of(&self, number: u32, slot: u32, end: usize) -> Option<usize> {
        let index = number.wrapping_sub(self.first_number) as usize;
        (index < end && self.links[index].slot == slot).then_some(index)
    }
}

impl<T> Pieces<T> {
    fn len(&self) -> usize {
        self.len
    }

    fn last(&self) -> Option<&T> {
        self.len.checked_sub(1).map(|index| &self[index])
    }

    #[inline]
    fn push(&mut self, item: T) {
        let piece = self.len / PIECE;
        if piece == self.pieces.len() {
            self.pieces.push(Vec::with_capacity(PIECE));
        }
        self.pieces[piece].push(item);
        self.len += 1;
    }

    /// How many there are at the beginning of which `is_before` is true, if it is for none after one for which it is not.
    fn partition_point(&self, mut is_before: impl FnMut(&T) -> bool) -> usize {
        let piece = self.pieces.partition_point(|piece| is_before(&piece[0])).saturating_sub(1);
        let within = self.pieces.get(piece).map_or(0, |piece| piece.partition_point(is_before));
        piece * PIECE + within
    }
}

impl<T> Default for Pieces<T> {
    fn default() -> Pieces<T> {
        Pieces { pieces: Vec::new(), len: 0 }
    }
}

impl<T> Index<usize> for Pieces<T> {
    type Output = T;

    #[inline]
    fn index(&self, index: usize) -> &T {
        &self.pieces[index / PIECE][index % PIECE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Currency, Kind, Limits, LimitsTable, Opening, OwnerId, WalletId};

    fn wallet(id: u128) -> Wallet {
        let opening = Opening {
            wallet: WalletId(id),
            owner: OwnerId(1),
            currency: Currency::by_code("INR").expect("in the list"),
            kind: Kind::Personal,
            may_send: true,
            may_receive: true,
            limits: Limits::PLAIN,
        };
        Wallet::open(&opening, LimitsTable::default().id(Limits::PLAIN))
    }

    #[test]
    fn chains_are_followed_newest_first_and_end_at_the_mark() {
        let mut entries = Entries { first_number: u32::MAX - 100, ..Entries::default() };
        let mut wallets: Vec<Wallet> = (0..3).map(wallet).collect();
        let mut everything = Vec::new();
        for round in 0..3u64 {
            for step in 1..=500u64 {
                let lsn = round * 500 + step;
                let slot = [0, 0, 0, 1][(step % 4) as usize];
                entries.push(slot, &mut wallets[slot as usize], lsn, 7);
                everything.push((slot, lsn));
            }
            for (slot, before, limit) in
                [(0u32, u64::MAX, 5), (0, round * 500 + 20, 10), (1, u64::MAX, 1000), (2, 99, 9)]
            {
                let found = entries.newest(slot, &wallets[slot as usize], before, limit);
                let expected = everything
                    .iter()
                    .rev()
                    .filter(|(of, lsn)| *of == slot && *lsn < before && *lsn > entries.marked_lsn());
                let expected: Vec<u64> = expected.take(limit).map(|(_, lsn)| *lsn).collect();
                let found: Vec<u64> = found.iter().map(|row| row.lsn).collect();
                assert_eq!(found, expected, "round {round}, slot {slot}, before {before}");
            }
            let lsn = (round + 1) * 500;
            assert_eq!(entries.mark(lsn).rows.concat().len(), 500);
            assert!(entries.newest(0, &wallets[0], u64::MAX, 1).is_empty());
        }
    }

    #[test]
    fn pieces_are_one_list() {
        for count in [0, 1, PIECE, PIECE * 3 - 1, PIECE * 3] {
            let mut list = Pieces::default();
            (0..count).for_each(|item| list.push(item));
            assert_eq!((list.len(), list.last()), (count, count.checked_sub(1).as_ref()));
            assert!((0..count).all(|index| list[index] == index));
            for end in [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 3 * PIECE - 1, 3 * PIECE] {
                assert_eq!(list.partition_point(|item| *item < end), end.min(count));
            }
        }
    }
}
