//! What Florin asks of a bank, whichever it is: to collect money from somebody's account, to pay money out to one, and how an
//! order stands. An order has an id of Florin's; asked twice, it is carried out once. When and how often to ask is the
//! services' business.

use std::fmt;
use std::pin::Pin;

use secrecy::SecretString;
use uuid::Uuid;

use crate::ledger::{Amount, Currency};

/// Which way money goes, seen from Florin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    Collect,
    PayOut,
}

#[derive(Debug)]
pub struct Order {
    /// By which the bank knows it again.
    pub id: Uuid,
    pub way: Way,
    pub amount: Amount,
    pub currency: Currency,
    pub bank_account: SecretString,
    pub reference: String,
}

/// How an order stands. Settled and failed are the end of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    Pending,
    Settled {
        /// The bank's own name for it.
        reference: String,
    },
    Failed {
        reason: String,
    },
}

/// Why it is not known how an order stands. None of these says that it was not carried out: whoever gets one asks again.
#[derive(Debug, thiserror::Error)]
pub enum BankError {
    #[error("the bank cannot be reached, or did not answer in time")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the bank answered {status}")]
    Status { status: u16 },
    #[error("the bank's answer is not understood")]
    Unreadable(#[source] serde_json::Error),
    #[error("the bank's answer is {what}")]
    Strange { what: &'static str },
}

pub type Asking<'a> = Pin<Box<dyn Future<Output = Result<Standing, BankError>> + Send + 'a>>;

/// A connector: one file each.
pub trait Bank: fmt::Debug + Send + Sync {
    /// Asks for the order to be carried out. Asked again with the same order, it tells how it stands.
    fn carry_out<'a>(&'a self, order: &'a Order) -> Asking<'a>;

    /// How an order stands. None where the bank never heard of it.
    fn status<'a>(
        &'a self,
        order: &'a Order,
    ) -> Pin<Box<dyn Future<Output = Result<Option<Standing>, BankError>> + Send + 'a>>;
}
