//! Ids: wallets' from the seed (so that a run can be continued), transfers' by UUIDv7, and those from a
//! name by SHA-256; and the small random number generator that all draws come from.

use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

/// SplitMix64: small, fast, the same numbers from the same seed everywhere. Not for secrets.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// Evenly from 0 to `bound - 1`, by the high half of a product.
    pub fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.bits()) * u128::from(bound);
        u64::try_from(product >> 64).expect("the high half of 128 bits fits 64")
    }

    /// Evenly from 0 (with) to 1 (without).
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The wallets of a run: a number each, and an id that follows from seed and number.
#[derive(Clone, Copy, Debug)]
pub struct Wallets {
    pub seed: u64,
    pub count: u32,
}

impl Wallets {
    pub fn id(&self, index: u32) -> Uuid {
        self.derive(index, 1)
    }

    pub fn owner(&self, index: u32) -> Uuid {
        self.derive(index, 2)
    }

    /// The key of the deposit that funds a wallet: the same in each run with this seed and amount.
    pub fn funding(&self, index: u32, amount_minor: u64) -> Uuid {
        self.derive(index, 3 ^ (amount_minor << 8))
    }

    fn derive(&self, index: u32, purpose: u64) -> Uuid {
        let base = mix(mix(self.seed) ^ purpose) ^ (u64::from(index) << 1);
        let (high, low) = (mix(base), mix(base ^ 0xA5A5_A5A5_0000_0001));
        let wide = (u128::from(high) << 64) | u128::from(low);
        Builder::from_custom_bytes(wide.to_be_bytes()).into_uuid()
    }
}

/// Makes transfer ids as clients do: UUIDv7, with the time in front.
#[derive(Debug)]
pub struct TransferIds {
    random: Random,
    millis: u64,
    used: u32,
}

impl Default for TransferIds {
    /// Seeded by the operating system: two runs never make the same ids.
    fn default() -> Self {
        Self { random: Random::new(rand::random()), millis: 0, used: u32::MAX }
    }
}

impl TransferIds {
    pub fn make(&mut self) -> Uuid {
        // The clock is looked at once in 64 ids: uniqueness rests on the 74 random bits.
        if self.used >= 64 {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            let millis = since.map_or(0, |since| since.as_millis());
            self.millis = u64::try_from(millis).unwrap_or(0);
            self.used = 0;
        }
        self.used += 1;
        let (a, b) = (self.random.bits().to_be_bytes(), self.random.bits());
        let mut random = [0; 10];
        random[..8].copy_from_slice(&a);
        random[8..].copy_from_slice(&b.to_be_bytes()[..2]);
        Builder::from_unix_timestamp_millis(self.millis, &random).into_uuid()
    }
}

/// UUIDv8 from the first 16 bytes of the SHA-256 of a name.
pub fn from_name(name: &str) -> Uuid {
    let digest = Sha256::digest(name.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Builder::from_custom_bytes(bytes).into_uuid()
}

/// Appends the canonical text of an id.
pub fn write_id(id: &Uuid, out: &mut Vec<u8>) {
    let mut text = [0; 36];
    out.extend_from_slice(id.hyphenated().encode_lower(&mut text).as_bytes());
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn wallet_ids_follow_from_the_seed_and_differ() {
        let wallets = Wallets { seed: 7, count: 10_000 };
        let again = Wallets { seed: 7, count: 20_000 };
        let other = Wallets { seed: 8, count: 10_000 };
        let mut seen = HashSet::new();
        for index in 0..wallets.count {
            assert_eq!(wallets.id(index), again.id(index));
            assert!(seen.insert(wallets.id(index)) && seen.insert(other.id(index)));
            assert!(seen.insert(wallets.owner(index)) && seen.insert(wallets.funding(index, 5)));
        }
    }

    #[test]
    fn transfer_ids_are_uuid_v7_and_never_the_same() {
        let mut ids = TransferIds::default();
        let seen: HashSet<Uuid> = (0..10_000).map(|_| ids.make()).collect();
        assert_eq!(seen.len(), 10_000);
        assert!(seen.iter().all(|id| id.get_version_num() == 7));
    }

    #[test]
    fn an_id_from_a_name() {
        let id = from_name("florin-csv:CZK576");
        assert_eq!(id, from_name("florin-csv:CZK576"));
        assert_eq!(id.get_version_num(), 8);
    }
}
