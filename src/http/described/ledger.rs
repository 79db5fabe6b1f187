//! The ledger itself: wallets, transfers, holds, and what operators look at.

use super::{Body, CURSOR, Described, EMPTY, LIMIT, Success};
use crate::http::problem::Code;
use crate::http::route::Route;

const TRANSFER_CODES: &[Code] = &[
    Code::StepUpRequired,
    Code::LegsNotBalanced,
    Code::SameWallet,
    Code::WalletNotFound,
    Code::WalletClosed,
    Code::CurrencyMismatch,
    Code::WalletFrozen,
    Code::WalletMayNotSend,
    Code::WalletMayNotReceive,
    Code::PaymentLimitExceeded,
    Code::DayLimitExceeded,
    Code::MonthLimitExceeded,
    Code::InsufficientFunds,
    Code::BalanceCeilingExceeded,
    Code::BalanceOverflow,
];
const BULK_CODES: &[Code] = &[
    Code::StepUpRequired,
    Code::IdempotencyKeyRequired,
    Code::RequestInProgress,
    Code::IdempotencyKeyReused,
    Code::InvalidAmount,
    Code::InvalidCurrency,
    Code::ReadOnly,
    Code::LegsNotBalanced,
    Code::SameWallet,
    Code::WalletNotFound,
    Code::WalletClosed,
    Code::CurrencyMismatch,
    Code::WalletFrozen,
    Code::WalletMayNotSend,
    Code::WalletMayNotReceive,
    Code::PaymentLimitExceeded,
    Code::DayLimitExceeded,
    Code::MonthLimitExceeded,
    Code::InsufficientFunds,
    Code::BalanceCeilingExceeded,
    Code::BalanceOverflow,
    Code::AtomicRefused,
];
const CAPTURE_CODES: &[Code] = &[
    Code::HoldNotFound,
    Code::HoldClosed,
    Code::HoldExpired,
    Code::HoldExceeded,
    Code::CurrencyMismatch,
    Code::WalletClosed,
    Code::WalletFrozen,
    Code::WalletMayNotReceive,
    Code::BalanceCeilingExceeded,
    Code::BalanceOverflow,
];
const STATUS_CODES: &[Code] =
    &[Code::InvalidId, Code::WalletNotFound, Code::WalletClosed, Code::WalletNotEmpty, Code::ReadOnly];
const SPENDING_CODES: &[Code] = &[
    Code::InvalidId,
    Code::InvalidAmount,
    Code::InvalidCurrency,
    Code::WalletNotFound,
    Code::WalletClosed,
    Code::CurrencyMismatch,
    Code::ReadOnly,
];
const AS_OF_LSN: (&str, bool, &str) = ("as_of_lsn", false, "As it was at this position of the log.");
const AS_OF_TIME: (&str, bool, &str) = ("as_of_time", false, "As it was at this time (RFC 3339).");

pub(super) fn describe(route: Route) -> Option<Described> {
    let funding = Described {
        tag: "Transfers",
        body: Body::Json("FundingRequest", true),
        example: Some(
            r#"{"wallet":"01890a5d-ac96-774b-bcce-b302099a8057","amount":{"amount":"500.00","currency":"INR"}}"#,
        ),
        success: Success::Json("201", "Transfer"),
        codes: TRANSFER_CODES,
        ..EMPTY
    };
    let wallet = Described {
        tag: "Wallets",
        success: Success::Json("200", "Wallet"),
        codes: &[Code::InvalidId, Code::WalletNotFound],
        ..EMPTY
    };
    let hold = Described { tag: "Holds", success: Success::Json("200", "Hold"), ..EMPTY };
    let ops = Described { tag: "Operations", ..EMPTY };
    Some(match route {
        Route::Transfer => Described {
            tag: "Transfers",
            summary: "Move money between wallets",
            description: Some("Of two wallets or of up to 16 legs; wholly or not at all."),
            takes_confirmation: true,
            body: Body::Json("TransferRequest", true),
            example: Some(
                r#"{"from":"01890a5d-ac96-774b-bcce-b302099a8057","to":"01890a5d-ac97-7b2e-9d1a-1c5d3f0e8a11",
                    "amount":{"amount":"500.00","currency":"INR"},"reference":"Order 4711"}"#,
            ),
            success: Success::Json("201", "Transfer"),
            codes: TRANSFER_CODES,
            ..EMPTY
        },
        Route::TransfersBulk => Described {
            tag: "Transfers",
            summary: "Move money many times",
            description: Some(
                "Up to 8190 items in a body of up to 4 MiB, each with its own outcome, or all or nothing. Items are \
                 carried out side by side: none may count on money that another brings in. The binary \
                 form has items of 64 bytes, little endian: id (16 bytes, the UUID's own order), from (16), to (16), \
                 amount in minor units (u64), currency (u16, ISO 4217 number), flags (u16, 0), reserved (u32, 0). \
                 Its outcomes have 16 bytes: code (u16, 0: accepted, else a problem's number), flags (u16, 1: \
                 replayed), reserved (u32, 0), LSN (u64).",
            ),
            takes_optional_key: true,
            query: &[("atomic", false, "true: all or nothing; default false.")],
            body: Body::Bulk,
            example: Some(
                r#"[{"id":"01890a5d-ac99-7c1f-8a55-3f5b8f3a9d02","from":"01890a5d-ac96-774b-bcce-b302099a8057",
                    "to":"01890a5d-ac97-7b2e-9d1a-1c5d3f0e8a11","amount":{"amount":"1.00","currency":"INR"}}]"#,
            ),
            success: Success::Bulk,
            codes: BULK_CODES,
            ..EMPTY
        },
        Route::TransferRead => Described {
            tag: "Transfers",
            summary: "Read a transfer, accepted or refused",
            success: Success::Json("200", "Transfer"),
            codes: &[Code::InvalidId, Code::TransferNotFound],
            ..EMPTY
        },
        Route::Deposit => Described { summary: "Bring money in through a system wallet", ..funding },
        Route::Withdrawal => Described { summary: "Take money out through a system wallet", ..funding },
        Route::WalletOpen => Described {
            tag: "Wallets",
            summary: "Open a wallet",
            description: Some(
                "With the same id and content again: the first answer. If the owner is an account, it has to be active.",
            ),
            takes_optional_key: true,
            body: Body::Json("WalletRequest", true),
            example: Some(r#"{"owner":"01890a5d-ac95-7f60-a1f2-6f2d9f9b7c01","currency":"INR"}"#),
            success: Success::Json("201", "Wallet"),
            codes: &[
                Code::InvalidAmount,
                Code::InvalidCurrency,
                Code::WalletExists,
                Code::ReadOnly,
                Code::AccountPending,
                Code::AccountBlocked,
                Code::AccountClosed,
                Code::InvalidState,
            ],
            ..EMPTY
        },
        Route::WalletList => Described {
            tag: "Wallets",
            summary: "List an owner's wallets, oldest first",
            query: &[("owner", true, "The owner's id."), LIMIT, CURSOR],
            success: Success::Json("200", "WalletPage"),
            codes: &[Code::InvalidId, Code::InvalidCursor],
            ..EMPTY
        },
        Route::WalletRead => Described { summary: "Read a wallet", ..wallet },
        Route::WalletBalance => Described {
            summary: "Read a balance, now or then",
            query: &[AS_OF_LSN, AS_OF_TIME],
            success: Success::Json("200", "Balance"),
            ..wallet
        },
        Route::WalletEntries => Described {
            summary: "Read a wallet's history, newest first",
            query: &[
                LIMIT,
                CURSOR,
                ("from", false, "Nothing before this time (RFC 3339)."),
                ("to", false, "Nothing after this time (RFC 3339)."),
                ("direction", false, "in or out."),
                ("kind", false, "deposit, withdrawal, transfer or capture."),
                ("counterparty", false, "Only with this wallet."),
                AS_OF_LSN,
                AS_OF_TIME,
            ],
            success: Success::Json("200", "EntryPage"),
            codes: &[Code::InvalidId, Code::InvalidCursor, Code::WalletNotFound],
            ..wallet
        },
        Route::WalletLimits => Described {
            summary: "Read a wallet's spending limits, what has been spent and what is left",
            success: Success::Json("200", "SpendingLimits"),
            ..wallet
        },
        Route::WalletLimit => Described {
            summary: "Set, change or take away a wallet's spending limits",
            description: Some(
                "The wallet itself keeps them, exactly under any number of payments at once. Whatever leaves the wallet \
                 counts, on the civil day on which it became durable; an open hold counts every day until it ends, and its \
                 capture is never refused by a limit. Limits that are changed keep what was spent; what was spent before \
                 there were any is not counted. The same limits again change nothing.",
            ),
            body: Body::Json("SpendingLimitsRequest", true),
            example: Some(
                r#"{"per_payment":{"amount":"500.00","currency":"INR"},"per_day":{"amount":"2000.00","currency":"INR"},
                    "per_month":null,"utc_offset":"+05:30"}"#,
            ),
            success: Success::Json("200", "SpendingLimits"),
            codes: SPENDING_CODES,
            ..wallet
        },
        Route::WalletFreeze => {
            Described { summary: "Freeze a wallet: nothing goes out or comes in", codes: STATUS_CODES, ..wallet }
        }
        Route::WalletUnfreeze => Described { summary: "Unfreeze a wallet", codes: STATUS_CODES, ..wallet },
        Route::WalletClose => Described { summary: "Close an empty wallet, for ever", codes: STATUS_CODES, ..wallet },
        Route::HoldAuthorize => Described {
            summary: "Put money aside for another wallet",
            takes_confirmation: true,
            body: Body::Json("HoldRequest", true),
            example: Some(
                r#"{"wallet":"01890a5d-ac96-774b-bcce-b302099a8057","to":"01890a5d-ac97-7b2e-9d1a-1c5d3f0e8a11",
                    "amount":{"amount":"80.00","currency":"INR"},"expires_in_seconds":3600}"#,
            ),
            success: Success::Json("201", "Hold"),
            codes: TRANSFER_CODES,
            ..hold
        },
        Route::HoldRead => Described { summary: "Read a hold", codes: &[Code::InvalidId, Code::HoldNotFound], ..hold },
        Route::HoldCapture => Described {
            summary: "Move money of a hold",
            description: Some("In parts, never above the hold. Without an amount: all that remains."),
            body: Body::Json("CaptureRequest", false),
            example: Some(r#"{"amount":{"amount":"30.00","currency":"INR"},"final":true}"#),
            success: Success::Json("201", "Transfer"),
            codes: CAPTURE_CODES,
            ..hold
        },
        Route::HoldVoid => Described {
            summary: "Release what remains of a hold",
            codes: &[Code::InvalidId, Code::HoldNotFound, Code::HoldClosed, Code::HoldExpired, Code::ReadOnly],
            ..hold
        },
        Route::LedgerSummary => Described {
            tag: "Ledger",
            summary: "The whole ledger at one position",
            success: Success::Json("200", "Summary"),
            ..EMPTY
        },
        Route::SnapshotTake => Described {
            tag: "Ledger",
            summary: "Take a snapshot",
            success: Success::Json("201", "Snapshot"),
            codes: &[Code::ReadOnly],
            ..EMPTY
        },
        Route::Health => Described { summary: "Whether the process answers", ..ops },
        Route::Ready => Described {
            summary: "Whether it takes requests",
            codes: &[Code::Recovering, Code::ReadOnly, Code::Stopping],
            ..ops
        },
        Route::Metrics => Described { summary: "Figures for Prometheus", success: Success::Text("text/plain"), ..ops },
        Route::OpenApi => {
            Described { summary: "The OpenAPI document", success: Success::Text("application/json"), ..ops }
        }
        Route::Docs => {
            Described { summary: "The OpenAPI document as a page", success: Success::Text("text/html"), ..ops }
        }
        _ => return None,
    })
}
