//! Question: how many transfers a second does the engine take in this process, to fdatasync, with the claims on ids on?
//! Workload: callers at once, each sending batches (or single transfers) one after another, between random pairs or all
//! to one merchant. What is sent is made on the main thread before the clock runs, so that nothing works off its backlog
//! while more is made.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use florin::engine::{Engine, EngineConfig, Outcome};
use florin::ledger::Transfer;
use tokio::runtime::Runtime;

use crate::BATCH;
use crate::error::Error;
use crate::figures::{RATE, figures, of_times, say, seconds};
use crate::load::{Load, Pairs};
use crate::rig_ledger;

#[derive(clap::Args, Debug)]
pub struct EngineArgs {
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(2..))]
    wallets: u64,
    /// [default: one for each core]
    #[arg(long)]
    shards: Option<usize>,
    /// How many send at once, each the next when the last one is answered
    #[arg(long, default_value_t = 4)]
    callers: usize,
    /// Transfers of one call; 1 calls the way of single transfers
    #[arg(long, default_value_t = BATCH)]
    batch: usize,
    /// Everybody pays one wallet
    #[arg(long)]
    merchant: bool,
    #[arg(long, default_value = "3", value_parser = seconds)]
    seconds: Duration,
    /// The data folder is made here and removed afterwards
    #[arg(long, default_value = ".")]
    dir: PathBuf,
}

/// Transfers made ahead for each second, above what any engine here reaches; the run ends when they do.
const MADE_PER_SECOND: f64 = 4e6;
const SINGLES_MADE_PER_SECOND: f64 = 1.5e6;

pub fn run(args: &EngineArgs) -> Result<ExitCode, Error> {
    if args.callers == 0 || args.batch == 0 || args.batch > BATCH {
        return Err(Error::Failed(format!("--callers is 1 or more, --batch 1 to {BATCH}")));
    }
    let folder = tempfile::tempdir_in(&args.dir).map_err(Error::io("make a folder"))?;
    rig_ledger::write(folder.path(), args.wallets, 0);
    let config = EngineConfig::new(folder.path());
    let shards = args.shards.unwrap_or(config.shards);
    let config = rig_ledger::config(folder.path(), shards);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::io("start threads"))?;
    let engine = runtime.block_on(Engine::start(config, |_| {}))?;
    let found = measure(args, &runtime, &engine);
    runtime.block_on(engine.stop());
    found.and_then(|found| say(&found))
}

fn measure(args: &EngineArgs, runtime: &Runtime, engine: &Engine) -> Result<crate::figures::Figures, Error> {
    let made_per_second = if args.batch == 1 { SINGLES_MADE_PER_SECOND } else { MADE_PER_SECOND };
    let batches = (args.seconds.as_secs_f64() * made_per_second) as usize / args.batch / args.callers + 1;
    let pairs = if args.merchant { Pairs::OneMerchant } else { Pairs::Random };
    let mut load = Load::new(8, args.wallets);
    let work: Vec<Vec<Vec<Transfer>>> =
        (0..args.callers).map(|_| (0..batches).map(|_| load.batch(args.batch, pairs)).collect()).collect();
    let began = Instant::now();
    let until = began + args.seconds;
    let callers = work.into_iter().map(|batches| runtime.spawn(call(engine.clone(), batches, until)));
    let callers: Vec<_> = callers.collect();
    let mut times = Vec::new();
    for caller in callers {
        let called = runtime.block_on(caller).map_err(|_| Error::Failed("a caller ended badly".to_owned()))?;
        times.extend(called?);
    }
    let took = began.elapsed();
    let transfers = (times.len() * args.batch) as f64;
    let mut found = of_times(times, took);
    found.extend(figures([(RATE, transfers / took.as_secs_f64()), ("transfers", transfers)]));
    Ok(found)
}

/// How long each call took. What was not needed is dropped after the clock.
async fn call(engine: Engine, batches: Vec<Vec<Transfer>>, until: Instant) -> Result<Vec<Duration>, Error> {
    let mut times = Vec::with_capacity(batches.len());
    let mut batches = batches.into_iter();
    for mut batch in batches.by_ref() {
        let began = Instant::now();
        if began >= until && !times.is_empty() {
            break;
        }
        let refused = match batch.pop() {
            Some(only) if batch.is_empty() => Some(engine.transfer(only).await).filter(|outcome| !is_new(outcome)),
            last => {
                batch.extend(last);
                engine.transfer_each(batch).await.into_iter().find(|outcome| !is_new(outcome))
            }
        };
        if let Some(outcome) = refused {
            return Err(Error::Failed(format!("a transfer came to {outcome:?}")));
        }
        times.push(began.elapsed());
    }
    keep(batches);
    Ok(times)
}

fn is_new(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Accepted(receipt) if !receipt.replayed)
}

/// Millions of transfers take a while to free: that is left to the end of the process.
fn keep(batches: std::vec::IntoIter<Vec<Transfer>>) {
    std::mem::forget(Arc::new(batches));
}
