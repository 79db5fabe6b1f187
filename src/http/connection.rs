//! One connection: HTTP/1.1 or HTTP/2 by its first bytes, watched for idling and for headers that
//! never end. What a request comes to is in `exchange`.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

use super::auth::Accepted;
use super::exchange;
use super::state::State;
use crate::config::HttpLimits;

/// hyper's settings, made once for all connections.
pub(super) struct Protocol(auto::Builder<TokioExecutor>);

/// What the requests of one connection share.
pub(super) struct Connection {
    pub state: State,
    pub limits: HttpLimits,
    pub accepted: Accepted,
    activity: Activity,
}

/// What the watchdog looks at.
#[derive(Default)]
struct Activity {
    bytes_read: AtomicU64,
    /// `bytes_read` when a request began or ended last; more than this is a header that has begun.
    bytes_read_at_request: AtomicU64,
    requests_begun: AtomicU64,
    requests_open: AtomicUsize,
    is_http2: AtomicBool,
    /// About how much has been answered and not been taken by the client.
    unsent_bytes: AtomicUsize,
}

/// One request is under way as long as this lives, even if its future is dropped.
pub(super) struct Underway<'c>(&'c Connection);

/// How often a connection looks at itself; its limits of time are kept to within this.
const WATCH_PERIOD: Duration = Duration::from_secs(2);
/// Room for the headers of several pipelined requests, and for a piece of a body.
const READ_BUFFER_BYTES_MAX: usize = 64 * 1024;
/// How much is read at a time while no request is under way. hyper answers all of it before it writes any answer.
const READ_BYTES_BETWEEN_REQUESTS: usize = 16 * 1024;
/// With more unsent than this nothing is read, so that whoever does not take answers cannot ask for more.
const UNSENT_BYTES_BEFORE_READING: usize = 128 * 1024;
/// With more unsent than this the connection ends after the answer: what one read asks for has its limit too.
const UNSENT_BYTES_MAX: usize = 1024 * 1024;
/// Status line and headers of an answer, about.
const ANSWER_HEAD_BYTES: usize = 256;

impl Protocol {
    pub(super) fn new(limits: &HttpLimits) -> Protocol {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        // Our own watchdog keeps the limits of time: hyper's timer makes and drops a timer for
        // each request, and cannot tell a slow header from an idle connection.
        let mut http1 = builder.http1();
        http1.pipeline_flush(true).header_read_timeout(None).max_buf_size(READ_BUFFER_BYTES_MAX);
        let mut http2 = builder.http2();
        let header_bytes_max = u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX);
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.http2_streams_max)
            .initial_stream_window_size(limits.http2_window_bytes)
            .initial_connection_window_size(limits.http2_window_bytes.saturating_mul(4))
            .max_header_list_size(header_bytes_max)
            .keep_alive_interval(limits.idle)
            .keep_alive_timeout(limits.header_read);
        Protocol(builder)
    }
}

/// Serves one connection until it ends, is idle for too long, or the server stops.
pub(super) async fn run<S>(
    stream: S,
    protocol: &Protocol,
    state: State,
    limits: HttpLimits,
    mut stopped: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection =
        Arc::new(Connection { state, limits, accepted: Accepted::default(), activity: Activity::default() });
    let io = TokioIo::new(Counted { stream, connection: Arc::clone(&connection), reader: None });
    let shared = Arc::clone(&connection);
    let service = service_fn(move |request| {
        let connection = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(exchange::answer(&connection, request).await) }
    });
    let served = protocol.0.serve_connection(io, service);
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
    pub(super) fn begin(&self, is_http2: bool) -> Underway<'_> {
        let activity = &self.activity;
        activity.requests_begun.fetch_add(1, Ordering::Relaxed);
        activity.requests_open.fetch_add(1, Ordering::Relaxed);
        if is_http2 {
            activity.is_http2.store(true, Ordering::Relaxed);
        }
        self.state.meters().in_flight.increment(1.0);
        activity.mark();
        Underway(self)
    }

    /// Takes note of an answer; whether it should be the connection's last.
    pub(super) fn answers(&self, body_bytes: usize) -> bool {
        // One answer may be larger than the limit; what counts is what was unsent before it.
        let unsent_bytes = self.activity.unsent_bytes.fetch_add(body_bytes + ANSWER_HEAD_BYTES, Ordering::Relaxed);
        // HTTP/2 has windows, beyond which nothing is asked for or sent.
        unsent_bytes > UNSENT_BYTES_MAX && !self.activity.is_http2.load(Ordering::Relaxed)
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        self.0.activity.requests_open.fetch_sub(1, Ordering::Relaxed);
        self.0.activity.mark();
        self.0.state.meters().in_flight.decrement(1.0);
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
}

impl Watchdog {
    fn new() -> Watchdog {
        Watchdog { requests_seen: 0, quiet_since: Instant::now(), header_since: None }
    }

    fn is_overdue(&mut self, connection: &Connection) -> bool {
        let (activity, limits) = (&connection.activity, &connection.limits);
        let now = Instant::now();
        let begun = activity.requests_begun.load(Ordering::Relaxed);
        if activity.requests_open.load(Ordering::Relaxed) > 0 || begun != self.requests_seen {
            *self = Watchdog { requests_seen: begun, quiet_since: now, header_since: None };
            return false;
        }
        // HTTP/2 has frames that are no headers, and its own limits for those that are.
        let is_http2 = activity.is_http2.load(Ordering::Relaxed);
        let marked = activity.bytes_read_at_request.load(Ordering::Relaxed);
        if !is_http2 && activity.bytes_read.load(Ordering::Relaxed) > marked {
            let since = *self.header_since.get_or_insert(now);
            if now.duration_since(since) >= limits.header_read {
                tracing::debug!("a header did not end in time");
                return true;
            }
        }
        now.duration_since(self.quiet_since) >= limits.idle
    }
}

/// A stream that counts what goes through it, and is not read while too much has not gone out.
struct Counted<S> {
    stream: S,
    connection: Arc<Connection>,
    /// Whoever wanted to read when too much was unsent.
    reader: Option<Waker>,
}

impl<S> Counted<S> {
    fn is_behind(&self) -> bool {
        let activity = &self.connection.activity;
        activity.unsent_bytes.load(Ordering::Relaxed) > UNSENT_BYTES_BEFORE_READING
            && !activity.is_http2.load(Ordering::Relaxed)
    }

    fn sent(&mut self, bytes: usize) {
        let unsent_bytes = &self.connection.activity.unsent_bytes;
        // Of HTTP/1 only the connection's own task changes it; of HTTP/2 nobody looks at it.
        let left = unsent_bytes.load(Ordering::Relaxed).saturating_sub(bytes);
        unsent_bytes.store(left, Ordering::Relaxed);
        if !self.is_behind()
            && let Some(reader) = self.reader.take()
        {
            reader.wake();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_behind() {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let is_between = self.connection.activity.requests_open.load(Ordering::Relaxed) == 0;
        let (polled, read) = if is_between && buffer.remaining() > READ_BYTES_BETWEEN_REQUESTS {
            let mut part = ReadBuf::new(buffer.initialize_unfilled_to(READ_BYTES_BETWEEN_REQUESTS));
            let polled = Pin::new(&mut self.stream).poll_read(cx, &mut part);
            let read = part.filled().len();
            buffer.advance(read);
            (polled, read)
        } else {
            let before = buffer.filled().len();
            let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
            (polled, buffer.filled().len() - before)
        };
        if read > 0 {
            let read = u64::try_from(read).unwrap_or(u64::MAX);
            self.connection.activity.bytes_read.fetch_add(read, Ordering::Relaxed);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = &polled {
            self.sent(*written);
        }
        polled
    }

    /// Comes when all that was answered has been written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.sent(usize::MAX);
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        if let Poll::Ready(Ok(written)) = &polled {
            self.sent(*written);
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
