//! Transfers: two to sixteen legs of one currency that add up to zero, wholly or not at all.

use smallvec::SmallVec;

use super::currency::Currency;
use super::fingerprint::Fingerprint;
use super::ids::{TransferId, WalletId};
use super::money::Amount;
use super::reject::Reject;

pub const LEGS_MAX: usize = 16;
/// Longest reference in bytes of UTF-8: room for the 140 characters of a SEPA remittance line.
pub const REFERENCE_BYTES_MAX: usize = 560;
pub const REFERENCE_CHARACTERS_MAX: usize = 140;

/// What a transfer is to the people in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum TransferKind {
    Transfer = 0,
    Deposit = 1,
    Withdrawal = 2,
    /// Money of a hold; made by a capture only.
    Capture = 3,
}

/// One wallet's part in a transfer: below zero it pays, above zero it is paid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leg {
    pub wallet: WalletId,
    pub amount: i64,
}

/// In ascending order of wallet id, each wallet once.
pub type Legs = SmallVec<[Leg; 2]>;

/// A transfer that may be asked of the wallets: its legs are in order and add up to zero.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transfer {
    id: TransferId,
    fingerprint: u64,
    kind: TransferKind,
    currency: Currency,
    reference: Option<Box<str>>,
    legs: Legs,
}

impl Transfer {
    /// Refuses with `LEGS_NOT_BALANCED` or `SAME_WALLET`.
    pub fn new(
        id: TransferId,
        kind: TransferKind,
        currency: Currency,
        mut legs: Legs,
        reference: Option<Box<str>>,
    ) -> Result<Transfer, Reject> {
        if !(2..=LEGS_MAX).contains(&legs.len()) || legs.iter().any(|leg| leg.amount == 0) {
            return Err(Reject::LegsNotBalanced);
        }
        if legs.iter().map(|leg| i128::from(leg.amount)).sum::<i128>() != 0 {
            return Err(Reject::LegsNotBalanced);
        }
        // An amount of -2^63 could be put aside but never given back.
        if legs.iter().any(|leg| leg.amount == i64::MIN) {
            return Err(Reject::LegsNotBalanced);
        }
        if legs.len() == 2 {
            if legs[0].wallet > legs[1].wallet {
                legs.swap(0, 1);
            }
        } else {
            legs.sort_unstable_by_key(|leg| leg.wallet);
        }
        if legs.windows(2).any(|pair| pair[0].wallet == pair[1].wallet) {
            return Err(Reject::SameWallet);
        }
        let fingerprint = Fingerprint::of_transfer(kind, currency, &legs, reference.as_deref());
        Ok(Transfer { id, fingerprint, kind, currency, reference, legs })
    }

    /// The common one: one wallet pays another.
    pub fn between(
        id: TransferId,
        kind: TransferKind,
        currency: Currency,
        from: WalletId,
        to: WalletId,
        amount: Amount,
        reference: Option<Box<str>>,
    ) -> Result<Transfer, Reject> {
        let pays = Leg { wallet: from, amount: -amount.minor() };
        let is_paid = Leg { wallet: to, amount: amount.minor() };
        Transfer::new(id, kind, currency, Legs::from_buf([pays, is_paid]), reference)
    }

    pub fn id(&self) -> TransferId {
        self.id
    }

    /// The hash of what was asked, kept with the id: a repeat must have the same one.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    pub fn kind(&self) -> TransferKind {
        self.kind
    }

    pub fn currency(&self) -> Currency {
        self.currency
    }

    pub fn legs(&self) -> &[Leg] {
        &self.legs
    }

    pub fn reference(&self) -> Option<&str> {
        self.reference.as_deref()
    }
}

impl TransferKind {
    pub fn from_number(number: u8) -> Option<TransferKind> {
        [TransferKind::Transfer, TransferKind::Deposit, TransferKind::Withdrawal, TransferKind::Capture]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }

    pub fn name(self) -> &'static str {
        match self {
            TransferKind::Transfer => "transfer",
            TransferKind::Deposit => "deposit",
            TransferKind::Withdrawal => "withdrawal",
            TransferKind::Capture => "capture",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(legs: &[(u128, i64)], expected: Result<&[(u128, i64)], Reject>) {
        let inr = Currency::by_code("INR").expect("in the list");
        let legs: Legs = legs.iter().map(|&(wallet, amount)| Leg { wallet: WalletId(wallet), amount }).collect();
        let transfer = Transfer::new(TransferId(9), TransferKind::Transfer, inr, legs, None);
        let shown = transfer.map(|transfer| {
            let pairs = transfer.legs().iter().map(|leg| (leg.wallet.0, leg.amount));
            pairs.collect::<Vec<_>>()
        });
        assert_eq!(shown.as_deref().map_err(|reject| *reject), expected);
    }

    #[test]
    fn legs_are_put_in_order_and_add_up() {
        check(&[(2, -5), (1, 5)], Ok(&[(1, 5), (2, -5)]));
        check(&[(3, 4), (2, -5), (1, 1)], Ok(&[(1, 1), (2, -5), (3, 4)]));
        check(&[], Err(Reject::LegsNotBalanced));
        check(&[(1, 0)], Err(Reject::LegsNotBalanced));
        check(&[(1, 5), (2, -4)], Err(Reject::LegsNotBalanced));
        check(&[(1, 5), (2, -5), (3, 0)], Err(Reject::LegsNotBalanced));
        check(&[(1, i64::MIN), (2, i64::MAX), (3, 1)], Err(Reject::LegsNotBalanced));
        check(&[(1, i64::MAX), (2, i64::MAX), (3, 2)], Err(Reject::LegsNotBalanced));
        check(&[(1, 5), (1, -5)], Err(Reject::SameWallet));
        check(&[(1, 5), (2, -4), (1, -1)], Err(Reject::SameWallet));
        let mut many: Vec<(u128, i64)> = (1..16).map(|wallet| (wallet, 1)).collect();
        many.push((16, -15));
        check(&many, Ok(&many));
        many[15].1 = -16;
        many.push((17, 1));
        check(&many, Err(Reject::LegsNotBalanced));
    }
}
