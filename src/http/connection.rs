//! One connection: HTTP/1.1 or HTTP/2 by its first bytes, watched for idling and for headers that
//! never end, and for what it makes the server hold. What a request comes to is in `exchange`.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::counted::Counted;
use super::door::Accepted;
use super::exchange;
use super::held::{Budget, Held, STEP_BYTES};
use super::problem::{Code, Problem};
use super::proxies::TrustedProxies;
use super::rates::Rates;
use super::state::State;
use super::within::Timer;
use crate::config::HttpLimits;

/// hyper's settings, made once for all connections, and what these may hold together.
pub(super) struct Protocol {
    builder: auto::Builder<TokioExecutor>,
    budget: Arc<Budget>,
    gate: Arc<Gate>,
}

/// How often whom may ask, and who may say for whom he asks.
pub(super) struct Gate {
    pub rates: Rates,
    pub proxies: TrustedProxies,
}

/// What the requests of one connection share.
pub(super) struct Connection {
    pub state: State,
    pub limits: HttpLimits,
    pub gate: Arc<Gate>,
    /// Whoever opened it, who may be a proxy.
    pub peer: IpAddr,
    pub accepted: Accepted,
    activity: Activity,
    /// Answers that the client has not taken, and of HTTP/2 also the requests under way.
    held: Held,
}

/// What the watchdog looks at.
#[derive(Default)]
struct Activity {
    bytes_read: AtomicU64,
    /// `bytes_read` when a request began or ended last; more than this is a header that has begun.
    bytes_read_at_request: AtomicU64,
    requests_begun: AtomicU64,
    requests_open: AtomicUsize,
    /// Responses that are streams of events, and go on.
    streams_open: AtomicUsize,
    is_http2: AtomicBool,
    /// Requests that the client took back before they were answered.
    requests_cancelled: AtomicU64,
}

/// One request is under way as long as this lives, even if its future is dropped.
pub(super) struct Underway<'c> {
    connection: &'c Connection,
    held_bytes: usize,
    is_answered: bool,
}

/// A stream of events is open as long as this lives.
pub(super) struct StreamOpen(Arc<Connection>);

/// The body of an HTTP/2 answer, held until its last byte has been written.
struct HeldBody {
    bytes: Bytes,
    connection: Arc<Connection>,
}

/// How often a connection looks at itself; its limits of time are kept to within this.
const WATCH_PERIOD: Duration = Duration::from_secs(2);
/// Room for the headers of several pipelined requests, and for a piece of a body. As much may be answered and not have
/// left hyper; with more, hyper takes up no further request.
const HYPER_BUFFER_BYTES_MAX: usize = 64 * 1024;
/// With more held than this an HTTP/2 connection is refused further requests: windows keep its answers back one by one,
/// and streams can be many.
const HTTP2_HELD_BYTES_MAX: usize = 8 * 1024 * 1024;
/// When all memory for answers is used up, an HTTP/2 connection is read in pieces so small that they bring few requests.
const HTTP2_READ_BYTES_USED_UP: usize = 256;
/// Requests that were taken back before they had come to a handler; with more of them waiting the connection ends.
const HTTP2_RESETS_PENDING_MAX: usize = 20;
/// Streams that had to be ended because of what the client did wrong with them; with more the connection ends.
const HTTP2_STREAM_ERRORS_MAX: usize = 256;
/// Requests that a client may take back once a handler has them. With more, and if it takes back most of what it asks for,
/// the connection ends: work that nobody waits for is the cheapest way to keep a server busy.
const REQUESTS_CANCELLED_MAX: u64 = 256;
/// Status line and headers of an answer, about.
const ANSWER_HEAD_BYTES: usize = 256;
/// What an HTTP/2 request under way takes beside its headers, about.
const HTTP2_REQUEST_BYTES: usize = 2 * 1024;

impl Protocol {
    pub(super) fn new(limits: &HttpLimits, gate: Arc<Gate>) -> Protocol {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        // Our own watchdog keeps the limits of time: hyper's timer makes and drops a timer for
        // each request, and cannot tell a slow header from an idle connection.
        let mut http1 = builder.http1();
        http1.header_read_timeout(None).max_buf_size(HYPER_BUFFER_BYTES_MAX);
        let mut http2 = builder.http2();
        let header_bytes_max = u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX);
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.http2_streams_max)
            .max_pending_accept_reset_streams(HTTP2_RESETS_PENDING_MAX)
            .max_local_error_reset_streams(HTTP2_STREAM_ERRORS_MAX)
            .initial_stream_window_size(limits.http2_window_bytes)
            .initial_connection_window_size(limits.http2_window_bytes.saturating_mul(4))
            .max_header_list_size(header_bytes_max)
            .keep_alive_interval(limits.idle)
            .keep_alive_timeout(limits.header_read);
        Protocol { builder, budget: Arc::new(Budget::new(limits.unsent_bytes_max)), gate }
    }
}

/// Serves one connection until it ends, is idle for too long, or the server stops.
pub(super) async fn run<S>(
    stream: S,
    protocol: &Protocol,
    state: State,
    limits: HttpLimits,
    peer: IpAddr,
    mut stopped: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (accepted, activity) = (Accepted::default(), Activity::default());
    let held = Held::new(Arc::clone(&protocol.budget));
    let gate = Arc::clone(&protocol.gate);
    let connection = Arc::new(Connection { state, limits, gate, peer, accepted, activity, held });
    let io = TokioIo::new(Counted::new(stream, Arc::clone(&connection)));
    let shared = Arc::clone(&connection);
    let service = service_fn(move |request| {
        let connection = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(exchange::answer(&connection, request).await) }
    });
    let served = protocol.builder.serve_connection(io, service);
    tokio::pin!(served);
    let mut watch = tokio::time::interval(WATCH_PERIOD);
    let mut watchdog = Watchdog::new();
    let mut is_stopping = false;
    loop {
        tokio::select! {
            biased;
            result = &mut served => {
                if let Err(error) = result {
                    tracing::debug!(error, "a connection ended badly");
                }
                return;
            }
            _ = watch.tick() => if watchdog.is_overdue(&connection) {
                return;
            },
            // An error means that the server itself is gone.
            _ = stopped.wait_for(|is_stopped| *is_stopped), if !is_stopping => {
                is_stopping = true;
                served.as_mut().graceful_shutdown();
            }
        }
    }
}

impl Connection {
    pub(super) fn begin(&self, request: &Request<Incoming>) -> Underway<'_> {
        let activity = &self.activity;
        activity.requests_begun.fetch_add(1, Ordering::Relaxed);
        activity.requests_open.fetch_add(1, Ordering::Relaxed);
        let mut held_bytes = 0;
        if request.version() == Version::HTTP_2 {
            activity.is_http2.store(true, Ordering::Relaxed);
            held_bytes = HTTP2_REQUEST_BYTES;
            held_bytes +=
                request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>();
            self.held.add(held_bytes);
        }
        self.state.meters().in_flight.fetch_add(1, Ordering::Relaxed);
        activity.mark();
        Underway { connection: self, held_bytes, is_answered: false }
    }

    /// Over HTTP/1.1 the watchdog's tick polls the request too, which is soon enough to think of its limit.
    pub(super) fn request_timer(&self) -> Timer {
        if self.is_http2() || self.limits.request < 3 * WATCH_PERIOD {
            return Timer::AtOnce;
        }
        Timer::After(WATCH_PERIOD)
    }

    /// Refuses a request whose answer could not be held if the client did not take it.
    pub(super) fn check_room(&self, is_for_operators: bool) -> Result<(), Problem> {
        // Who watches over the server is answered however full it is, unless that is what fills it.
        if is_for_operators && self.held.bytes() < STEP_BYTES {
            return Ok(());
        }
        let detail = if self.held.budget().is_used_up() {
            "The answers that other clients do not take fill the memory that there is for them; try again."
        } else if self.is_http2() && self.held.bytes() > HTTP2_HELD_BYTES_MAX {
            "Too much has been asked for on this connection and not been taken; take answers before asking for more."
        } else {
            return Ok(());
        };
        Err(Problem::new(Code::Overloaded, detail))
    }

    /// Takes note of an answer, and gives its body as it is to be sent.
    pub(super) fn answers(self: &Arc<Self>, body: Bytes) -> Bytes {
        self.held.add(body.len() + ANSWER_HEAD_BYTES);
        if !self.is_http2() {
            return body;
        }
        Bytes::from_owner(HeldBody { bytes: body, connection: Arc::clone(self) })
    }

    pub(super) fn open_stream(self: &Arc<Self>) -> StreamOpen {
        self.activity.streams_open.fetch_add(1, Ordering::Relaxed);
        StreamOpen(Arc::clone(self))
    }

    /// The client has taken a request back.
    pub(super) fn note_cancelled(&self) {
        self.activity.requests_cancelled.fetch_add(1, Ordering::Relaxed);
    }

    /// How much may be read now. Nothing wakes a connection that may not read but its watchdog, soon enough.
    pub(super) fn read_bytes_max(&self) -> io::Result<usize> {
        // HTTP/1.1 asks one thing at a time, and hyper takes up nothing new while too much is unsent.
        if !self.is_http2() {
            return Ok(usize::MAX);
        }
        let cancelled = self.activity.requests_cancelled.load(Ordering::Relaxed);
        let begun = self.activity.requests_begun.load(Ordering::Relaxed);
        if cancelled > REQUESTS_CANCELLED_MAX && cancelled > begun / 2 {
            return Err(io::Error::other("the client takes back most of what it asks for"));
        }
        if !self.held.budget().is_used_up() {
            Ok(usize::MAX)
        } else if self.held.bytes() > STEP_BYTES {
            Ok(0)
        } else {
            Ok(HTTP2_READ_BYTES_USED_UP)
        }
    }

    pub(super) fn was_read(&self, bytes: &[u8]) {
        let read_bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let read_before = self.activity.bytes_read.fetch_add(read_bytes, Ordering::Relaxed);
        // Known before the first request is, so that many of them in one piece are not taken for HTTP/1.1.
        if read_before == 0 && bytes.starts_with(b"PRI ") {
            self.activity.is_http2.store(true, Ordering::Relaxed);
        }
    }

    /// Bytes went out to the client.
    pub(super) fn was_sent(&self, bytes: usize) {
        // Of HTTP/2 the bodies know when they are sent. What was held is read first: a first request on another thread
        // says that this is HTTP/2 before it adds to it.
        if self.held.bytes() > 0 && !self.is_http2() {
            self.held.give_up_to(bytes);
        }
    }

    pub(super) fn is_http2(&self) -> bool {
        self.activity.is_http2.load(Ordering::Relaxed)
    }
}

impl Underway<'_> {
    pub(super) fn end_answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        let Connection { activity, held, state, .. } = self.connection;
        activity.requests_open.fetch_sub(1, Ordering::Relaxed);
        activity.mark();
        if !self.is_answered {
            self.connection.note_cancelled();
        }
        if self.held_bytes > 0 {
            held.give(self.held_bytes);
        }
        state.meters().in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for StreamOpen {
    fn drop(&mut self) {
        self.0.activity.streams_open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl AsRef<[u8]> for HeldBody {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for HeldBody {
    fn drop(&mut self) {
        self.connection.held.give(self.bytes.len() + ANSWER_HEAD_BYTES);
    }
}

impl Activity {
    fn mark(&self) {
        self.bytes_read_at_request.store(self.bytes_read.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// Compares what it saw last with what it sees now.
struct Watchdog {
    requests_seen: u64,
    quiet_since: Instant,
    header_since: Option<Instant>,
    held_bytes_seen: usize,
    given_bytes_seen: u64,
    /// Since when the client has taken nothing of what is held for it.
    stuck_since: Option<Instant>,
}

impl Watchdog {
    fn new() -> Watchdog {
        let quiet_since = Instant::now();
        Watchdog {
            requests_seen: 0,
            quiet_since,
            header_since: None,
            held_bytes_seen: 0,
            given_bytes_seen: 0,
            stuck_since: None,
        }
    }

    fn is_overdue(&mut self, connection: &Connection) -> bool {
        if self.is_in_the_way(&connection.held) {
            metrics::counter!("florin_http_connections_ended_total").increment(1);
            tracing::debug!(held_bytes = self.held_bytes_seen, "a connection that took no answers had to go");
            return true;
        }
        let (activity, limits) = (&connection.activity, &connection.limits);
        let now = Instant::now();
        let begun = activity.requests_begun.load(Ordering::Relaxed);
        let has_streams = activity.streams_open.load(Ordering::Relaxed) > 0;
        // A stream may be quiet for long; but who takes nothing of what is there for him is cut off, and comes back.
        if has_streams && self.stuck_since.is_some_and(|since| now.duration_since(since) >= limits.idle) {
            tracing::debug!("a live stream was not read");
            return true;
        }
        if activity.requests_open.load(Ordering::Relaxed) > 0 || has_streams || begun != self.requests_seen {
            *self = Watchdog { requests_seen: begun, quiet_since: now, header_since: None, ..*self };
            return false;
        }
        // HTTP/2 has frames that are no headers, and its own limits for those that are. A request that was read in full
        // may wait until the client has taken earlier answers.
        let may_be_header = !connection.is_http2() && connection.held.bytes() == 0;
        let marked = activity.bytes_read_at_request.load(Ordering::Relaxed);
        if may_be_header && activity.bytes_read.load(Ordering::Relaxed) > marked {
            let since = *self.header_since.get_or_insert(now);
            if now.duration_since(since) >= limits.header_read {
                tracing::debug!("a header did not end in time");
                return true;
            }
        }
        now.duration_since(self.quiet_since) >= limits.idle
    }

    /// When memory for answers is short: whether this connection holds more than most, and its client has not even
    /// taken what was held when it was looked at last. A client that takes a byte now and then is not spared.
    fn is_in_the_way(&mut self, held: &Held) -> bool {
        let (held_bytes, given_bytes) = (held.bytes(), held.given_bytes());
        let given_since = usize::try_from(given_bytes - self.given_bytes_seen).unwrap_or(usize::MAX);
        let is_stuck = self.held_bytes_seen > 0 && given_since < self.held_bytes_seen;
        self.stuck_since =
            if is_stuck && given_since == 0 { self.stuck_since.or_else(|| Some(Instant::now())) } else { None };
        (self.held_bytes_seen, self.given_bytes_seen) = (held_bytes, given_bytes);
        let budget = held.budget();
        is_stuck && budget.is_short() && held_bytes + STEP_BYTES >= budget.mean_bytes()
    }
}
