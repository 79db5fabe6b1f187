//! One conversation between wallets: what is asked of them, and in which order they are visited. Plain data. What is asked
//! stays where it came in, in the batch, and is never moved; the shards carry a small conversation about it from wallet to
//! wallet.

use std::sync::OnceLock;

use smallvec::SmallVec;

use crate::ledger::{
    Amount, Authorization, Capture, Currency, Event, HoldEnd, HoldId, Opening, Reject, SpendingLimits, Status,
    Transfer, TransferId, WalletId,
};

use super::messages::Undo;
use super::placement::Placement;
use super::record;

/// Why the engine has no answer of the ledger's: nothing is known to have changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Failure {
    #[error("the server has as much work under way as it takes; send the request again in a moment")]
    Overloaded,
    #[error(
        "the log or an index could not be written, so the ledger only answers reads until the server is started again"
    )]
    ReadOnly,
    #[error("the server is stopping")]
    Stopping,
    #[error("the first request with this key is still under way")]
    InProgress,
    #[error("this key was used before, for another request")]
    KeyReused,
    #[error("the atomic bulk is larger than one group of the log can be")]
    TooLarge,
    #[error("the disk could not be read: {0}")]
    Storage(String),
    /// The log has everything, whatever has become of the snapshot.
    #[error("no snapshot was taken: {0}")]
    Snapshot(String),
}

/// What came of one conversation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    Pending,
    /// In the log, at this position, at this time.
    Durable {
        lsn: u64,
        time_micros: u64,
    },
    /// Refused; in the log too if the request carried an id (otherwise `lsn` is 0). `index` is the
    /// transfer of an atomic bulk for which all of it was refused.
    Refused {
        reject: Reject,
        lsn: u64,
        index: u32,
    },
    Overloaded,
    ReadOnly,
}

/// The answers to a batch, by ticket.
pub type Answers = SmallVec<[Answer; 1]>;

/// What is asked of the wallets, but for plain transfers.
#[derive(Debug)]
pub enum Act {
    Atomic(Atomic),
    Authorize(Authorization),
    Capture(CaptureAct),
    Release(ReleaseAct),
    Open(Opening),
    SetStatus {
        wallet: WalletId,
        status: Status,
    },
    LimitSpending {
        wallet: WalletId,
        limits: SpendingLimits,
    },
    /// Refused before any wallet was asked; only to be recorded.
    Refuse {
        id: TransferId,
        fingerprint: u64,
    },
}

/// What came in together: transfers, each for itself, or one act of another kind.
#[derive(Debug)]
pub enum Acts {
    Transfers(SmallVec<[Transfer; 1]>),
    One(Act),
}

/// What one conversation is about.
#[derive(Clone, Copy, Debug)]
pub enum ActRef<'a> {
    Transfer(&'a Transfer),
    Other(&'a Act),
}

/// Many transfers, all or none.
#[derive(Debug)]
pub struct Atomic {
    pub transfers: Vec<Transfer>,
    /// Every leg, in the order (shard, wallet), as (transfer, leg).
    order: Vec<(u32, u32)>,
}

/// A capture; `resolved` is filled in by the payer's wallet, which knows the hold.
#[derive(Debug)]
pub struct CaptureAct {
    pub id: TransferId,
    pub fingerprint: u64,
    pub hold: HoldId,
    pub amount: Option<Amount>,
    pub is_final: bool,
    pub payer: WalletId,
    pub payee: WalletId,
    pub currency: Currency,
    /// How much is captured, and how much released with it.
    pub resolved: OnceLock<(Amount, i64)>,
}

/// A void or an expiry; `released` is filled in by the payer's wallet.
#[derive(Debug)]
pub struct ReleaseAct {
    pub hold: HoldId,
    pub payer: WalletId,
    pub end: HoldEnd,
    pub released: OnceLock<i64>,
}

/// A record without its legs and its reference takes less, its length included.
const RECORD_BYTES_PLAIN: usize = 80;
const LEG_BYTES: usize = 24;

/// One conversation on its way: small, since it is copied at each stop.
#[derive(Clone, Copy, Debug)]
pub struct Conversation {
    /// The place in its batch of what it is about.
    pub ticket: u32,
    /// The next stop; all stops before it have said yes.
    pub at: u32,
    /// Where the first two wallets of a plain transfer sit in their shards, filled in as it comes there.
    pub slots: [u32; SLOTS],
    /// Which shards host them.
    pub homes: [u8; SLOTS],
    pub refused: Option<Reject>,
}

/// Conversations of one batch that go the same way.
pub type Conversations = SmallVec<[Conversation; 1]>;

/// Places that a conversation remembers: those of nearly every transfer.
pub const SLOTS: usize = 2;

/// No place: the wallet is hosted elsewhere, or not open.
pub const NO_SLOT: u32 = u32::MAX;

const _: () = assert!(size_of::<Conversation>() <= 20);

/// One wallet's part in a conversation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stop {
    pub wallet: WalletId,
    /// What it pays (below zero), is paid, or zero where it only has to say yes.
    pub delta: i64,
}

impl Conversation {
    pub fn new(ticket: u32, act: ActRef<'_>, placement: Placement) -> Conversation {
        let mut homes = [0; SLOTS];
        if let ActRef::Transfer(transfer) = act {
            for (home, leg) in homes.iter_mut().zip(transfer.legs()) {
                *home = u8::try_from(placement.shard_of(leg.wallet)).expect("there are at most 256 shards");
            }
        }
        Conversation { ticket, at: 0, slots: [NO_SLOT; SLOTS], homes, refused: None }
    }

    /// The shard of its next stop.
    #[inline]
    pub fn home(&self, act: ActRef<'_>, stop: Stop, placement: Placement) -> usize {
        match (act, self.homes.get(self.at as usize)) {
            (ActRef::Transfer(_), Some(home)) => usize::from(*home),
            _ => placement.shard_of(stop.wallet),
        }
    }

    /// The answer when it is durable from `lsn` on.
    pub fn answer(&self, act: ActRef<'_>, lsn: u64, time_micros: u64) -> Answer {
        match self.refused {
            None => Answer::Durable { lsn, time_micros },
            Some(reject) => Answer::Refused { reject, lsn, index: self.refused_index(act) },
        }
    }

    fn refused_index(&self, act: ActRef<'_>) -> u32 {
        match act {
            ActRef::Other(Act::Atomic(atomic)) => atomic.order[self.at as usize].0,
            _ => 0,
        }
    }

    /// The events that it becomes when it is durable.
    pub fn for_each_event(&self, act: ActRef<'_>, mut f: impl FnMut(EventRef<'_>)) {
        if let Some(reject) = self.refused {
            if let ActRef::Other(Act::Atomic(atomic)) = act {
                for (index, transfer) in (0u32..).zip(&atomic.transfers) {
                    let reject = if index == self.refused_index(act) { reject } else { Reject::AtomicRefused };
                    let (id, fingerprint) = (transfer.id(), transfer.fingerprint());
                    f(EventRef::Other(Event::Refused { id, fingerprint, reject }));
                }
            } else if let Some((id, fingerprint)) = act.request() {
                f(EventRef::Other(Event::Refused { id, fingerprint, reject }));
            }
            return;
        }
        let act = match act {
            ActRef::Transfer(transfer) => return f(EventRef::Transfer(transfer)),
            ActRef::Other(act) => act,
        };
        match act {
            Act::Atomic(atomic) => atomic.transfers.iter().for_each(|transfer| f(EventRef::Transfer(transfer))),
            Act::Authorize(hold) => f(EventRef::Other(Event::HoldAuthorized(hold.clone()))),
            Act::Capture(capture) => f(EventRef::Other(Event::HoldCaptured(capture.event()))),
            Act::Release(release) => f(EventRef::Other(Event::HoldReleased {
                hold: release.hold,
                payer: release.payer,
                released: release.released(),
                end: release.end,
            })),
            Act::Open(opening) => f(EventRef::Other(Event::WalletOpened(*opening))),
            Act::SetStatus { wallet, status } => {
                f(EventRef::Other(Event::StatusChanged { wallet: *wallet, status: *status }));
            }
            Act::LimitSpending { wallet, limits } => {
                f(EventRef::Other(Event::SpendingLimited { wallet: *wallet, limits: *limits }));
            }
            Act::Refuse { .. } => unreachable!("it carries its refusal"),
        }
    }
}

impl ActRef<'_> {
    /// The id that the request carried and its fingerprint, under which a refusal is recorded too.
    pub fn request(self) -> Option<(TransferId, u64)> {
        match self {
            ActRef::Transfer(transfer) => Some((transfer.id(), transfer.fingerprint())),
            ActRef::Other(Act::Authorize(hold)) => Some((TransferId(hold.hold.0), hold.fingerprint)),
            ActRef::Other(Act::Capture(capture)) => Some((capture.id, capture.fingerprint)),
            ActRef::Other(Act::Refuse { id, fingerprint }) => Some((*id, *fingerprint)),
            // It carries many ids; see `for_each_event`.
            ActRef::Other(
                Act::Atomic(_) | Act::Release(_) | Act::Open(_) | Act::SetStatus { .. } | Act::LimitSpending { .. },
            ) => None,
        }
    }

    pub fn is_atomic(self) -> bool {
        matches!(self, ActRef::Other(Act::Atomic(_)))
    }

    /// Every id that is claimed for this conversation.
    pub fn for_each_claim(self, mut f: impl FnMut(u128)) {
        match self {
            ActRef::Other(Act::Atomic(atomic)) => atomic.transfers.iter().for_each(|transfer| f(transfer.id().0)),
            ActRef::Other(Act::Open(opening)) => f(opening.wallet.0),
            _ => {
                if let Some((id, _)) = self.request() {
                    f(id.0);
                }
            }
        }
    }

    /// The wallet to visit at stop `index`; `None` when all have said yes.
    #[inline]
    pub fn stop(self, index: u32) -> Option<Stop> {
        let index = index as usize;
        let act = match self {
            ActRef::Transfer(transfer) => {
                return transfer.legs().get(index).map(|leg| Stop { wallet: leg.wallet, delta: leg.amount });
            }
            ActRef::Other(act) => act,
        };
        match act {
            Act::Atomic(atomic) => atomic.order.get(index).map(|&(transfer, leg)| {
                let leg = atomic.transfers[transfer as usize].legs()[leg as usize];
                Stop { wallet: leg.wallet, delta: leg.amount }
            }),
            Act::Authorize(hold) => in_order(hold.payer, -hold.amount.minor(), hold.payee, 0, index),
            Act::Capture(capture) => capture.stop(index),
            Act::Release(release) => only(release.payer, index),
            Act::SetStatus { wallet, .. } | Act::LimitSpending { wallet, .. } => only(*wallet, index),
            // A wallet that is not open yet cannot be asked; the claim on its id was the question.
            Act::Open(opening) => only(opening.wallet, index),
            Act::Refuse { .. } => None,
        }
    }

    /// Whether this stop is a second visit to a wallet that has said yes: it passes those that wait there.
    pub fn returns_at(self, index: u32) -> bool {
        matches!(self, ActRef::Other(Act::Capture(_))) && index == 2
    }

    /// What stop `index`, which said yes, has to give back if a later one says no.
    pub fn undo_of(self, index: u32, stop: Stop) -> Undo {
        let wallet = stop.wallet;
        match self {
            ActRef::Other(Act::Capture(capture)) if wallet == capture.payer => {
                Undo::Capturing { wallet, hold: capture.hold, minor: capture.resolved().0.minor() }
            }
            ActRef::Other(Act::Capture(capture)) => match capture.amount {
                Some(amount) if index == 0 || index == 1 => Undo::Reserved { wallet, delta: amount.minor() },
                _ => Undo::Begun { wallet },
            },
            _ if stop.delta == 0 => Undo::Begun { wallet },
            _ => Undo::Reserved { wallet, delta: stop.delta },
        }
    }

    /// How many records it makes in the log.
    #[inline]
    pub fn record_count(self) -> u64 {
        match self {
            ActRef::Other(Act::Atomic(atomic)) => atomic.transfers.len() as u64,
            _ => 1,
        }
    }

    /// More bytes than its records take in the log.
    #[inline]
    pub fn record_bytes_max(self) -> usize {
        let of_transfer = |transfer: &Transfer| {
            RECORD_BYTES_PLAIN + transfer.legs().len() * LEG_BYTES + transfer.reference().map_or(0, str::len)
        };
        match self {
            ActRef::Transfer(transfer) => of_transfer(transfer),
            ActRef::Other(Act::Atomic(atomic)) => atomic.transfers.iter().map(of_transfer).sum(),
            ActRef::Other(_) => record::BODY_BYTES_MAX,
        }
    }
}

impl Acts {
    pub fn one_transfer(transfer: Transfer) -> Acts {
        Acts::Transfers(SmallVec::from_buf([transfer]))
    }

    pub fn get(&self, ticket: u32) -> ActRef<'_> {
        match self {
            Acts::Transfers(transfers) => ActRef::Transfer(&transfers[ticket as usize]),
            Acts::One(act) => ActRef::Other(act),
        }
    }

    /// How many tickets there are.
    pub fn count(&self) -> usize {
        match self {
            Acts::Transfers(transfers) => transfers.len(),
            Acts::One(_) => 1,
        }
    }
}

/// An event, or the transfer that it would be: transfers are not copied on their way to the log.
#[derive(Debug)]
pub enum EventRef<'a> {
    Transfer(&'a Transfer),
    Other(Event),
}

impl CaptureAct {
    /// Payer and payee in the order of their ids. Where the payee comes first and the amount is not known before
    /// the payer's hold is asked, the payee is asked whether it may be paid, and visited again.
    fn stop(&self, index: usize) -> Option<Stop> {
        let payer = Stop { wallet: self.payer, delta: 0 };
        let payee = Stop { wallet: self.payee, delta: 0 };
        let stops: &[Stop] = if self.payer < self.payee {
            &[payer, payee]
        } else if self.amount.is_some() {
            &[payee, payer]
        } else {
            &[payee, payer, payee]
        };
        stops.get(index).copied()
    }

    pub fn event(&self) -> Capture {
        let (amount, released) = self.resolved();
        Capture {
            id: self.id,
            fingerprint: self.fingerprint,
            hold: self.hold,
            payer: self.payer,
            payee: self.payee,
            currency: self.currency,
            amount,
            released,
        }
    }

    fn resolved(&self) -> (Amount, i64) {
        *self.resolved.get().expect("the payer's wallet was visited")
    }
}

impl ReleaseAct {
    pub fn released(&self) -> i64 {
        *self.released.get().expect("the payer's wallet was visited")
    }
}

impl Atomic {
    pub fn new(transfers: Vec<Transfer>, placement: Placement) -> Atomic {
        let mut order: Vec<(u32, u32)> = Vec::with_capacity(transfers.len() * 2);
        for (index, transfer) in (0u32..).zip(&transfers) {
            order.extend((0u32..).zip(transfer.legs()).map(|(leg, _)| (index, leg)));
        }
        let wallet = |&(transfer, leg): &(u32, u32)| transfers[transfer as usize].legs()[leg as usize].wallet;
        order.sort_by_key(|stop| (placement.shard_of(wallet(stop)), wallet(stop)));
        Atomic { transfers, order }
    }

    pub fn currency_at(&self, index: u32) -> Currency {
        self.transfers[self.order[index as usize].0 as usize].currency()
    }
}

fn in_order(payer: WalletId, payer_delta: i64, payee: WalletId, payee_delta: i64, index: usize) -> Option<Stop> {
    let mut stops = [Stop { wallet: payer, delta: payer_delta }, Stop { wallet: payee, delta: payee_delta }];
    if payer > payee {
        stops.swap(0, 1);
    }
    stops.get(index).copied()
}

fn only(wallet: WalletId, index: usize) -> Option<Stop> {
    (index == 0).then_some(Stop { wallet, delta: 0 })
}
