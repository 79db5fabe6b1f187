//! `florin demo`: the main job in one command. The real server is put under load by the real load generator, killed
//! with SIGKILL in the middle of it, started again on the same folder, and in the end held to what it acknowledged.

mod outcome;
mod story;

use std::path::PathBuf;

use clap::Args;

use super::failure::Failure;
use super::trial::{Programs, watch_for_signals};
use super::{Verdict, screen};
use story::Story;

pub const EXAMPLES: &str = "\
Examples:
  florin demo
  florin demo --seconds 60 --wallets 100000
  florin demo --keep         leaves its folder behind, for florin replay and verify

What happens: a server is started on a free port of this machine with a temporary data folder; the load \
    generator opens wallets and sends transfers, holds, captures and repeats of old requests; the server is killed \
    with -9 at random moments and started again, and the load goes on with the same keys. Then it is stopped, \
    started, and asked for everything that it acknowledged; the folder is verified, and replayed by the book and by \
    three shards, which must come to the same hash. Nothing outside the temporary folder is touched.

Exit code: 0 all is well; 1 something acknowledged was lost, doubled or different; 2 the demo could not be \
    finished.";

#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// How long the load lasts
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u16).range(4..=3600))]
    seconds: u16,
    /// Wallets that take part
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(10..=10_000_000))]
    wallets: u32,
    /// Leave the temporary folder where it is
    #[arg(long)]
    keep: bool,
    /// The load generator [default: loadtest beside this program]
    #[arg(long, value_name = "FILE")]
    loadtest: Option<PathBuf>,
    /// Print the outcome as one JSON object; what happens meanwhile goes to stderr
    #[arg(long)]
    json: bool,
}

pub fn run(args: &DemoArgs) -> Result<Verdict, Failure> {
    let interrupted = watch_for_signals()?;
    let programs = Programs::find(args.loadtest.as_deref())?;
    let outcome = Story::begin(args, programs, interrupted)?.tell()?;
    screen::print(&if args.json { outcome.json() } else { outcome.table() })?;
    Ok(if outcome.all_well() { Verdict::Fine } else { Verdict::Wrong })
}
