//! HTTP/2 clients that mean it no good: floods of resets and of headers, streams without number or end, windows that stay
//! shut. The frames are written by hand, since no decent client sends them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use florin::config::HttpLimits;
use florin::http::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::http_api::Api;
use crate::http_overload::{CUT_WITHIN, Server};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    /// A client that takes `window` bytes of each answer before it has to be asked for more, which it never is.
    async fn connect(address: SocketAddr, window: u32) -> Client {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let setting = [&4_u16.to_be_bytes()[..], &window.to_be_bytes()].concat();
        let preface = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &setting)].concat();
        stream.write_all(&preface).await.unwrap();
        Client { stream, buffer: Vec::new() }
    }

    /// Whether it was all taken: the server may end the connection meanwhile.
    async fn send(&mut self, bytes: &[u8]) -> bool {
        tokio::time::timeout(CUT_WITHIN, self.stream.write_all(bytes)).await.expect("it is taken, or cut off").is_ok()
    }

    /// The next frame, or nothing at the end of the connection.
    async fn next(&mut self) -> Option<Frame> {
        tokio::time::timeout(CUT_WITHIN, async {
            loop {
                if let Some((head, rest)) = self.buffer.split_first_chunk::<9>() {
                    let bytes = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                    if rest.len() >= bytes {
                        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                        let (kind, flags, payload) = (head[3], head[4], rest[..bytes].to_vec());
                        self.buffer.drain(..9 + bytes);
                        return Some(Frame { kind, flags, stream, payload });
                    }
                }
                // A reset is an end too.
                if self.stream.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                    return None;
                }
            }
        })
        .await
        .expect("there is a frame, or an end")
    }

    async fn next_of(&mut self, kind: u8) -> Option<Frame> {
        loop {
            match self.next().await {
                Some(frame) if frame.kind != kind => {}
                found => return found,
            }
        }
    }

    /// Ends when the server has seen all that was sent before.
    async fn ping(&mut self) -> bool {
        self.send(&frame(PING, 0, 0, &[7; 8])).await && self.next_of(PING).await.is_some_and(|ping| ping.flags == ACK)
    }

    /// The reason of the GOAWAY that the connection ends with, if it comes through.
    async fn reason(&mut self) -> Option<u32> {
        let goaway = self.next_of(GOAWAY).await?;
        Some(u32::from_be_bytes(goaway.payload[4..8].try_into().unwrap()))
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header that no table is used for: name and value are shorter than 127 bytes.
fn literal(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).unwrap();
    [&[0, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
}

fn get(path: &str) -> Vec<u8> {
    [vec![0x82, 0x86], literal(":path", path), literal(":authority", "florin")].concat()
}

fn post(path: &str, key: &str) -> Vec<u8> {
    let bearer = format!("Bearer {key}");
    [vec![0x83, 0x86], literal(":path", path), literal(":authority", "florin"), literal("authorization", &bearer)]
        .concat()
}

fn asking(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, block)
}

/// A request whose body does not come.
fn beginning(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, block)
}

fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|index| 2 * index + 1)
}

#[tokio::test]
async fn requests_that_are_taken_back_at_once_end_the_connection() {
    let api = Api::listening(ServerConfig::default()).await;
    let mut client = Client::connect(api.address, 65_535).await;
    let pair =
        |stream| [asking(stream, &get("/openapi.json")), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat();
    let flood: Vec<u8> = streams(10_000).flat_map(pair).collect();
    client.send(&flood).await;
    assert!(matches!(client.reason().await, Some(ENHANCE_YOUR_CALM) | None));
    assert_eq!(api.send_bare("GET", "/healthz", &[], b"").await.status, 200);
    api.stop().await;
}

#[tokio::test]
async fn requests_that_are_taken_back_from_their_handlers_end_the_connection() {
    let api = Api::start().await;
    let mut client = Client::connect(api.address, 65_535).await;
    let block = post("/v1/transfers", &api.key);
    let mut taken_back = 0;
    for round in 0..100 {
        let own = || streams(50).map(|stream| stream + round * 100);
        let begun: Vec<u8> = own().flat_map(|stream| beginning(stream, &block)).collect();
        // The handlers have them once the server has answered what came after.
        if !client.send(&begun).await || !client.ping().await {
            break;
        }
        let resets: Vec<u8> = own().flat_map(|stream| frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())).collect();
        if !client.send(&resets).await || !client.ping().await {
            break;
        }
        taken_back += 50;
    }
    println!("{taken_back} requests were taken back before the connection ended");
    assert!((200..2_000).contains(&taken_back), "{taken_back}");
    assert_eq!(api.send_bare("GET", "/healthz", &[], b"").await.status, 200);
    api.stop().await;
}

#[tokio::test]
async fn headers_have_an_end() {
    let api = Api::listening(ServerConfig::default()).await;
    // A list of headers that is too long spoils its request only.
    let mut client = Client::connect(api.address, 65_535).await;
    let many: Vec<u8> = (0..200).flat_map(|_| literal("x-many", &"x".repeat(100))).collect();
    let (first, second) = many.split_at(16_000);
    let block = [get("/healthz"), first.to_vec()].concat();
    client.send(&frame(HEADERS, END_STREAM, 1, &block)).await;
    client.send(&frame(CONTINUATION, END_HEADERS, 1, second)).await;
    let answer = client.next_of(HEADERS).await.unwrap();
    // The beginning of "431" as HPACK shortens it.
    assert!(answer.stream == 1 && answer.payload.windows(2).any(|code| code == [0x69, 0x90]), "{answer:?}");
    client.send(&asking(3, &get("/healthz"))).await;
    assert_eq!(client.next_of(DATA).await.unwrap().stream, 3);
    // One that does not end is cut off.
    let mut client = Client::connect(api.address, 65_535).await;
    client.send(&frame(HEADERS, END_STREAM, 1, &get("/healthz"))).await;
    let more = frame(CONTINUATION, 0, 1, &literal("x-more", &"x".repeat(100)));
    let mut sent = 0;
    while sent < 100_000 && client.send(&more.repeat(100)).await {
        sent += 100;
    }
    println!("{sent} continuations were taken");
    assert!(sent < 100_000 && client.next_of(DATA).await.is_none());
    api.stop().await;
}

#[tokio::test]
async fn streams_have_a_number_and_bodies_an_end() {
    let quick = Duration::from_millis(500);
    let limits = HttpLimits { body_read: quick, http2_streams_max: 8, ..HttpLimits::default() };
    let mut api = Api::listening(ServerConfig { limits, ..ServerConfig::default() }).await;
    api.recover().await;
    let mut client = Client::connect(api.address, 65_535).await;
    let block = post("/v1/transfers", &api.key);
    // Settings count from when the client has said that it has seen them.
    client.next_of(SETTINGS).await.unwrap();
    client.send(&frame(SETTINGS, ACK, 0, &[])).await;
    assert!(client.ping().await);
    let begun: Vec<u8> = streams(9).flat_map(|stream| beginning(stream, &block)).collect();
    client.send(&begun).await;
    let refused = client.next_of(RST_STREAM).await.unwrap();
    assert_eq!((refused.stream, refused.payload), (17, REFUSED_STREAM.to_be_bytes().to_vec()));
    // The bodies come a byte at a time, each in time and altogether without end.
    let mut answered = 0;
    let began = Instant::now();
    while answered < 8 {
        assert!(began.elapsed() < CUT_WITHIN, "{answered} of 8 were answered");
        for stream in streams(8) {
            client.send(&frame(DATA, 0, stream, b" ")).await;
        }
        client.send(&frame(PING, 0, 0, &[7; 8])).await;
        loop {
            let frame = client.next().await.unwrap();
            answered += usize::from(frame.kind == HEADERS);
            if frame.kind == PING && frame.flags == ACK {
                break;
            }
        }
    }
    assert!(began.elapsed() >= quick, "they had their time");
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_behind_shut_windows_are_bounded() {
    let limits = HttpLimits { unsent_bytes_max: 4 * 1024 * 1024, ..HttpLimits::default() };
    let api = Api::listening(ServerConfig { limits, ..ServerConfig::default() }).await;
    let mut all = Vec::new();
    let questions: Vec<u8> = streams(200).flat_map(|stream| asking(stream, &get("/openapi.json"))).collect();
    for _ in 0..5 {
        let mut client = Client::connect(api.address, 0).await;
        client.send(&questions).await;
        all.push(client);
    }
    let began = Instant::now();
    let mut refused = 0;
    loop {
        assert!(began.elapsed() < CUT_WITHIN, "there is no room again; refused {refused} times");
        assert_eq!(api.send_bare("GET", "/healthz", &[], b"").await.status, 200);
        let reply = api.send_bare("GET", "/openapi.json", &[], b"").await;
        match reply.status {
            200 if refused > 0 => break,
            200 => {}
            status => {
                assert_eq!((status, reply.code().as_str()), (503, "OVERLOADED"));
                refused += 1;
            }
        }
    }
    println!("{refused} refused; there was room again after {:?}", began.elapsed());
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_of_http2_stays_within_its_bound() {
    const CLIENTS: usize = 100;
    let limits = HttpLimits::default();
    // Buffers that grow take up to twice what is in them.
    let bytes_max = (2 * limits.unsent_bytes_max + CLIENTS * 96 * 1024) as u64;
    let server = Server::start();
    assert_eq!(server.ask("GET", "/metrics", &[], b"").await, 200);
    let at_rest = server.resident_bytes();
    let mut all = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = Client::connect(server.address, 0).await;
        client.send(&asking(1, &get("/healthz"))).await;
        all.push(client);
    }
    for client in &mut all {
        assert!(client.ping().await);
    }
    let idle = server.resident_bytes().saturating_sub(at_rest) / CLIENTS as u64;
    // Each answer to /metrics is made anew, and none is taken; beside them are bodies that do not come.
    let block = post("/v1/transfers", &server.key);
    let asked = streams(201)
        .skip(1)
        .flat_map(|stream| if stream % 4 == 1 { beginning(stream, &block) } else { asking(stream, &get("/metrics")) });
    let questions: Vec<u8> = asked.collect();
    let mut grown_max = 0;
    for client in &mut all {
        client.send(&questions).await;
        grown_max = grown_max.max(server.resident_bytes().saturating_sub(at_rest));
    }
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        assert_eq!(server.ask("GET", "/healthz", &[], b"").await, 200);
        grown_max = grown_max.max(server.resident_bytes().saturating_sub(at_rest));
    }
    println!("an idle one takes {idle} bytes; {CLIENTS} with 200 streams each {grown_max} at most, of {bytes_max}");
    assert!(grown_max < bytes_max, "{grown_max} bytes, where {bytes_max} are the limit");
}
