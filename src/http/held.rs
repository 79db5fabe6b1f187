//! What connections hold for their clients: answers that have not been taken, and HTTP/2 requests under way. Each
//! connection counts its own, and tells the server's one budget in large steps. Who is refused or ended when the
//! budget is used up is in `connection`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What all connections may hold together.
pub(super) struct Budget {
    bytes_max: usize,
    bytes: AtomicUsize,
    /// Connections that have told of anything.
    holders: AtomicUsize,
}

/// What one connection holds.
pub(super) struct Held {
    budget: Arc<Budget>,
    bytes: AtomicUsize,
    /// What the budget knows of; never more than a step away from `bytes`.
    told_bytes: AtomicUsize,
    /// All that was ever held and is not held any more.
    given_bytes: AtomicU64,
}

/// A connection that holds less than this costs the budget nothing, so most requests touch only their own
/// connection's counters.
pub(super) const STEP_BYTES: usize = 16 * 1024;

impl Budget {
    pub(super) fn new(bytes_max: usize) -> Budget {
        Budget { bytes_max, bytes: AtomicUsize::new(0), holders: AtomicUsize::new(0) }
    }

    /// Half of it is used: those who hold most, and do not take it, have to go.
    pub(super) fn is_short(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > self.bytes_max / 2
    }

    /// Nothing more can be held.
    pub(super) fn is_used_up(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > self.bytes_max
    }

    /// What a connection that holds anything worth telling holds on average. At least one holds so much.
    pub(super) fn mean_bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed) / self.holders.load(Ordering::Relaxed).max(1)
    }

    fn change(&self, before: usize, after: usize) {
        if after > before {
            self.bytes.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.bytes.fetch_sub(before - after, Ordering::Relaxed);
        }
        match (before, after) {
            (0, 1..) => self.holders.fetch_add(1, Ordering::Relaxed),
            (1.., 0) => self.holders.fetch_sub(1, Ordering::Relaxed),
            _ => 0,
        };
    }
}

impl Held {
    pub(super) fn new(budget: Arc<Budget>) -> Held {
        Held { budget, bytes: AtomicUsize::new(0), told_bytes: AtomicUsize::new(0), given_bytes: AtomicU64::new(0) }
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Acquires what whoever added had done before.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Acquire)
    }

    pub(super) fn given_bytes(&self) -> u64 {
        self.given_bytes.load(Ordering::Relaxed)
    }

    /// Gives what was held before.
    pub(super) fn add(&self, bytes: usize) -> usize {
        let before = self.bytes.fetch_add(bytes, Ordering::AcqRel);
        self.tell_if_due(before + bytes);
        before
    }

    /// Gives back what was added.
    pub(super) fn give(&self, bytes: usize) {
        self.given_bytes.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
        let before = self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.tell_if_due(before - bytes);
    }

    /// Gives back up to so much, and says how much is left. Only for a connection whose one task changes it.
    pub(super) fn give_up_to(&self, bytes: usize) -> usize {
        let held = self.bytes();
        let given = bytes.min(held);
        if given > 0 {
            self.give(given);
        }
        held - given
    }

    fn tell_if_due(&self, bytes: usize) {
        let told = self.told_bytes.load(Ordering::Relaxed);
        if bytes > told + STEP_BYTES || bytes + STEP_BYTES < told || (bytes == 0 && told > 0) {
            self.tell();
        }
    }

    fn tell(&self) {
        loop {
            let bytes = self.bytes();
            let told = self.told_bytes.swap(bytes, Ordering::AcqRel);
            self.budget.change(told, bytes);
            // Another stream of the connection may have told something newer in between, which is now overwritten.
            if self.bytes() == bytes {
                return;
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.change(*self.told_bytes.get_mut(), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_knows_what_is_held_to_within_a_step() {
        let budget = Arc::new(Budget::new(100 * STEP_BYTES));
        let (small, large) = (Held::new(Arc::clone(&budget)), Held::new(Arc::clone(&budget)));
        assert_eq!(small.add(STEP_BYTES), 0);
        assert_eq!((budget.mean_bytes(), budget.is_short()), (0, false));
        large.add(60 * STEP_BYTES);
        assert!(budget.is_short() && !budget.is_used_up());
        assert_eq!(small.add(1), STEP_BYTES);
        assert_eq!(budget.mean_bytes(), (61 * STEP_BYTES).div_ceil(2));
        large.add(40 * STEP_BYTES);
        assert!(budget.is_used_up());
        large.give(99 * STEP_BYTES);
        assert!(!budget.is_short());
        assert_eq!(large.give_up_to(usize::MAX), 0);
        assert_eq!((large.given_bytes(), budget.mean_bytes()), (100 * STEP_BYTES as u64, STEP_BYTES + 1));
        drop(small);
        assert_eq!(budget.mean_bytes(), 0);
    }

    #[test]
    fn streams_of_one_connection_leave_nothing_behind() {
        let budget = Arc::new(Budget::new(usize::MAX));
        let held = Held::new(Arc::clone(&budget));
        std::thread::scope(|scope| {
            for stream in 1..=4 {
                let held = &held;
                scope.spawn(move || {
                    for round in 0..20_000 {
                        let bytes = (round * stream) % (4 * STEP_BYTES);
                        held.add(bytes);
                        held.give(bytes);
                    }
                });
            }
        });
        assert_eq!(
            (held.bytes(), budget.bytes.load(Ordering::Relaxed), budget.holders.load(Ordering::Relaxed)),
            (0, 0, 0)
        );
    }
}
