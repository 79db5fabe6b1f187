//! What one side of a row does in its turn, and what it needs to have been made ready for that.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::postgres::Way;
use super::stage::{KEY, SEED, Stage, post, post_as};
use super::{Watch, flame, process};
use crate::error::Error;
use crate::figures::{Figures, RATE, figures};
use crate::ledger::REFRESH_TOKEN;

/// As many as the peers were measured with.
const WALLETS_OF_POSTGRES: u32 = 100_000;
/// A ledger that takes no memory to speak of.
const WALLETS_OF_NOTHING: u32 = 2;
/// The file in which `perf` leaves its counts.
pub const COUNTS: &str = "counts.csv";
const MEMORY_PERIOD: Duration = Duration::from_millis(300);

#[derive(Clone, Debug)]
pub enum Job {
    /// `loadtest` against a server.
    Load(Load),
    /// Another program of this crate.
    Program(Vec<String>),
    /// pgbench against Postgres.
    Postgres { way: Way, clients: u32, merchant: bool },
    /// A start from a snapshot of so many wallets, and what they take of memory.
    Start { wallets: u32 },
    /// Load, and then what it has left in the log.
    LogBytes(Load),
}

#[derive(Clone, Debug)]
pub struct Load {
    pub target: Target,
    pub wallets: u32,
    pub flags: Vec<String>,
    /// Open loop, at this share of the rate that the first side of the row has reached.
    pub share_of_rate: Option<f64>,
    /// Snapshots are taken one after another meanwhile.
    pub with_snapshots: bool,
    pub caller: Caller,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    Florin,
    Bare,
}

/// Who sends the load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caller {
    /// The operator; the wallets are of many owners, and nobody has an account.
    Alone,
    /// The operator, where the others are.
    Operator,
    /// The merchant who has all the wallets, by an access token.
    Session,
    /// The merchant, by an API key.
    ApiKey,
}

impl Job {
    pub fn load(target: Target, wallets: u32, flags: &[&str]) -> Job {
        Job::Load(Load::new(target, wallets, flags))
    }

    pub fn program(arguments: &[&str], time: Option<Duration>) -> Job {
        let mut arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        if let Some(time) = time {
            arguments.extend(["--seconds".to_owned(), time.as_secs_f64().to_string()]);
        }
        Job::Program(arguments)
    }
}

impl Load {
    pub fn new(target: Target, wallets: u32, flags: &[&str]) -> Load {
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Load { target, wallets, flags, share_of_rate: None, with_snapshots: false, caller: Caller::Alone }
    }
}

/// Before the machine is waited for: what takes a while and is not measured. False if the machine lacks something.
pub fn prepare(job: &Job, stage: &mut Stage<'_>) -> Result<bool, Error> {
    match job {
        Job::Load(Load { target: Target::Florin, wallets, caller, .. }) => {
            stage.has_merchant = *caller != Caller::Alone;
            stage.florin(*wallets).map(|_| true)
        }
        Job::Load(Load { target: Target::Bare, .. }) => stage.bare().map(|_| true),
        Job::LogBytes(load) => stage.florin(load.wallets).map(|_| true),
        Job::Program(_) => Ok(true),
        Job::Postgres { .. } => stage.postgres(WALLETS_OF_POSTGRES).map(|postgres| postgres.is_some()),
        Job::Start { wallets } => {
            for wallets in [WALLETS_OF_NOTHING, *wallets] {
                if !stage.data_dir(wallets).exists() {
                    // A server that is asked to stop leaves a snapshot.
                    stage.serve(wallets)?.server.finish()?;
                }
            }
            Ok(true)
        }
    }
}

/// Figures, and the command as one would type it.
pub fn run(job: &Job, stage: &mut Stage<'_>) -> Result<(Figures, String), Error> {
    match job {
        Job::Load(load) => run_load(load, stage),
        Job::LogBytes(load) => {
            let (_, command) = run_load(load, stage)?;
            stage.stop_florin(load.wallets)?;
            let data_dir = stage.data_dir(load.wallets).display().to_string();
            let mut reading = process::own(&["log-bytes".to_owned(), "--data-dir".to_owned(), data_dir])?;
            let found = process::found(&process::output(&mut reading)?)?;
            Ok((found, format!("{command}; rivals log-bytes")))
        }
        Job::Postgres { way, clients, merchant } => {
            let time = stage.settings.time;
            let postgres = stage.postgres(WALLETS_OF_POSTGRES)?.expect("it was there when this was prepared");
            postgres.load(*way, *clients, *merchant, time)
        }
        Job::Start { wallets } => start(*wallets, stage),
        Job::Program(arguments) => {
            let mut all = arguments.clone();
            all.extend(["--dir".to_owned(), stage.path("").display().to_string()]);
            let printed = watched(process::own(&all)?, None, stage)?;
            Ok((process::found(&printed)?, format!("rivals {}", arguments.join(" "))))
        }
    }
}

/// From the start of the process to its readiness; memory beyond that of a server with hardly any wallets.
fn start(wallets: u32, stage: &Stage<'_>) -> Result<(Figures, String), Error> {
    let (_, least_bytes, _) = start_once(WALLETS_OF_NOTHING, stage)?;
    let (seconds, bytes, replayed_records) = start_once(wallets, stage)?;
    let found = figures([
        ("seconds", seconds),
        ("resident_bytes", bytes),
        ("bytes_per_wallet", (bytes - least_bytes) / f64::from(wallets)),
        ("replayed_records", replayed_records),
    ]);
    Ok((found, format!("florin serve, on a folder with a snapshot of {wallets} wallets")))
}

fn start_once(wallets: u32, stage: &Stage<'_>) -> Result<(f64, f64, f64), Error> {
    let began = Instant::now();
    let florin = stage.serve(wallets)?;
    let seconds = began.elapsed().as_secs_f64();
    // What recovery needed for a while is given back after a moment.
    let mut bytes = process::resident_bytes(florin.server.id());
    loop {
        std::thread::sleep(MEMORY_PERIOD);
        let now = process::resident_bytes(florin.server.id());
        if now >= bytes {
            return Ok((seconds, bytes, florin.ready["replayed_records"].as_f64().unwrap_or(0.0)));
        }
        bytes = now;
    }
}

/// Runs a command, which is what is measured or drives it; with `perf` looking on, if that was asked for.
fn watched(mut command: Command, process: Option<u32>, stage: &Stage<'_>) -> Result<String, Error> {
    let watch = stage.settings.watch;
    let data = stage.path(if watch == Watch::Counts { COUNTS } else { "perf.data" });
    if watch == Watch::Nothing {
        return process::output(&mut command);
    }
    let printed = process::output(&mut flame::watched(&command, process, watch, &data))?;
    if watch == Watch::Counts {
        return Ok(printed);
    }
    let drawn = stage.settings.dir.join("flames").join(stage.row).with_extension("svg");
    // The engine's load is made on the main thread.
    let is_engine = command.get_args().next().is_some_and(|argument| argument == "engine");
    flame::draw(&data, stage.row, is_engine.then_some("rivals"), &drawn)?;
    Ok(printed)
}

fn run_load(load: &Load, stage: &mut Stage<'_>) -> Result<(Figures, String), Error> {
    let (url, process) = match load.target {
        Target::Florin => {
            let florin = stage.florin(load.wallets)?;
            (florin.url.clone(), florin.server.id())
        }
        Target::Bare => {
            let bare = stage.bare()?;
            (bare.url.clone(), bare.server.id())
        }
    };
    let time = stage.settings.time;
    let server = if load.target == Target::Bare { "rivals bare" } else { "florin serve" };
    let mut flags = vec!["run".to_owned(), "--skip-setup".to_owned()];
    flags.extend(load.flags.iter().cloned());
    flags.extend(["--wallets".to_owned(), load.wallets.to_string()]);
    flags.extend(match stage.settings.transfers {
        Some(count) => ["--transfers".to_owned(), count.to_string()],
        None => ["--duration".to_owned(), format!("{}ms", time.as_millis())],
    });
    if let Some(share) = load.share_of_rate {
        let rate = share * stage.rates.iter().sum::<f64>() / stage.rates.len().max(1) as f64;
        flags.extend(["--rate".to_owned(), format!("{:.0}", rate.max(1.0))]);
    }
    let json = stage.path("load.json");
    let mut command = Command::new(stage.settings.programs.join("loadtest"));
    command.args(&flags).args(["--quiet", "--seed", &SEED.to_string(), "--url", &url, "--json"]).arg(&json);
    command.env("FLORIN_API_KEY", credentials(load, &url, stage)?);

    let cpu_before = process::cpu_seconds(process);
    let mut snapshots = 0;
    if load.with_snapshots {
        snapshots = with_snapshots(&url, || watched(command, Some(process), stage).map(drop))?;
    } else {
        watched(command, Some(process), stage)?;
    }
    let cpu = process::cpu_seconds(process) - cpu_before;
    let mut figures = read_report(&json, cpu)?;
    if load.with_snapshots {
        figures.insert("snapshots".to_owned(), f64::from(snapshots));
    }
    if load.share_of_rate.is_none() {
        stage.rates.extend(figures.get(RATE));
    }
    Ok((figures, format!("{server}; loadtest {}", flags.join(" "))))
}

/// What this caller sends in its Authorization header.
fn credentials(load: &Load, url: &str, stage: &mut Stage<'_>) -> Result<String, Error> {
    if matches!(load.caller, Caller::Alone | Caller::Operator) {
        return Ok(KEY.to_owned());
    }
    if let (Caller::ApiKey, Some(key)) = (load.caller, &stage.merchant_key) {
        return Ok(key.clone());
    }
    // Each turn has a new access token, since one lives for ten minutes; a refresh token is good once.
    let kept = stage.data_dir(load.wallets).join(REFRESH_TOKEN);
    let refresh_token = std::fs::read_to_string(&kept).map_err(Error::io("read the merchant's refresh token"))?;
    let body = json!({ "refresh_token": refresh_token }).to_string();
    let grant = body_of(&post(url, "/v1/auth/refresh", None, body.as_bytes(), 200)?)?;
    let text = |json: &Value, name: &str| json[name].as_str().unwrap_or_default().to_owned();
    std::fs::write(&kept, text(&grant, "refresh_token")).map_err(Error::io("write the merchant's refresh token"))?;
    let token = text(&grant, "access_token");
    if load.caller == Caller::Session {
        return Ok(token);
    }
    let body = json!({ "name": "bench", "scopes": ["transfers:write"] }).to_string();
    let made = body_of(&post_as(&token, url, "/v1/api-keys", Some("bench"), body.as_bytes(), 201)?)?;
    stage.merchant_key = Some(text(&made, "key"));
    Ok(text(&made, "key"))
}

/// The JSON of an answer as it came.
fn body_of(answer: &[u8]) -> Result<Value, Error> {
    let head_bytes = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
    let what = || "an answer of the server".to_owned();
    serde_json::from_slice(&answer[head_bytes..]).map_err(|source| Error::Json { what: what(), source })
}

/// Takes snapshots, the next when the last is written, until the work is done; how many were begun.
fn with_snapshots(url: &str, work: impl FnOnce() -> Result<(), Error>) -> Result<u32, Error> {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let taking = scope.spawn(|| {
            let mut taken = 0;
            while !is_over.load(Ordering::Acquire) {
                post(url, "/v1/snapshots", None, b"", 201)?;
                taken += 1;
            }
            Ok(taken)
        });
        let worked = work();
        is_over.store(true, Ordering::Release);
        let taken = taking.join().map_err(|_| Error::Failed("the taker of snapshots ended badly".to_owned()))?;
        worked.and(taken)
    })
}

/// What the load generator found. An answer that should not have come makes the figures worthless.
fn read_report(path: &Path, cpu_seconds: f64) -> Result<Figures, Error> {
    let text = std::fs::read_to_string(path).map_err(Error::io("read the report of loadtest"))?;
    let what = || "the report of loadtest".to_owned();
    let report: Value = serde_json::from_str(&text).map_err(|source| Error::Json { what: what(), source })?;
    let number = |value: &Value| value.as_f64().unwrap_or(0.0);
    for bad in ["errors", "wrong", "refused", "unheard"] {
        if number(&report[bad]) > 0.0 {
            return Err(Error::Failed(format!("{} {bad}: {}", number(&report[bad]), report["problems"])));
        }
    }
    let accepted = number(&report["accepted"]);
    if accepted == 0.0 {
        return Err(Error::Failed("nothing was accepted".to_owned()));
    }
    let mut figures = Figures::from([(RATE.to_owned(), number(&report["accepted_per_second"]))]);
    let kinds = report["kinds"].as_array().map(Vec::as_slice).unwrap_or_default();
    if let Some(kind) = kinds.first() {
        for (name, field) in [("p50_micros", "p50"), ("p99_micros", "p99"), ("p999_micros", "p999")] {
            figures.insert(name.to_owned(), number(&kind[field]));
        }
    }
    figures.insert("server_cpu_nanos_each".to_owned(), cpu_seconds * 1e9 / accepted);
    figures.insert("transfers".to_owned(), accepted);
    let busy = number(&report["busy"]);
    if busy > 0.0 {
        figures.insert("busy".to_owned(), busy);
    }
    Ok(figures)
}
