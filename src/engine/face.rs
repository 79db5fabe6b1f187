//! The engine's face: every request that may change something.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::ledger::fingerprint::Fingerprint;
use crate::ledger::{
    Amount, Authorization, Event, HoldEnd, HoldId, Opening, Reject, Status as WalletStatus, Transfer, TransferId,
    WalletId,
};

use super::claims::Claim;
use super::clock::now_micros;
use super::conversation::{Act, Answer, Atomic, Batch, CaptureAct, Conversation, Failure, ReleaseAct, Room};
use super::life::Engine;
use super::messages::{JournalBatch, JournalMessage, ShardMessage};

/// What came of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    Accepted(Receipt),
    Refused(Refusal),
    /// Not decided: the same request may be sent again.
    Failed(Failure),
}

/// It is in the log, and lasts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Receipt {
    pub lsn: u64,
    pub time_micros: u64,
    /// An earlier request with this id was the first; this is its answer.
    pub replayed: bool,
}

/// The ledger's rules said no.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refusal {
    pub reject: Reject,
    pub replayed: bool,
}

/// Why an atomic bulk was not made, and which of its transfers was the cause.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AtomicRefusal {
    pub index: usize,
    pub outcome: Outcome,
}

/// A capture as it is asked for: without an amount, all that remains.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CaptureRequest {
    pub id: TransferId,
    pub hold: HoldId,
    pub amount: Option<Amount>,
    /// Releases what is left of the hold.
    pub is_final: bool,
}

impl Engine {
    /// One transfer, to the end.
    pub async fn transfer(&self, transfer: Transfer) -> Outcome {
        let (id, fingerprint) = (transfer.id(), transfer.fingerprint());
        self.ask(id, fingerprint, Act::Transfer(transfer)).await
    }

    /// Many transfers, each for itself; outcomes in the same order. An id that stands twice in one call is under
    /// way when it is met for the second time.
    pub async fn transfer_each(&self, transfers: Vec<Transfer>) -> Vec<Outcome> {
        let count = transfers.len();
        let room = match self.admit(count) {
            Ok(room) => room,
            Err(failure) => return vec![Outcome::Failed(failure); count],
        };
        let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(count);
        let mut lanes: Vec<Vec<Conversation>> = (0..self.inner.placement.shards()).map(|_| Vec::new()).collect();
        lanes.iter_mut().for_each(|lane| lane.reserve(count / self.inner.config.shards + 1));
        let mut asked = 0u32;
        for transfer in transfers {
            let (id, fingerprint) = (transfer.id(), transfer.fingerprint());
            outcomes.push(match self.inner.claims.claim(id.0) {
                Ok(Claim::New) => {
                    let lane = self.inner.placement.shard_of(transfer.legs()[0].wallet);
                    lanes[lane].push(Conversation::new(asked, Act::Transfer(transfer)));
                    asked += 1;
                    None
                }
                Ok(Claim::UnderWay) => Some(Outcome::Failed(Failure::InProgress)),
                Ok(Claim::Done { lsn }) => Some(self.repeat(id, fingerprint, lsn)),
                Err(error) => Some(Outcome::Failed(Failure::Storage(error.to_string()))),
            });
        }
        if asked > 0 {
            let mut answers = self.converse(asked as usize, lanes, Some(room)).await.into_iter();
            for outcome in outcomes.iter_mut().filter(|outcome| outcome.is_none()) {
                *outcome = answers.next().map(outcome_of);
            }
        }
        outcomes.into_iter().map(|outcome| outcome.expect("each was asked or answered")).collect()
    }

    /// Many transfers, all or none. Money that comes in by one of them cannot be spent by another.
    pub async fn transfer_all(&self, transfers: Vec<Transfer>) -> Result<Vec<Receipt>, AtomicRefusal> {
        let failed = |index, failure| AtomicRefusal { index, outcome: Outcome::Failed(failure) };
        let count = transfers.len();
        if count == 0 {
            return Ok(Vec::new());
        }
        let requests: Vec<(TransferId, u64)> =
            transfers.iter().map(|transfer| (transfer.id(), transfer.fingerprint())).collect();
        let act = Act::Atomic(Box::new(Atomic::new(transfers, self.inner.placement)));
        let conversation = Conversation::new(0, act);
        if conversation.record_bytes_max() > wal::GROUP_BYTES_MAX {
            return Err(failed(0, Failure::TooLarge));
        }
        let room = self.admit(count).map_err(|failure| failed(0, failure))?;
        let mut claimed = Vec::new();
        let mut done = Vec::new();
        let mut trouble = None;
        for (index, (id, _)) in requests.iter().enumerate() {
            match self.inner.claims.claim(id.0) {
                Ok(Claim::New) => claimed.push(id.0),
                Ok(Claim::Done { lsn }) => done.push(lsn),
                Ok(Claim::UnderWay) if claimed.contains(&id.0) => trouble = Some((index, Failure::KeyReused)),
                Ok(Claim::UnderWay) => trouble = Some((index, Failure::InProgress)),
                Err(error) => trouble = Some((index, Failure::Storage(error.to_string()))),
            }
            if trouble.is_some() || (!done.is_empty() && !claimed.is_empty()) {
                // Some of the ids have been used, others not: this is another bulk than the first.
                claimed.iter().for_each(|id| self.inner.claims.abandon(*id));
                let (index, failure) = trouble.unwrap_or((index, Failure::KeyReused));
                return Err(failed(index, failure));
            }
        }
        if !done.is_empty() {
            return self.repeat_all(&requests, &done);
        }
        let mut lanes: Vec<Vec<Conversation>> = (0..self.inner.placement.shards()).map(|_| Vec::new()).collect();
        let first = conversation.stop(0).expect("a transfer has legs").wallet;
        lanes[self.inner.placement.shard_of(first)].push(conversation);
        match self.converse(1, lanes, Some(room)).await.into_iter().next() {
            Some(Answer::Durable { lsn, time_micros }) => {
                Ok((lsn..).take(count).map(|lsn| Receipt { lsn, time_micros, replayed: false }).collect())
            }
            Some(Answer::Refused { reject, index, .. }) => {
                let outcome = Outcome::Refused(Refusal { reject, replayed: false });
                Err(AtomicRefusal { index: index as usize, outcome })
            }
            Some(other) => Err(AtomicRefusal { index: 0, outcome: outcome_of(other) }),
            None => Err(failed(0, Failure::Stopping)),
        }
    }

    /// Opens a wallet. Its id is its key: the same opening again gives the first answer.
    pub async fn open_wallet(&self, opening: Opening) -> Outcome {
        let room = match self.admit(1) {
            Ok(room) => room,
            Err(failure) => return Outcome::Failed(failure),
        };
        match self.inner.claims.claim(opening.wallet.0) {
            Ok(Claim::New) => self.converse_one(Act::Open(Box::new(opening)), Some(room)).await,
            Ok(Claim::UnderWay) => Outcome::Failed(Failure::InProgress),
            Ok(Claim::Done { lsn }) => match self.event_now(lsn) {
                Ok(Some(found)) if found.event == Event::WalletOpened(opening) => {
                    Outcome::Accepted(Receipt { lsn, time_micros: found.time_micros, replayed: true })
                }
                Ok(_) => Outcome::Refused(Refusal { reject: Reject::WalletExists, replayed: false }),
                Err(failure) => Outcome::Failed(failure),
            },
            Err(error) => Outcome::Failed(Failure::Storage(error.to_string())),
        }
    }

    /// Freezes, unfreezes or closes a wallet. Asking for the status that it has is accepted and changes nothing.
    pub async fn set_status(&self, wallet: WalletId, status: WalletStatus) -> Outcome {
        match self.wallet(wallet).await {
            Ok(None) => Outcome::Refused(Refusal { reject: Reject::WalletNotFound, replayed: false }),
            Ok(Some(view)) if view.wallet.status() == status => {
                Outcome::Accepted(Receipt { lsn: view.lsn, time_micros: now_micros(), replayed: true })
            }
            Ok(Some(_)) => match self.admit(1) {
                Ok(room) => self.converse_one(Act::SetStatus { wallet, status }, Some(room)).await,
                Err(failure) => Outcome::Failed(failure),
            },
            Err(failure) => Outcome::Failed(failure),
        }
    }

    /// Puts money of the payer on hold for the payee.
    pub async fn authorize(&self, authorization: Authorization) -> Outcome {
        let (id, fingerprint) = (TransferId(authorization.hold.0), authorization.fingerprint);
        if authorization.payer == authorization.payee {
            return Outcome::Refused(Refusal { reject: Reject::SameWallet, replayed: false });
        }
        self.ask(id, fingerprint, Act::Authorize(Box::new(authorization))).await
    }

    /// Takes money of a hold. On acceptance the event at the receipt's position tells how much it was.
    pub async fn capture(&self, request: CaptureRequest) -> Outcome {
        let minor = request.amount.map_or(0, Amount::minor);
        let fingerprint = Fingerprint::of_capture(request.hold, minor, request.is_final);
        let Some(place) = self.inner.claims.open_hold(request.hold) else {
            let reject = match self.hold(request.hold).await {
                Ok(None) => Reject::HoldNotFound,
                Ok(Some(hold)) => hold.end.map_or(Reject::HoldClosed, HoldEnd::reject),
                Err(failure) => return Outcome::Failed(failure),
            };
            return self.refuse(request.id, fingerprint, reject).await;
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
            resolved: None,
        };
        self.ask(request.id, fingerprint, Act::Capture(Box::new(act))).await
    }

    /// Gives back what remains of a hold. A hold that was voided before is accepted again.
    pub async fn void(&self, hold: HoldId) -> Outcome {
        if let Some(place) = self.inner.claims.open_hold(hold) {
            let room = match self.admit(1) {
                Ok(room) => room,
                Err(failure) => return Outcome::Failed(failure),
            };
            let act = ReleaseAct { hold, payer: place.payer, end: HoldEnd::Voided, released: 0 };
            let outcome = self.converse_one(Act::Release(Box::new(act)), Some(room)).await;
            let closed_meanwhile = matches!(outcome, Outcome::Refused(Refusal { reject: Reject::HoldClosed, .. }));
            if !closed_meanwhile {
                return outcome;
            }
        }
        match self.hold(hold).await {
            Ok(None) => Outcome::Refused(Refusal { reject: Reject::HoldNotFound, replayed: false }),
            Ok(Some(view)) if view.end == Some(HoldEnd::Voided) => {
                Outcome::Accepted(Receipt { lsn: view.lsn, time_micros: view.authorized_at_micros, replayed: true })
            }
            Ok(Some(view)) => {
                let reject = view.end.map_or(Reject::HoldClosed, HoldEnd::reject);
                Outcome::Refused(Refusal { reject, replayed: false })
            }
            Err(failure) => Outcome::Failed(failure),
        }
    }

    /// The first answer to a request whose id was used before, if it is the same request.
    fn repeat(&self, id: TransferId, fingerprint: u64, lsn: u64) -> Outcome {
        match self.event_now(lsn) {
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

    /// A request with an id, first or repeated.
    async fn ask(&self, id: TransferId, fingerprint: u64, act: Act) -> Outcome {
        let room = match self.admit(1) {
            Ok(room) => room,
            Err(failure) => return Outcome::Failed(failure),
        };
        match self.inner.claims.claim(id.0) {
            Ok(Claim::New) => self.converse_one(act, Some(room)).await,
            Ok(Claim::UnderWay) => Outcome::Failed(Failure::InProgress),
            Ok(Claim::Done { lsn }) => self.repeat(id, fingerprint, lsn),
            Err(error) => Outcome::Failed(Failure::Storage(error.to_string())),
        }
    }

    /// Records a refusal for which no wallet has to be asked.
    async fn refuse(&self, id: TransferId, fingerprint: u64, reject: Reject) -> Outcome {
        let room = match self.admit(1) {
            Ok(room) => room,
            Err(failure) => return Outcome::Failed(failure),
        };
        match self.inner.claims.claim(id.0) {
            Ok(Claim::New) => {
                let mut conversation = Conversation::new(0, Act::Refuse { id, fingerprint });
                conversation.refused = Some(reject);
                let (batch, answers) = Batch::new(1, Some(room));
                let batch = JournalBatch { batch, conversations: vec![conversation] };
                drop(self.inner.wires.journal.send(JournalMessage::Batch(batch)));
                first_outcome(answers.await.unwrap_or_default())
            }
            Ok(Claim::UnderWay) => Outcome::Failed(Failure::InProgress),
            Ok(Claim::Done { lsn }) => self.repeat(id, fingerprint, lsn),
            Err(error) => Outcome::Failed(Failure::Storage(error.to_string())),
        }
    }

    fn admit(&self, count: usize) -> Result<Room, Failure> {
        let status = &self.inner.status;
        if status.is_stopping.load(Ordering::Relaxed) {
            return Err(Failure::Stopping);
        }
        if status.read_only().is_some() {
            return Err(Failure::ReadOnly);
        }
        Room::take(&status.in_flight, count, self.inner.config.in_flight_max).ok_or(Failure::Overloaded)
    }

    async fn converse_one(&self, act: Act, room: Option<Room>) -> Outcome {
        let conversation = Conversation::new(0, act);
        let first = conversation.stop(0).expect("it visits a wallet");
        let shard = self.inner.placement.shard_of(first.wallet);
        let (batch, answers) = Batch::new(1, room);
        let now_micros = now_micros();
        let message = ShardMessage::Prepare { batch, conversations: vec![conversation], now_micros };
        self.inner.wires.to_shard(shard, message);
        first_outcome(answers.await.unwrap_or_default())
    }

    /// Sends conversations to the shards of their first wallets and waits for all answers, by ticket.
    async fn converse(&self, count: usize, lanes: Vec<Vec<Conversation>>, room: Option<Room>) -> Vec<Answer> {
        let (batch, answers) = Batch::new(count, room);
        let now_micros = now_micros();
        for (shard, conversations) in lanes.into_iter().enumerate() {
            if !conversations.is_empty() {
                let batch = Arc::clone(&batch);
                self.inner.wires.to_shard(shard, ShardMessage::Prepare { batch, conversations, now_micros });
            }
        }
        drop(batch);
        answers.await.unwrap_or_else(|_| vec![Answer::ReadOnly; count])
    }
}

fn first_outcome(answers: Vec<Answer>) -> Outcome {
    answers.first().copied().map_or(Outcome::Failed(Failure::Stopping), outcome_of)
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
