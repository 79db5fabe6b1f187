//! The hash of the whole ledger's state: of every wallet, its spending limits if it has any, and every open hold.
//!
//! Each is hashed alone (BLAKE3) and the hashes are added up, lane by lane, so the result
//! depends neither on the order nor on who hosts what (Bellare and Micciancio, "A New Paradigm for
//! Collision-free Hashing", 1997). It finds accidents, such as a lost or doubled transfer; against
//! forgery stands the log's own chain of hashes.

use super::hold::Hold;
use super::ids::{OwnerId, WalletId};
use super::limits::Limits;
use super::money::Amount;
use super::spending::Spending;
use super::wallet::Wallet;

/// A sum of hashes; the empty ledger has zero.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct StateHash([u64; 4]);

impl StateHash {
    /// What settled transfers have made of a wallet; what is under way is no part of it.
    pub fn add_wallet(&mut self, wallet: &Wallet, owner: OwnerId, limits: Limits) {
        let opening = wallet.opening(owner, limits);
        let mut bytes = [0u8; 80];
        bytes[0] = 1;
        bytes[1] = wallet.status() as u8;
        bytes[2] = opening.kind as u8;
        bytes[3] = u8::from(opening.may_send) | (u8::from(opening.may_receive) << 1);
        bytes[4..6].copy_from_slice(&opening.currency.number().to_le_bytes());
        bytes[6] = u8::from(limits.overdraft_limit.is_some()) | (u8::from(limits.balance_ceiling.is_some()) << 1);
        bytes[8..24].copy_from_slice(&opening.wallet.0.to_le_bytes());
        bytes[24..40].copy_from_slice(&opening.owner.0.to_le_bytes());
        bytes[40..48].copy_from_slice(&wallet.posted().to_le_bytes());
        bytes[48..56].copy_from_slice(&wallet.held().to_le_bytes());
        bytes[56..64].copy_from_slice(&limits.overdraft_limit.unwrap_or(0).to_le_bytes());
        bytes[64..72].copy_from_slice(&limits.balance_ceiling.unwrap_or(0).to_le_bytes());
        self.add(&bytes);
    }

    pub fn add_hold(&mut self, hold: &Hold) {
        let mut bytes = [0u8; 80];
        bytes[0] = 2;
        bytes[4..6].copy_from_slice(&hold.currency.number().to_le_bytes());
        bytes[8..24].copy_from_slice(&hold.id.0.to_le_bytes());
        bytes[24..40].copy_from_slice(&hold.payer.0.to_le_bytes());
        bytes[40..56].copy_from_slice(&hold.payee.0.to_le_bytes());
        bytes[56..64].copy_from_slice(&hold.amount.to_le_bytes());
        bytes[64..72].copy_from_slice(&hold.captured.to_le_bytes());
        bytes[72..80].copy_from_slice(&hold.expires_at_micros.to_le_bytes());
        self.add(&bytes);
    }

    /// The limits of a wallet that has any, and what has been spent.
    pub fn add_spending(&mut self, wallet: WalletId, spending: &Spending) {
        let (limits, spent) = (spending.limits(), spending.spent());
        let minor = |limit: Option<Amount>| limit.map_or(0, Amount::minor).to_le_bytes();
        let mut bytes = [0u8; 80];
        bytes[0] = 3;
        bytes[2..4].copy_from_slice(&limits.utc_offset.minutes().to_le_bytes());
        bytes[4..8].copy_from_slice(&spending.day().to_le_bytes());
        bytes[8..24].copy_from_slice(&wallet.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&minor(limits.per_payment));
        bytes[32..40].copy_from_slice(&minor(limits.per_day));
        bytes[40..48].copy_from_slice(&minor(limits.per_month));
        bytes[48..56].copy_from_slice(&spent.day.to_le_bytes());
        bytes[56..64].copy_from_slice(&spent.month.to_le_bytes());
        self.add(&bytes);
    }

    pub fn bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (lane, chunk) in self.0.iter().zip(bytes.chunks_exact_mut(8)) {
            chunk.copy_from_slice(&lane.to_le_bytes());
        }
        bytes
    }

    pub fn from_bytes(bytes: [u8; 32]) -> StateHash {
        let mut lanes = [0; 4];
        for (lane, chunk) in lanes.iter_mut().zip(bytes.chunks_exact(8)) {
            *lane = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
        }
        StateHash(lanes)
    }

    fn add(&mut self, bytes: &[u8]) {
        let hash = StateHash::from_bytes(*blake3::hash(bytes).as_bytes());
        for (lane, added) in self.0.iter_mut().zip(hash.0) {
            *lane = lane.wrapping_add(added);
        }
    }
}

impl std::fmt::Display for StateHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for StateHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}
