//! Question: how many transfers a second does the engine take in this process, to fdatasync, with the claims on ids on?
//! Workload: callers at once, each sending batches (or single transfers) one after another, between random pairs or all
//! to one merchant. Each caller makes its next batch while the others' are under way; the making takes part of the cores
//! and is in the rate.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use florin::engine::{Engine, EngineConfig, Outcome};
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
    let pairs = if args.merchant { Pairs::OneMerchant } else { Pairs::Random };
    let began = Instant::now();
    let until = began + args.seconds;
    let callers = (0..args.callers as u64).map(|caller| {
        let load = Load::new(8 + caller, args.wallets);
        runtime.spawn(call(engine.clone(), load, pairs, args.batch, until))
    });
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

/// How long each call took. Each batch is made just before it is sent, as a server reads it from a socket: what was made
/// long before would have to come out of memory that no cache knows any more.
async fn call(
    engine: Engine,
    mut load: Load,
    pairs: Pairs,
    batch: usize,
    until: Instant,
) -> Result<Vec<Duration>, Error> {
    let mut times = Vec::new();
    while times.is_empty() || Instant::now() < until {
        let (refused, began) = if batch == 1 {
            let transfer = load.transfer(pairs);
            let began = Instant::now();
            (Some(engine.transfer(transfer).await).filter(|outcome| !is_new(outcome)), began)
        } else {
            let transfers = load.batch(batch, pairs);
            let began = Instant::now();
            (engine.transfer_each(transfers).await.into_iter().find(|outcome| !is_new(outcome)), began)
        };
        if let Some(outcome) = refused {
            return Err(Error::Failed(format!("a transfer came to {outcome:?}")));
        }
        times.push(began.elapsed());
    }
    Ok(times)
}

fn is_new(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Accepted(receipt) if !receipt.replayed)
}
