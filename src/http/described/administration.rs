//! What staff does: the audit log, promotions, adjustments.

use super::{CURSOR, Described, EMPTY, LIMIT, Success};
use crate::http::problem::Code;
use crate::http::route::Route;

pub(super) fn describe(route: Route) -> Option<Described> {
    let staff = Described { tag: "Administration", ..EMPTY };
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
        _ => return None,
    })
}
