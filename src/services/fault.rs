//! Why a service did not do what was asked: it may not be (`Why`), the ledger refused, or something failed.

use std::borrow::Cow;

use super::clock::SECOND;
use crate::engine::{Failure, Refusal};
use crate::ledger::Reject;
use crate::store::StoreError;

/// The reasons that are not the ledger's. Each has a code on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    InvalidRequest,
    NotFound,
    Forbidden,
    AccountNotFound,
    /// The idempotency key, or the address, belongs to another.
    KeyReused,
    InvalidCredentials,
    InvalidToken,
    InvalidCode,
    StepUpRequired,
    WeakPassword,
    AccountPending,
    AccountBlocked,
    AccountClosed,
    PayeeNotFound,
    InvalidState,
    AddressTaken,
    SecondPersonRequired,
    RecentSignInRequired,
    /// The server has no bank.
    NoBank,
    TooManyRequestsOpen,
    /// More than the operator allows.
    LimitAboveCeiling,
    TooManyStreams,
}

#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("{1}")]
    No(Why, Cow<'static, str>),
    /// Too many wrong tries: the next may come after this time.
    #[error("{seconds} s have to pass before the next try")]
    Wait { seconds: u32 },
    #[error("the ledger refused: {}", _0.reject.detail())]
    Refused(Refusal),
    #[error("the ledger did not answer: {0:?}")]
    Failed(Failure),
    #[error(transparent)]
    Store(StoreError),
    #[error("{what}")]
    Broken { what: String },
}

impl Fault {
    pub fn no(why: Why, detail: impl Into<Cow<'static, str>>) -> Fault {
        Fault::No(why, detail.into())
    }

    /// In whole seconds, so that whoever waits for so long has waited enough.
    pub fn wait(micros: i64) -> Fault {
        let seconds = u32::try_from(micros.max(1).saturating_add(SECOND - 1) / SECOND).unwrap_or(u32::MAX);
        Fault::Wait { seconds }
    }

    pub fn why(&self) -> Option<Why> {
        if let Fault::No(why, _) = self { Some(*why) } else { None }
    }

    pub fn reject(&self) -> Option<Reject> {
        if let Fault::Refused(refusal) = self { Some(refusal.reject) } else { None }
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Fault {
        Fault::Failed(failure)
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Fault {
        Fault::Store(StoreError::Failed(error))
    }
}
