//! Reads a request's body into one buffer, within a limit of bytes and a limit of time, and within what all bodies
//! that are under way may take together.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::BodyExt as _;
use hyper::HeaderMap;
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::CONTENT_LENGTH;

use super::problem::{Code, Problem};
use super::within::{Timer, within};
use crate::config::HttpLimits;

/// Why there is no body.
pub(super) enum Unread {
    /// The client broke it off. Over HTTP/2 that is how it takes a request back.
    BrokenOff,
    Refused(Problem),
}

/// A request's part of the memory of all bodies; given back when it is dropped.
pub(super) struct Share<'s> {
    taken_bytes: &'s AtomicUsize,
    own_bytes: usize,
}

impl<'s> Share<'s> {
    /// `taken_bytes` is what all requests have taken together.
    pub(super) fn new(taken_bytes: &'s AtomicUsize) -> Share<'s> {
        Share { taken_bytes, own_bytes: 0 }
    }

    fn take(&mut self, bytes: usize, bytes_max: usize) -> Result<(), Problem> {
        self.own_bytes += bytes;
        if self.taken_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > bytes_max {
            let detail = "The bodies of other requests take all the memory that there is for them; try again.";
            return Err(Problem::new(Code::Overloaded, detail));
        }
        Ok(())
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.taken_bytes.fetch_sub(self.own_bytes, Ordering::Relaxed);
    }
}

/// A length that is told above the limit is refused before anything is read.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Incoming,
    bytes_max: usize,
    limits: &HttpLimits,
    share: &mut Share<'_>,
) -> Result<Bytes, Unread> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let told = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let told = told.map(usize::try_from);
    let told = match told {
        Some(Ok(length)) if length <= bytes_max => Some(length),
        Some(_) => return Err(too_large(bytes_max).into()),
        None => None,
    };
    let all = pin!(collect(body, told.unwrap_or(0), (bytes_max, limits.bodies_bytes_max), share));
    within(limits.body_read, Timer::AtOnce, all).await.unwrap_or_else(|| {
        let detail = format!("The body was not there after {} seconds.", limits.body_read.as_secs());
        Err(Problem::new(Code::RequestTimeout, detail).into())
    })
}

/// Most bodies come in one piece, which is then taken as it is: it lies in the connection's own buffer, and takes
/// nothing of the memory of all bodies.
async fn collect(
    mut body: Incoming,
    told: usize,
    (bytes_max, bodies_bytes_max): (usize, usize),
    share: &mut Share<'_>,
) -> Result<Bytes, Unread> {
    let mut buffer = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unread::BrokenOff)?.into_data() else { continue };
        if buffer.len() + data.len() > bytes_max {
            return Err(too_large(bytes_max).into());
        }
        if buffer.is_empty() && (body.is_end_stream() || (told > 0 && data.len() == told)) {
            return Ok(data);
        }
        if buffer.is_empty() {
            share.take(told, bodies_bytes_max)?;
            buffer.reserve_exact(told);
        }
        // A body that tells no length takes its part as it comes.
        if told == 0 {
            share.take(data.len(), bodies_bytes_max)?;
        }
        buffer.extend_from_slice(&data);
    }
    Ok(buffer.into())
}

impl From<Problem> for Unread {
    fn from(problem: Problem) -> Unread {
        Unread::Refused(problem)
    }
}

fn too_large(bytes_max: usize) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("The body is larger than {bytes_max} bytes."))
}
