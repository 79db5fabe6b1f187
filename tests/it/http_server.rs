//! The server around the routes: before recovery, limits, pipelining, HTTP/2, stopping, and what
//! operators look at.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::time::Duration;

use florin::config::HttpLimits;
use florin::http::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::http_api::{Api, read_reply, request};

/// The server closes the connection by itself, well before this.
const CLOSED_WITHIN: Duration = Duration::from_secs(20);

#[tokio::test]
async fn it_answers_before_the_engine_has_recovered() {
    let mut api = Api::listening(ServerConfig::default()).await;
    api.state.recovering(7, 100);
    assert_eq!(api.send_bare("GET", "/healthz", &[], b"").await.status, 200);
    for path in ["/readyz", "/v1/ledger/summary"] {
        let reply = api.get(path).await;
        assert_eq!((reply.status, reply.code().as_str()), (503, "RECOVERING"), "{path}");
        assert!(reply.json()["detail"].as_str().unwrap().contains("7 of 100"), "{reply:?}");
        assert_eq!(reply.header("retry-after"), Some("1"));
    }
    api.recover().await;
    let ready = api.send_bare("GET", "/readyz", &[], b"").await;
    assert_eq!((ready.status, ready.json()["status"].as_str()), (200, Some("ready")));
    api.stop().await;
}

#[tokio::test]
async fn a_request_id_is_kept_or_made() {
    let api = Api::start().await;
    let reply = api.send("GET", "/v1/ledger/summary", &[("x-request-id", "mine-1")], b"").await;
    assert_eq!(reply.header("x-request-id"), Some("mine-1"));
    for unfit in ["", "two words", &"x".repeat(129)] {
        let reply = api.send("GET", "/v1/nothing", &[("x-request-id", unfit)], b"").await;
        let id = uuid::Uuid::parse_str(reply.header("x-request-id").unwrap()).unwrap();
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(reply.json()["request_id"], id.to_string());
    }
    api.stop().await;
}

#[tokio::test]
async fn bodies_and_headers_have_limits() {
    let api = Api::start().await;
    let json = ("content-type", "application/json");
    let (key, bearer) = (("idempotency-key", "k"), format!("Bearer {}", api.key));
    let auth = ("authorization", bearer.as_str());
    // Refused by its length, before any of it is sent.
    let told = [auth, json, key, ("content-length", "1048577")];
    let reply = api.send_bare("POST", "/v1/transfers", &told, b"").await;
    assert_eq!((reply.status, reply.code().as_str()), (413, "BODY_TOO_LARGE"));
    // Cut off at the limit, though no length is told.
    let mut chunks = Vec::new();
    for _ in 0..17 {
        chunks.extend_from_slice(format!("10000\r\n{}\r\n", " ".repeat(0x10000)).as_bytes());
    }
    let chunked = [auth, json, key, ("transfer-encoding", "chunked")];
    let mut stream = TcpStream::connect(api.address).await.unwrap();
    let bytes = request("POST", "/v1/transfers", &chunked, &chunks);
    // The server may stop reading before all is written.
    drop(stream.write_all(&bytes).await);
    let reply = read_reply(&mut stream, &mut Vec::new()).await;
    assert_eq!((reply.status, reply.code().as_str()), (413, "BODY_TOO_LARGE"));

    let long = "x".repeat(17 * 1024);
    let reply = api.send("GET", "/v1/ledger/summary", &[("x-long", &long)], b"").await;
    assert_eq!((reply.status, reply.code().as_str()), (431, "HEADERS_TOO_LARGE"));
    let many = [("x-many", "1"); 65];
    let reply = api.send("GET", "/v1/ledger/summary", &many, b"").await;
    assert_eq!((reply.status, reply.code().as_str()), (431, "HEADERS_TOO_LARGE"));
    api.stop().await;
}

#[tokio::test]
async fn slow_clients_are_not_waited_for() {
    let quick = Duration::from_millis(100);
    let limits = HttpLimits { body_read: quick, header_read: quick, idle: quick, ..HttpLimits::default() };
    let mut api = Api::listening(ServerConfig { limits, ..ServerConfig::default() }).await;
    api.recover().await;
    let bearer = format!("Bearer {}", api.key);
    let headers = [("authorization", bearer.as_str()), ("content-length", "10")];
    let reply = api.send_bare("POST", "/v1/transfers", &headers, b"{").await;
    assert_eq!((reply.status, reply.code().as_str()), (408, "REQUEST_TIMEOUT"));
    for unfinished in ["", "GET /healthz HTTP/1.1\r\nhost:"] {
        let mut stream = TcpStream::connect(api.address).await.unwrap();
        stream.write_all(unfinished.as_bytes()).await.unwrap();
        let closed = tokio::time::timeout(CLOSED_WITHIN, stream.read_to_end(&mut Vec::new())).await;
        assert!(closed.is_ok(), "{unfinished:?}");
    }
    api.stop().await;
}

#[tokio::test]
async fn connections_above_the_limit_are_closed() {
    let limits = HttpLimits { connections_max: 1, ..HttpLimits::default() };
    let api = Api::listening(ServerConfig { limits, ..ServerConfig::default() }).await;
    let mut first = TcpStream::connect(api.address).await.unwrap();
    first.write_all(&request("GET", "/healthz", &[], b"")).await.unwrap();
    assert_eq!(read_reply(&mut first, &mut Vec::new()).await.status, 200);
    let mut second = TcpStream::connect(api.address).await.unwrap();
    let read = tokio::time::timeout(CLOSED_WITHIN, second.read_to_end(&mut Vec::new())).await.unwrap();
    assert_eq!(read.unwrap_or(0), 0);
    drop(first);
    api.stop().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let api = Api::start().await;
    let (ann, bob) = (api.wallet("ann", "100").await, api.wallet("bob", "0").await);
    let bearer = format!("Bearer {}", api.key);
    let mut bytes = Vec::new();
    for number in 1..=20 {
        let key = format!("pipelined-{number}");
        let id = format!("r-{number}");
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", &key), ("x-request-id", &id)];
        let body = format!(r#"{{"from":"{ann}","to":"{bob}","amount":{{"amount":"1","currency":"INR"}}}}"#);
        bytes.extend_from_slice(&request("POST", "/v1/transfers", &headers, body.as_bytes()));
    }
    let mut stream = TcpStream::connect(api.address).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let mut buffer = Vec::new();
    for number in 1..=20 {
        let reply = read_reply(&mut stream, &mut buffer).await;
        assert_eq!((reply.status, reply.header("x-request-id")), (201, Some(format!("r-{number}").as_str())));
    }
    assert_eq!(api.posted(&bob).await, "20.00");
    api.stop().await;
}

#[tokio::test]
async fn http2_is_known_by_its_first_bytes() {
    let api = Api::listening(ServerConfig::default()).await;
    let mut stream = TcpStream::connect(api.address).await.unwrap();
    // The preface, then empty SETTINGS.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut header = [0; 9];
    stream.read_exact(&mut header).await.unwrap();
    assert_eq!(header[3], 4, "a SETTINGS frame comes first");
    drop(stream);
    api.stop().await;
}

#[tokio::test]
async fn a_stopping_server_answers_what_is_under_way() {
    let mut api = Api::start().await;
    let bearer = format!("Bearer {}", api.key);
    let body = r#"{"owner":"01890a5d-0000-7000-8000-000000000001","currency":"INR"}"#;
    let headers = [("authorization", bearer.as_str()), ("expect", "100-continue")];
    let bytes = request("POST", "/v1/wallets", &headers, body.as_bytes());
    let (head, body) = bytes.split_at(bytes.len() - body.len());
    let mut stream = TcpStream::connect(api.address).await.unwrap();
    stream.write_all(head).await.unwrap();
    // This shows that a handler waits for the body.
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    api.begin_stop();
    let refused = async { while TcpStream::connect(api.address).await.is_ok() {} };
    tokio::time::timeout(CLOSED_WITHIN, refused).await.unwrap();
    stream.write_all(body).await.unwrap();
    assert_eq!(read_reply(&mut stream, &mut Vec::new()).await.status, 201);
    api.stop().await;
}

#[tokio::test]
async fn metrics_count_by_route() {
    let api = Api::start().await;
    api.wallet("ann", "1").await;
    api.get("/v1/nothing").await;
    let reply = api.send_bare("GET", "/metrics", &[], b"").await;
    let text = String::from_utf8(reply.body).unwrap();
    for part in [
        r#"florin_http_requests_total{method="POST",route="/v1/deposits",class="2xx"}"#,
        r#"florin_http_request_duration_seconds_bucket{method="POST",route="/v1/deposits",le="0.0001"}"#,
        r#"florin_http_problems_total{code="NOT_FOUND"}"#,
        "florin_last_lsn ",
        "florin_ready 1",
        "florin_http_connections ",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    api.stop().await;
}
