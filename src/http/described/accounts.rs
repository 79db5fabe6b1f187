//! Accounts: the caller's own, and those that staff looks after.

use super::{Body, CURSOR, Described, EMPTY, LIMIT, Success};
use crate::http::problem::Code;
use crate::http::route::Route;

const STATE_CODES: &[Code] =
    &[Code::InvalidId, Code::AccountNotFound, Code::InvalidState, Code::SecondPersonRequired, Code::ReadOnly];
const ADDRESS_CODES: &[Code] = &[
    Code::InvalidToken,
    Code::AddressTaken,
    Code::InvalidState,
    Code::NotFound,
    Code::RecentSignInRequired,
    Code::AccountNotFound,
    Code::AccountBlocked,
    Code::AccountClosed,
];

pub(super) fn describe(route: Route) -> Option<Described> {
    let me = Described {
        tag: "People",
        success: Success::Json("200", "Account"),
        codes: &[Code::AccountNotFound, Code::AccountBlocked, Code::AccountClosed],
        ..EMPTY
    };
    let staff =
        Described { tag: "Administration", success: Success::Json("200", "Account"), codes: STATE_CODES, ..EMPTY };
    Some(match route {
        Route::Me => Described {
            tag: "People",
            summary: "The caller's own account",
            success: Success::Json("200", "Account"),
            codes: &[Code::AccountNotFound],
            ..EMPTY
        },
        Route::MeChange => Described {
            summary: "Change one's name or language",
            body: Body::Json("ProfileRequest", true),
            example: Some(r#"{"name":"Asha Rao","locale":"hi"}"#),
            ..me
        },
        Route::MeHandle => Described {
            summary: "Choose a handle by which others pay",
            description: Some("The one before stays reserved for its owner; an account has at most 5 in its life."),
            body: Body::Json("HandleRequest", true),
            example: Some(r#"{"handle":"asha"}"#),
            codes: &[
                Code::AddressTaken,
                Code::InvalidState,
                Code::AccountNotFound,
                Code::AccountBlocked,
                Code::AccountClosed,
            ],
            ..me
        },
        Route::MeAddressAdd => Described {
            summary: "Add an email or phone that was verified",
            description: Some(
                "Within 10 minutes of signing in. Ask for a code at the new address as for a new account.",
            ),
            body: Body::Json("AddressAddition", true),
            codes: ADDRESS_CODES,
            ..me
        },
        Route::MeAddressRemove => Described {
            summary: "Remove an email or phone, but not the last one",
            description: Some("Within 10 minutes of signing in."),
            body: Body::Json("AddressRemoval", true),
            example: Some(r#"{"email":"asha@example.in"}"#),
            codes: ADDRESS_CODES,
            ..me
        },
        Route::MeClose => Described {
            summary: "Close one's account, for ever",
            description: Some("All its wallets have to be empty. Emails and phones become free, handles do not."),
            codes: &[Code::WalletNotEmpty, Code::InvalidState, Code::ReadOnly, Code::AccountNotFound],
            ..me
        },
        Route::AccountOpen => Described {
            tag: "Signing in",
            summary: "Open an account and its wallet",
            description: Some(
                "With the token that /v1/auth/verify gave for an address that is nobody's. Send an Idempotency-Key: a \
                 repeat with the same one then gets the same account, while the token would be good.",
            ),
            takes_optional_key: true,
            body: Body::Json("RegistrationRequest", true),
            example: Some(r#"{"registration_token":"frg_...","name":"Asha Rao","handle":"asha"}"#),
            success: Success::Json("201", "Registered"),
            codes: &[Code::InvalidToken, Code::AddressTaken, Code::WeakPassword, Code::ReadOnly],
            ..EMPTY
        },
        Route::AccountList => Described {
            summary: "Find accounts, newest first",
            description: Some(
                "Support and finance see emails and phones in part only; by `email`, `phone` or `handle` an account is found \
                 by the whole of it.",
            ),
            query: &[
                LIMIT,
                CURSOR,
                ("state", false, "pending, active, blocked or closed."),
                ("role", false, "user, merchant, support, risk, finance or administrator."),
                ("email", false, "The account that has it."),
                ("phone", false, "The account that has it."),
                ("handle", false, "The account that has it."),
            ],
            success: Success::Json("200", "AccountPage"),
            codes: &[Code::InvalidCursor],
            ..staff
        },
        Route::AccountRead => {
            Described { summary: "Read an account", codes: &[Code::InvalidId, Code::AccountNotFound], ..staff }
        }
        Route::AccountApprove => Described { summary: "Approve an account that is pending", ..staff },
        Route::AccountBlock => Described {
            summary: "Block an account: its sessions end, its keys stop, its wallets are frozen",
            body: Body::Json("BlockRequest", true),
            example: Some(r#"{"reason":"reported stolen by its owner"}"#),
            ..staff
        },
        Route::AccountUnblock => Described {
            summary: "Unblock an account",
            description: Some("Wallets that somebody else had frozen before stay frozen."),
            ..staff
        },
        Route::AccountClose => Described {
            summary: "Close an account whose wallets are empty, for ever",
            codes: &[Code::InvalidId, Code::AccountNotFound, Code::InvalidState, Code::WalletNotEmpty, Code::ReadOnly],
            ..staff
        },
        Route::AccountRole => Described {
            summary: "Give an account another role; its sessions end",
            body: Body::Json("RoleRequest", true),
            example: Some(r#"{"role":"support"}"#),
            codes: &[Code::InvalidId, Code::AccountNotFound, Code::AccountClosed, Code::SecondPersonRequired],
            ..staff
        },
        _ => return None,
    })
}
