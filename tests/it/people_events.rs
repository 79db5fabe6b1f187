//! The live stream of a person's events: in order, resumable, over when the session is, and no burden where nobody reads it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::time::Duration;

use florin::http::ServerConfig;
use florin::services::clock::HOUR;
use florin::services::notices::Kind;
use florin::store::feed::{self, FeedEvent};
use florin::store::{Role, views};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::http_api::request;
use crate::people_notify_rig::{SOON, tell};
use crate::people_rig::{People, Person, settings};

/// A client that reads events.
struct Client {
    stream: TcpStream,
    buffer: String,
}

#[derive(Debug, PartialEq)]
struct Event {
    id: i64,
    kind: String,
    data: Value,
}

impl Client {
    async fn open(people: &People, person: &Person, last: Option<i64>) -> Client {
        let stream = TcpStream::connect(people.api.address).await.unwrap();
        let mut client = Client::ask(stream, person, last).await;
        client.until("retry: 2000").await;
        assert!(client.buffer.starts_with("HTTP/1.1 200"), "{}", client.buffer);
        assert!(client.buffer.contains("content-type: text/event-stream"), "{}", client.buffer);
        client
    }

    async fn ask(mut stream: TcpStream, person: &Person, last: Option<i64>) -> Client {
        let bearer = format!("Bearer {}", person.token);
        let last = last.map(|last| last.to_string());
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(last.as_deref().map(|last| ("last-event-id", last)));
        stream.write_all(&request("GET", "/v1/me/events", &headers, b"")).await.unwrap();
        Client { stream, buffer: String::new() }
    }

    async fn more(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        let read = tokio::time::timeout(SOON, self.stream.read(&mut bytes)).await.expect("in time").unwrap_or(0);
        self.buffer.push_str(&String::from_utf8_lossy(&bytes[..read]));
        read > 0
    }

    async fn until(&mut self, text: &str) {
        while !self.buffer.contains(text) {
            assert!(self.more().await, "{text:?} does not come: {}", self.buffer);
        }
    }

    /// The next event; comments and the lengths of chunks are passed over.
    async fn event(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.take() {
                return Some(event);
            }
            if !self.more().await {
                return None;
            }
        }
    }

    fn take(&mut self) -> Option<Event> {
        let begin = self.buffer.find("\nid: ")? + 1;
        let end = begin + self.buffer[begin..].find("\n\n")?;
        let text = self.buffer[begin..end].to_owned();
        self.buffer.drain(..end);
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let data = serde_json::from_str(field("data: ")).unwrap();
        Some(Event { id: field("id: ").parse().unwrap(), kind: field("event: ").to_owned(), data })
    }

    /// The response ends by its last chunk, or the connection does.
    async fn ends(&mut self) {
        while !self.buffer.ends_with("\r\n0\r\n\r\n") && self.more().await {}
    }
}

async fn pay(people: &People, from: &Person, to: &Person, key: &str) {
    let body = format!(
        r#"{{"from":"{}","to":"{}","amount":{{"amount":"1.00","currency":"INR"}},"reference":"{key}"}}"#,
        from.account.wallet, to.account.wallet
    );
    let reply = people.post_as(from, "/v1/transfers", key, &body).await;
    assert_eq!(reply.status, 201, "{reply:?}");
}

#[tokio::test]
async fn events_come_in_order_and_go_on_where_the_client_was() {
    let people = People::start().await;
    let (asha, ravi) = (people.person("asha", Role::User).await, people.person("ravi", Role::User).await);
    let mut client = Client::open(&people, &ravi, None).await;
    people.fund(&asha, "100.00").await;
    for number in 0..20 {
        pay(&people, &asha, &ravi, &format!("p{number}")).await;
    }
    let mut seen = Vec::new();
    for number in 0..20 {
        let event = client.event().await.unwrap();
        assert_eq!(event.kind, "money_in");
        assert_eq!(event.data["data"]["amount"]["amount"], "1.00");
        assert_eq!(event.data["data"]["reference"], format!("p{number}"), "in order");
        assert_eq!(event.data["data"]["counterparty_name"], "asha");
        seen.push(event);
    }
    assert!(seen.windows(2).all(|pair| pair[0].id < pair[1].id));
    drop(client);
    let params = json!({ "what": "password_changed", "time": "2026-01-31T12:00:00Z" });
    tell(&people.services, ravi.account.id, Kind::SecurityChanged, params).await;
    // After a start too.
    let people = people.restart().await;
    let mut client = Client::open(&people, &ravi, Some(seen[16].id)).await;
    for event in &seen[17..] {
        assert_eq!(client.event().await.as_ref(), Some(event));
    }
    assert_eq!(client.event().await.unwrap().kind, "security");
    let mut other = Client::open(&people, &asha, Some(0)).await;
    assert_eq!(other.event().await.unwrap().kind, "money_in");
    assert_eq!(other.event().await.unwrap().kind, "money_out");
    for wrong in ["-1", "x", "999999"] {
        let reply = people.send_as(&ravi.token, "GET", "/v1/me/events", &[("last-event-id", wrong)], "").await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "INVALID_REQUEST"), "{wrong}");
    }
    // Streams are no reason for a stop to wait.
    let stopping = tokio::time::timeout(Duration::from_secs(9), people.stop()).await;
    assert!(stopping.is_ok(), "a stream holds up the stop");
    client.ends().await;
}

#[tokio::test]
async fn a_stream_ends_with_the_session_and_with_the_token() {
    let people = People::start().await;
    let (asha, ravi) = (people.person("asha", Role::User).await, people.person("ravi", Role::User).await);
    let mut client = Client::open(&people, &asha, None).await;
    let session = people.services.tokens.check(&asha.token, people.services.now()).unwrap().session;
    people.services.doors.end_session(session, people.services.now());
    client.ends().await;
    let mut client = Client::open(&people, &ravi, None).await;
    people.services.clock.advance(HOUR);
    client.ends().await;
    people.stop().await;
}

#[tokio::test]
async fn nobody_has_more_than_five_streams() {
    let people = People::start().await;
    let asha = people.person("asha", Role::User).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(Client::open(&people, &asha, None).await);
    }
    let reply = people.get_as(&asha, "/v1/me/events").await;
    assert_eq!((reply.status, reply.code().as_str()), (429, "TOO_MANY_STREAMS"));
    clients.pop();
    let freed = async {
        loop {
            let stream = TcpStream::connect(people.api.address).await.unwrap();
            let mut client = Client::ask(stream, &asha, None).await;
            client.until("\r\n\r\n").await;
            if client.buffer.starts_with("HTTP/1.1 200") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, freed).await.expect("a stream that was closed is free again");
    people.stop().await;
}

/// A client that takes nothing is cut off when its connection's limit for idling is over, while one that reads gets everything;
/// and it goes on where it was.
#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off_and_comes_back() {
    const EVENTS: i64 = 20_000;
    let mut config = ServerConfig::default();
    config.limits.idle = Duration::from_secs(4);
    let people = People::start_at(config, settings()).await;
    let asha = people.person("asha", Role::User).await;
    let services = &people.services;
    let mut tx = services.store.begin().await.unwrap();
    let first = views::take_numbers(&mut tx, "feed", EVENTS).await.unwrap();
    let body = json!({ "type": "money_in", "data": { "reference": "x".repeat(1_000) } }).to_string();
    for number in first..first + EVENTS {
        let event = FeedEvent {
            account: asha.account.id,
            number,
            kind: "money_in".to_owned(),
            body_sealed: services.seal.seal("feed.body", &body),
            created_at: services.now(),
        };
        feed::insert(&mut tx, &event).await.unwrap();
    }
    tx.commit().await.unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    let stream = socket.connect(people.api.address).await.unwrap();
    let mut lazy = Client::ask(stream, &asha, Some(first - 1)).await;
    let closed = async {
        while services.notifier.streams.count(asha.account.id) > 0 || lazy.buffer.is_empty() {
            if lazy.buffer.is_empty() {
                lazy.more().await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(SOON, closed).await.expect("it is cut off");
    lazy.ends().await;
    let mut last = first - 1;
    while let Some(event) = lazy.take() {
        assert_eq!(event.id, last + 1, "without a gap");
        last = event.id;
    }
    assert!(last < first + EVENTS - 1, "all of it fitted into the buffers");
    let mut eager = Client::open(&people, &asha, Some(last)).await;
    while last < first + EVENTS - 1 {
        let event = eager.event().await.unwrap();
        assert_eq!(event.id, last + 1);
        last = event.id;
    }
    people.stop().await;
}
