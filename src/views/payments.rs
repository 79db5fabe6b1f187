//! Payments as the people see them who have made or got them: who has how much more or less by which event. Which wallets are
//! people's is told from above; what comes of it is not known here.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use crate::engine::Found;
use crate::ledger::{Currency, Event, TransferId, TransferKind, WalletId};

/// Wallets that may be somebody's, eight bytes each: halves of their ids. Those of nobody are passed over by it without a
/// question to the store; of a few in a billion billions the store has to say that they are nobody's.
#[derive(Clone, Debug, Default)]
pub struct Filter(Arc<RwLock<HashSet<u64>>>);

/// Accounts by their wallets. A wallet never changes hands.
pub type Owners = HashMap<u128, u128>;

/// What one event did to one account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    pub lsn: u64,
    pub time_micros: u64,
    pub transfer: TransferId,
    pub kind: TransferKind,
    pub account: u128,
    /// Of several, the first.
    pub wallet: WalletId,
    /// Below zero: it paid.
    pub amount: i64,
    pub currency: Currency,
    /// Of others: the wallet with most of the money on the other side.
    pub counterparty: Option<WalletId>,
    pub reference: Option<Box<str>>,
}

impl Filter {
    pub fn add(&self, wallets: impl IntoIterator<Item = u128>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).extend(wallets.into_iter().map(half));
    }

    pub fn may_have(&self, wallet: WalletId) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(&half(wallet.0))
    }

    pub fn is_empty(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

/// What an event did, account by account. Money that somebody moves between his own wallets changes nothing.
pub fn changes(found: &Found, owners: &Owners) -> Vec<Change> {
    match &found.event {
        Event::Transferred(transfer) => {
            let legs: Vec<(WalletId, i64)> = transfer.legs().iter().map(|leg| (leg.wallet, leg.amount)).collect();
            let what = (transfer.id(), transfer.kind(), transfer.currency(), transfer.reference());
            of_legs(found, &legs, what, owners)
        }
        Event::HoldCaptured(capture) => {
            let minor = capture.amount.minor();
            let legs = [(capture.payer, -minor), (capture.payee, minor)];
            of_legs(found, &legs, (capture.id, TransferKind::Capture, capture.currency, None), owners)
        }
        _ => Vec::new(),
    }
}

fn of_legs(
    found: &Found,
    legs: &[(WalletId, i64)],
    (transfer, kind, currency, reference): (TransferId, TransferKind, Currency, Option<&str>),
    owners: &Owners,
) -> Vec<Change> {
    let owned: Vec<Option<u128>> = legs.iter().map(|(wallet, _)| owners.get(&wallet.0).copied()).collect();
    let mut changes: Vec<Change> = Vec::new();
    for ((wallet, amount), account) in legs.iter().zip(&owned) {
        let Some(account) = *account else { continue };
        if let Some(change) = changes.iter_mut().find(|change| change.account == account) {
            // The sum of the legs of one transfer is zero, so no part of it overflows by much; a sum that did would be of
            // wallets that the ledger would not have paid out of.
            change.amount = change.amount.saturating_add(*amount);
            continue;
        }
        changes.push(Change {
            lsn: found.lsn,
            time_micros: found.time_micros,
            transfer,
            kind,
            account,
            wallet: *wallet,
            amount: *amount,
            currency,
            counterparty: None,
            reference: reference.map(Box::from),
        });
    }
    changes.retain(|change| change.amount != 0);
    for change in &mut changes {
        let others = legs.iter().zip(&owned).filter(|(_, account)| **account != Some(change.account));
        let across = others.filter(|((_, amount), _)| (*amount > 0) != (change.amount > 0));
        change.counterparty =
            across.max_by_key(|((_, amount), _)| amount.unsigned_abs()).map(|((wallet, _), _)| *wallet);
    }
    changes
}

/// Of an id that is a UUID, the half that is nearly all random.
fn half(wallet: u128) -> u64 {
    (wallet & u128::from(u64::MAX)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Leg, Transfer};

    fn found(legs: &[(u128, i64)]) -> Found {
        let legs = legs.iter().map(|&(wallet, amount)| Leg { wallet: WalletId(wallet), amount }).collect();
        let inr = Currency::by_code("INR").unwrap();
        let transfer = Transfer::new(TransferId(9), TransferKind::Transfer, inr, legs, Some("tea".into())).unwrap();
        Found { lsn: 5, time_micros: 6, event: Event::Transferred(transfer) }
    }

    #[test]
    fn a_filter_knows_its_wallets() {
        let filter = Filter::default();
        assert!(filter.is_empty());
        filter.add([7, u128::MAX]);
        assert!(filter.may_have(WalletId(7)) && filter.may_have(WalletId(u128::MAX)));
        assert!(!filter.may_have(WalletId(8)));
    }

    #[test]
    fn each_account_is_told_once_of_what_it_has_more_or_less() {
        let owners = Owners::from([(1, 100), (2, 200), (3, 200)]);
        let told = |legs: &[(u128, i64)]| -> Vec<(u128, i64, Option<u128>)> {
            let changes = changes(&found(legs), &owners);
            changes.iter().map(|change| (change.account, change.amount, change.counterparty.map(|id| id.0))).collect()
        };
        assert_eq!(told(&[(1, -50), (2, 50)]), [(100, -50, Some(2)), (200, 50, Some(1))]);
        assert_eq!(told(&[(1, -50), (9, 50)]), [(100, -50, Some(9))]);
        assert_eq!(told(&[(2, -50), (3, 50)]), [], "from one's own to one's own");
        assert_eq!(told(&[(1, -50), (2, 20), (3, 20), (9, 10)]), [(100, -50, Some(3)), (200, 40, Some(1))]);
        assert_eq!(told(&[(8, -50), (9, 50)]), []);
    }
}
