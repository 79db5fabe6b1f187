//! The desk: what becomes of a request before and after it visits the wallets. It admits, claims ids, finds first
//! answers, and turns answers into outcomes. A plain state machine without threads or clocks, so that the server and the
//! simulator take requests by the same rules; `face.rs` is the asynchronous shell.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use smallvec::{SmallVec, smallvec};
use tokio::sync::oneshot;

use crate::ledger::fingerprint::Fingerprint;
use crate::ledger::{
    Amount, Authorization, Event, HoldEnd, HoldId, Opening, Reject, SpendingLimits, Status as WalletStatus, Transfer,
    TransferId, WalletId,
};

use super::batch::{Batch, Room};
use super::claims::{Claim, Claims};
use super::conversation::{
    Act, ActRef, Acts, Answer, Answers, Atomic, CaptureAct, Conversation, Conversations, Failure, ReleaseAct,
};
use super::face::{AtomicRefusal, CaptureRequest, Outcome, Receipt, Refusal};
use super::lookup::{Found, HoldView};
use super::messages::{JournalBatch, ShardMessage};
use super::placement::Placement;
use super::record;
use super::status::{Status, with_causes};

/// Where requests come in.
#[derive(Debug)]
pub struct Desk {
    pub claims: Arc<Claims>,
    pub reader: wal::Reader,
    pub placement: Placement,
    pub status: Arc<Status>,
    pub in_flight_max: usize,
}

/// What becomes of a request at the desk.
#[derive(Debug)]
pub enum Begun {
    /// The wallets decide.
    Asked(Asked),
    /// Nobody has to be asked.
    Answered(Outcome),
}

/// Messages to send, and where the answers will come from.
#[derive(Debug)]
pub struct Asked {
    pub messages: SmallVec<[Outgoing; 1]>,
    pub answers: oneshot::Receiver<Answers>,
}

/// A message from the desk.
#[derive(Debug)]
pub enum Outgoing {
    Shard(usize, ShardMessage),
    Journal(JournalBatch),
}

/// A batch at the desk: outcomes that are known already, and the rest.
#[derive(Debug)]
pub struct BegunEach {
    outcomes: Vec<Option<Outcome>>,
    pub asked: Option<Asked>,
}

/// An atomic bulk at the desk.
#[derive(Debug)]
pub enum BegunAll {
    Asked { asked: Asked, count: usize },
    Answered(Result<Vec<Receipt>, AtomicRefusal>),
}

impl BegunEach {
    /// The outcomes in the order of the requests.
    pub fn finish(self, answers: &[Answer]) -> Vec<Outcome> {
        let outcome = |(index, known): (usize, Option<Outcome>)| {
            known.unwrap_or_else(|| answers.get(index).copied().map_or_else(stopping, outcome_of))
        };
        self.outcomes.into_iter().enumerate().map(outcome).collect()
    }
}

impl BegunAll {
    /// The receipts of an atomic bulk, or why there are none.
    pub fn finish_asked(count: usize, answers: &[Answer]) -> Result<Vec<Receipt>, AtomicRefusal> {
        match answers.first().copied() {
            Some(Answer::Durable { lsn, time_micros }) => {
                Ok((lsn..).take(count).map(|lsn| Receipt { lsn, time_micros, replayed: false }).collect())
            }
            Some(Answer::Refused { reject, index, .. }) => {
                let outcome = Outcome::Refused(Refusal { reject, replayed: false });
                Err(AtomicRefusal { index: index as usize, outcome })
            }
            Some(other) => Err(AtomicRefusal { index: 0, outcome: outcome_of(other) }),
            None => Err(AtomicRefusal { index: 0, outcome: stopping() }),
        }
    }
}

impl Desk {
    pub fn transfer(&self, transfer: Transfer, now_micros: u64) -> Begun {
        let (id, fingerprint) = (transfer.id(), transfer.fingerprint());
        self.ask(id, fingerprint, Acts::one_transfer(transfer), now_micros)
    }

    pub fn transfer_each(&self, transfers: Vec<Transfer>, now_micros: u64) -> BegunEach {
        let count = transfers.len();
        let room = match self.admit(count) {
            Ok(room) => room,
            Err(failure) => return BegunEach { outcomes: vec![Some(Outcome::Failed(failure)); count], asked: None },
        };
        let mut outcomes: Vec<Option<Outcome>> = vec![None; count];
        let mut asked = 0;
        let mut others = Vec::new();
        self.claims.claim_each(&transfers, |index, claim| match claim {
            Ok(Claim::New) => asked += 1,
            other => others.push((index, other)),
        });
        for (index, other) in others {
            let transfer = &transfers[index];
            outcomes[index] = Some(self.not_new(other, transfer.id(), transfer.fingerprint()));
        }
        let mut lanes = self.lanes(count);
        for (ticket, transfer) in (0u32..).zip(&transfers) {
            if outcomes[ticket as usize].is_none() {
                let conversation = Conversation::new(ticket, ActRef::Transfer(transfer), self.placement);
                lanes[usize::from(conversation.homes[0])].push(conversation);
            }
        }
        let acts = Acts::Transfers(transfers.into());
        let asked = (asked > 0).then(|| self.send(acts, asked, lanes, room, now_micros));
        BegunEach { outcomes, asked }
    }

    pub fn transfer_all(&self, transfers: Vec<Transfer>, now_micros: u64) -> BegunAll {
        let failed =
            |index, failure| BegunAll::Answered(Err(AtomicRefusal { index, outcome: Outcome::Failed(failure) }));
        let count = transfers.len();
        if count == 0 {
            return BegunAll::Answered(Ok(Vec::new()));
        }
        let requests: Vec<(TransferId, u64)> =
            transfers.iter().map(|transfer| (transfer.id(), transfer.fingerprint())).collect();
        let acts = Acts::One(Act::Atomic(Atomic::new(transfers, self.placement)));
        if acts.get(0).record_bytes_max() > wal::GROUP_BYTES_MAX {
            return failed(0, Failure::TooLarge);
        }
        let room = match self.admit(count) {
            Ok(room) => room,
            Err(failure) => return failed(0, failure),
        };
        let mut claimed = Vec::new();
        let mut done = Vec::new();
        for (index, (id, _)) in requests.iter().enumerate() {
            let trouble = match self.claims.claim(id.0) {
                Ok(Claim::New) => {
                    claimed.push(id.0);
                    None
                }
                Ok(Claim::Done { lsn }) => {
                    done.push(lsn);
                    None
                }
                Ok(Claim::UnderWay) if claimed.contains(&id.0) => Some(Failure::KeyReused),
                Ok(Claim::UnderWay) => Some(Failure::InProgress),
                Err(error) => Some(Failure::Storage(error.to_string())),
            };
            // Where some of the ids have been used and others not, this is another bulk than the first.
            let is_mixed = !done.is_empty() && !claimed.is_empty();
            if let Some(failure) = trouble.or(is_mixed.then_some(Failure::KeyReused)) {
                claimed.iter().for_each(|id| self.claims.abandon(*id));
                return failed(index, failure);
            }
        }
        if !done.is_empty() {
            return BegunAll::Answered(self.repeat_all(&requests, &done));
        }
        BegunAll::Asked { asked: self.send_one(acts, room, now_micros), count }
    }

    /// The wallet's id is its key: the same opening again gives the first answer.
    pub fn open_wallet(&self, opening: Opening, now_micros: u64) -> Begun {
        let room = match self.admit(1) {
            Ok(room) => room,
            Err(failure) => return Begun::failed(failure),
        };
        Begun::Answered(match self.claims.claim(opening.wallet.0) {
            Ok(Claim::New) => {
                return Begun::Asked(self.send_one(Acts::One(Act::Open(opening)), room, now_micros));
            }
            Ok(Claim::UnderWay) => Outcome::Failed(Failure::InProgress),
            Ok(Claim::Done { lsn }) => match self.event(lsn) {
                Ok(Some(found)) if found.event == Event::WalletOpened(opening) => {
                    Outcome::Accepted(Receipt { lsn, time_micros: found.time_micros, replayed: true })
                }
                Ok(_) => Outcome::Refused(Refusal { reject: Reject::WalletExists, replayed: false }),
                Err(failure) => Outcome::Failed(failure),
            },
            Err(error) => Outcome::Failed(Failure::Storage(error.to_string())),
        })
    }

    pub fn set_status(&self, wallet: WalletId, status: WalletStatus, now_micros: u64) -> Begun {
        match self.admit(1) {
            Ok(room) => Begun::Asked(self.send_one(Acts::One(Act::SetStatus { wallet, status }), room, now_micros)),
            Err(failure) => Begun::failed(failure),
        }
    }

    pub fn limit_spending(&self, wallet: WalletId, limits: SpendingLimits, now_micros: u64) -> Begun {
        match self.admit(1) {
            Ok(room) => Begun::Asked(self.send_one(Acts::One(Act::LimitSpending { wallet, limits }), room, now_micros)),
            Err(failure) => Begun::failed(failure),
        }
    }

    pub fn authorize(&self, authorization: Authorization, now_micros: u64) -> Begun {
        let (id, fingerprint) = (TransferId(authorization.hold.0), authorization.fingerprint);
        if authorization.payer == authorization.payee {
            return Begun::refused(Reject::SameWallet);
        }
        self.ask(id, fingerprint, Acts::One(Act::Authorize(authorization)), now_micros)
    }

    pub fn capture(&self, request: CaptureRequest, now_micros: u64) -> Begun {
        let minor = request.amount.map_or(0, Amount::minor);
        let fingerprint = Fingerprint::of_capture(request.hold, minor, request.is_final);
        let Some(place) = self.claims.open_hold(request.hold) else {
            return match self.hold(request.hold) {
                Ok(None) => self.refuse(request.id, fingerprint, Reject::HoldNotFound, now_micros),
                Ok(Some(hold)) => {
                    let reject = hold.end.map_or(Reject::HoldClosed, HoldEnd::reject);
                    self.refuse(request.id, fingerprint, reject, now_micros)
                }
                Err(failure) => Begun::failed(failure),
            };
        };
        let act = CaptureAct {
            id: request.id,
            fingerprint,
            hold: request.hold,
            amount: request.amount,
            is_final: request.is_final,
            payer: place.payer,
            payee: place.payee,
            currency: place.currency,
            resolved: OnceLock::new(),
        };
        self.ask(request.id, fingerprint, Acts::One(Act::Capture(act)), now_micros)
    }

    /// Gives back what remains of a hold. An answer of `HOLD_CLOSED` by its wallet means that it was closed while the
    /// question was on its way: ask again, and how it ended is known.
    pub fn void(&self, hold: HoldId, now_micros: u64) -> Begun {
        if let Some(place) = self.claims.open_hold(hold) {
            return match self.admit(1) {
                Ok(room) => {
                    let (payer, end) = (place.payer, HoldEnd::Voided);
                    let act = Act::Release(ReleaseAct { hold, payer, end, released: OnceLock::new() });
                    Begun::Asked(self.send_one(Acts::One(act), room, now_micros))
                }
                Err(failure) => Begun::failed(failure),
            };
        }
        Begun::Answered(match self.hold(hold) {
            Ok(None) => Outcome::Refused(Refusal { reject: Reject::HoldNotFound, replayed: false }),
            Ok(Some(view)) if view.end == Some(HoldEnd::Voided) => {
                Outcome::Accepted(Receipt { lsn: view.lsn, time_micros: view.authorized_at_micros, replayed: true })
            }
            Ok(Some(view)) => {
                let reject = view.end.map_or(Reject::HoldClosed, HoldEnd::reject);
                Outcome::Refused(Refusal { reject, replayed: false })
            }
            Err(failure) => Outcome::Failed(failure),
        })
    }

    /// A hold, open or ended, out of its records.
    pub fn hold(&self, hold: HoldId) -> Result<Option<HoldView>, Failure> {
        let Some(lsn) = self.claims.find(hold.0).map_err(storage)? else { return Ok(None) };
        let Some(Found { time_micros, event: Event::HoldAuthorized(authorization), .. }) = self.event(lsn)? else {
            return Ok(None);
        };
        let mut view = HoldView { authorization, captured: 0, end: None, authorized_at_micros: time_micros, lsn };
        let total = view.authorization.amount.minor();
        for lsn in self.claims.records_of_hold(hold).map_err(storage)? {
            match self.event(lsn)?.map(|found| found.event) {
                Some(Event::HoldCaptured(capture)) => {
                    view.captured += capture.amount.minor();
                    if view.captured + capture.released == total {
                        view.end = Some(HoldEnd::Captured);
                    }
                }
                Some(Event::HoldReleased { end, .. }) => view.end = Some(end),
                _ => continue,
            }
            view.lsn = lsn;
        }
        Ok(Some(view))
    }

    /// The event at a position.
    pub fn event(&self, lsn: u64) -> Result<Option<Found>, Failure> {
        let Some(found) = self.reader.read(lsn).map_err(storage)? else { return Ok(None) };
        let event = record::decode(&found.bytes).map_err(storage)?;
        Ok(Some(Found { lsn, time_micros: found.time_micros, event }))
    }

    /// The event that took an id.
    pub fn find(&self, id: u128) -> Result<Option<Found>, Failure> {
        match self.claims.find(id).map_err(storage)? {
            Some(lsn) => self.event(lsn),
            None => Ok(None),
        }
    }

    /// A request with an id, first or repeated.
    fn ask(&self, id: TransferId, fingerprint: u64, acts: Acts, now_micros: u64) -> Begun {
        let room = match self.admit(1) {
            Ok(room) => room,
            Err(failure) => return Begun::failed(failure),
        };
        match self.claims.claim(id.0) {
            Ok(Claim::New) => Begun::Asked(self.send_one(acts, room, now_micros)),
            other => Begun::Answered(self.not_new(other, id, fingerprint)),
        }
    }

    /// Records a refusal for which no wallet has to be asked.
    fn refuse(&self, id: TransferId, fingerprint: u64, reject: Reject, now_micros: u64) -> Begun {
        let room = match self.admit(1) {
            Ok(room) => room,
            Err(failure) => return Begun::failed(failure),
        };
        match self.claims.claim(id.0) {
            Ok(Claim::New) => {
                let acts = Acts::One(Act::Refuse { id, fingerprint });
                let mut conversation = Conversation::new(0, acts.get(0), self.placement);
                conversation.refused = Some(reject);
                let (batch, answers) = Batch::new(acts, 1, now_micros, Some(room));
                let batch = JournalBatch { batch, conversations: smallvec![conversation] };
                Begun::Asked(Asked { messages: smallvec![Outgoing::Journal(batch)], answers })
            }
            other => Begun::Answered(self.not_new(other, id, fingerprint)),
        }
    }

    fn not_new(&self, claim: Result<Claim, super::runs::Error>, id: TransferId, fingerprint: u64) -> Outcome {
        match claim {
            Ok(Claim::Done { lsn }) => self.repeat(id, fingerprint, lsn),
            Ok(Claim::UnderWay) => Outcome::Failed(Failure::InProgress),
            Ok(Claim::New) => unreachable!("it was asked for before"),
            Err(error) => Outcome::Failed(Failure::Storage(error.to_string())),
        }
    }

    /// The first answer to a request whose id was used before, if it is the same request.
    fn repeat(&self, id: TransferId, fingerprint: u64, lsn: u64) -> Outcome {
        match self.event(lsn) {
            Ok(Some(found)) if found.event.request() == Some((id, fingerprint)) => match found.event {
                Event::Refused { reject, .. } => Outcome::Refused(Refusal { reject, replayed: true }),
                _ => Outcome::Accepted(Receipt { lsn, time_micros: found.time_micros, replayed: true }),
            },
            Ok(_) => Outcome::Failed(Failure::KeyReused),
            Err(failure) => Outcome::Failed(failure),
        }
    }

    fn repeat_all(&self, requests: &[(TransferId, u64)], lsns: &[u64]) -> Result<Vec<Receipt>, AtomicRefusal> {
        let mut receipts = Vec::with_capacity(lsns.len());
        let mut refusals = Vec::new();
        for (index, (&(id, fingerprint), &lsn)) in requests.iter().zip(lsns).enumerate() {
            match self.repeat(id, fingerprint, lsn) {
                Outcome::Accepted(receipt) => receipts.push(receipt),
                Outcome::Refused(refusal) => refusals.push((index, refusal)),
                outcome @ Outcome::Failed(_) => return Err(AtomicRefusal { index, outcome }),
            }
        }
        if refusals.is_empty() {
            return Ok(receipts);
        }
        let cause = refusals.iter().find(|(_, refusal)| refusal.reject != Reject::AtomicRefused);
        let (index, refusal) = *cause.unwrap_or(&refusals[0]);
        Err(AtomicRefusal { index, outcome: Outcome::Refused(refusal) })
    }

    fn admit(&self, count: usize) -> Result<Room, Failure> {
        if self.status.is_stopping.load(Ordering::Relaxed) {
            return Err(Failure::Stopping);
        }
        if self.status.read_only().is_some() {
            return Err(Failure::ReadOnly);
        }
        Room::take(&self.status.in_flight, count, self.in_flight_max).ok_or(Failure::Overloaded)
    }

    fn lanes(&self, expected: usize) -> Vec<Conversations> {
        let shards = self.placement.shards();
        (0..shards).map(|_| Conversations::with_capacity(expected / shards + 1)).collect()
    }

    fn send_one(&self, acts: Acts, room: Room, now_micros: u64) -> Asked {
        let first = acts.get(0).stop(0).expect("it visits a wallet").wallet;
        let shard = self.placement.shard_of(first);
        let conversation = Conversation::new(0, acts.get(0), self.placement);
        let (batch, answers) = Batch::new(acts, 1, now_micros, Some(room));
        let message = ShardMessage::Prepare { batch, conversations: smallvec![conversation] };
        Asked { messages: smallvec![Outgoing::Shard(shard, message)], answers }
    }

    fn send(&self, acts: Acts, asked: usize, lanes: Vec<Conversations>, room: Room, now_micros: u64) -> Asked {
        let (batch, answers) = Batch::new(acts, asked, now_micros, Some(room));
        let mut messages = SmallVec::with_capacity(lanes.len());
        for (shard, conversations) in lanes.into_iter().enumerate() {
            if !conversations.is_empty() {
                let batch = Arc::clone(&batch);
                messages.push(Outgoing::Shard(shard, ShardMessage::Prepare { batch, conversations }));
            }
        }
        Asked { messages, answers }
    }
}

impl Begun {
    fn failed(failure: Failure) -> Begun {
        Begun::Answered(Outcome::Failed(failure))
    }

    fn refused(reject: Reject) -> Begun {
        Begun::Answered(Outcome::Refused(Refusal { reject, replayed: false }))
    }
}

/// The outcome of a batch of one. No answer at all: the engine stopped.
pub fn first_outcome(answers: &[Answer]) -> Outcome {
    answers.first().copied().map_or_else(stopping, outcome_of)
}

pub(super) fn storage(error: impl Into<Box<dyn std::error::Error>>) -> Failure {
    Failure::Storage(with_causes(&*error.into()))
}

fn stopping() -> Outcome {
    Outcome::Failed(Failure::Stopping)
}

fn outcome_of(answer: Answer) -> Outcome {
    match answer {
        Answer::Durable { lsn, time_micros } => Outcome::Accepted(Receipt { lsn, time_micros, replayed: false }),
        Answer::Refused { reject, .. } => Outcome::Refused(Refusal { reject, replayed: false }),
        Answer::Overloaded => Outcome::Failed(Failure::Overloaded),
        Answer::ReadOnly => Outcome::Failed(Failure::ReadOnly),
        Answer::Pending => unreachable!("a batch answers when nothing is pending"),
    }
}
