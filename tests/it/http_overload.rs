//! More than the server can do, and clients that mean it no good: the others are refused with a time to come back,
//! what is accepted is answered soon, memory stays within the bound of docs/reliability.md, and it passes by itself.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use florin::config::HttpLimits;
use florin::http::ServerConfig;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::http_api::{Api, read_reply, request};

/// Whatever is cut off is so well before this; a machine that is busy with other tests is slow.
pub const CUT_WITHIN: Duration = Duration::from_secs(20);
/// A request beside 10,000 idle connections.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);
const IDLE_CONNECTIONS: u64 = 10_000;
/// As docs/reliability.md states them.
const BYTES_PER_IDLE_CONNECTION_MAX: u64 = 32 * 1024;
const BYTES_PER_STUCK_CONNECTION_MAX: u64 = 2 * 1024 * 1024;

#[tokio::test]
async fn a_byte_at_a_time_is_cut_off() {
    let quick = Duration::from_millis(400);
    let limits = HttpLimits { header_read: quick, body_read: quick, ..HttpLimits::default() };
    let mut api = Api::listening(ServerConfig { limits, ..ServerConfig::default() }).await;
    api.recover().await;
    let bearer = format!("Bearer {}", api.key);
    let headers = [("authorization", bearer.as_str()), ("content-length", "1000")];
    let with_body = request("POST", "/v1/transfers", &headers, b"");
    let without = b"GET /healthz HTTP/1.1\r\nx-slow: ".to_vec();
    for (begin, expected) in [(without, ""), (with_body, "HTTP/1.1 408 ")] {
        let stream = TcpStream::connect(api.address).await.unwrap();
        let (mut read, mut write) = stream.into_split();
        write.write_all(&begin).await.unwrap();
        let dripping = tokio::spawn(async move {
            let mut drip = tokio::time::interval(Duration::from_millis(100));
            while write.write_all(b" ").await.is_ok() {
                drip.tick().await;
            }
        });
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(CUT_WITHIN, read.read_to_end(&mut answer)).await.expect("it is cut off");
        // A reset is an end too, when bytes were on their way.
        drop(ended);
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with(expected) && answer.is_empty() == expected.is_empty(), "{answer:?}");
        dripping.abort();
    }
    api.stop().await;
}

#[tokio::test]
async fn clients_that_do_not_read_are_cut_off() {
    let quick = Duration::from_millis(400);
    let limits = HttpLimits { header_read: quick, idle: quick, ..HttpLimits::default() };
    let api = Api::listening(ServerConfig { limits, ..ServerConfig::default() }).await;
    let mut stream = TcpStream::connect(api.address).await.unwrap();
    let asking = async { while stream.write_all(&request("GET", "/openapi.json", &[], b"")).await.is_ok() {} };
    tokio::time::timeout(CUT_WITHIN, asking).await.expect("writing fails once the server has closed");
    assert_eq!(api.send_bare("GET", "/healthz", &[], b"").await.status, 200);
    api.stop().await;
}

#[tokio::test]
async fn all_bodies_together_have_a_limit() {
    let limits = HttpLimits { bodies_bytes_max: 300_000, ..HttpLimits::default() };
    let mut api = Api::listening(ServerConfig { limits, ..ServerConfig::default() }).await;
    api.recover().await;
    let bearer = format!("Bearer {}", api.key);
    let headers = [("authorization", bearer.as_str()), ("content-length", "200000"), ("expect", "100-continue")];
    let head = request("POST", "/v1/transfers", &headers, b"");
    // Two pieces, so that the first is kept until the second comes.
    let mut first = TcpStream::connect(api.address).await.unwrap();
    first.write_all(&head).await.unwrap();
    first.read_exact(&mut [0; 25]).await.unwrap();
    first.write_all(&[b' '; 100]).await.unwrap();
    let refused = loop {
        let reply = api.post("/v1/transfers", "k", &" ".repeat(200_000)).await;
        // Until the server has seen the first one's first piece, there is room.
        if reply.status != 400 {
            break reply;
        }
    };
    assert_eq!((refused.status, refused.code().as_str()), (503, "OVERLOADED"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    first.write_all(&[b' '; 199_900]).await.unwrap();
    assert_eq!(read_reply(&mut first, &mut Vec::new()).await.code(), "IDEMPOTENCY_KEY_REQUIRED");
    assert_eq!(api.post("/v1/transfers", "k", &" ".repeat(200_000)).await.code(), "INVALID_JSON");
    api.stop().await;
}

/// The server as a process of its own, so that its memory is its own.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    pub key: String,
    _dir: TempDir,
}

impl Server {
    pub fn start() -> Server {
        Server::start_with(&[])
    }

    pub fn start_with(flags: &[&str]) -> Server {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_florin"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--stop-with-stdin", "--log-level", "error", "--json"]);
        command.args(["--segment-mib", "1", "--data-dir"]).arg(dir.path()).args(flags);
        command.env_remove("FLORIN_API_KEY").env_remove("RUST_LOG").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let listening: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert!(lines.next().unwrap().unwrap().contains("ready"));
        let address = listening["url"].as_str().unwrap().rsplit('/').next().unwrap().parse().unwrap();
        Server { child, address, key: listening["api_key"].as_str().unwrap().to_owned(), _dir: dir }
    }

    pub fn resident_bytes(&self) -> u64 {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id())).unwrap();
        statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
    }

    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> u16 {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // It may refuse before all is written.
        drop(stream.write_all(&request(method, path, headers, body)).await);
        read_reply(&mut stream, &mut Vec::new()).await.status
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        drop(self.child.wait());
    }
}

/// How many files this process and its children may open, raised to what is needed if that is allowed.
pub fn files_max(needed: u64) -> u64 {
    let read = || {
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        line.split_whitespace().nth(3).unwrap().parse().unwrap_or(u64::MAX)
    };
    // Several tests ask, and none may lower what another has raised.
    static RAISING: Mutex<()> = Mutex::new(());
    let _raising = RAISING.lock().unwrap();
    if read() < needed {
        let (pid, limit) = (std::process::id().to_string(), format!("--nofile={needed}:"));
        drop(Command::new("prlimit").args(["--pid", &pid, &limit]).stderr(Stdio::null()).status());
    }
    read()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_within_its_bound() {
    let needed = IDLE_CONNECTIONS + 4_000;
    if files_max(needed) < needed {
        println!("SKIPPED: {IDLE_CONNECTIONS} connections need {needed} open files, which are not allowed here");
        return;
    }
    let server = Server::start();
    assert_eq!(server.ask("GET", "/openapi.json", &[], b"").await, 200);
    let at_rest = server.resident_bytes();

    let mut idle = Vec::new();
    for _ in 0..IDLE_CONNECTIONS {
        idle.push(TcpStream::connect(server.address).await.unwrap());
    }
    let begun = Instant::now();
    assert_eq!(server.ask("GET", "/healthz", &[], b"").await, 200);
    let (answered, with_idle) = (begun.elapsed(), server.resident_bytes());
    let each = with_idle.saturating_sub(at_rest) / IDLE_CONNECTIONS;
    println!("{IDLE_CONNECTIONS} idle connections: {each} bytes each; a request took {answered:?}");
    assert!(answered < ANSWERED_WITHIN && each < BYTES_PER_IDLE_CONNECTION_MAX, "{answered:?}, {each} bytes");

    // Headers without end, bodies without end, and clients that ask much and read nothing.
    let bearer = format!("Bearer {}", server.key);
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let (huge, endless) = ("x".repeat(60_000), chunk.repeat(20));
    let chunked = [("authorization", bearer.as_str()), ("transfer-encoding", "chunked")];
    let mut stuck = Vec::new();
    let mut resident_max = with_idle;
    for _ in 0..100 {
        assert_eq!(server.ask("GET", "/healthz", &[("x-huge", &huge)], b"").await, 431);
        assert_eq!(server.ask("POST", "/v1/transfers", &chunked, endless.as_bytes()).await, 413);
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let questions = request("GET", "/openapi.json", &[], b"").repeat(100);
        stream.write_all(&questions).await.unwrap();
        stuck.push(stream);
        // A body that stops just before its end.
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let headers = [("authorization", bearer.as_str()), ("content-length", "200000")];
        stream.write_all(&request("POST", "/v1/transfers", &headers, &vec![b' '; 199_999])).await.unwrap();
        stuck.push(stream);
        resident_max = resident_max.max(server.resident_bytes());
    }
    assert_eq!(server.ask("GET", "/healthz", &[], b"").await, 200);
    resident_max = resident_max.max(server.resident_bytes());
    let each = (resident_max - with_idle) / stuck.len() as u64;
    println!("{} stuck connections: {each} bytes each; {resident_max} bytes at most in all", stuck.len());
    assert!(each < BYTES_PER_STUCK_CONNECTION_MAX, "{each} bytes");
    drop((idle, stuck));
    let wallet = br#"{"owner":"01890a5d-0000-7000-8000-000000000001","currency":"INR"}"#;
    let opened = server.ask("POST", "/v1/wallets", &[("authorization", bearer.as_str())], wallet).await;
    assert_eq!(opened, 201, "it goes on as before");
}
