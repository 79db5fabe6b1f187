//! The live stream as Server-Sent Events. Where the events come from, and when a stream ends, is not known here.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::body::Bytes;

use super::answer::Answer;
use super::call::Call;
use super::connection::Connection;
use super::problem::{Code, Problem};
use crate::services::Fault;
use crate::services::notify::streams::{self, Reader, Told};

pub(super) const EVENT_STREAM: &str = "text/event-stream";
/// A client whose stream ends comes back after two seconds.
pub(super) const OPENING: &[u8] = b"retry: 2000\n\n";

/// Seconds without an event after which a comment shows that somebody is there.
const HEARTBEAT_SECONDS: u32 = 15;

pub(super) async fn open(call: &Call<'_>) -> Result<Answer, Problem> {
    let services =
        call.services.ok_or_else(|| Problem::new(Code::Recovering, "The server does not know its people yet."))?;
    let last = call.headers.get("last-event-id").map(|value| {
        let number = value.to_str().ok().and_then(|text| text.parse::<i64>().ok());
        number.ok_or_else(|| Problem::new(Code::InvalidRequest, "Last-Event-ID is not the id of an event."))
    });
    let reader = streams::open(services, call.principal, last.transpose()?).await?;
    let answer = Answer::bytes(StatusCode::OK, EVENT_STREAM, Bytes::new());
    Ok(Answer { stream: Some(reader), ..answer })
}

/// Waits for the next piece.
pub(super) async fn next(mut reader: Reader, connection: Arc<Connection>) -> Option<(Bytes, Reader)> {
    let mut quiet_seconds = 0;
    while !connection.state.is_stopping() {
        match reader.next().await {
            Ok(Some(Told::Quiet)) => {
                quiet_seconds += 1;
                if quiet_seconds >= HEARTBEAT_SECONDS {
                    return Some((Bytes::from_static(b": still here\n\n"), reader));
                }
            }
            Ok(Some(told)) => return Some((Bytes::from(text(&told)), reader)),
            Ok(None) => return None,
            // The client comes back and goes on where it was.
            Err(fault) => {
                note(&fault);
                return None;
            }
        }
    }
    None
}

/// JSON in one line has no line break in it, so an event has one line of data.
fn text(told: &Told) -> String {
    match told {
        Told::Event { number, kind, body } => format!("id: {number}\nevent: {kind}\ndata: {body}\n\n"),
        Told::Gap { number } => format!("id: {number}\nevent: gap\ndata: {{\"type\":\"gap\"}}\n\n"),
        Told::Quiet => String::new(),
    }
}

fn note(fault: &Fault) {
    tracing::warn!(%fault, cause = ?std::error::Error::source(fault), "a live stream was ended");
}
