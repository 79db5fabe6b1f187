//! What staff does: the audit log, promotions, adjustments.

use super::{Body, CURSOR, Described, EMPTY, LIMIT, Success};
use crate::http::problem::Code;
use crate::http::route::Route;

const KEY_CODES: &[Code] = &[
    Code::InvalidId,
    Code::NotFound,
    Code::AccountNotFound,
    Code::AccountPending,
    Code::AccountBlocked,
    Code::AccountClosed,
    Code::InvalidState,
];

pub(super) fn describe(route: Route) -> Option<Described> {
    let staff = Described { tag: "Administration", ..EMPTY };
    let keys = Described { tag: "API keys", ..EMPTY };
    Some(match route {
        Route::AuditList => Described {
            summary: "What administrators did, newest first",
            query: &[
                LIMIT,
                CURSOR,
                ("actor", false, "Only what this one did, as written in `actor`."),
                ("object", false, "Only what was done to this, as written in `object`."),
            ],
            success: Success::Json("200", "AuditEntryPage"),
            codes: &[Code::InvalidCursor],
            ..staff
        },
        Route::AuditVerify => Described {
            summary: "Walk the audit log's chain of hashes",
            success: Success::Json("200", "AuditVerified"),
            ..staff
        },
        Route::KeyList => Described {
            summary: "List the data keys, oldest first",
            description: Some("What they are for and when they were made; never a key itself."),
            success: Success::Json("200", "DataKeyPage"),
            ..staff
        },
        Route::KeyRotate => Described {
            summary: "Make a new data key, without a stop",
            description: Some(
                "Log, snapshots and indexes take it with their next file, the store with the next value; what was written with \
                 the old one stays readable. Access tokens that the old one signed stay good until they expire.",
            ),
            body: Body::Json("KeyRotationRequest", true),
            example: Some(r#"{"purpose":"tokens"}"#),
            success: Success::Json("201", "DataKey"),
            ..staff
        },
        Route::PromotionCreate => Described {
            summary: "Begin a promotion: what new accounts get",
            description: Some("It is paid from a wallet of its own; what is brought in there is its budget."),
            body: Body::Json("PromotionRequest", true),
            example: Some(
                r#"{"name":"Diwali 2026","amount":{"amount":"50.00","currency":"INR"},"ends_at":"2026-11-30T18:30:00Z"}"#,
            ),
            success: Success::Json("201", "Promotion"),
            ..staff
        },
        Route::PromotionList => Described {
            summary: "List promotions, newest first",
            query: &[LIMIT, CURSOR],
            success: Success::Json("200", "PromotionPage"),
            codes: &[Code::InvalidCursor],
            ..staff
        },
        Route::PromotionEnd => Described {
            summary: "End a promotion now",
            success: Success::Json("200", "Promotion"),
            codes: &[Code::InvalidId, Code::NotFound, Code::InvalidState],
            ..staff
        },
        Route::AdjustmentAsk => Described {
            summary: "Correct a balance by hand",
            description: Some(
                "Against the currency's system wallet. What one person asks for in 24 hours is carried out at once up to the \
                 server's limit; above it, and in other currencies, it waits up to 7 days for another person.",
            ),
            body: Body::Json("AdjustmentRequest", true),
            example: Some(
                r#"{"wallet":"01890a5d-ac96-774b-bcce-b302099a8057","amount":{"amount":"500.00","currency":"INR"},
                    "direction":"in","reason":"top-up of 3 May was not booked"}"#,
            ),
            success: Success::Json("201", "Adjustment"),
            codes: &[Code::WalletNotFound, Code::CurrencyMismatch],
            ..staff
        },
        Route::AdjustmentList => Described {
            summary: "List adjustments, newest first",
            query: &[LIMIT, CURSOR, ("state", false, "waiting, approved, done, refused, rejected or expired.")],
            success: Success::Json("200", "AdjustmentPage"),
            codes: &[Code::InvalidCursor, Code::NotFound],
            ..staff
        },
        Route::AdjustmentRead => Described {
            summary: "Read an adjustment",
            success: Success::Json("200", "Adjustment"),
            codes: &[Code::InvalidId, Code::NotFound],
            ..staff
        },
        Route::AdjustmentApprove => {
            Described { summary: "Approve an adjustment that another person asked for", ..decision(staff) }
        }
        Route::AdjustmentReject => {
            Described { summary: "Reject an adjustment that another person asked for", ..decision(staff) }
        }
        Route::ApiKeyCreate => Described {
            summary: "Make an API key",
            description: Some("The key is shown this once."),
            body: Body::Json("ApiKeyRequest", true),
            example: Some(
                r#"{"name":"shop server","scopes":["transfers:write","wallets:read"],"expires_in_days":365}"#,
            ),
            success: Success::Json("201", "ApiKeyMade"),
            codes: KEY_CODES,
            ..keys
        },
        Route::ApiKeyList => Described {
            summary: "List API keys, newest first",
            query: &[LIMIT, CURSOR, ("account", false, "For administrators: only this account's.")],
            success: Success::Json("200", "ApiKeyPage"),
            codes: &[Code::InvalidId, Code::InvalidCursor],
            ..keys
        },
        Route::ApiKeyRotate => Described {
            summary: "Replace an API key by a new one",
            description: Some("With the same name, scopes and length of life. The old one stays good for the overlap."),
            body: Body::Json("RotationRequest", true),
            example: Some(r#"{"overlap_seconds":86400}"#),
            success: Success::Json("201", "ApiKeyMade"),
            codes: KEY_CODES,
            ..keys
        },
        Route::ApiKeyRevoke => Described {
            summary: "Revoke an API key, at once",
            success: Success::Json("200", "ApiKey"),
            codes: &[Code::InvalidId, Code::NotFound],
            ..keys
        },
        _ => return None,
    })
}

fn decision(staff: Described) -> Described {
    Described {
        success: Success::Json("200", "Adjustment"),
        codes: &[Code::InvalidId, Code::NotFound, Code::SecondPersonRequired, Code::InvalidState, Code::ReadOnly],
        ..staff
    }
}
