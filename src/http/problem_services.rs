//! The services' faults as problems. What a database or a disk said is for the operator's log, not for clients.

use std::error::Error as _;

use super::problem::{Code, Problem};
use crate::services::{Fault, Why};

impl From<Why> for Code {
    fn from(why: Why) -> Code {
        match why {
            Why::InvalidRequest => Code::InvalidRequest,
            Why::NotFound => Code::NotFound,
            Why::Forbidden => Code::Forbidden,
            Why::AccountNotFound => Code::AccountNotFound,
            Why::TooManyStreams => Code::TooManyStreams,
            Why::KeyReused => Code::IdempotencyKeyReused,
            Why::InvalidCredentials => Code::InvalidCredentials,
            Why::InvalidToken => Code::InvalidToken,
            Why::InvalidCode => Code::InvalidCode,
            Why::StepUpRequired => Code::StepUpRequired,
            Why::WeakPassword => Code::WeakPassword,
            Why::AccountPending => Code::AccountPending,
            Why::AccountBlocked => Code::AccountBlocked,
            Why::AccountClosed => Code::AccountClosed,
            Why::PayeeNotFound => Code::PayeeNotFound,
            Why::InvalidState => Code::InvalidState,
            Why::AddressTaken => Code::AddressTaken,
            Why::SecondPersonRequired => Code::SecondPersonRequired,
            Why::RecentSignInRequired => Code::RecentSignInRequired,
            Why::NoBank => Code::NoBank,
            Why::TooManyRequestsOpen => Code::TooManyRequestsOpen,
            Why::LimitAboveCeiling => Code::LimitAboveCeiling,
        }
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Problem {
        match fault {
            Fault::No(why, detail) => Problem::new(Code::from(why), detail),
            Fault::Wait { seconds } => {
                let detail = format!("There were too many tries; the next may come in {seconds} s.");
                Problem { retry_after: Some(seconds), ..Problem::new(Code::TooManyTries, detail) }
            }
            Fault::Refused(refusal) => refusal.into(),
            Fault::Failed(failure) => failure.into(),
            Fault::Store(error) => {
                tracing::error!(%error, cause = ?error.source(), "the database failed under a request");
                Problem::new(Code::DatabaseFailed, "The database does not answer; try again.")
            }
            Fault::Broken { what } => {
                tracing::error!(what, "a service broke under a request");
                Problem::new(Code::Internal, "The server made a mistake; its log says which.")
            }
        }
    }
}
