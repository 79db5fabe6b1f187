//! What each route means, in words, for the OpenAPI document: tables and no code. Each group of routes has its file.

mod accounts;
mod administration;
mod ledger;
mod my_money;
mod notifications;
mod sign_in;

use super::problem::Code;
use super::route::{Route, is_versioned};

pub(in crate::http) struct Described {
    pub tag: &'static str,
    pub summary: &'static str,
    pub description: Option<&'static str>,
    pub takes_optional_key: bool,
    /// Whether a person's payment above the threshold needs the header Confirmation.
    pub takes_confirmation: bool,
    /// Name, whether it must be given, and what it means.
    pub query: &'static [(&'static str, bool, &'static str)],
    pub body: Body,
    pub example: Option<&'static str>,
    pub success: Success,
    /// What this route can say besides what every route with a key can.
    codes: &'static [Code],
}

#[derive(Clone, Copy)]
pub(in crate::http) enum Body {
    None,
    /// The schema's name, and whether the body must be there.
    Json(&'static str, bool),
    Bulk,
}

#[derive(Clone, Copy)]
pub(in crate::http) enum Success {
    Json(&'static str, &'static str),
    Bulk,
    Text(&'static str),
}

const EMPTY: Described = Described {
    tag: "",
    summary: "",
    description: None,
    takes_optional_key: false,
    takes_confirmation: false,
    query: &[],
    body: Body::None,
    example: None,
    success: Success::Json("200", "Status"),
    codes: &[],
};

const EVERY_ROUTE: &[Code] = &[Code::HeadersTooLarge, Code::MethodNotAllowed, Code::Internal];
const WITH_KEY: &[Code] = &[Code::Unauthorized, Code::Forbidden];
const VERSIONED: &[Code] = &[
    Code::RateLimited,
    Code::InvalidRequest,
    Code::StorageFailed,
    Code::DatabaseFailed,
    Code::Overloaded,
    Code::Recovering,
    Code::Stopping,
    Code::AnswerTimeout,
];
const WITH_BODY: &[Code] =
    &[Code::InvalidJson, Code::InvalidId, Code::BodyTooLarge, Code::UnsupportedMediaType, Code::RequestTimeout];
const MOVING: &[Code] = &[
    Code::IdempotencyKeyRequired,
    Code::RequestInProgress,
    Code::IdempotencyKeyReused,
    Code::InvalidAmount,
    Code::InvalidCurrency,
    Code::ReadOnly,
];

const LIMIT: (&str, bool, &str) = ("limit", false, "Rows of a page, 1 to 200; default 50.");
const CURSOR: (&str, bool, &str) = ("cursor", false, "The `next_cursor` of the page before.");
impl Described {
    pub(in crate::http) fn codes(&self, route: Route) -> Vec<Code> {
        let mut codes: Vec<Code> = [EVERY_ROUTE, self.codes].concat();
        if !route.is_open() {
            codes.extend(WITH_KEY);
        }
        if is_versioned(route.path()) {
            codes.extend(VERSIONED);
        }
        if route.takes_body() {
            codes.extend(WITH_BODY);
        }
        if route.needs_key() {
            codes.extend(MOVING);
        }
        codes
    }
}

/// Each group of routes knows its own.
const GROUPS: &[fn(Route) -> Option<Described>] = &[
    accounts::describe,
    administration::describe,
    ledger::describe,
    my_money::describe,
    notifications::describe,
    sign_in::describe,
];

pub(in crate::http) fn describe(route: Route) -> Described {
    let described = GROUPS.iter().find_map(|group| group(route));
    described.expect("a test looks at every route's description")
}
