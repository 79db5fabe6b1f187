//! Where a shard keeps its wallets: slabs that never move, and an index from id to slot.

use hashbrown::HashTable;

use crate::ledger::{OwnerId, Wallet, WalletId};

use super::super::placement::hash;

/// A slab of wallets is 16 MiB: growing never copies wallets, and what no wallet has touched takes no memory yet. Large, because
/// what the allocator wants beside it is then a hundredth, and not a fifth.
const SLAB_WALLETS: usize = 262_144;

/// Parts of the index. Each grows by itself, so a wallet that is opened waits for one part at most, and not until the
/// places of all wallets have been found again.
const PARTS: usize = 64;

/// Wallets by slot, and slots by id.
#[derive(Debug)]
pub struct Table {
    slabs: Vec<Slab>,
    slots: Vec<HashTable<u32>>,
    count: u32,
}

/// Whose a wallet is no transfer asks, so it lies where it takes no room in the cache.
#[derive(Debug)]
struct Slab {
    wallets: Vec<Wallet>,
    owners: Vec<OwnerId>,
}

impl Default for Table {
    fn default() -> Table {
        Table { slabs: Vec::new(), slots: vec![HashTable::new(); PARTS], count: 0 }
    }
}

impl Table {
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Makes room in the index for so many wallets more, so that it need not grow by steps, each of which leaves the memory
    /// of the one before behind.
    pub fn reserve(&mut self, wallets: usize) {
        // Ids spread over the parts by chance, so some get a little more than their share.
        let share = wallets / PARTS;
        let slabs = &self.slabs;
        for part in &mut self.slots {
            part.reserve(share + share / 64, |slot| hash(wallet_at(slabs, *slot).id()));
        }
    }

    #[inline]
    pub fn slot(&self, id: WalletId) -> Option<u32> {
        let hash = hash(id);
        self.slots[part_of(hash)].find(hash, |&slot| self.get(slot).id() == id).copied()
    }

    /// Where the wallet very likely is, without looking at any wallet. It may be another one's slot.
    #[inline]
    pub fn likely_slot(&self, id: WalletId) -> Option<u32> {
        let hash = hash(id);
        self.slots[part_of(hash)].find(hash, |_| true).copied()
    }

    #[inline]
    pub fn get(&self, slot: u32) -> &Wallet {
        wallet_at(&self.slabs, slot)
    }

    /// Has the wallet fetched from memory, if there is one. The answer is of no use but to be used.
    #[inline]
    pub fn touch(&self, slot: u32) -> u64 {
        let slab = self.slabs.get(slot as usize / SLAB_WALLETS);
        let wallet = slab.and_then(|slab| slab.wallets.get(slot as usize % SLAB_WALLETS));
        wallet.map_or(0, |wallet| u64::from(wallet.host_mark))
    }

    #[inline]
    pub fn get_mut(&mut self, slot: u32) -> &mut Wallet {
        &mut self.slabs[slot as usize / SLAB_WALLETS].wallets[slot as usize % SLAB_WALLETS]
    }

    pub fn owner(&self, slot: u32) -> OwnerId {
        self.slabs[slot as usize / SLAB_WALLETS].owners[slot as usize % SLAB_WALLETS]
    }

    /// The wallet must not be there yet.
    pub fn insert(&mut self, wallet: Wallet, owner: OwnerId) -> u32 {
        let id = wallet.id();
        assert!(self.slot(id).is_none(), "wallet {id} is opened twice");
        let slot = self.count;
        if (slot as usize).is_multiple_of(SLAB_WALLETS) {
            let (wallets, owners) = (Vec::with_capacity(SLAB_WALLETS), Vec::with_capacity(SLAB_WALLETS));
            self.slabs.push(Slab { wallets, owners });
        }
        let slab = self.slabs.last_mut().expect("just made if there was none");
        slab.wallets.push(wallet);
        slab.owners.push(owner);
        let slabs = &self.slabs;
        let hash_of_id = hash(id);
        self.slots[part_of(hash_of_id)].insert_unique(hash_of_id, slot, |slot| hash(wallet_at(slabs, *slot).id()));
        self.count = slot.checked_add(1).expect("a shard hosts fewer than 2^32 wallets");
        slot
    }
}

#[inline]
fn wallet_at(slabs: &[Slab], slot: u32) -> &Wallet {
    &slabs[slot as usize / SLAB_WALLETS].wallets[slot as usize % SLAB_WALLETS]
}

/// The upper half of a hash chooses the shard, and the lowest and uppermost bits a place in the part.
fn part_of(hash: u64) -> usize {
    (hash >> 24) as usize % PARTS
}
