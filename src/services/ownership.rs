//! Wallets that were found to be an account's own, in memory. Whose a wallet is never changes, so what was found once holds;
//! all connections of an account share it, and it outlives a change of anybody's rights.

use std::sync::{Arc, PoisonError, RwLock, Weak};

use dashmap::DashMap;
use hashbrown::HashSet;
use uuid::Uuid;

use crate::ledger::WalletId;

/// One account's.
#[derive(Debug, Default)]
pub struct OwnWallets(RwLock<HashSet<u128>>);

/// Of every account that somebody is connected for.
#[derive(Debug, Default)]
pub struct Ownership {
    accounts: DashMap<Uuid, Weak<OwnWallets>>,
}

/// More wallets than this of one account are looked up each time; so many take about 8 MiB.
const KNOWN_MAX: usize = 262_144;
/// With this many accounts, those that nobody is connected for any more are looked for; and then with twice as many.
const SWEEP_AT: usize = 4096;

impl OwnWallets {
    pub fn has(&self, wallet: WalletId) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(&wallet.0)
    }

    /// Whether all of these are known to be own: one look for a whole batch.
    pub fn has_all(&self, wallets: impl IntoIterator<Item = WalletId>) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        wallets.into_iter().all(|wallet| known.contains(&wallet.0))
    }

    pub fn note(&self, wallet: WalletId) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() < KNOWN_MAX {
            known.insert(wallet.0);
        }
    }
}

impl Ownership {
    pub fn of(&self, account: Uuid) -> Arc<OwnWallets> {
        if let Some(own) = self.accounts.get(&account).and_then(|own| own.upgrade()) {
            return own;
        }
        let count = self.accounts.len();
        if count >= SWEEP_AT && count.is_power_of_two() {
            self.accounts.retain(|_, own| own.strong_count() > 0);
        }
        let mut entry = self.accounts.entry(account).or_default();
        entry.upgrade().unwrap_or_else(|| {
            let own = Arc::default();
            *entry = Arc::downgrade(&own);
            own
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_share_what_was_found() {
        let ownership = Ownership::default();
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let own = ownership.of(one);
        own.note(WalletId(7));
        assert!(ownership.of(one).has(WalletId(7)) && !ownership.of(other).has(WalletId(7)));
        assert!(own.has_all([WalletId(7)]) && !own.has_all([WalletId(7), WalletId(8)]));
        drop(own);
        assert!(!ownership.of(one).has(WalletId(7)), "nobody was connected any more");
    }

    #[test]
    fn accounts_that_are_gone_are_forgotten() {
        let ownership = Ownership::default();
        let held = ownership.of(Uuid::nil());
        held.note(WalletId(1));
        for account in 1..20_000 {
            ownership.of(Uuid::from_u128(account));
        }
        assert!(ownership.accounts.len() <= 2 * SWEEP_AT, "{}", ownership.accounts.len());
        assert!(ownership.of(Uuid::nil()).has(WalletId(1)));
    }
}
