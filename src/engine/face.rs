//! The engine's face: every request that may change something. The rules are the desk's; here requests wait for
//! their answers.

use crate::ledger::{
    Amount, Authorization, HoldId, Opening, Reject, Spending, SpendingLimits, Status as WalletStatus, Transfer,
    TransferId, WalletId,
};

use super::clock::now_micros;
use super::conversation::{Answers, Failure};
use super::desk::{Asked, Begun, BegunAll, Outgoing, first_outcome};
use super::life::Engine;
use super::messages::JournalMessage;

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
        self.end(self.inner.desk.transfer(transfer, now_micros())).await
    }

    /// Many transfers, each for itself; outcomes in the same order. An id that stands twice in one call is under
    /// way when it is met for the second time.
    pub async fn transfer_each(&self, transfers: Vec<Transfer>) -> Vec<Outcome> {
        let mut begun = self.inner.desk.transfer_each(transfers, now_micros());
        let answers = match begun.asked.take() {
            Some(asked) => self.converse(asked).await,
            None => Answers::new(),
        };
        begun.finish(&answers)
    }

    /// Many transfers, all or none. Money that comes in by one of them cannot be spent by another.
    pub async fn transfer_all(&self, transfers: Vec<Transfer>) -> Result<Vec<Receipt>, AtomicRefusal> {
        match self.inner.desk.transfer_all(transfers, now_micros()) {
            BegunAll::Asked { asked, count } => BegunAll::finish_asked(count, &self.converse(asked).await),
            BegunAll::Answered(answer) => answer,
        }
    }

    /// Opens a wallet. Its id is its key: the same opening again gives the first answer.
    pub async fn open_wallet(&self, opening: Opening) -> Outcome {
        self.end(self.inner.desk.open_wallet(opening, now_micros())).await
    }

    /// Freezes, unfreezes or closes a wallet. Asking for the status that it has is accepted and changes nothing.
    pub async fn set_status(&self, wallet: WalletId, status: WalletStatus) -> Outcome {
        match self.wallet(wallet).await {
            Ok(None) => Outcome::Refused(Refusal { reject: Reject::WalletNotFound, replayed: false }),
            Ok(Some(view)) if view.wallet.status() == status => {
                Outcome::Accepted(Receipt { lsn: view.lsn, time_micros: now_micros(), replayed: true })
            }
            Ok(Some(_)) => self.end(self.inner.desk.set_status(wallet, status, now_micros())).await,
            Err(failure) => Outcome::Failed(failure),
        }
    }

    /// Sets, changes or takes away (all none) what may leave a wallet. Asking for the limits that it has is accepted and
    /// changes nothing. What was spent before there were any is not counted.
    pub async fn limit_spending(&self, wallet: WalletId, limits: SpendingLimits) -> Outcome {
        let has = |spending: Option<Spending>| match spending {
            None => limits.is_none(),
            Some(spending) => spending.limits() == limits,
        };
        match self.wallet(wallet).await {
            Ok(None) => Outcome::Refused(Refusal { reject: Reject::WalletNotFound, replayed: false }),
            Ok(Some(view)) if has(view.spending) => {
                Outcome::Accepted(Receipt { lsn: view.lsn, time_micros: now_micros(), replayed: true })
            }
            Ok(Some(_)) => self.end(self.inner.desk.limit_spending(wallet, limits, now_micros())).await,
            Err(failure) => Outcome::Failed(failure),
        }
    }

    /// Puts money of the payer on hold for the payee.
    pub async fn authorize(&self, authorization: Authorization) -> Outcome {
        self.end(self.inner.desk.authorize(authorization, now_micros())).await
    }

    /// Takes money of a hold. On acceptance the event at the receipt's position tells how much it was.
    pub async fn capture(&self, request: CaptureRequest) -> Outcome {
        self.end(self.inner.desk.capture(request, now_micros())).await
    }

    /// Gives back what remains of a hold. A hold that was voided before is accepted again.
    pub async fn void(&self, hold: HoldId) -> Outcome {
        let outcome = self.end(self.inner.desk.void(hold, now_micros())).await;
        if matches!(outcome, Outcome::Refused(Refusal { reject: Reject::HoldClosed, .. })) {
            // It may have been closed while the question was on its way.
            return self.end(self.inner.desk.void(hold, now_micros())).await;
        }
        outcome
    }

    async fn end(&self, begun: Begun) -> Outcome {
        match begun {
            Begun::Asked(asked) => first_outcome(&self.converse(asked).await),
            Begun::Answered(outcome) => outcome,
        }
    }

    /// Sends messages and waits for all answers, by ticket; none when the engine has stopped.
    async fn converse(&self, asked: Asked) -> Answers {
        for message in asked.messages {
            match message {
                Outgoing::Shard(shard, message) => {
                    self.inner.wires.to_shard(shard, message);
                }
                Outgoing::Journal(batch) => drop(self.inner.wires.journal.send(JournalMessage::Batch(batch))),
            }
        }
        asked.answers.await.unwrap_or_default()
    }
}
