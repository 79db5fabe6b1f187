//! Which shard hosts a wallet: a function of its id and the number of shards, so that nobody has
//! to look it up. (docs/decisions/001.md says why there is no table of places.)

use crate::ledger::WalletId;

use super::config::SHARDS_MAX;

/// Where wallets are hosted when there are this many shards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placement {
    shards: u32,
}

impl Placement {
    pub fn new(shards: usize) -> Placement {
        assert!((1..=SHARDS_MAX).contains(&shards), "a ledger has 1 to {SHARDS_MAX} shards");
        Placement { shards: u32::try_from(shards).expect("not above SHARDS_MAX") }
    }

    pub fn shards(self) -> usize {
        self.shards as usize
    }

    #[inline]
    pub fn shard_of(self, wallet: WalletId) -> usize {
        // The high half of the product spreads the shards evenly over the hash.
        ((u64::from(self.shards) * (hash(wallet) >> 32)) >> 32) as usize
    }
}

/// UUIDs of version 7 made in the same millisecond share their upper half, so both halves are mixed
/// (the finalizer of MurmurHash3 by A. Appleby).
#[inline]
pub fn hash(wallet: WalletId) -> u64 {
    let mut mixed = (wallet.0 as u64) ^ ((wallet.0 >> 64) as u64).rotate_left(32);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wallets_spread_evenly() {
        for shards in [1, 2, 3, 7, 64] {
            let placement = Placement::new(shards);
            let mut counts = vec![0u32; shards];
            for id in 0..64_000u128 {
                counts[placement.shard_of(WalletId((0x0198_0000_0000_7000 << 64) | id))] += 1;
            }
            let even = 64_000 / u32::try_from(shards).expect("small");
            assert!(counts.iter().all(|&count| count.abs_diff(even) < even / 5), "{shards}: {counts:?}");
        }
    }
}
