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

/// Items of one bulk request. The engine takes a batch of this size in one go.
pub const BULK_ITEMS_MAX: usize = 8190;
/// Rows of one page, where the request does not say, and at most.
pub const PAGE_ROWS_DEFAULT: usize = 50;
pub const PAGE_ROWS_MAX: usize = 200;
/// `Idempotency-Key`, and one more limit of the same kind below.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
pub const REQUEST_ID_BYTES_MAX: usize = 128;
