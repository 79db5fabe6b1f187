//! A bare hyper server: the physical limit of HTTP on this machine. It has the settings and the runtime of Florin's own
//! server, reads the whole request and answers as many bytes as Florin does, headers included; it keeps nothing.
//! It puts the request's own ids into its answers, so that the load generator does the same work for both.

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use florin::config::HttpLimits;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;

use crate::error::Error;

#[derive(clap::Args, Debug)]
pub struct BareArgs {
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// An answer of Florin's to a transfer, as it came over HTTP/1.1, to imitate to the byte; otherwise one like it
    #[arg(long, value_name = "FILE")]
    like: Option<PathBuf>,
}

/// What Florin answered when this was written, for whoever has no newer answer.
const LIKE: &[u8] = b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\n\
    x-request-id: 019a9000-0000-7000-8000-000000000001\r\n\r\n\
    {\"id\":\"019a9000-0000-7000-8000-000000000002\",\"status\":\"accepted\",\"type\":\"transfer\",\"currency\":\"INR\",\
    \"legs\":[{\"wallet\":\"019a9000-0000-7000-8000-000000000003\",\"amount\":{\"amount\":\"-5.00\",\"currency\":\"INR\"}},\
    {\"wallet\":\"019a9000-0000-7000-8000-000000000004\",\"amount\":{\"amount\":\"5.00\",\"currency\":\"INR\"}}],\
    \"reference\":null,\"created_at\":\"2026-11-20T00:00:00.000000Z\",\"lsn\":1000000}";

const ID_AT: usize = br#"{"id":""#.len();
const ID_BYTES: usize = 36;
const ITEM_BYTES: usize = 64;
const OUTCOME_BYTES: usize = 16;
/// An item of JSON has three ids, so the search for the next one may begin as far behind.
const JSON_ITEM_BYTES_MIN: usize = 3 * ID_BYTES;
const ITEM_HEAD: &[u8] = br#"{"id":""#;

pub fn run(args: &BareArgs) -> Result<ExitCode, Error> {
    let recorded = match &args.like {
        Some(path) => std::fs::read(path).map_err(Error::io(format!("read {}", path.display())))?,
        None => LIKE.to_vec(),
    };
    let like = Like::read(&recorded).ok_or_else(|| Error::Failed("the answer to imitate is none".to_owned()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(Error::io("start threads"))?.block_on(serve(args.listen, Arc::new(like)))
}

/// The answer to imitate.
struct Like {
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Like {
    fn read(recorded: &[u8]) -> Option<Like> {
        let text = std::str::from_utf8(recorded).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut headers = HeaderMap::new();
        for line in head.lines().skip(1) {
            let (name, value) = line.split_once(':')?;
            // These hyper writes by itself.
            if matches!(name.to_ascii_lowercase().as_str(), "content-length" | "date") {
                continue;
            }
            let name = hyper::header::HeaderName::from_bytes(name.as_bytes()).ok()?;
            headers.insert(name, HeaderValue::from_str(value.trim()).ok()?);
        }
        let is_one = body.len() > ID_AT + ID_BYTES && body.as_bytes().starts_with(ITEM_HEAD);
        is_one.then(|| Like { headers, body: body.as_bytes().to_vec() })
    }

    fn single(&self, key: Option<&HeaderValue>) -> Bytes {
        let mut body = self.body.clone();
        if let Some(key) = key.filter(|key| key.len() == ID_BYTES) {
            body[ID_AT..ID_AT + ID_BYTES].copy_from_slice(key.as_bytes());
        }
        body.into()
    }
}

async fn serve(address: SocketAddr, like: Arc<Like>) -> Result<ExitCode, Error> {
    let listener = TcpListener::bind(address).await.map_err(Error::io(format!("listen on {address}")))?;
    let address = listener.local_addr().map_err(Error::io("listen"))?;
    println!("{}", serde_json::json!({ "type": "listening", "url": format!("http://{address}") }));
    let protocol = Arc::new(protocol());
    std::thread::spawn(end_with_stdin);
    loop {
        let (stream, _) = listener.accept().await.map_err(Error::io("accept"))?;
        stream.set_nodelay(true).map_err(Error::io("set TCP_NODELAY"))?;
        let (protocol, like) = (Arc::clone(&protocol), Arc::clone(&like));
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&like)));
            // A client that goes away is no failure.
            drop(protocol.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

/// It ends with whoever started it. There is nothing to put in order.
fn end_with_stdin() {
    let mut ignored = [0; 64];
    while std::io::stdin().read(&mut ignored).is_ok_and(|count| count > 0) {}
    std::process::exit(0);
}

/// The settings of src/http/connection.rs.
fn protocol() -> auto::Builder<TokioExecutor> {
    let limits = HttpLimits::default();
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().pipeline_flush(true).header_read_timeout(None).max_buf_size(64 * 1024);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.http2_streams_max)
        .initial_stream_window_size(limits.http2_window_bytes)
        .initial_connection_window_size(limits.http2_window_bytes.saturating_mul(4))
        .max_header_list_size(u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX))
        .keep_alive_interval(limits.idle)
        .keep_alive_timeout(limits.header_read);
    builder
}

async fn answer(request: Request<Incoming>, like: Arc<Like>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let mut response = if parts.uri.path().ends_with("/bulk") {
        let is_binary = parts.headers.get(CONTENT_TYPE).is_some_and(|kind| kind != "application/json");
        Response::new(Full::new(if is_binary { binary_outcomes(&body) } else { json_outcomes(&body) }))
    } else {
        let mut response = Response::new(Full::new(like.single(parts.headers.get("idempotency-key"))));
        *response.status_mut() = StatusCode::CREATED;
        response
    };
    *response.headers_mut() = like.headers.clone();
    Ok(response)
}

/// Zeros say accepted.
fn binary_outcomes(body: &[u8]) -> Bytes {
    vec![0; body.len() / ITEM_BYTES * OUTCOME_BYTES].into()
}

fn json_outcomes(body: &[u8]) -> Bytes {
    let mut outcomes = Vec::with_capacity(body.len() / 2 + 64);
    outcomes.extend_from_slice(b"{\"outcomes\":[");
    let mut rest = body;
    let mut is_first = true;
    while let Some(at) = rest.windows(ITEM_HEAD.len()).position(|window| window == ITEM_HEAD)
        && let Some(id) = rest.get(at + ID_AT..at + ID_AT + ID_BYTES)
    {
        if !std::mem::take(&mut is_first) {
            outcomes.push(b',');
        }
        outcomes.extend_from_slice(ITEM_HEAD);
        outcomes.extend_from_slice(id);
        outcomes.extend_from_slice(b"\",\"status\":\"accepted\",\"lsn\":1000000,\"replayed\":false}");
        rest = rest.get(at + JSON_ITEM_BYTES_MIN..).unwrap_or_default();
    }
    outcomes.extend_from_slice(b"]}");
    outcomes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_answer_is_imitated_with_the_requests_id() {
        let like = Like::read(LIKE).unwrap();
        let key = "aaaaaaaa-0000-7000-8000-000000000002";
        let body = like.single(Some(&HeaderValue::from_static(key)));
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((json["id"].as_str(), json["lsn"].as_u64()), (Some(key), Some(1_000_000)));
        assert_eq!(body.len(), like.body.len());
        assert_eq!(like.headers["content-type"], "application/json");
        assert!(Like::read(b"HTTP/1.1 500 Oops\r\n\r\nno").is_none());
    }

    #[test]
    fn a_batch_gets_an_outcome_for_each_item() {
        let id = "aaaaaaaa-0000-7000-8000-00000000000";
        let item = |last: u8| {
            format!(
                r#"{{"id":"{id}{last}","from":"{id}1","to":"{id}2","amount":{{"amount":"1.00","currency":"INR"}}}}"#
            )
        };
        let body = format!("[{},{},{}]", item(7), item(8), item(9));
        let json: serde_json::Value = serde_json::from_slice(&json_outcomes(body.as_bytes())).unwrap();
        let ids: Vec<&str> =
            json["outcomes"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
        assert_eq!(ids, [7, 8, 9].map(|last| format!("{id}{last}")));
        assert_eq!(binary_outcomes(&[1; 128]).len(), 32);
    }
}
