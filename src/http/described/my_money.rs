//! The wallet as people use it, in words.

use super::{Body, CURSOR, Described, EMPTY, LIMIT, Success};
use crate::http::problem::Code;
use crate::http::route::Route;

const MINE: Described = Described { tag: "My wallet", codes: &[Code::AccountNotFound], ..EMPTY };
const WALLET: (&str, bool, &str) = ("wallet", false, "Another wallet of the caller's than the account's first.");

/// What the ledger may say to a payment.
const PAYMENT_CODES: &[Code] = &[
    Code::AccountNotFound,
    Code::AccountPending,
    Code::AccountBlocked,
    Code::AccountClosed,
    Code::PayeeNotFound,
    Code::StepUpRequired,
    Code::SameWallet,
    Code::CurrencyMismatch,
    Code::WalletNotFound,
    Code::WalletClosed,
    Code::WalletFrozen,
    Code::WalletMayNotSend,
    Code::WalletMayNotReceive,
    Code::InsufficientFunds,
    Code::BalanceCeilingExceeded,
    Code::BalanceOverflow,
    Code::PaymentLimitExceeded,
    Code::DayLimitExceeded,
    Code::MonthLimitExceeded,
];
const REQUEST_PAY_CODES: &[Code] = &[
    Code::NotFound,
    Code::InvalidId,
    Code::InvalidState,
    Code::AccountNotFound,
    Code::AccountPending,
    Code::AccountBlocked,
    Code::AccountClosed,
    Code::PayeeNotFound,
    Code::StepUpRequired,
    Code::WalletClosed,
    Code::WalletFrozen,
    Code::WalletMayNotSend,
    Code::WalletMayNotReceive,
    Code::InsufficientFunds,
    Code::BalanceCeilingExceeded,
    Code::PaymentLimitExceeded,
    Code::DayLimitExceeded,
    Code::MonthLimitExceeded,
];
const MY_LIMITS_CODES: &[Code] = &[
    Code::AccountNotFound,
    Code::AccountBlocked,
    Code::AccountClosed,
    Code::WalletNotFound,
    Code::WalletClosed,
    Code::InvalidId,
    Code::InvalidAmount,
    Code::InvalidCurrency,
    Code::CurrencyMismatch,
    Code::LimitAboveCeiling,
];
const BANK_CODES: &[Code] = &[
    Code::NoBank,
    Code::AccountNotFound,
    Code::AccountPending,
    Code::AccountBlocked,
    Code::AccountClosed,
    Code::CurrencyMismatch,
    Code::StepUpRequired,
    Code::WalletClosed,
    Code::WalletFrozen,
    Code::WalletMayNotSend,
    Code::InsufficientFunds,
    Code::PaymentLimitExceeded,
    Code::DayLimitExceeded,
    Code::MonthLimitExceeded,
];

pub(super) fn describe(route: Route) -> Option<Described> {
    let request = Described {
        success: Success::Json("200", "MoneyRequest"),
        codes: &[Code::NotFound, Code::InvalidId, Code::InvalidState, Code::RequestInProgress, Code::AccountNotFound],
        ..MINE
    };
    let move_begin = Described {
        body: Body::Json("BankMoveRequest", true),
        example: Some(r#"{"amount":{"amount":"500.00","currency":"INR"},"bank_account":"IN123456789012"}"#),
        success: Success::Json("202", "BankMove"),
        codes: BANK_CODES,
        ..MINE
    };
    let move_list = Described {
        query: &[LIMIT, CURSOR],
        success: Success::Json("200", "BankMovePage"),
        codes: &[Code::InvalidCursor],
        ..MINE
    };
    let move_read =
        Described { success: Success::Json("200", "BankMove"), codes: &[Code::NotFound, Code::InvalidId], ..MINE };
    Some(match route {
        Route::MyBalance => Described {
            summary: "What is in the caller's wallet",
            query: &[WALLET],
            success: Success::Json("200", "Balance"),
            codes: &[Code::AccountNotFound, Code::WalletNotFound, Code::InvalidId],
            ..MINE
        },
        Route::MyWallets => Described {
            summary: "The caller's wallets, oldest first",
            query: &[LIMIT, CURSOR],
            success: Success::Json("200", "WalletPage"),
            codes: &[Code::InvalidCursor],
            ..MINE
        },
        Route::MyHistory => Described {
            summary: "What came and went, newest first, with names",
            description: Some(
                "`q` finds entries by their reference and by names, in any case. A page of a search looks at no more than \
                 2000 entries: it may be short or empty, and goes on by its cursor, which stays where it is.",
            ),
            query: &[
                WALLET,
                LIMIT,
                CURSOR,
                ("from", false, "Nothing before this time (RFC 3339)."),
                ("to", false, "Nothing after this time (RFC 3339)."),
                ("direction", false, "in or out."),
                ("kind", false, "deposit, withdrawal, transfer or capture."),
                ("counterparty", false, "Only with this wallet."),
                ("q", false, "A text to search for, up to 100 characters; spaces are %20."),
            ],
            success: Success::Json("200", "HistoryEntryPage"),
            codes: &[Code::AccountNotFound, Code::WalletNotFound, Code::InvalidId, Code::InvalidCursor],
            ..MINE
        },
        Route::MyStatement => Described {
            summary: "A statement, as CSV or PDF",
            description: Some(
                "Every entry of the time between the balances before and after it, with totals; at most 10000. Months \
                 are UTC's. As PDF, characters beyond Western Europe's are written as their numbers.",
            ),
            query: &[
                WALLET,
                ("month", false, "Such as 2026-10; or give `from` and `to`."),
                ("from", false, "From this time on (RFC 3339)."),
                ("to", false, "Before this time (RFC 3339)."),
                ("format", false, "csv (default) or pdf."),
            ],
            success: Success::Text("text/csv"),
            codes: &[Code::AccountNotFound, Code::WalletNotFound, Code::NotFound, Code::InvalidId],
            ..MINE
        },
        Route::MyLimits => Described {
            summary: "What may leave the caller's wallet, and what has been spent",
            query: &[WALLET],
            success: Success::Json("200", "MyLimits"),
            codes: &[Code::AccountNotFound, Code::WalletNotFound, Code::InvalidId],
            ..MINE
        },
        Route::MyLimitsChange => Described {
            summary: "Lower one's own limits at once, or raise them after 24 hours",
            description: Some(
                "What is not named stays; null takes a limit away, which is raising it. What waits is taken back by asking \
                 for what is in force, or for less; the same again keeps its time. Where days begin waits as well, once \
                 anything is limited, and is the operator's to say where he has set limits. The caller is told.",
            ),
            query: &[WALLET],
            body: Body::Json("MyLimitsRequest", true),
            example: Some(
                r#"{"per_day":{"amount":"2000.00","currency":"INR"},"per_month":null,"utc_offset":"+05:30"}"#,
            ),
            success: Success::Json("200", "MyLimits"),
            codes: MY_LIMITS_CODES,
            ..MINE
        },
        Route::Pay => Described {
            summary: "Pay a person or a merchant",
            description: Some("A payee who is not there and one who may not be paid are answered alike."),
            takes_confirmation: true,
            body: Body::Json("PaymentRequest", true),
            example: Some(
                r#"{"to":{"phone":"+91 98765 43210"},"amount":{"amount":"500.00","currency":"INR"},"note":"Dinner"}"#,
            ),
            success: Success::Json("201", "Payment"),
            codes: PAYMENT_CODES,
            ..MINE
        },
        Route::RequestAsk => Described {
            summary: "Ask somebody for money",
            description: Some("He is told. At most 20 requests to one person, and 200 in all, may be open."),
            takes_optional_key: true,
            body: Body::Json("MoneyRequestRequest", true),
            example: Some(
                r#"{"from":{"handle":"ravi"},"amount":{"amount":"250.00","currency":"INR"},"note":"Half of dinner"}"#,
            ),
            success: Success::Json("201", "MoneyRequest"),
            codes: &[
                Code::PayeeNotFound,
                Code::TooManyRequestsOpen,
                Code::InvalidAmount,
                Code::InvalidCurrency,
                Code::IdempotencyKeyReused,
                Code::CurrencyMismatch,
                Code::SameWallet,
                Code::AccountNotFound,
                Code::AccountPending,
                Code::AccountBlocked,
                Code::AccountClosed,
            ],
            ..MINE
        },
        Route::RequestList => Described {
            summary: "Requests for money, newest first",
            query: &[("direction", true, "in: the caller is asked; out: the caller asks."), LIMIT, CURSOR],
            success: Success::Json("200", "MoneyRequestPage"),
            codes: &[Code::InvalidCursor, Code::AccountNotFound],
            ..MINE
        },
        Route::RequestRead => Described { summary: "Read a request for money", ..request },
        Route::RequestPay => Described {
            summary: "Pay a request",
            description: Some(
                "Once, whoever asks how often. After a refusal, such as too little money, another key tries anew.",
            ),
            takes_confirmation: true,
            success: Success::Json("201", "Payment"),
            codes: REQUEST_PAY_CODES,
            ..MINE
        },
        Route::RequestDecline => Described { summary: "Decline a request that one was sent", ..request },
        Route::RequestCancel => Described { summary: "Take back a request that one has made", ..request },
        Route::TopUpBegin => Described {
            summary: "Bring money from a bank account into the wallet",
            description: Some("It is pending until the bank has settled; the money is there when it is completed."),
            ..move_begin
        },
        Route::TopUpList => Described { summary: "The caller's top-ups, newest first", ..move_list },
        Route::TopUpRead => Described { summary: "Read a top-up", ..move_read },
        Route::PayOutBegin => Described {
            summary: "Send money from the wallet to a bank account",
            description: Some(
                "It leaves the wallet at once, and comes back if the bank fails. Above the server's threshold it is \
                 confirmed like a payment, with the caller's own wallet as the payee.",
            ),
            takes_confirmation: true,
            ..move_begin
        },
        Route::PayOutList => Described { summary: "The caller's withdrawals, newest first", ..move_list },
        Route::PayOutRead => Described { summary: "Read a withdrawal", ..move_read },
        _ => return None,
    })
}
