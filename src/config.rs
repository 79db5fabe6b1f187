//! Limits and defaults of the HTTP server, each with its name. Where a flag may change one, the
//! command line says so; nothing here reads a file or the environment.

use std::time::Duration;

/// What the HTTP server takes from its clients, and for how long it waits for them.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// Open connections; one above this is closed as soon as it is accepted.
    pub connections_max: usize,
    /// Names and values of a request's headers together, and its target.
    pub header_bytes_max: usize,
    pub header_count_max: usize,
    pub body_bytes_max: usize,
    /// Bodies of POST /v1/transfers/bulk.
    pub bulk_body_bytes_max: usize,
    /// Bodies of all requests under way together, but for those that come in one piece; what comes on top is refused
    /// as overload.
    pub bodies_bytes_max: usize,
    /// Answers that clients have asked for and do not take, of all connections together, with what HTTP/2 requests
    /// under way take. From half of it on, those who hold most are ended; beyond it, requests are refused.
    pub unsent_bytes_max: usize,
    /// From the first byte of a request to the end of its headers.
    pub header_read: Duration,
    /// From the end of the headers to the end of the body.
    pub body_read: Duration,
    /// From the end of the headers to the answer.
    pub request: Duration,
    /// How long a connection may stay open with nothing under way.
    pub idle: Duration,
    /// How long a stopping server waits for what is under way.
    pub drain: Duration,
    /// Requests that one HTTP/2 connection may have under way.
    pub http2_streams_max: u32,
    /// Bytes of bodies that one HTTP/2 stream may send ahead.
    pub http2_window_bytes: u32,
}

impl Default for HttpLimits {
    fn default() -> HttpLimits {
        HttpLimits {
            connections_max: 12_000,
            header_bytes_max: 16 * 1024,
            header_count_max: 64,
            body_bytes_max: 1024 * 1024,
            bulk_body_bytes_max: 4 * 1024 * 1024,
            bodies_bytes_max: 256 * 1024 * 1024,
            unsent_bytes_max: 256 * 1024 * 1024,
            header_read: Duration::from_secs(10),
            body_read: Duration::from_secs(30),
            request: Duration::from_secs(60),
            idle: Duration::from_secs(75),
            drain: Duration::from_secs(10),
            http2_streams_max: 256,
            http2_window_bytes: 256 * 1024,
        }
    }
}

/// So many requests in so much time. All of them may come at once; then they come back evenly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    pub requests: u32,
    pub window: Duration,
}

/// How often whom may ask; nothing: as often as he likes. The operator's key is never limited.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RateLimits {
    pub per_key: Option<Rate>,
    pub per_person: Option<Rate>,
    /// What needs a session and is sensitive all the same: passwords, codes, second factors, looking up whom to pay.
    pub sensitive_per_person: Option<Rate>,
    /// Signing in and registering; refreshing; and requests with bad credentials: each so much by itself.
    pub per_address: Option<Rate>,
}

impl RateLimits {
    /// What a server has unless its operator wants something else. Merchants' servers ask a thousand times a second, people
    /// do not; and many people may sign in behind one address.
    pub const STANDARD: RateLimits = RateLimits {
        per_key: Some(Rate::a_minute(60_000)),
        per_person: Some(Rate::a_minute(300)),
        sensitive_per_person: Some(Rate::a_minute(30)),
        per_address: Some(Rate::a_minute(120)),
    };
}

impl Rate {
    pub const fn a_minute(requests: u32) -> Rate {
        Rate { requests, window: Duration::from_secs(60) }
    }
}

/// More than any server answers in a second.
pub const RATE_REQUESTS_MAX: u32 = 100_000_000;
/// Callers and addresses whose use is remembered, about 100 bytes each; those who come on top share what they may.
pub const RATE_ROWS_MAX: usize = 262_144;
/// A body costs one request more for each of these, so that a bulk request of 8,190 items counts as about a hundred.
pub const RATE_BODY_BYTES_EACH: usize = 16 * 1024;

/// Items of one bulk request. The engine takes a batch of this size in one go.
pub const BULK_ITEMS_MAX: usize = 8190;
/// Rows of one page, where the request does not say, and at most.
pub const PAGE_ROWS_DEFAULT: usize = 50;
pub const PAGE_ROWS_MAX: usize = 200;
/// `Idempotency-Key`, and one more limit of the same kind below.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
pub const REQUEST_ID_BYTES_MAX: usize = 128;
