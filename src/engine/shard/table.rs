//! Where a shard keeps its wallets: slabs that never move, and an index from id to slot.

use hashbrown::HashTable;

use crate::ledger::{Wallet, WalletId};

use super::super::placement::hash;

/// A slab is 320 KiB: growing never copies wallets, and no more than a slab stands empty.
const SLAB_WALLETS: usize = 4096;

/// Wallets by slot, and slots by id.
#[derive(Debug, Default)]
pub struct Table {
    slabs: Vec<Vec<Wallet>>,
    slots: HashTable<u32>,
    count: u32,
}

impl Table {
    pub fn count(&self) -> u32 {
        self.count
    }

    #[inline]
    pub fn slot(&self, id: WalletId) -> Option<u32> {
        self.slots.find(hash(id), |&slot| self.get(slot).id() == id).copied()
    }

    #[inline]
    pub fn get(&self, slot: u32) -> &Wallet {
        &self.slabs[slot as usize / SLAB_WALLETS][slot as usize % SLAB_WALLETS]
    }

    #[inline]
    pub fn get_mut(&mut self, slot: u32) -> &mut Wallet {
        &mut self.slabs[slot as usize / SLAB_WALLETS][slot as usize % SLAB_WALLETS]
    }

    /// The wallet must not be there yet.
    pub fn insert(&mut self, wallet: Wallet) -> u32 {
        let id = wallet.id();
        assert!(self.slot(id).is_none(), "wallet {id} is opened twice");
        let slot = self.count;
        if (slot as usize).is_multiple_of(SLAB_WALLETS) {
            self.slabs.push(Vec::with_capacity(SLAB_WALLETS));
        }
        self.slabs.last_mut().expect("just made if there was none").push(wallet);
        let slabs = &self.slabs;
        let hash_of = |slot: &u32| hash(slabs[*slot as usize / SLAB_WALLETS][*slot as usize % SLAB_WALLETS].id());
        self.slots.insert_unique(hash(id), slot, hash_of);
        self.count = slot.checked_add(1).expect("a shard hosts fewer than 2^32 wallets");
        slot
    }
}
