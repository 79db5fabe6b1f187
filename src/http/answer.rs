//! What a handler gives back when all went well; the connection makes a response of it.

use hyper::StatusCode;
use hyper::body::Bytes;
use serde::Serialize;

use crate::services::notify::streams::Reader;

pub(super) const JSON: &str = "application/json";
pub(super) const NDJSON: &str = "application/x-ndjson";

#[derive(Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub content_type: &'static str,
    pub body: Bytes,
    /// Remembered from an earlier request with the same key.
    pub replayed: bool,
    /// Events that follow, instead of the body.
    pub stream: Option<Reader>,
}

/// Most answers fit, so that writing one never grows its buffer.
const JSON_BYTES_USUAL: usize = 640;

impl Answer {
    pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
        let mut bytes = Vec::with_capacity(JSON_BYTES_USUAL);
        serde_json::to_writer(&mut bytes, body).expect("wire types are always JSON, and memory takes every write");
        Answer::bytes(status, JSON, bytes)
    }

    pub(super) fn ok(body: &impl Serialize) -> Answer {
        Answer::json(StatusCode::OK, body)
    }

    pub(super) fn created(body: &impl Serialize, replayed: bool) -> Answer {
        Answer { replayed, ..Answer::json(StatusCode::CREATED, body) }
    }

    pub(super) fn bytes(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
        Answer { status, content_type, body: body.into(), replayed: false, stream: None }
    }
}
