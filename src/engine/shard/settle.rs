//! The second phase: what is durable changes the wallets, in the order of the log. Replay does the same
//! without the first phase, so both lead to the same balances, bit for bit.

use crate::ledger::{Authorization, Capture, Event, Hold, HoldId, Opening, SpendingLimits, Transfer, Wallet, WalletId};

use super::super::batch::Batch;
use super::super::conversation::{Act, ActRef, Conversation, NO_SLOT};
use super::super::messages::{Group, JournalBatch};
use super::{Outbox, Shard, TOGETHER};

/// Where a record stands in the log, and of when it is.
#[derive(Clone, Copy)]
struct Stamp {
    lsn: u64,
    time_micros: u64,
}

impl Shard {
    pub(super) fn settle(&mut self, group: &Group, out: &mut Outbox) {
        let mut lsn = group.first_lsn;
        for JournalBatch { batch, conversations } in &group.batches {
            for few in conversations.chunks(TOGETHER) {
                self.fetch(batch, few);
                for conversation in few {
                    let act = batch.act(conversation.ticket);
                    if conversation.refused.is_none() {
                        self.settle_one(conversation, act, Stamp { lsn, time_micros: group.time_micros }, out);
                    }
                    lsn += act.record_count();
                }
            }
        }
        assert_eq!(lsn, group.last_lsn + 1, "every record of a group belongs to one of its conversations");
        self.settled_lsn = group.last_lsn;
    }

    /// Reads a little of each wallet that a few transfers change, so that the processor fetches them all at once.
    fn fetch(&self, batch: &Batch, few: &[Conversation]) {
        let mut sum = 0u64;
        for conversation in few {
            let ActRef::Transfer(transfer) = batch.act(conversation.ticket) else { return };
            sum = sum.wrapping_add(transfer.fingerprint());
            for (home, slot) in conversation.homes.into_iter().zip(conversation.slots) {
                // Chosen without a branch: the processor would guess wrong half of the time.
                let slot = if usize::from(home) == self.index { slot } else { NO_SLOT };
                sum = sum.wrapping_add(self.wallets.touch(slot));
            }
        }
        std::hint::black_box(sum);
    }

    /// Applies an event that was durable before this process began.
    pub fn replay(&mut self, lsn: u64, time_micros: u64, event: &Event) {
        let stamp = Stamp { lsn, time_micros };
        match event {
            Event::WalletOpened(opening) => self.open(opening),
            Event::StatusChanged { wallet, status } => {
                if let Some(slot) = self.home_slot(*wallet) {
                    self.wallets.get_mut(slot).set_status(*status);
                }
            }
            Event::Transferred(transfer) => {
                for leg in transfer.legs() {
                    if let Some(slot) = self.home_slot(leg.wallet) {
                        self.post(slot, leg.amount, lsn, || time_micros);
                    }
                }
            }
            Event::HoldAuthorized(authorization) => {
                if let Some(slot) = self.home_slot(authorization.payer) {
                    self.wallets.get_mut(slot).hold(authorization.amount.minor());
                    self.holds.insert(Hold::open(authorization), authorization.clone());
                }
            }
            Event::HoldCaptured(capture) => {
                if self.hosts(capture.payer) {
                    let hold = self.holds.get_mut(capture.hold).expect("the log captures open holds only");
                    let closed = hold.apply_capture(capture.amount, capture.released);
                    self.pay_from_hold(capture, stamp, closed);
                }
                if let Some(slot) = self.home_slot(capture.payee) {
                    self.post(slot, capture.amount.minor(), lsn, || time_micros);
                }
            }
            Event::HoldReleased { hold, payer, released, .. } => {
                if let Some(slot) = self.home_slot(*payer) {
                    self.release_hold(slot, *hold, *released);
                }
            }
            Event::Refused { .. } => {}
            Event::SpendingLimited { wallet, limits } => {
                if let Some(slot) = self.home_slot(*wallet) {
                    self.limit_spending(slot, *limits, time_micros);
                }
            }
        }
        self.settled_lsn = lsn;
    }

    fn settle_one(&mut self, conversation: &Conversation, act: ActRef<'_>, stamp: Stamp, out: &mut Outbox) {
        let act = match act {
            ActRef::Transfer(transfer) => {
                for (index, leg) in transfer.legs().iter().enumerate() {
                    let slot = match conversation.homes.get(index) {
                        Some(home) if usize::from(*home) == self.index => conversation.slots[index],
                        None if self.hosts(leg.wallet) => self.open_slot(leg.wallet),
                        _ => continue,
                    };
                    self.settle_leg(slot, leg.amount, stamp, out);
                }
                return;
            }
            ActRef::Other(act) => act,
        };
        match act {
            Act::Atomic(atomic) => {
                for (lsn, transfer) in (stamp.lsn..).zip(&atomic.transfers) {
                    self.settle_transfer(transfer, Stamp { lsn, ..stamp }, out);
                }
            }
            Act::Authorize(authorization) => self.settle_authorization(authorization, out),
            Act::Capture(capture) => self.settle_capture(&capture.event(), stamp, out),
            Act::Release(release) => {
                if let Some(slot) = self.home_slot(release.payer) {
                    self.change(slot).end();
                    self.release_hold(slot, release.hold, release.released());
                    self.take_mail(slot, out);
                }
            }
            Act::Open(opening) => self.open(opening),
            Act::SetStatus { wallet, status } => {
                if let Some(slot) = self.home_slot(*wallet) {
                    self.save(slot);
                    self.settle_status(slot, *status);
                    self.take_mail(slot, out);
                }
            }
            Act::LimitSpending { wallet, limits } => {
                if let Some(slot) = self.home_slot(*wallet) {
                    self.save(slot);
                    self.settle_spending_limits(slot, *limits, stamp.time_micros);
                    self.take_mail(slot, out);
                }
            }
            Act::Refuse { .. } => unreachable!("it is refused"),
        }
    }

    fn settle_transfer(&mut self, transfer: &Transfer, stamp: Stamp, out: &mut Outbox) {
        for leg in transfer.legs() {
            if let Some(slot) = self.home_slot(leg.wallet) {
                self.settle_leg(slot, leg.amount, stamp, out);
            }
        }
    }

    #[inline]
    fn settle_leg(&mut self, slot: u32, amount: i64, stamp: Stamp, out: &mut Outbox) {
        self.save(slot);
        self.wallets.get_mut(slot).release(amount);
        self.post(slot, amount, stamp.lsn, || stamp.time_micros);
        if self.mailboxes.is_in_use(slot) {
            self.take_mail(slot, out);
        }
    }

    fn settle_authorization(&mut self, authorization: &Authorization, out: &mut Outbox) {
        let amount = authorization.amount.minor();
        if let Some(slot) = self.home_slot(authorization.payer) {
            let wallet = self.change(slot);
            wallet.release(-amount);
            wallet.hold(amount);
            self.holds.insert(Hold::open(authorization), authorization.clone());
            self.take_mail(slot, out);
        }
        if let Some(slot) = self.home_slot(authorization.payee) {
            self.wallets.get_mut(slot).end();
            self.take_mail(slot, out);
        }
    }

    fn settle_capture(&mut self, capture: &Capture, stamp: Stamp, out: &mut Outbox) {
        if let Some(slot) = self.home_slot(capture.payer) {
            self.change(slot).end();
            let hold = self.holds.get_mut(capture.hold).expect("a step is under way, so it is open");
            let closed = hold.settle_capture(capture.amount, capture.released);
            self.pay_from_hold(capture, stamp, closed);
            self.take_mail(slot, out);
        }
        if let Some(slot) = self.home_slot(capture.payee) {
            self.settle_leg(slot, capture.amount.minor(), stamp, out);
        }
    }

    fn pay_from_hold(&mut self, capture: &Capture, stamp: Stamp, closed: bool) {
        let slot = self.wallets.slot(capture.payer).expect("a hold's payer is hosted beside it");
        let amount = capture.amount.minor();
        self.wallets.get_mut(slot).unhold(amount + capture.released);
        self.post(slot, -amount, stamp.lsn, || stamp.time_micros);
        if closed {
            self.close_hold(capture.hold);
        }
    }

    fn release_hold(&mut self, slot: u32, hold: HoldId, released: i64) {
        self.wallets.get_mut(slot).unhold(released);
        self.close_hold(hold);
    }

    fn close_hold(&mut self, hold: HoldId) {
        self.holds.remove(hold);
        self.claims.forget_open_hold(hold);
    }

    fn open(&mut self, opening: &Opening) {
        if self.hosts(opening.wallet) {
            let limits = self.limits.id(opening.limits);
            self.wallets.insert(Wallet::open(opening, limits), opening.owner);
        }
    }

    #[inline]
    pub(super) fn post(&mut self, slot: u32, amount: i64, lsn: u64, time_micros: impl FnOnce() -> u64) {
        let wallet = self.wallets.get_mut(slot);
        let balance_after = wallet.post(amount);
        self.entries.push(slot, wallet, lsn, balance_after);
        if amount < 0 && wallet.is_limited() {
            self.spendings.spend(slot, -amount, time_micros());
        }
    }

    pub(super) fn limit_spending(&mut self, slot: u32, limits: SpendingLimits, time_micros: u64) {
        let is_limited = self.spendings.limit(slot, limits, time_micros);
        self.wallets.get_mut(slot).set_limited(is_limited);
    }

    /// The wallet, about to be changed by something durable.
    fn change(&mut self, slot: u32) -> &mut Wallet {
        self.save(slot);
        self.wallets.get_mut(slot)
    }

    #[inline]
    fn save(&mut self, slot: u32) {
        if let Some(copying) = &mut self.copying {
            copying.save(slot, &self.wallets, &self.limits, &self.spendings);
        }
    }

    fn home_slot(&self, wallet: WalletId) -> Option<u32> {
        self.hosts(wallet).then(|| self.open_slot(wallet))
    }

    pub(super) fn open_slot(&self, wallet: WalletId) -> u32 {
        self.wallets.slot(wallet).expect("the log names open wallets only")
    }
}
