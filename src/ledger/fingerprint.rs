//! The hash of a request, kept with its id for ever, so that a repeat can be told from another
//! request under the same id. XXH3-64 over the request's meaning (not its bytes on the wire), so a
//! repeat may come as JSON first and as a binary bulk item later.
//!
//! It guards a client against its own mistakes, not against an attacker: whoever could make two
//! requests collide would only get the first answer back.

use xxhash_rust::xxh3::Xxh3Default;

use super::currency::Currency;
use super::ids::{HoldId, WalletId};
use super::transfer::{Leg, TransferKind};

/// Requests that carry an id. The number is part of what is hashed and never changes.
#[derive(Clone, Copy)]
enum Asked {
    Transfer = 1,
    Hold = 2,
    Capture = 3,
}

/// Builds fingerprints; the functions are the only way to get one.
pub struct Fingerprint(Xxh3Default);

impl Fingerprint {
    pub fn of_transfer(kind: TransferKind, currency: Currency, legs: &[Leg], reference: Option<&str>) -> u64 {
        let mut hash = Fingerprint::begin(Asked::Transfer);
        hash.0.update(&[kind as u8]);
        hash.0.update(&currency.number().to_le_bytes());
        for leg in legs {
            hash.wallet(leg.wallet).minor(leg.amount);
        }
        hash.reference(reference).0.digest()
    }

    pub fn of_hold(
        (payer, payee): (WalletId, WalletId),
        minor: i64,
        currency: Currency,
        expires_in_seconds: u64,
        reference: Option<&str>,
    ) -> u64 {
        let mut hash = Fingerprint::begin(Asked::Hold);
        hash.wallet(payer).wallet(payee).minor(minor);
        hash.0.update(&currency.number().to_le_bytes());
        hash.0.update(&expires_in_seconds.to_le_bytes());
        hash.reference(reference).0.digest()
    }

    /// `minor` is zero where the request asked for all that remains.
    pub fn of_capture(hold: HoldId, minor: i64, is_final: bool) -> u64 {
        let mut hash = Fingerprint::begin(Asked::Capture);
        hash.0.update(&hold.0.to_le_bytes());
        hash.minor(minor);
        hash.0.update(&[u8::from(is_final)]);
        hash.0.digest()
    }

    fn begin(asked: Asked) -> Fingerprint {
        let mut hash = Xxh3Default::new();
        hash.update(&[asked as u8]);
        Fingerprint(hash)
    }

    fn wallet(&mut self, wallet: WalletId) -> &mut Fingerprint {
        self.0.update(&wallet.0.to_le_bytes());
        self
    }

    fn minor(&mut self, minor: i64) -> &mut Fingerprint {
        self.0.update(&minor.to_le_bytes());
        self
    }

    fn reference(&mut self, reference: Option<&str>) -> &mut Fingerprint {
        if let Some(text) = reference {
            self.0.update(text.as_bytes());
        }
        self
    }
}

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fingerprint")
    }
}
