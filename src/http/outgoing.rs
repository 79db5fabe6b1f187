//! Bodies of responses: whole, as nearly all are, or a stream of events that is asked for its next piece when the client has
//! taken the one before. What has not been taken is held by the connection's account like everything else.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http_body_util::Full;
use hyper::body::{Body, Bytes, Frame, SizeHint};

use super::connection::{Connection, StreamOpen};
use super::events;
use crate::services::notify::streams::Reader;

pub(super) enum Outgoing {
    Whole(Full<Bytes>),
    Events(Events),
}

pub(super) struct Events {
    next: Option<Next>,
    connection: Arc<Connection>,
    _open: StreamOpen,
}

/// A piece, and the reader that goes on behind it; nothing when the stream is over.
type Next = Pin<Box<dyn Future<Output = Option<(Bytes, Reader)>> + Send>>;

impl Outgoing {
    pub(super) fn events(connection: &Arc<Connection>, reader: Reader) -> Outgoing {
        let next: Next = Box::pin(async { Some((Bytes::from_static(events::OPENING), reader)) });
        let _open = connection.open_stream();
        Outgoing::Events(Events { next: Some(next), connection: Arc::clone(connection), _open })
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Outgoing::Whole(body) => Pin::new(body).poll_frame(cx),
            Outgoing::Events(events) => {
                let Some(next) = &mut events.next else { return Poll::Ready(None) };
                let Some((bytes, reader)) = ready!(next.as_mut().poll(cx)) else {
                    events.next = None;
                    return Poll::Ready(None);
                };
                events.next = Some(Box::pin(events::next(reader, Arc::clone(&events.connection))));
                Poll::Ready(Some(Ok(Frame::data(events.connection.answers(bytes)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Outgoing::Whole(body) => body.is_end_stream(),
            Outgoing::Events(events) => events.next.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Outgoing::Whole(body) => body.size_hint(),
            Outgoing::Events(_) => SizeHint::default(),
        }
    }
}
