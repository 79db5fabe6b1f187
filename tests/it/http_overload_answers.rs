//! Answers that nobody takes: what all connections together may make the server hold, over HTTP/1.1. Over HTTP/2 see
//! `http_overload_http2`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use florin::config::HttpLimits;
use florin::http::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use crate::http_api::{Api, read_reply, request};
use crate::http_overload::{CUT_WITHIN, Server, files_max};

/// Of answers of 60 KB or so, which is more than the system's own buffers take.
const QUESTIONS: usize = 200;
/// So long that the server reads two of them at a time: of many short ones it would hold a megabyte at once, and then end.
const PADDING_BYTES: usize = 7_000;

/// Asks for much and takes nothing of it.
fn stuck(address: SocketAddr) -> JoinHandle<TcpStream> {
    tokio::spawn(async move {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        let padding = "x".repeat(PADDING_BYTES);
        let question = request("GET", "/openapi.json", &[("x-padding", &padding)], b"");
        // A server that is short of memory may end the connection meanwhile.
        drop(stream.write_all(&question.repeat(QUESTIONS)).await);
        stream
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_no_answers_makes_room_for_those_who_do() {
    let limits = HttpLimits { unsent_bytes_max: 1024 * 1024, ..HttpLimits::default() };
    let api = Api::listening(ServerConfig { limits, ..ServerConfig::default() }).await;
    let ended_before = ended(&api).await;
    let all: Vec<_> = (0..20).map(|_| stuck(api.address)).collect();
    // Each would be let hold 128 KiB and more if it were alone: all together more than the limit, and five times what
    // they may hold without being ended.
    let began = Instant::now();
    let mut refused = 0;
    loop {
        assert!(began.elapsed() < CUT_WITHIN, "nobody is ended; refused {refused} times");
        assert_eq!(api.send_bare("GET", "/healthz", &[], b"").await.status, 200);
        let reply = api.send_bare("GET", "/openapi.json", &[], b"").await;
        if reply.status == 503 {
            assert_eq!((reply.code().as_str(), reply.header("retry-after")), ("OVERLOADED", Some("1")));
            refused += 1;
            continue;
        }
        assert_eq!(reply.status, 200);
        if ended(&api).await > ended_before {
            break;
        }
    }
    println!("{} ended after {:?}; {refused} refused", ended(&api).await - ended_before, began.elapsed());
    all.iter().for_each(JoinHandle::abort);
    api.stop().await;
}

/// The server used to keep all answers back while a part of a next request was there, and with enough of them unsent
/// waited for ever: it read no more of that request, and so never sent. If it was to end the connection then, it lost
/// them.
#[tokio::test]
async fn answers_do_not_wait_for_half_a_request() {
    let api = Api::listening(ServerConfig::default()).await;
    let question = request("GET", "/openapi.json", &[], b"");
    let last = request("GET", "/healthz", &[("connection", "close")], b"");
    let (half, rest) = question.split_at(30);
    let mut stream = TcpStream::connect(api.address).await.unwrap();
    let mut buffer = Vec::new();
    stream.write_all(&[&question.repeat(40), half].concat()).await.unwrap();
    for _ in 0..40 {
        let reply = tokio::time::timeout(CUT_WITHIN, read_reply(&mut stream, &mut buffer)).await;
        assert_eq!(reply.expect("it is sent").status, 200);
    }
    stream.write_all(&[rest, &question.repeat(40), &last, half].concat()).await.unwrap();
    for _ in 0..42 {
        assert_eq!(read_reply(&mut stream, &mut buffer).await.status, 200);
    }
    // A reset is an end too: the half request was never read.
    assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
    api.stop().await;
}

async fn ended(api: &Api) -> u64 {
    let metrics = api.send_bare("GET", "/metrics", &[], b"").await;
    let text = String::from_utf8(metrics.body).unwrap();
    let count = text.lines().find_map(|line| line.strip_prefix("florin_http_connections_ended_total "));
    count.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_number_of_stuck_clients_take_what_the_limit_says() {
    const CLIENTS: usize = 500;
    if files_max(2 * CLIENTS as u64) < 2 * CLIENTS as u64 {
        println!("SKIPPED: {CLIENTS} connections need more open files than are allowed here");
        return;
    }
    let bytes_max = HttpLimits::default().unsent_bytes_max as u64 + CLIENTS as u64 * 96 * 1024;
    let server = Server::start();
    assert_eq!(server.ask("GET", "/openapi.json", &[], b"").await, 200);
    let at_rest = server.resident_bytes();
    let (mut all, mut grown_max) = (Vec::new(), 0);
    for _ in 0..CLIENTS {
        all.push(stuck(server.address));
        grown_max = grown_max.max(server.resident_bytes().saturating_sub(at_rest));
    }
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        assert_eq!(server.ask("GET", "/healthz", &[], b"").await, 200);
        grown_max = grown_max.max(server.resident_bytes().saturating_sub(at_rest));
    }
    println!("{CLIENTS} stuck clients: {grown_max} bytes more at most, of {bytes_max}");
    assert!(grown_max < bytes_max, "{grown_max} bytes, where {bytes_max} are the limit");
    let until = Instant::now() + CUT_WITHIN;
    while server.ask("GET", "/openapi.json", &[], b"").await != 200 {
        assert!(Instant::now() < until, "it goes on as before");
    }
}
