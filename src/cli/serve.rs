//! `florin serve`: listens first, so that whoever asks hears that the ledger is being recovered; then recovers, serves,
//! and on a signal stops with a snapshot, so that the next start is quick.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use florin::config::{HttpLimits, RATE_REQUESTS_MAX, Rate, RateLimits};
use florin::engine::config::SHARDS_MAX;
use florin::engine::{Engine, EngineConfig, Progress};
use florin::gateways::bank::Bank;
use florin::gateways::bank_http::BankOverHttp;
use florin::http::{OperatorKeys, ProxyHeader, Server, ServerConfig, ServerError, State, TlsFiles, TrustedProxies};
use florin::ledger::money::parse_minor;
use florin::ledger::{Amount, Currency};
use florin::services::clock::Clock;
use florin::services::notify::Messengers;
use florin::services::{Approval, Services, Settings};
use florin::store::Store;
use florin::store::seal::Seal;
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::failure::Failure;
use super::keys::MasterArgs;
use super::messengers::MessengerArgs;
use super::{Verdict, core_dumps, duration, screen};

pub const EXAMPLES: &str = "\
Examples:
  florin serve                                 ./data on http://127.0.0.1:8080
  florin serve --data-dir /var/lib/florin --listen 0.0.0.0:8443 \\
               --tls-cert cert.pem --tls-key key.pem
  florin serve --log-level info,florin::http=debug --log-format json
  FLORIN_SNAPSHOTS=postgres://florin:...@db/florin florin serve
                                               snapshots in Postgres instead of the data folder
  FLORIN_API_KEY=flk_... florin serve --data-dir ./new
                                               choose a new ledger's API key yourself

At the first start an API key is made and shown once; only its hash is kept. Until the ledger is recovered, \
    every /v1 route answers 503 RECOVERING, and so does /readyz. SIGINT (Ctrl-C) or SIGTERM stops gracefully: what \
    is under way is answered, and a snapshot is taken. A second signal ends the process at once; nothing \
    acknowledged is lost by that.

Exit code: 0 stopped as asked; 1 the log is damaged; 2 could not start or not stop in good order.";

#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// Where everything is kept; made if it is not there. Two servers cannot share it
    #[arg(long, default_value = "./data", value_name = "DIR")]
    data_dir: PathBuf,
    /// Address and port to listen on; port 0 lets the system choose one
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Certificate chain (PEM); with it the server speaks TLS only
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Parts that the wallets are divided into, each worked on by one core at a time; may change from one start to the
    /// next [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=SHARDS_MAX as i64))]
    shards: Option<u16>,
    /// How often a snapshot is taken, such as 30s, 5m or 2h; off for never
    #[arg(long, default_value = "5m", value_name = "TIME", value_parser = period)]
    snapshot_period: Period,
    /// Snapshots to keep. Segments of the log before all of them are moved to the archive, never deleted
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    snapshots_kept: u16,
    /// Keep snapshots in a Postgres database, as postgres://user@host:port/database?sslmode=verify-full, instead of in
    /// the data folder. Others can read this command line: rather give a password by the variable, PGPASSWORD or
    /// ~/.pgpass
    #[arg(long, env = "FLORIN_SNAPSHOTS", hide_env_values = true, value_name = "URL")]
    snapshots: Option<SecretString>,
    /// Keep people and all else that is not money in a Postgres database, as postgres://user@host:port/database, instead of
    /// in the data folder. Others can read this command line: rather give a password by the variable
    #[arg(long, env = "FLORIN_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<SecretString>,
    /// The currency of the wallet that an account opens with (ISO 4217)
    #[arg(long, default_value = "INR", value_name = "CODE", value_parser = currency)]
    currency: Currency,
    /// What a new account waits for: none, an administrator (manual), or a time, such as 24h, after which it becomes
    /// active unless somebody has blocked it
    #[arg(long, default_value = "none", value_name = "WHAT", value_parser = approval)]
    approval: Approval,
    /// What a person pays above this has to be confirmed by a code, such as 5000.00 in the currency above, or off [default:
    /// 10000]
    #[arg(long, value_name = "AMOUNT")]
    step_up_above: Option<String>,
    /// The bank that top-ups come from and withdrawals go to, as https://bank.example; its key comes by FLORIN_BANK_KEY
    #[arg(long, env = "FLORIN_BANK_URL", value_name = "URL", requires = "bank_key")]
    bank_url: Option<String>,
    /// The key for the bank. Others can read this command line: rather give it by the variable
    #[arg(long, env = "FLORIN_BANK_KEY", hide_env_values = true, value_name = "KEY")]
    bank_key: Option<SecretString>,
    #[command(flatten)]
    messengers: MessengerArgs,
    /// What one person of finance may add to or take from wallets in 24 hours before another has to approve, such as
    /// 1000.00 in the currency above; 0 for nothing [default: 1000]
    #[arg(long, value_name = "AMOUNT")]
    adjustment_alone_max: Option<String>,
    /// Size of the log's files (segments) in MiB [default: 64]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..=4096))]
    segment_mib: Option<u32>,
    /// Requests to the ledger that may be under way at once; what comes on top is answered OVERLOADED
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16_777_216))]
    in_flight_max: Option<u32>,
    /// Open connections at most; one above this is closed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections_max: Option<u32>,
    /// How often each API key of a merchant may ask, such as 60000/1m, or off. All of it may come at once. A request costs 1,
    /// and 1 more for each 16 KiB of its body. The operator's key is never limited
    #[arg(long, default_value = "60000/1m", value_name = "N/TIME", value_parser = use_limit)]
    rate_per_key: UseLimit,
    /// How often each person may ask, in all sessions together; off also lifts the limits on what is sensitive
    #[arg(long, default_value = "300/1m", value_name = "N/TIME", value_parser = use_limit)]
    rate_per_person: UseLimit,
    /// How often each network address (of IPv6: each /64) may sign in or register, may refresh, and may come with bad credentials;
    /// whoever has good ones is not limited by address
    #[arg(long, default_value = "120/1m", value_name = "N/TIME", value_parser = use_limit)]
    rate_per_address: UseLimit,
    /// A proxy in front of this server, as an address or network like 10.0.0.0/8, that is believed when it says for whom it
    /// sends; may be given several times
    #[arg(long, value_name = "NETWORK", value_parser = network)]
    trusted_proxy: Vec<IpNet>,
    /// The header in which trusted proxies say so; the other is not looked at
    #[arg(long, default_value = "x-forwarded-for", value_name = "NAME", requires = "trusted_proxy", value_parser = proxy_header)]
    proxy_header: ProxyHeader,
    /// The API key of a new ledger, instead of one that is made; later it must be the same one, or left out
    #[arg(long, env = "FLORIN_API_KEY", hide_env_values = true, value_name = "KEY")]
    api_key: Option<String>,
    #[command(flatten)]
    master: MasterArgs,
    /// Encrypt the log and the snapshots from now on; takes a master key from outside the data folder
    #[arg(long, env = "FLORIN_ENCRYPT", value_parser = clap::builder::FalseyValueParser::new())]
    encrypt: bool,
    /// Let the system write this process's memory to a file when it crashes; keys and codes may be in it
    #[arg(long)]
    core_dumps: bool,
    /// Stop gracefully when the standard input ends, for whoever starts a server as a child
    #[arg(long)]
    stop_with_stdin: bool,
    /// Print JSON for machines: one object a line, of type listening, ready and stopped
    #[arg(long)]
    json: bool,
}

fn currency(text: &str) -> Result<Currency, String> {
    Currency::by_code(text).ok_or_else(|| "a currency of ISO 4217 in capital letters is wanted, like INR".to_owned())
}

fn approval(text: &str) -> Result<Approval, String> {
    match text {
        "none" => Ok(Approval::None),
        "manual" => Ok(Approval::Manual),
        _ => duration(text).map(Approval::After),
    }
}

/// Nothing: no limit.
#[derive(Clone, Copy, Debug)]
struct UseLimit(Option<Rate>);

fn use_limit(text: &str) -> Result<UseLimit, String> {
    if text == "off" {
        return Ok(UseLimit(None));
    }
    let wrong = || "give a number of requests and a time, such as 300/1m, or off".to_owned();
    let (requests, window) = text.split_once('/').ok_or_else(wrong)?;
    let requests =
        requests.parse().ok().filter(|requests| (1..=RATE_REQUESTS_MAX).contains(requests)).ok_or_else(wrong)?;
    let window = duration(window)?;
    if window < Duration::from_secs(1) { Err(wrong()) } else { Ok(UseLimit(Some(Rate { requests, window }))) }
}

fn rates(args: &ServeArgs) -> RateLimits {
    RateLimits {
        per_key: args.rate_per_key.0,
        per_person: args.rate_per_person.0,
        sensitive_per_person: args.rate_per_person.0.and(RateLimits::STANDARD.sensitive_per_person),
        per_address: args.rate_per_address.0,
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    let alone = text.parse::<IpAddr>().map(IpNet::from);
    let network = text.parse::<IpNet>().or(alone);
    network.map_err(|_| "give an address or a network, such as 10.0.0.1, 10.0.0.0/8 or fd00::/8".to_owned())
}

fn proxy_header(text: &str) -> Result<ProxyHeader, String> {
    match text.to_ascii_lowercase().as_str() {
        "x-forwarded-for" => Ok(ProxyHeader::XForwardedFor),
        "forwarded" => Ok(ProxyHeader::Forwarded),
        _ => Err("this is either x-forwarded-for or forwarded".to_owned()),
    }
}

#[derive(Clone, Copy, Debug)]
struct Period(Option<Duration>);

fn period(text: &str) -> Result<Period, String> {
    if text == "off" { Ok(Period(None)) } else { duration(text).map(|time| Period(Some(time))) }
}

pub fn run(args: ServeArgs) -> Result<Verdict, Failure> {
    if !args.core_dumps {
        core_dumps::switch_off()?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::Runtime)?;
    let outcome = runtime.block_on(serve(args));
    // A recovery that was broken off may still be reading; nobody needs to wait for it.
    runtime.shutdown_background();
    outcome
}

async fn serve(args: ServeArgs) -> Result<Verdict, Failure> {
    // Before anything is made or opened, so that a wrong address leaves nothing behind.
    let mut config = config(&args)?;
    let (step_up_above, bank) = (step_up_above(&args)?, bank(&args)?);
    let (messengers, mail_folder) = args.messengers.connect(&args.data_dir, args.listen)?;
    let adjustment_alone_max = adjustment_alone_max(&args)?;
    let mut stop = Stop::new(args.stop_with_stdin)?;
    let mut limits = HttpLimits::default();
    if let Some(max) = args.connections_max {
        limits.connections_max = max as usize;
    }
    let tls = args.tls_cert.clone().zip(args.tls_key.clone()).map(|(certificates, key)| TlsFiles { certificates, key });
    let scheme = if tls.is_some() { "https" } else { "http" };
    let proxies = TrustedProxies { networks: args.trusted_proxy.clone(), header: args.proxy_header };
    let server = Server::bind(args.listen, ServerConfig { tls, limits, rates: rates(&args), proxies })
        .await
        .map_err(listening)?;
    let url = format!("{scheme}://{}", server.local_addr());
    let chosen = args.api_key.clone().map(SecretString::from);
    chosen.as_ref().map_or(Ok(()), OperatorKeys::check_chosen)?;
    config.encryption = args.master.to_serve(&args.data_dir, args.encrypt)?;
    let seal = Seal::new(config.encryption.keys().cloned().expect("a server has keys"));
    // The database is opened before anything is promised: a wrong address is told at once.
    let store = Store::open(&args.data_dir, args.database_url.as_ref()).await?;
    // Last of what may fail: a key that is made has to be shown, since it is shown once.
    let (keys, new_key) = OperatorKeys::load_or_create(&args.data_dir, chosen)?;
    say_listening(&args, &url, new_key.as_ref());
    say_messengers(&messengers, mail_folder.as_deref());

    let state = State::new(keys);
    let (close, mut closed) = watch::channel(false);
    let shutdown = async move { drop(closed.wait_for(|closed| *closed).await) };
    let serving = tokio::spawn(server.serve(state.clone(), shutdown));

    let began = Instant::now();
    let bar = RecoveryBar::new(state.clone());
    let engine = tokio::select! {
        engine = Engine::start(config, move |progress| bar.show(progress)) => engine?,
        () = stop.asked() => {
            tracing::info!("stopped while recovering; nothing was changed");
            return Ok(Verdict::Fine);
        }
    };
    let (currency, approval) = (args.currency, args.approval);
    let settings = Settings { currency, approval, step_up_above, adjustment_alone_max, bank, messengers };
    let people = Services::start(store, seal, engine.clone(), settings, Clock::default()).await?;
    state.people(Arc::clone(&people));
    // Whoever reads that it is ready may ask at once.
    state.ready(engine.clone());
    say_ready(&args, &engine, began.elapsed());

    stop.asked().await;
    tokio::select! {
        outcome = wind_down(close, serving, &people, &engine) => {
            say_stopped(&args, &engine);
            outcome
        }
        () = stop.asked() => {
            let hint = "ended at once by the second signal; what was acknowledged is in the log";
            Err(Failure::Usage(hint.to_owned()))
        }
    }
}

async fn wind_down(
    close: watch::Sender<bool>,
    serving: tokio::task::JoinHandle<()>,
    people: &Services,
    engine: &Engine,
) -> Result<Verdict, Failure> {
    close.send_replace(true);
    if let Err(panic) = serving.await {
        tracing::error!(%panic, "the http server has failed");
    }
    people.stop().await;
    // Without a snapshot the next start takes longer, and loses nothing: so this is no reason not to stop.
    if let Err(error) = engine.snapshot().await {
        tracing::warn!(%error, "no snapshot was taken; the next start reads more of the log");
    }
    engine.stop().await;
    Ok(Verdict::Fine)
}

/// The amount is one of the server's currency, which has its own number of digits.
fn step_up_above(args: &ServeArgs) -> Result<Option<Amount>, Failure> {
    match args.step_up_above.as_deref() {
        Some("off") => Ok(None),
        text => Amount::parse(text.unwrap_or("10000"), args.currency).map(Some).map_err(|_| {
            let code = args.currency.code();
            Failure::Usage(format!("--step-up-above is an amount of {code} above zero, such as 5000, or off"))
        }),
    }
}

fn bank(args: &ServeArgs) -> Result<Option<Arc<dyn Bank>>, Failure> {
    let Some((url, key)) = args.bank_url.as_deref().zip(args.bank_key.clone()) else { return Ok(None) };
    Ok(Some(Arc::new(BankOverHttp::new(url, key)?)))
}

fn adjustment_alone_max(args: &ServeArgs) -> Result<i64, Failure> {
    let text = args.adjustment_alone_max.as_deref().unwrap_or("1000");
    parse_minor(text, args.currency).ok().filter(|minor| *minor >= 0).ok_or_else(|| {
        let code = args.currency.code();
        Failure::Usage(format!("--adjustment-alone-max is an amount of {code}, zero or more, such as 1000"))
    })
}

fn config(args: &ServeArgs) -> Result<EngineConfig, Failure> {
    let mut config = EngineConfig::new(&args.data_dir);
    config.snapshot_period = args.snapshot_period.0;
    config.snapshots_kept = usize::from(args.snapshots_kept);
    if let Some(shards) = args.shards {
        config.shards = usize::from(shards);
    }
    if let Some(mib) = args.segment_mib {
        config.segment_bytes = u64::from(mib) << 20;
    }
    if let Some(max) = args.in_flight_max {
        config.in_flight_max = max as usize;
    }
    config.snapshots_in = args.snapshots.as_ref().map(snapshots::postgres::Address::parse).transpose()?;
    Ok(config)
}

fn listening(error: ServerError) -> Failure {
    match &error {
        ServerError::Bind { address, source } if source.kind() == io::ErrorKind::AddrInUse => Failure::Usage(format!(
            "{address} is taken by another program: stop that one, or choose another port with --listen"
        )),
        _ => Failure::Server(error),
    }
}

fn say_listening(args: &ServeArgs, url: &str, new_key: Option<&SecretString>) {
    let key = new_key.map(ExposeSecret::expose_secret);
    if args.json {
        return say(&format!("{}\n", json!({ "type": "listening", "url": url, "api_key": key })));
    }
    let mut text = format!("Florin {}\n", env!("CARGO_PKG_VERSION"));
    text.push_str(&format!("  listens   {url}\n"));
    text.push_str(&format!("  docs      {url}/docs  (for machines: {url}/openapi.json)\n"));
    text.push_str(&format!("  data      {}\n", args.data_dir.display()));
    if let Some(key) = key {
        text.push_str(&format!("  API key   {key}\n            shown this once; only its hash is kept\n"));
    }
    say(&text);
}

fn say_ready(args: &ServeArgs, engine: &Engine, elapsed: Duration) {
    let report = engine.report();
    if args.json {
        return say(&format!(
            "{}\n",
            json!({
                "type": "ready", "last_lsn": report.last_lsn, "wallets": report.wallets, "seconds": elapsed.as_secs_f64(),
                "snapshot_lsn": report.snapshot_lsn, "replayed_records": report.replayed_records,
                "torn_tail_bytes": report.torn_tail_bytes,
            })
        ));
    }
    let (wallets, lsn) = (screen::grouped(report.wallets), screen::grouped(report.last_lsn));
    let time = screen::seconds(elapsed);
    let replayed = match report.replayed_records {
        0 => "nothing to replay".to_owned(),
        records => {
            let rate = screen::rate(records, Duration::from_micros(report.replay_micros));
            format!("{} records replayed at {}/s", screen::grouped(records), screen::grouped(rate))
        }
    };
    say(&format!("  ready     {wallets} wallets at position {lsn}, recovered in {time} ({replayed})\n"));
}

fn say_stopped(args: &ServeArgs, engine: &Engine) {
    let last_lsn = engine.health().last_lsn;
    if args.json {
        return say(&format!("{}\n", json!({ "type": "stopped", "last_lsn": last_lsn })));
    }
    say(&format!("  stopped   at position {}\n", screen::grouped(last_lsn)));
}

/// Loudly: codes in a folder are for one developer on one machine, and without a mail server nobody can sign in.
fn say_messengers(messengers: &Messengers, mail_folder: Option<&Path>) {
    if let Some(folder) = mail_folder {
        let folder = folder.display();
        tracing::warn!(%folder, "no mail server is configured: mail, with its codes, is written into a folder, for development only");
    } else if messengers.email.is_none() {
        tracing::warn!("no mail server is configured: nobody is sent any mail, nor a code to sign in by");
    }
}

/// A server goes on when nobody reads what it prints.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        tracing::debug!("nobody reads the standard output");
    }
}

/// Recovery on the terminal, and for whoever asks /readyz.
struct RecoveryBar {
    bar: indicatif::ProgressBar,
    state: State,
}

impl RecoveryBar {
    fn new(state: State) -> RecoveryBar {
        RecoveryBar { bar: screen::bar("recovering", 0), state }
    }

    fn show(&self, progress: Progress) {
        let (what, done, total) = match progress {
            Progress::CheckingLog { done_bytes, total_bytes } => ("checking the log", done_bytes, total_bytes),
            Progress::LoadingSnapshot { done_bytes, total_bytes, .. } => ("loading snapshot", done_bytes, total_bytes),
            Progress::Replaying { done_records, total_records } => {
                self.state.recovering(done_records, total_records);
                ("replaying the log", done_records, total_records)
            }
        };
        if self.bar.message() != what {
            self.bar.reset();
            self.bar.set_message(what);
        }
        self.bar.set_length(total);
        self.bar.set_position(done);
    }
}

impl Drop for RecoveryBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Everything that asks the server to stop.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
    stdin: mpsc::Receiver<()>,
}

impl Stop {
    fn new(with_stdin: bool) -> Result<Stop, Failure> {
        let (ended, stdin) = mpsc::channel(1);
        if with_stdin {
            // A thread of its own, because a read of the standard input cannot be broken off.
            let reading = move || {
                let mut buffer = [0; 64];
                let mut input = io::stdin().lock();
                while input.read(&mut buffer).is_ok_and(|count| count > 0) {}
                // If the server has stopped already, nobody needs to hear of it.
                ended.blocking_send(()).unwrap_or_default();
            };
            std::thread::Builder::new().name("stdin".to_owned()).spawn(reading).map_err(Failure::Runtime)?;
        }
        let listen = |kind| signal(kind).map_err(Failure::Runtime);
        Ok(Stop { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())?, stdin })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            Some(()) = self.stdin.recv() => {}
        }
    }
}
