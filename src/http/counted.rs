//! The stream beneath hyper: counts what goes through it, and gathers the answers to pipelined HTTP/1.1 requests, so
//! that all that one read brought is answered by one write. What the counts are for is in `connection`.
//!
//! hyper can gather by itself (`pipeline_flush`), but keeps all answers back while any byte of a next request is there,
//! without a limit, and loses them if the connection ends then.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::Connection;

pub(super) struct Counted<S> {
    stream: S,
    connection: Arc<Connection>,
    gathered: Vec<u8>,
    /// How much of `gathered` has been written.
    written_bytes: usize,
    /// hyper has handed over all that was answered.
    is_complete: bool,
    /// The last read found nothing, so hyper has no whole request left to answer, and nothing is worth waiting for.
    is_drained: bool,
}

/// More than this is not gathered; the rest waits in hyper, which takes up no further request then.
const GATHERED_BYTES_MAX: usize = 64 * 1024;
/// A larger buffer is not kept for the next answers.
const GATHERED_BYTES_KEPT: usize = 16 * 1024;

impl<S> Counted<S> {
    pub(super) fn new(stream: S, connection: Arc<Connection>) -> Counted<S> {
        Counted { stream, connection, gathered: Vec::new(), written_bytes: 0, is_complete: true, is_drained: false }
    }
}

impl<S: AsyncWrite + Unpin> Counted<S> {
    /// Whether what hyper writes goes out at once. HTTP/2 gathers by itself.
    fn passes_through(&self) -> bool {
        self.gathered.is_empty() && (self.is_drained || self.connection.is_http2())
    }

    /// Sends all that was gathered.
    fn poll_gathered(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written_bytes < self.gathered.len() {
            let rest = &self.gathered[self.written_bytes..];
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written_bytes += written;
            self.connection.was_sent(written);
        }
        self.written_bytes = 0;
        self.gathered.clear();
        if self.gathered.capacity() > GATHERED_BYTES_KEPT {
            self.gathered = Vec::new();
        }
        if self.is_complete {
            // The size of heads was only estimated.
            self.connection.was_sent(usize::MAX);
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Counted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // hyper reads when it has answered all that it could. A client that does not take that is waited for where
        // something is written; here it may still send.
        if !self.gathered.is_empty()
            && let Poll::Ready(Err(error)) = self.poll_gathered(cx)
        {
            return Poll::Ready(Err(error));
        }
        let bytes_max = self.connection.read_bytes_max()?;
        if bytes_max == 0 {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let polled = if bytes_max < buffer.remaining() {
            let mut part = ReadBuf::new(buffer.initialize_unfilled_to(bytes_max));
            let polled = Pin::new(&mut self.stream).poll_read(cx, &mut part);
            let read = part.filled().len();
            buffer.advance(read);
            polled
        } else {
            Pin::new(&mut self.stream).poll_read(cx, buffer)
        };
        self.is_drained = polled.is_pending();
        let read = &buffer.filled()[before..];
        if !read.is_empty() {
            self.connection.was_read(read);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.is_complete = false;
        if !self.passes_through() {
            let bytes = pieces.iter().map(|piece| piece.len()).sum::<usize>();
            if self.gathered.len() + bytes <= GATHERED_BYTES_MAX {
                pieces.iter().for_each(|piece| self.gathered.extend_from_slice(piece));
                return Poll::Ready(Ok(bytes));
            }
            ready!(self.poll_gathered(cx))?;
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, pieces))?;
        self.connection.was_sent(written);
        Poll::Ready(Ok(written))
    }

    /// hyper asks for this when it has handed over all that was answered.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_complete = true;
        if !self.gathered.is_empty() {
            if !self.is_drained {
                // It goes out with the next answer, or with the next read.
                return Poll::Ready(Ok(()));
            }
            return self.poll_gathered(cx);
        }
        self.connection.was_sent(usize::MAX);
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.gathered.is_empty() {
            ready!(self.poll_gathered(cx))?;
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
