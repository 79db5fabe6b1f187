//! The entries of the shard's wallets since the last mark: appended while settling (one push), found
//! again by following each wallet's chain backwards. At a mark they leave for the index.

use crate::ledger::Wallet;

use super::super::runs::Row;

/// Entries in the order of their LSNs.
#[derive(Debug, Default)]
pub struct Entries {
    rows: Vec<Row>,
    links: Vec<Link>,
    /// The number of the first row; numbers go on over marks and wrap around.
    first_number: u32,
    marked_lsn: u64,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    slot: u32,
    /// The number that the wallet's mark had before: its entry before this one, if that is still here.
    previous: u32,
}

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

    /// Hands over all entries; from now on they are looked for in the index.
    pub fn mark(&mut self, lsn: u64) -> Vec<Row> {
        assert!(self.rows.last().is_none_or(|row| row.lsn <= lsn), "a mark is set after what it covers");
        self.first_number = self.first_number.wrapping_add(self.rows.len() as u32);
        self.marked_lsn = self.marked_lsn.max(lsn);
        // The next will be about as many. Where one too many comes, a list doubles, and all of it is copied to fresh memory.
        let capacity = self.rows.len() + self.rows.len() / 8;
        self.links.clear();
        std::mem::replace(&mut self.rows, Vec::with_capacity(capacity))
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
                place = self.links[..end].iter().rposition(|link| link.slot == slot);
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
            assert_eq!(entries.mark(lsn).len(), 500);
            assert!(entries.newest(0, &wallets[0], u64::MAX, 1).is_empty());
        }
    }
}
