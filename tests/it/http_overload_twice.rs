//! Twice what the server can do: first it is measured what that is, then so many requests come again and again, whatever
//! becomes of those before. What is accepted is answered soon, the rest is refused with a time to come back.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::MissedTickBehavior;

use crate::http_api::{Reply, read_reply, request};
use crate::http_overload::Server;

/// So few that the disk is what limits the rate, and not the processor that the clients need too.
const IN_FLIGHT_MAX: usize = 8;
const CONNECTIONS: u32 = 64;
const MEASURED: Duration = Duration::from_secs(2);
const OVERLOADED: Duration = Duration::from_secs(4);
/// The machine may be busy with other tests, and a disk may stop for a while: then the bound is this, else ten times the
/// latency without overload.
const P99_MAX_AT_LEAST: Duration = Duration::from_secs(2);
const GROWN_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// One connection that pays from one wallet to another.
struct Payer {
    stream: TcpStream,
    buffer: Vec<u8>,
    bearer: String,
    body: String,
}

impl Payer {
    async fn pay(&mut self, key: &str) -> Reply {
        let headers = [("authorization", self.bearer.as_str()), ("idempotency-key", key)];
        let bytes = request("POST", "/v1/transfers", &headers, self.body.as_bytes());
        self.stream.write_all(&bytes).await.unwrap();
        read_reply(&mut self.stream, &mut self.buffer).await
    }
}

struct Till {
    server: Server,
    body: String,
}

impl Till {
    async fn open(server: Server) -> Till {
        let mut wallets = Vec::new();
        for name in ["ann", "bob"] {
            let owner = r#"{"owner":"01890a5d-0000-7000-8000-000000000001","currency":"INR"}"#;
            let opened = post(&server, "/v1/wallets", name, owner).await;
            wallets.push(opened.json()["id"].as_str().unwrap().to_owned());
        }
        let [ann, bob] = [&wallets[0], &wallets[1]];
        let funds = format!(r#"{{"wallet":"{ann}","amount":{{"amount":"1000000","currency":"INR"}}}}"#);
        assert_eq!(post(&server, "/v1/deposits", "funds", &funds).await.status, 201);
        let body = format!(r#"{{"from":"{ann}","to":"{bob}","amount":{{"amount":"0.01","currency":"INR"}}}}"#);
        Till { server, body }
    }

    async fn payer(&self) -> Payer {
        let stream = TcpStream::connect(self.server.address).await.unwrap();
        let bearer = format!("Bearer {}", self.server.key);
        Payer { stream, buffer: Vec::new(), bearer, body: self.body.clone() }
    }

    /// As many at once as the server takes, each as soon as the one before is answered: the rate, and all latencies of
    /// the accepted. Few are refused: a place is free again a moment after its answer.
    async fn closed_loop(&self, name: &str) -> (f64, Vec<Duration>) {
        let mut payers = Vec::new();
        for index in 0..IN_FLIGHT_MAX {
            let (mut payer, name) = (self.payer().await, format!("{name}-{index}"));
            payers.push(tokio::spawn(async move {
                let (began, mut latencies) = (Instant::now(), Vec::new());
                for number in 0_u32.. {
                    let sent = Instant::now();
                    if sent - began >= MEASURED {
                        break;
                    }
                    match payer.pay(&format!("{name}-{number}")).await.status {
                        201 => latencies.push(sent.elapsed()),
                        status => assert_eq!(status, 503),
                    }
                }
                latencies
            }));
        }
        let mut latencies = Vec::new();
        for payer in payers {
            latencies.extend(payer.await.unwrap());
        }
        latencies.sort_unstable();
        (latencies.len() as f64 / MEASURED.as_secs_f64(), latencies)
    }

    /// So many a second, whatever becomes of them: latencies of the accepted, from when each was sent (a client that has
    /// too little of the processor is late by itself), and the keys of the refused.
    async fn open_loop(&self, rate: f64) -> (Vec<Duration>, Vec<String>) {
        let mut payers = Vec::new();
        for index in 0..CONNECTIONS {
            let mut payer = self.payer().await;
            payers.push(tokio::spawn(async move {
                let (mut accepted, mut refused) = (Vec::new(), Vec::new());
                let period = Duration::from_secs_f64(f64::from(CONNECTIONS) / rate);
                let begin = tokio::time::Instant::now() + period * index / CONNECTIONS;
                let mut interval = tokio::time::interval_at(begin, period);
                interval.set_missed_tick_behavior(MissedTickBehavior::Burst);
                for number in 0_u32.. {
                    let due = interval.tick().await;
                    if due > begin + OVERLOADED {
                        break;
                    }
                    let key = format!("open-{index}-{number}");
                    let sent = Instant::now();
                    let reply = payer.pay(&key).await;
                    if reply.status == 201 {
                        accepted.push(sent.elapsed());
                    } else {
                        assert_eq!((reply.status, reply.code().as_str()), (503, "OVERLOADED"));
                        assert_eq!(reply.header("retry-after"), Some("1"));
                        refused.push(key);
                    }
                }
                (accepted, refused)
            }));
        }
        let (mut accepted, mut refused) = (Vec::new(), Vec::new());
        for payer in payers {
            let (more_accepted, more_refused) = payer.await.unwrap();
            accepted.extend(more_accepted);
            refused.extend(more_refused);
        }
        accepted.sort_unstable();
        (accepted, refused)
    }
}

async fn post(server: &Server, path: &str, key: &str, body: &str) -> Reply {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let bearer = format!("Bearer {}", server.key);
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", key)];
    stream.write_all(&request("POST", path, &headers, body.as_bytes())).await.unwrap();
    let reply = read_reply(&mut stream, &mut Vec::new()).await;
    assert!(reply.status < 300, "{reply:?}");
    reply
}

fn p99(latencies: &[Duration]) -> Duration {
    latencies[latencies.len() * 99 / 100]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twice_the_load_is_refused_in_part_and_passes() {
    let till = Till::open(Server::start_with(&["--in-flight-max", &IN_FLIGHT_MAX.to_string()])).await;
    let (rate, latencies) = till.closed_loop("before").await;
    let before = till.server.resident_bytes();
    let (accepted, refused) = till.open_loop(2.0 * rate).await;
    let grown = till.server.resident_bytes().saturating_sub(before);
    let went_on = accepted.len() as f64 / OVERLOADED.as_secs_f64() / rate;
    println!(
        "{rate:.0}/s, p99 {:?}; of twice that {:.0} % of the rate accepted, p99 {:?}, and {} refused; {grown} bytes more",
        p99(&latencies),
        went_on * 100.0,
        p99(&accepted),
        refused.len(),
    );
    assert!(p99(&accepted) < (p99(&latencies) * 10).max(P99_MAX_AT_LEAST), "{:?}", p99(&accepted));
    assert!(went_on > 0.25, "of what it can do it did {went_on}");
    assert!(refused.len() > 20, "{} were refused", refused.len());
    assert!(grown < GROWN_BYTES_MAX, "{grown} bytes more");
    // The load is gone: it does what it did before, and what was refused has left no trace under its key.
    let (rate_after, _) = till.closed_loop("after").await;
    assert!(rate_after > rate / 4.0, "{rate_after}/s, where it was {rate}/s");
    let mut payer = till.payer().await;
    for key in &refused[..20] {
        let mut reply = payer.pay(key).await;
        while reply.status == 503 {
            reply = payer.pay(key).await;
        }
        assert_eq!((reply.status, reply.header("idempotent-replayed")), (201, None), "{reply:?}");
    }
}
