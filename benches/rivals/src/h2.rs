//! Single transfers over HTTP/2: several streams on each of several connections, each with one request under way.
//! hyper's own client, on one thread as `loadtest` has by default; it checks that every answer is for its request.

use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use loadtest::ids::{Random, TransferIds, Wallets};
use loadtest::pairs::{Pairs, Shape};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::error::Error;
use crate::figures::{of_times, say, seconds};

#[derive(clap::Args, Debug)]
pub struct H2Args {
    /// http://host:port
    #[arg(long)]
    url: String,
    #[arg(long, env = "FLORIN_API_KEY", hide_env_values = true)]
    key: String,
    #[arg(long, default_value_t = 64)]
    connections: u32,
    /// Requests under way on each connection
    #[arg(long, default_value_t = 16)]
    streams: u32,
    /// As `loadtest run` has opened them, with this number and seed
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..))]
    wallets: u32,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long, default_value = "3", value_parser = seconds)]
    seconds: Duration,
}

/// What all streams share.
struct Plan {
    uri: String,
    authorization: String,
    wallets: Wallets,
    pairs: Pairs,
    until: Instant,
}

const WINDOW_BYTES: u32 = 1 << 20;

pub fn run(args: &H2Args) -> Result<ExitCode, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Error::io("start a thread"))?;
    let local = LocalSet::new();
    let (times, took) = local.block_on(&runtime, load(args))?;
    if times.is_empty() {
        return Err(Error::Failed("nothing was answered".to_owned()));
    }
    say(&of_times(times, took))
}

async fn load(args: &H2Args) -> Result<(Vec<Duration>, Duration), Error> {
    let address = args.url.trim_start_matches("http://").to_owned();
    let mut senders = Vec::new();
    for _ in 0..args.connections {
        senders.push(connect(&address).await?);
    }
    let began = Instant::now();
    let plan = Rc::new(Plan {
        uri: format!("{}/v1/transfers", args.url),
        authorization: format!("Bearer {}", args.key),
        wallets: Wallets { seed: args.seed, count: args.wallets },
        pairs: Pairs::new(Shape::Uniform, args.wallets, 1.0),
        until: began + args.seconds,
    });
    let mut streams = Vec::new();
    for (connection, sender) in (0_u64..).zip(&senders) {
        for stream in 0..u64::from(args.streams) {
            let seed = args.seed.rotate_left(32) ^ (connection << 16) ^ stream;
            streams.push(tokio::task::spawn_local(one_stream(Rc::clone(&plan), sender.clone(), seed)));
        }
    }
    let mut times = Vec::new();
    for stream in streams {
        let called = stream.await.map_err(|_| Error::Failed("a stream ended badly".to_owned()))?;
        times.extend(called?);
    }
    Ok((times, began.elapsed()))
}

async fn connect(address: &str) -> Result<SendRequest<Full<Bytes>>, Error> {
    let stream = TcpStream::connect(address).await.map_err(Error::io(format!("connect to {address}")))?;
    stream.set_nodelay(true).map_err(Error::io("set TCP_NODELAY"))?;
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // Its end is seen by the streams, whose requests fail.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

async fn one_stream(plan: Rc<Plan>, mut sender: SendRequest<Full<Bytes>>, seed: u64) -> Result<Vec<Duration>, Error> {
    let (mut random, mut ids) = (Random::new(seed), TransferIds::default());
    let mut times = Vec::new();
    while Instant::now() < plan.until {
        let id = ids.make().to_string();
        let (from, to) = plan.pairs.draw(&mut random);
        let (from, to) = (plan.wallets.id(from), plan.wallets.id(to));
        let (rupees, paise) = (random.below(10), 1 + random.below(99));
        let body =
            format!(r#"{{"from":"{from}","to":"{to}","amount":{{"amount":"{rupees}.{paise:02}","currency":"INR"}}}}"#);
        let request = Request::post(plan.uri.as_str())
            .header("authorization", plan.authorization.as_str())
            .header("idempotency-key", id.as_str())
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| Error::Failed(error.to_string()))?;
        let began = Instant::now();
        sender.ready().await.map_err(failed)?;
        let response = sender.send_request(request).await.map_err(failed)?;
        let status = response.status();
        let answer = response.into_body().collect().await.map_err(failed)?.to_bytes();
        let is_for_it = answer.get(7..43) == Some(id.as_bytes());
        if status != 201 || !is_for_it {
            return Err(Error::Failed(format!("{id} was answered {status} {}", String::from_utf8_lossy(&answer))));
        }
        times.push(began.elapsed());
    }
    Ok(times)
}

fn failed(error: hyper::Error) -> Error {
    Error::Failed(crate::error::with_causes(&error))
}
