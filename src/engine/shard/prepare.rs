//! The first phase: a conversation visits wallets, each puts money aside or says no. What a refusal
//! leaves behind is given back.

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::ledger::{HoldEnd, Reject, SpendingLimits, Status, WalletId, hold::Admission};

use super::super::batch::Batch;
use super::super::conversation::{
    Act, ActRef, Acts, Answer, Conversation, Conversations, NO_SLOT, ReleaseAct, SLOTS, Stop,
};
use super::super::messages::{JournalBatch, ShardMessage, Undo};
use super::mailbox::Letter;
use super::{Lanes, Outbox, Shard, TOGETHER};

/// A wallet's answer to a conversation.
enum Visit {
    Yes,
    No(Reject),
    /// Not before something that is under way has ended.
    Wait(u32),
    Overloaded,
}

impl Shard {
    pub(super) fn prepare(&mut self, batch: &Arc<Batch>, mut conversations: Conversations, out: &mut Outbox) {
        let mut lanes = Lanes::new(batch, self.placement, conversations.len());
        // The wallets of a few conversations are looked up together before the first of them is asked, so that the
        // processor waits for memory once and not for each.
        for few in conversations.chunks_mut(TOGETHER) {
            self.locate(batch, few);
            for conversation in few {
                self.advance(*conversation, false, &mut lanes, out);
            }
        }
        lanes.send(out);
    }

    /// Finds the wallets of plain transfers that are hosted here. One that opens later is found when it is visited. First
    /// where each very likely is, then all of these are looked at, so that the processor fetches them side by side.
    fn locate(&self, batch: &Batch, few: &mut [Conversation]) {
        let mut likely: SmallVec<[(usize, usize, u32, WalletId); TOGETHER * SLOTS]> = SmallVec::new();
        for (index, conversation) in few.iter().enumerate() {
            let ActRef::Transfer(transfer) = batch.act(conversation.ticket) else { return };
            for (place, leg) in transfer.legs().iter().enumerate().take(SLOTS).skip(conversation.at as usize) {
                if usize::from(conversation.homes[place]) == self.index
                    && let Some(slot) = self.wallets.likely_slot(leg.wallet)
                {
                    likely.push((index, place, slot, leg.wallet));
                }
            }
        }
        for (index, place, slot, wallet) in likely {
            let is_right = self.wallets.get(slot).id() == wallet;
            let slot = if is_right { Some(slot) } else { self.wallets.slot(wallet) };
            few[index].slots[place] = slot.unwrap_or(NO_SLOT);
        }
    }

    /// Takes a conversation as far as it goes in this shard. `is_mail`: it comes out of the mailbox of the
    /// wallet at its present stop. True when it had to go back there.
    pub(super) fn advance(
        &mut self,
        mut conversation: Conversation,
        mut is_mail: bool,
        lanes: &mut Lanes<'_>,
        out: &mut Outbox,
    ) -> bool {
        let act = lanes.batch.act(conversation.ticket);
        while let Some(stop) = act.stop(conversation.at) {
            let home = conversation.home(act, stop, self.placement);
            if home != self.index {
                lanes.push_to_shard(home, conversation);
                return false;
            }
            match self.visit(&mut conversation, act, stop, is_mail, lanes.batch.now_micros) {
                Visit::Yes => conversation.at += 1,
                Visit::No(reject) => {
                    self.undo_stops(&conversation, act, out);
                    conversation.refused = Some(reject);
                    if act.request().is_some() || act.is_atomic() {
                        break;
                    }
                    let answer = Answer::Refused { reject, lsn: 0, index: 0 };
                    out.answers.push((Arc::clone(lanes.batch), conversation.ticket, answer));
                    return false;
                }
                Visit::Wait(slot) if !is_mail && self.mailboxes.is_full(slot) => {
                    self.turn_away(lanes.batch, &conversation, out);
                    return false;
                }
                Visit::Wait(slot) => {
                    let letter = Letter { batch: Arc::clone(lanes.batch), conversation };
                    if is_mail {
                        self.mailboxes.put_back(slot, letter);
                    } else {
                        self.mailboxes.put(slot, letter);
                    }
                    return is_mail;
                }
                Visit::Overloaded => {
                    self.turn_away(lanes.batch, &conversation, out);
                    return false;
                }
            }
            is_mail = false;
        }
        lanes.push_to_journal(conversation);
        false
    }

    /// Tries the mail of a wallet again, because something that it took part in has ended.
    pub(super) fn take_mail(&mut self, slot: u32, out: &mut Outbox) {
        while let Some(letter) = self.mailboxes.next(slot) {
            let Letter { batch, conversation } = letter;
            let mut lanes = Lanes::new(&batch, self.placement, 1);
            let waits_again = self.advance(conversation, true, &mut lanes, out);
            lanes.send(out);
            if waits_again {
                return;
            }
        }
    }

    /// Holds that have expired are released, by the same way as a void.
    pub(super) fn expire_holds(&mut self, now_micros: u64, out: &mut Outbox) {
        let expired: Vec<_> = self.holds.expired(now_micros).collect();
        for id in expired {
            let hold = self.holds.get_mut(id).expect("listed a moment ago");
            let payer = hold.payer;
            let slot = self.wallets.slot(payer).expect("a hold's payer is hosted beside it");
            if self.mailboxes.is_in_use(slot) {
                continue; // The next tick finds it again.
            }
            if let Admission::Taken(released) = hold.begin_release() {
                self.wallets.get_mut(slot).begin();
                let act = ReleaseAct { hold: id, payer, end: HoldEnd::Expired, released: released.into() };
                let acts = Acts::One(Act::Release(act));
                let mut conversation = Conversation::new(0, acts.get(0), self.placement);
                conversation.at = 1;
                let (batch, _nobody_waits) = Batch::new(acts, 1, now_micros, None);
                out.journal.push(JournalBatch { batch, conversations: smallvec![conversation] });
            }
        }
    }

    pub(super) fn undo(&mut self, undo: Undo, out: &mut Outbox) {
        let id = match undo {
            Undo::Reserved { wallet, .. } | Undo::Begun { wallet } | Undo::Capturing { wallet, .. } => wallet,
        };
        let slot = self.wallets.slot(id).expect("it said yes before");
        let wallet = self.wallets.get_mut(slot);
        match undo {
            Undo::Reserved { delta, .. } => wallet.release(delta),
            Undo::Begun { .. } => wallet.end(),
            Undo::Capturing { hold, minor, .. } => {
                wallet.end();
                self.holds.get_mut(hold).expect("a step is under way, so it is open").cancel_capture(minor);
            }
        }
        self.take_mail(slot, out);
    }

    fn visit(
        &mut self,
        conversation: &mut Conversation,
        act: ActRef<'_>,
        stop: Stop,
        is_mail: bool,
        now_micros: u64,
    ) -> Visit {
        if let ActRef::Other(Act::Open(_)) = act {
            return Visit::Yes;
        }
        let at = conversation.at;
        let located = conversation.slots.get(at as usize).copied().filter(|slot| *slot != NO_SLOT);
        let Some(slot) = located.or_else(|| self.wallets.slot(stop.wallet)) else {
            return Visit::No(Reject::WalletNotFound);
        };
        if !is_mail && self.mailboxes.is_in_use(slot) && !act.returns_at(conversation.at) {
            // An atomic bulk visits its wallets in another order than the rest, so it must not
            // wait while it has money put aside elsewhere.
            return if act.is_atomic() { Visit::Overloaded } else { Visit::Wait(slot) };
        }
        let wallet = self.wallets.get_mut(slot);
        let limits = self.limits.get(wallet.limits());
        let is_spent = stop.delta < 0 && wallet.is_limited();
        let spending = is_spent.then(|| self.spendings.at(slot, now_micros));
        let act = match act {
            ActRef::Transfer(transfer) => {
                if let Some(place) = conversation.slots.get_mut(at as usize) {
                    *place = slot;
                }
                return match wallet.reserve(stop.delta, transfer.currency(), limits, spending) {
                    Ok(()) => Visit::Yes,
                    Err(reject) => Visit::No(reject),
                };
            }
            ActRef::Other(act) => act,
        };
        let said = match act {
            Act::Atomic(atomic) => wallet.reserve(stop.delta, atomic.currency_at(at), limits, spending),
            Act::Authorize(hold) if stop.wallet == hold.payer => {
                wallet.reserve(stop.delta, hold.currency, limits, spending)
            }
            Act::Authorize(hold) => wallet.may_be_paid(hold.currency).map(|()| wallet.begin()),
            Act::Capture(capture) if stop.wallet == capture.payer => {
                let Some(hold) = self.holds.get_mut(capture.hold) else {
                    return Visit::No(Reject::HoldClosed);
                };
                match hold.begin_capture(capture.amount, capture.is_final, now_micros) {
                    Admission::Wait => return Visit::Wait(slot),
                    Admission::Refused(reject) => return Visit::No(reject),
                    Admission::Taken((amount, released)) => {
                        if let Err(reject) = wallet.takes_part(capture.currency) {
                            hold.cancel_capture(amount.minor());
                            return Visit::No(reject);
                        }
                        wallet.begin();
                        capture.resolved.set((amount, released)).expect("the payer is visited once");
                        Ok(())
                    }
                }
            }
            Act::Capture(capture) => {
                let amount = capture.amount.or(capture.resolved.get().map(|(amount, _)| *amount));
                match amount {
                    None => wallet.may_be_paid(capture.currency).map(|()| wallet.begin()),
                    Some(amount) => {
                        let said = wallet.reserve(amount.minor(), capture.currency, limits, None);
                        if said.is_ok() && at == 2 {
                            wallet.end(); // What its first visit began goes on as this one.
                        }
                        said
                    }
                }
            }
            Act::Release(release) => match self.holds.get_mut(release.hold).map(|hold| hold.begin_release()) {
                None => Err(Reject::HoldClosed),
                Some(Admission::Wait) => return Visit::Wait(slot),
                Some(Admission::Refused(reject)) => Err(reject),
                Some(Admission::Taken(released)) => {
                    release.released.set(released).expect("the payer is visited once");
                    wallet.begin();
                    Ok(())
                }
            },
            Act::SetStatus { status, .. } => {
                if wallet.in_flight() > 0 {
                    return Visit::Wait(slot);
                }
                wallet.may_become(*status).map(|()| {
                    wallet.begin();
                    self.mailboxes.begin_change(slot);
                })
            }
            // Whatever was let out by the limits that there are has to be counted before there are others.
            Act::LimitSpending { .. } => {
                if wallet.in_flight() > 0 {
                    return Visit::Wait(slot);
                }
                wallet.may_be_limited().map(|()| {
                    wallet.begin();
                    self.mailboxes.begin_change(slot);
                })
            }
            Act::Open(_) | Act::Refuse { .. } => unreachable!("they visit no wallet"),
        };
        match said {
            Ok(()) => Visit::Yes,
            Err(reject) => Visit::No(reject),
        }
    }

    /// Gives back what the stops before the present one have put aside.
    fn undo_stops(&mut self, conversation: &Conversation, act: ActRef<'_>, out: &mut Outbox) {
        let mut elsewhere: Vec<Vec<Undo>> = Vec::new();
        for index in 0..conversation.at {
            let stop = act.stop(index).expect("it was visited");
            let undo = act.undo_of(index, stop);
            let home = self.placement.shard_of(stop.wallet);
            if home == self.index {
                self.undo(undo, out);
            } else {
                elsewhere.resize_with(self.placement.shards(), Vec::new);
                elsewhere[home].push(undo);
            }
        }
        for (shard, undos) in elsewhere.into_iter().enumerate() {
            if !undos.is_empty() {
                out.shards.push((shard, ShardMessage::Undo(undos)));
            }
        }
    }

    /// No room: as if the request had never come.
    fn turn_away(&mut self, batch: &Arc<Batch>, conversation: &Conversation, out: &mut Outbox) {
        let act = batch.act(conversation.ticket);
        self.undo_stops(conversation, act, out);
        act.for_each_claim(|id| self.claims.abandon(id));
        out.answers.push((Arc::clone(batch), conversation.ticket, Answer::Overloaded));
    }

    pub(super) fn settle_status(&mut self, slot: u32, status: Status) {
        let wallet = self.wallets.get_mut(slot);
        wallet.end();
        wallet.set_status(status);
        self.mailboxes.end_change(slot);
    }

    pub(super) fn settle_spending_limits(&mut self, slot: u32, limits: SpendingLimits, time_micros: u64) {
        self.wallets.get_mut(slot).end();
        self.limit_spending(slot, limits, time_micros);
        self.mailboxes.end_change(slot);
    }
}
