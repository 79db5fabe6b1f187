//! How the bank misbehaves. Whether it does is a function of the seed, the order and how often it was asked, so that a run
//! can be repeated; nothing is drawn twice.

use std::time::Duration;

use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Shares are of a thousand.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Faults {
    pub seed: u64,
    /// How long an order is pending.
    pub delay: Duration,
    /// Orders that fail in the end.
    pub failing: u32,
    /// Requests that are carried out, and whose answer is lost.
    pub losing: u32,
    /// Requests that are carried out twice, as if the network had repeated them.
    pub doubling: u32,
    /// Requests that are turned away with 503, and not carried out.
    pub refusing: u32,
}

impl Faults {
    pub(super) fn fails(&self, order: Uuid) -> bool {
        self.happens(self.failing, "fails", order, 0)
    }

    pub(super) fn loses(&self, order: Uuid, nth: u64) -> bool {
        self.happens(self.losing, "loses", order, nth)
    }

    pub(super) fn doubles(&self, order: Uuid, nth: u64) -> bool {
        self.happens(self.doubling, "doubles", order, nth)
    }

    pub(super) fn refuses(&self, order: Uuid, nth: u64) -> bool {
        self.happens(self.refusing, "refuses", order, nth)
    }

    fn happens(&self, of_a_thousand: u32, what: &str, order: Uuid, nth: u64) -> bool {
        let bytes = [what.as_bytes(), order.as_bytes(), &nth.to_le_bytes()].concat();
        xxh3_64_with_seed(&bytes, self.seed) % 1000 < u64::from(of_a_thousand)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_kept_about() {
        let faults = Faults { seed: 7, failing: 250, losing: 1000, ..Faults::default() };
        let orders = (0..4000).map(Uuid::from_u128);
        let failing = orders.filter(|order| faults.fails(*order)).count();
        assert!((850..1150).contains(&failing), "{failing} of 4000");
        assert!(faults.loses(Uuid::nil(), 1) && !faults.doubles(Uuid::nil(), 1));
    }
}
