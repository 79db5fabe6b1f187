//! Question: what do single transfers over HTTP reach, and how much of it is HTTP itself?
//! Workload: POST /v1/transfers on 64 raw loopback connections, random pairs of 10,000 wallets, each with its own key:
//! one request at a time, and 16 pipelined. `bare` is hyper alone in the same process: it reads the same requests
//! and answers as many bytes. The ratio comes from rounds in turn (A B A B ...), as median with minimum and maximum.
//! Server and clients share the machine. What is sent is made before the clock runs.
//! Command: cargo bench --bench http

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use florin::engine::{Engine, EngineConfig};
use florin::http::{OperatorKeys, Server, ServerConfig, State};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use secrecy::ExposeSecret as _;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use rig::load::{Load, Pairs};

mod rig;

const WALLETS: u64 = 10_000;
const CONNECTIONS: usize = 64;
/// Requests under way on each connection.
const DEPTHS: [usize; 2] = [1, 16];
/// Requests that each connection sends in a round.
const REQUESTS_PER_ROUND: usize = 16;
/// For the ratio: turns, and rounds in each turn of one side.
const TURNS: usize = 7;
const ROUNDS_PER_TURN: u64 = 20;

fn http(criterion: &mut Criterion) {
    let (serving, calling) = (rig::runtime(), rig::runtime());
    let mut made = None;
    let mut group = rig::group(criterion, "http", 4);
    group.throughput(Throughput::Elements((CONNECTIONS * REQUESTS_PER_ROUND) as u64));
    for depth in DEPTHS {
        for is_bare in [true, false] {
            let name = if is_bare { "bare" } else { "transfers" };
            group.bench_function(BenchmarkId::new(name, format!("{depth}_pipelined")), |bencher| {
                let side = made.get_or_insert_with(|| Sides::start(&serving, &calling));
                bencher.iter_custom(|rounds| side.run(&calling, is_bare, depth, rounds));
            });
        }
    }
    group.finish();
    if let Some(mut sides) = made {
        DEPTHS.into_iter().for_each(|depth| sides.compare(&calling, depth));
        serving.block_on(sides.engine.stop());
    }
}

/// Both servers, and what is sent to them.
struct Sides {
    engine: Engine,
    florin: SocketAddr,
    bare: SocketAddr,
    key: String,
    load: Load,
    _folder: TempDir,
}

impl Sides {
    fn start(serving: &Runtime, calling: &Runtime) -> Sides {
        let folder = rig::folder();
        rig::ledger::write(folder.path(), WALLETS, 0);
        let config = rig::ledger::config(folder.path(), EngineConfig::new(folder.path()).shards);
        let (keys, key) = OperatorKeys::load_or_create(folder.path(), None).expect("a new folder takes a key");
        let key = key.expect("it was made now").expose_secret().to_owned();
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let (engine, florin) = serving.block_on(async {
            let engine = Engine::start(config, |_| {}).await.expect("the ledger starts");
            let server = Server::bind(address, ServerConfig::default()).await.expect("a free port");
            let (florin, state) = (server.local_addr(), State::new(keys));
            state.ready(engine.clone());
            tokio::spawn(server.serve(state, std::future::pending()));
            (engine, florin)
        });
        let bare = florin; // Until it is known how long an answer is.
        let mut sides = Sides { engine, florin, bare, key, load: Load::new(9, WALLETS), _folder: folder };
        let wanted = sides.reply_bytes(calling, false);
        sides.bare = serving.block_on(start_bare(wanted));
        let overhead = sides.reply_bytes(calling, true) - wanted;
        sides.bare = serving.block_on(start_bare(wanted - overhead));
        assert_eq!(sides.reply_bytes(calling, true), wanted, "both answer the same number of bytes");
        sides
    }

    fn run(&mut self, calling: &Runtime, is_bare: bool, depth: usize, rounds: u64) -> Duration {
        let address = if is_bare { self.bare } else { self.florin };
        let bursts = usize::try_from(rounds).expect("few rounds") * REQUESTS_PER_ROUND / depth;
        let work: Vec<Vec<Vec<u8>>> =
            (0..CONNECTIONS).map(|_| (0..bursts).map(|_| self.burst(depth)).collect()).collect();
        calling.block_on(async {
            let mut streams = Vec::new();
            for _ in 0..CONNECTIONS {
                let stream = TcpStream::connect(address).await.expect("the server listens");
                stream.set_nodelay(true).expect("it is connected");
                streams.push(stream);
            }
            let began = Instant::now();
            let clients: Vec<_> = streams
                .into_iter()
                .zip(work)
                .map(|(stream, bursts)| tokio::spawn(call(stream, bursts, depth)))
                .collect();
            for client in clients {
                client.await.expect("a client ends well");
            }
            began.elapsed()
        })
    }

    fn compare(&mut self, calling: &Runtime, depth: usize) {
        let requests = (CONNECTIONS * REQUESTS_PER_ROUND) as f64 * ROUNDS_PER_TURN as f64;
        let mut rates: [Vec<f64>; 3] = Default::default();
        for _ in 0..TURNS {
            let bare = requests / self.run(calling, true, depth, ROUNDS_PER_TURN).as_secs_f64();
            let florin = requests / self.run(calling, false, depth, ROUNDS_PER_TURN).as_secs_f64();
            rates.iter_mut().zip([bare, florin, 100.0 * florin / bare]).for_each(|(list, rate)| list.push(rate));
        }
        let [bare, florin, ratio] = rates.map(|mut list| {
            list.sort_by(f64::total_cmp);
            format!("{:.0} ({:.0} to {:.0})", list[TURNS / 2], list[0], list[TURNS - 1])
        });
        println!("{depth} pipelined: bare {bare}/s, transfers {florin}/s, of the bare endpoint {ratio} %");
    }

    fn burst(&mut self, depth: usize) -> Vec<u8> {
        (0..depth).flat_map(|_| self.request()).collect()
    }

    fn request(&mut self) -> Vec<u8> {
        let transfer = self.load.transfer(Pairs::Random);
        let [first, second] = transfer.legs() else { unreachable!("a plain transfer has two legs") };
        let (from, to) = if first.amount < 0 { (first, second) } else { (second, first) };
        let (from, to, minor) = (from.wallet, to.wallet, to.amount);
        let (rupees, paise) = (minor / 100, minor % 100);
        let body =
            format!(r#"{{"from":"{from}","to":"{to}","amount":{{"amount":"{rupees}.{paise:02}","currency":"INR"}}}}"#);
        format!(
            "POST /v1/transfers HTTP/1.1\r\nhost: florin\r\nauthorization: Bearer {}\r\nidempotency-key: {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.key,
            transfer.id(),
            body.len()
        )
        .into_bytes()
    }

    fn reply_bytes(&mut self, calling: &Runtime, is_bare: bool) -> usize {
        let (address, request) = (if is_bare { self.bare } else { self.florin }, self.request());
        calling.block_on(async {
            let mut stream = TcpStream::connect(address).await.expect("the server listens");
            stream.write_all(&request).await.expect("it reads");
            let mut received = Vec::new();
            loop {
                assert!(stream.read_buf(&mut received).await.expect("it answers") > 0, "closed within a reply");
                if let Some(bytes) = whole_reply(&received) {
                    return bytes;
                }
            }
        })
    }
}

/// Sends bursts of requests, each when the one before has been answered.
async fn call(mut stream: TcpStream, bursts: Vec<Vec<u8>>, depth: usize) {
    let mut received = Vec::with_capacity(64 << 10);
    for burst in bursts {
        stream.write_all(&burst).await.expect("the server reads");
        let mut answered = 0;
        while answered < depth {
            assert!(stream.read_buf(&mut received).await.expect("it answers") > 0, "closed within a reply");
            let mut at = 0;
            while let Some(bytes) = whole_reply(&received[at..]) {
                at += bytes;
                answered += 1;
            }
            received.drain(..at);
        }
    }
}

/// The length of the reply at the beginning of `received`, if all of it is there. Panics if it is not a 201.
fn whole_reply(received: &[u8]) -> Option<usize> {
    const LENGTH: &[u8] = b"content-length: ";
    let mut at = 0;
    let mut body_bytes = 0;
    loop {
        let line_bytes = received[at..].iter().position(|&byte| byte == b'\n')?;
        let line = &received[at..at + line_bytes];
        assert!(at > 0 || line.starts_with(b"HTTP/1.1 201"), "{}", String::from_utf8_lossy(received));
        at += line_bytes + 1;
        if line.starts_with(LENGTH) {
            let digits = line[LENGTH.len()..].iter().take_while(|byte| byte.is_ascii_digit());
            body_bytes = digits.fold(0, |number, &digit| number * 10 + usize::from(digit - b'0'));
        } else if line == b"\r" {
            return (received.len() >= at + body_bytes).then_some(at + body_bytes);
        }
    }
}

/// hyper alone, with the server's own setting for pipelining.
async fn start_bare(body_bytes: usize) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let address = listener.local_addr().expect("it listens");
    let body = Bytes::from(vec![b'x'; body_bytes]);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).expect("it is connected");
            let body = body.clone();
            let service = service_fn(move |request: Request<Incoming>| answer(request, body.clone()));
            let mut builder = hyper::server::conn::http1::Builder::new();
            let connection = builder.pipeline_flush(true).serve_connection(TokioIo::new(stream), service);
            // A client that goes away is no failure.
            tokio::spawn(async move { drop(connection.await) });
        }
    });
    address
}

async fn answer(request: Request<Incoming>, body: Bytes) -> Result<Response<Full<Bytes>>, Infallible> {
    request.into_body().collect().await.expect("the client sends all of it");
    let response = Response::builder().status(201).body(Full::new(body));
    Ok(response.expect("a status and a body make a response"))
}

criterion_group!(benches, http);
criterion_main!(benches);
