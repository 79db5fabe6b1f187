//! Problem documents (RFC 9457), and the one table of their codes. The table feeds the answers,
//! the numbers in binary outcomes, and the OpenAPI document.

use std::borrow::Cow;

use hyper::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::{Failure, Refusal};
use crate::ledger::Reject;

macro_rules! codes {
    ($($variant:ident = $number:literal, $status:literal, $name:literal, $title:literal;)*) => {
        /// A stable name for what went wrong.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u16)]
        pub enum Code { $($variant = $number,)* }

        impl Code {
            pub const ALL: &[Code] = &[$(Code::$variant,)*];

            pub fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)* }
            }

            pub fn status(self) -> StatusCode {
                let status = match self { $(Code::$variant => $status,)* };
                StatusCode::from_u16(status).expect("the table has real statuses only")
            }

            pub fn title(self) -> &'static str {
                match self { $(Code::$variant => $title,)* }
            }

            /// The number in binary outcomes; the ledger's refusals keep their own. Never reused.
            pub fn number(self) -> u16 {
                self as u16
            }
        }
    };
}

codes! {
    LegsNotBalanced = 1, 422, "LEGS_NOT_BALANCED", "The legs do not add up to zero";
    SameWallet = 2, 422, "SAME_WALLET", "A wallet appears twice";
    WalletNotFound = 3, 404, "WALLET_NOT_FOUND", "No such wallet";
    WalletClosed = 4, 422, "WALLET_CLOSED", "The wallet is closed";
    CurrencyMismatch = 5, 422, "CURRENCY_MISMATCH", "Another currency than the wallet's";
    WalletFrozen = 6, 422, "WALLET_FROZEN", "The wallet is frozen";
    WalletMayNotSend = 7, 422, "WALLET_MAY_NOT_SEND", "The wallet may not send";
    WalletMayNotReceive = 8, 422, "WALLET_MAY_NOT_RECEIVE", "The wallet may not receive";
    InsufficientFunds = 9, 422, "INSUFFICIENT_FUNDS", "Not enough money";
    BalanceCeilingExceeded = 10, 422, "BALANCE_CEILING_EXCEEDED", "Above the balance ceiling";
    BalanceOverflow = 11, 422, "BALANCE_OVERFLOW", "The balance would overflow";
    WalletExists = 12, 422, "WALLET_EXISTS", "The wallet exists with other details";
    WalletNotEmpty = 13, 422, "WALLET_NOT_EMPTY", "The wallet is not empty";
    HoldNotFound = 14, 404, "HOLD_NOT_FOUND", "No such hold";
    HoldClosed = 15, 422, "HOLD_CLOSED", "The hold is closed";
    HoldExpired = 16, 422, "HOLD_EXPIRED", "The hold has expired";
    HoldExceeded = 17, 422, "HOLD_EXCEEDED", "More than remains of the hold";
    AtomicRefused = 18, 422, "ATOMIC_REFUSED", "Another item of the atomic bulk was refused";
    PaymentLimitExceeded = 19, 422, "PAYMENT_LIMIT_EXCEEDED", "Above the spending limit of a payment";
    DayLimitExceeded = 20, 422, "DAY_LIMIT_EXCEEDED", "Above the spending limit of a day";
    MonthLimitExceeded = 21, 422, "MONTH_LIMIT_EXCEEDED", "Above the spending limit of a month";
    InvalidJson = 1000, 400, "INVALID_JSON", "The body is not JSON";
    InvalidRequest = 1001, 400, "INVALID_REQUEST", "The request is not understood";
    InvalidAmount = 1002, 400, "INVALID_AMOUNT", "Not an amount of this currency";
    InvalidCurrency = 1003, 400, "INVALID_CURRENCY", "Not a currency";
    InvalidId = 1004, 400, "INVALID_ID", "Not an id";
    InvalidCursor = 1005, 400, "INVALID_CURSOR", "Not a cursor of this list";
    IdempotencyKeyRequired = 1006, 400, "IDEMPOTENCY_KEY_REQUIRED", "An Idempotency-Key is needed";
    Unauthorized = 1007, 401, "UNAUTHORIZED", "An API key is needed";
    NotFound = 1008, 404, "NOT_FOUND", "No such resource";
    TransferNotFound = 1009, 404, "TRANSFER_NOT_FOUND", "No such transfer";
    MethodNotAllowed = 1010, 405, "METHOD_NOT_ALLOWED", "Not a method of this resource";
    RequestTimeout = 1011, 408, "REQUEST_TIMEOUT", "The body took too long";
    RequestInProgress = 1012, 409, "REQUEST_IN_PROGRESS", "The first request is under way";
    BodyTooLarge = 1013, 413, "BODY_TOO_LARGE", "The body is too large";
    UnsupportedMediaType = 1014, 415, "UNSUPPORTED_MEDIA_TYPE", "Not a media type of this resource";
    IdempotencyKeyReused = 1015, 422, "IDEMPOTENCY_KEY_REUSED", "The key belongs to another request";
    HeadersTooLarge = 1016, 431, "HEADERS_TOO_LARGE", "The headers are too large";
    Internal = 1017, 500, "INTERNAL", "Something broke";
    StorageFailed = 1018, 500, "STORAGE_FAILED", "The disk failed";
    Overloaded = 1019, 503, "OVERLOADED", "Too much at once";
    ReadOnly = 1020, 503, "READ_ONLY", "The server is read-only";
    Recovering = 1021, 503, "RECOVERING", "The server is recovering";
    Stopping = 1022, 503, "STOPPING", "The server is stopping";
    RateLimited = 1029, 429, "RATE_LIMITED", "Too many requests";
    Forbidden = 1024, 403, "FORBIDDEN", "Not allowed";
    SecondPersonRequired = 1032, 403, "SECOND_PERSON_REQUIRED", "Another person has to approve this";
    AddressTaken = 1034, 422, "ADDRESS_TAKEN", "The address belongs to another account";
    AccountPending = 1036, 403, "ACCOUNT_PENDING", "The account waits for approval";
    AccountNotFound = 1035, 404, "ACCOUNT_NOT_FOUND", "No such account";
    InvalidCredentials = 1025, 401, "INVALID_CREDENTIALS", "Not the right name and password";
    InvalidToken = 1026, 401, "INVALID_TOKEN", "The token is not good";
    InvalidCode = 1027, 422, "INVALID_CODE", "Not the right code";
    TooManyTries = 1028, 429, "TOO_MANY_TRIES", "Too many wrong tries";
    StepUpRequired = 1031, 403, "STEP_UP_REQUIRED", "This payment has to be confirmed";
    WeakPassword = 1033, 422, "WEAK_PASSWORD", "The password is too weak";
    AccountBlocked = 1037, 403, "ACCOUNT_BLOCKED", "The account is blocked";
    AccountClosed = 1038, 403, "ACCOUNT_CLOSED", "The account is closed";
    PayeeNotFound = 1039, 404, "PAYEE_NOT_FOUND", "Nobody can be paid at this address";
    InvalidState = 1040, 409, "INVALID_STATE", "Not possible in this state";
    RecentSignInRequired = 1050, 403, "RECENT_SIGN_IN_REQUIRED", "You have to have signed in just now";
    NoBank = 1070, 422, "NO_BANK", "No bank is connected";
    TooManyRequestsOpen = 1071, 422, "TOO_MANY_REQUESTS_OPEN", "Too many requests for money are open";
    LimitAboveCeiling = 1072, 422, "LIMIT_ABOVE_CEILING", "The operator allows less";
    DatabaseFailed = 1041, 503, "DATABASE_FAILED", "The database does not answer";
    TooManyStreams = 1080, 429, "TOO_MANY_STREAMS", "Too many live streams";
    AnswerTimeout = 1023, 504, "ANSWER_TIMEOUT", "The answer took too long";
}

/// What a client is told instead of an answer.
#[derive(Clone, Debug)]
pub struct Problem {
    pub code: Code,
    pub detail: Cow<'static, str>,
    /// The item of an atomic bulk request that was refused.
    pub index: Option<usize>,
    /// The refusal is remembered from an earlier request with the same key.
    pub replayed: bool,
    /// Seconds to wait, where it depends on what happened.
    pub retry_after: Option<u32>,
    /// Of 405: the methods that the path has.
    pub allow: Option<&'static str>,
}

/// A problem document as it goes over the wire.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
struct Document<'a> {
    /// A reference to the code in the readable page of this API.
    #[serde(rename = "type")]
    #[schema(example = "/docs#INSUFFICIENT_FUNDS")]
    kind: &'a str,
    #[schema(example = "Not enough money")]
    title: &'a str,
    #[schema(example = 422)]
    status: u16,
    /// One sentence about this occurrence.
    #[schema(example = "The available balance and the overdraft limit together are less than the amount.")]
    detail: &'a str,
    /// The stable name; programs decide by this one.
    #[schema(example = "INSUFFICIENT_FUNDS")]
    code: &'a str,
    #[schema(example = "01890a5d-ac96-774b-bcce-b302099a8057")]
    request_id: &'a str,
    /// Of an atomic bulk request: the first item that was refused, counted from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
}

impl Problem {
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem { code, detail: detail.into(), index: None, replayed: false, retry_after: None, allow: None }
    }

    pub fn at(mut self, index: usize) -> Problem {
        self.index = Some(index);
        self
    }

    /// Seconds after which the same request may be worth another try.
    pub fn retry_after_seconds(&self) -> Option<u32> {
        match self.code {
            _ if self.retry_after.is_some() => self.retry_after,
            Code::Overloaded | Code::RequestInProgress | Code::Recovering => Some(1),
            Code::ReadOnly | Code::Stopping | Code::DatabaseFailed => Some(5),
            _ => None,
        }
    }

    pub fn render(&self, request_id: &str) -> Vec<u8> {
        let kind = format!("/docs#{}", self.code.name());
        let document = Document {
            kind: &kind,
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: &self.detail,
            code: self.code.name(),
            request_id,
            index: self.index,
        };
        serde_json::to_vec(&document).expect("strings and numbers are always JSON")
    }
}

/// The schema of the document, for the OpenAPI description.
pub fn schemas(list: &mut Vec<super::openapi::NamedSchema>) {
    super::openapi::add::<Document<'_>>(list);
}

impl From<Reject> for Code {
    fn from(reject: Reject) -> Code {
        let number = u16::from(reject.number());
        *Code::ALL.iter().find(|code| code.number() == number).expect("a test compares the two tables")
    }
}

impl From<Reject> for Problem {
    fn from(reject: Reject) -> Problem {
        Problem::new(Code::from(reject), reject.detail())
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        Problem { replayed: refusal.replayed, ..Problem::from(refusal.reject) }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Problem {
        match failure {
            Failure::Overloaded => Problem::new(Code::Overloaded, "Too many requests are under way; try again."),
            Failure::ReadOnly => Problem::new(
                Code::ReadOnly,
                "The disk cannot be written, so nothing is accepted; everything can still be read.",
            ),
            Failure::Stopping => Problem::new(Code::Stopping, "The server is stopping; try again when it is back."),
            Failure::InProgress => {
                Problem::new(Code::RequestInProgress, "A request with this key is under way; ask again for its answer.")
            }
            Failure::KeyReused => {
                Problem::new(Code::IdempotencyKeyReused, "This key, or id, was used for a request with other content.")
            }
            Failure::TooLarge => Problem::new(
                Code::BodyTooLarge,
                "An atomic bulk request of this size does not fit into one group of the log; send fewer items.",
            ),
            Failure::Snapshot(what) => {
                tracing::error!(what, "no snapshot was taken on request");
                Problem::new(Code::StorageFailed, format!("No snapshot was taken: {what}"))
            }
            Failure::Storage(what) => {
                tracing::error!(what, "storage failed under a request");
                Problem::new(Code::StorageFailed, "The disk failed under this request; the operator's log says how.")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_of_the_ledger_has_its_row() {
        for &reject in Reject::ALL {
            assert_eq!(Code::from(reject).name(), reject.code());
        }
    }

    #[test]
    fn names_and_numbers_are_unique() {
        for code in Code::ALL {
            let same = |other: &&Code| other.name() == code.name() || other.number() == code.number();
            assert_eq!(Code::ALL.iter().filter(same).count(), 1, "{code:?}");
            assert!(code.status().as_u16() >= 400, "{code:?}");
        }
    }

    #[test]
    fn a_document_has_all_its_members() {
        let document = Problem::from(Reject::InsufficientFunds).at(3).render("r-1");
        let json: serde_json::Value = serde_json::from_slice(&document).unwrap();
        assert_eq!(json["type"], "/docs#INSUFFICIENT_FUNDS");
        assert_eq!(json["status"], 422);
        assert_eq!(json["code"], "INSUFFICIENT_FUNDS");
        assert_eq!(json["request_id"], "r-1");
        assert_eq!(json["index"], 3);
    }
}
