//! The hash of a request, kept with its id for ever, so that a repeat can be told from another
//! request under the same id. XXH3-64 over the request's meaning (not its bytes on the wire), so a
//! repeat may come as JSON first and as a binary bulk item later.
//!
//! It guards a client against its own mistakes, not against an attacker: whoever could make two
//! requests collide would only get the first answer back.

use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

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
        // Nearly every transfer is of this kind, and it passes here again when it is replayed. Hashed at once, the same bytes
        // take a fifth of the time.
        if let ([first, second], None) = (legs, reference) {
            let mut asked = [0; 52];
            asked[0] = Asked::Transfer as u8;
            asked[1] = kind as u8;
            asked[2..4].copy_from_slice(&currency.number().to_le_bytes());
            asked[4..20].copy_from_slice(&first.wallet.0.to_le_bytes());
            asked[20..28].copy_from_slice(&first.amount.to_le_bytes());
            asked[28..44].copy_from_slice(&second.wallet.0.to_le_bytes());
            asked[44..52].copy_from_slice(&second.amount.to_le_bytes());
            return xxh3_64(&asked);
        }
        Fingerprint::in_steps(kind, currency, legs, reference)
    }

    fn in_steps(kind: TransferKind, currency: Currency, legs: &[Leg], reference: Option<&str>) -> u64 {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_once_and_in_steps_is_the_same() {
        for number in 1..200i64 {
            let wallet = |step: i64| WalletId(u128::MAX / (number + step).unsigned_abs() as u128);
            let legs = [Leg { wallet: wallet(3), amount: -number }, Leg { wallet: wallet(0), amount: number }];
            let currency = Currency::by_code(["INR", "JPY", "KWD"][number as usize % 3]).expect("in the list");
            for kind in [TransferKind::Transfer, TransferKind::Withdrawal] {
                let at_once = Fingerprint::of_transfer(kind, currency, &legs, None);
                assert_eq!(at_once, Fingerprint::in_steps(kind, currency, &legs, None), "{number}");
                assert_ne!(at_once, Fingerprint::of_transfer(kind, currency, &legs, Some("x")), "{number}");
            }
        }
    }
}
