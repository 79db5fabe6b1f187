//! Reads a request's body into one buffer, within a limit of bytes and a limit of time.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::HeaderMap;
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::CONTENT_LENGTH;

use super::problem::{Code, Problem};

/// A length that is told above the limit is refused before anything is read.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Incoming,
    bytes_max: usize,
    time_max: Duration,
) -> Result<Bytes, Problem> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let told = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let told = told.map(usize::try_from);
    let told = match told {
        Some(Ok(length)) if length <= bytes_max => Some(length),
        Some(_) => return Err(too_large(bytes_max)),
        None => None,
    };
    let all = collect(body, told.unwrap_or(0), bytes_max);
    tokio::time::timeout(time_max, all).await.unwrap_or_else(|_| {
        let detail = format!("The body was not there after {} seconds.", time_max.as_secs());
        Err(Problem::new(Code::RequestTimeout, detail))
    })
}

/// Most bodies come in one piece, which is then taken as it is.
async fn collect(mut body: Incoming, told: usize, bytes_max: usize) -> Result<Bytes, Problem> {
    let mut buffer = Vec::new();
    while let Some(frame) = body.frame().await {
        let broken = |_| Problem::new(Code::InvalidRequest, "The body broke off.");
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        if buffer.len() + data.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        if buffer.is_empty() && (body.is_end_stream() || (told > 0 && data.len() == told)) {
            return Ok(data);
        }
        if buffer.is_empty() {
            buffer.reserve_exact(told);
        }
        buffer.extend_from_slice(&data);
    }
    Ok(buffer.into())
}

fn too_large(bytes_max: usize) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("The body is larger than {bytes_max} bytes."))
}
