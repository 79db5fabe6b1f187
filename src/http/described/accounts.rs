//! Accounts: the caller's own, and those that staff looks after.

use super::{Described, EMPTY, Success};
use crate::http::problem::Code;
use crate::http::route::Route;

pub(super) fn describe(route: Route) -> Option<Described> {
    Some(match route {
        Route::Me => Described {
            tag: "People",
            summary: "The caller's own account",
            success: Success::Json("200", "Account"),
            codes: &[Code::AccountNotFound],
            ..EMPTY
        },
        _ => return None,
    })
}
