//! The command line: what can be asked for, its defaults, and the words that teach it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::client::OnLoss;
use crate::endpoint::{Endpoint, EndpointError, read_key};
use crate::mix::Mix;
use crate::pairs::Shape;
use crate::wire::Format;

/// Items a bulk request may have.
pub const BATCH_MAX: u16 = 8190;

const RUN_EXAMPLES: &str = "Examples:
  loadtest run                                          closed loop, 64 connections, 10 seconds
  loadtest run --mode pipelined --connections 16        16 requests under way on each connection
  loadtest run --mode bulk --format binary --batch 8190
  loadtest run --http2 --streams 16                     16 requests under way on each connection, by HTTP/2
  loadtest run --rate 20000 --duration 30s              open loop: a stall counts against all that was due in it
  loadtest run --pairs merchant --mix transfers=90,holds=5,reads=4,repeats=1
  loadtest run --seed 7 --wallets 1000000 --transfers 1 prepare wallets, then with the same seed:
  loadtest run --seed 7 --wallets 1000000 --skip-setup
  loadtest run --reconnect --acknowledged acked         goes on after the server was killed and started again";

const AUDIT_EXAMPLES: &str = "Examples:
  loadtest audit --acknowledged acked                   is all that was acknowledged still there?
  loadtest audit --acknowledged acked --wallets-checked 10000 --json audit.json

Nothing else should move money meanwhile: a wallet's balance is compared with its entries.";

const CSV_EXAMPLES: &str = "Examples:
  loadtest csv --file bank-1993.csv --check
  loadtest csv --file bank-1993.csv --acknowledged acked --until-down    kill the server, start it, and again:
  loadtest csv --file bank-1993.csv --acknowledged acked --check

Within a day money in comes before money out. Each account's wallet gets the overdraft that its rows need.";

#[derive(Debug, Parser)]
#[command(
    name = "loadtest",
    version,
    about = "Puts load on a Florin server through HTTP, and checks afterwards that nothing it acknowledged was lost",
    after_help = "Examples:
  export FLORIN_API_KEY=...                     the key that the server showed at its first start
  loadtest run                                  10 seconds of single transfers, 64 connections
  loadtest run --mode bulk --format binary --connections 4 --duration 30s --html report.html
  loadtest run --rate 20000 --pairs zipf        open loop: latency from the intended start
  loadtest run --acknowledged acked --until-down     kill the server meanwhile, start it again, then
  loadtest audit --acknowledged acked           is all that was acknowledged still there?
  loadtest csv --file bank-1993.csv --check     real transactions, then every balance checked

Exit code: 0 all well; 1 errors, wrong answers, or something acknowledged is missing; 2 could not finish."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Open and fund wallets, then put load on the server and report rates and latencies
    #[command(after_help = RUN_EXAMPLES)]
    Run(Box<RunArgs>),
    /// Ask the server for everything on a list of acknowledged outcomes, and check its books
    #[command(after_help = AUDIT_EXAMPLES)]
    Audit(AuditArgs),
    /// Put a CSV file of real transactions in, each row under its own idempotency key
    #[command(after_help = CSV_EXAMPLES)]
    Csv(CsvArgs),
}

#[derive(Args, Clone, Debug)]
pub struct ServerArgs {
    /// Where the server is (http:// only)
    #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "URL")]
    pub url: String,
    /// The API key
    #[arg(long, env = "FLORIN_API_KEY", hide_env_values = true, value_name = "KEY")]
    pub key: Option<String>,
    /// A file whose first line is the API key
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// No progress and no table, only errors
    #[arg(long, short)]
    pub quiet: bool,
}

impl ServerArgs {
    pub fn endpoint(&self) -> Result<Endpoint, EndpointError> {
        let key = read_key(self.key.as_deref(), self.key_file.as_deref())?;
        Endpoint::new(&self.url, &key)
    }
}

/// What happens when the server goes away.
#[derive(Args, Clone, Debug)]
pub struct LossArgs {
    /// The server is expected to go away: the run ends there, with exit code 0
    #[arg(long, conflicts_with = "reconnect")]
    pub until_down: bool,
    /// When the server goes away, wait until it is ready again and repeat what was never heard, with the same keys
    #[arg(long)]
    pub reconnect: bool,
    /// How long --reconnect waits for the server
    #[arg(long, default_value = "60s", value_parser = duration, value_name = "TIME")]
    pub reconnect_wait: Duration,
}

impl LossArgs {
    pub fn on_loss(&self) -> OnLoss {
        if self.reconnect { OnLoss::Reconnect(self.reconnect_wait) } else { OnLoss::Stop }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// One request under way on each connection
    Single,
    /// Several requests under way on each connection (--pipeline)
    Pipelined,
    /// Many transfers in each request (--batch, --format)
    Bulk,
}

#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub loss: LossArgs,
    /// How long to put load on the server, such as 10s, 500ms or 2m
    #[arg(long, default_value = "10s", value_parser = duration, value_name = "TIME")]
    pub duration: Duration,
    /// Send so many transfers instead of running for a time
    #[arg(long, value_name = "N", conflicts_with = "duration", value_parser = clap::value_parser!(u32).range(1..))]
    pub transfers: Option<u32>,
    /// How transfers are sent
    #[arg(long, value_enum, default_value = "single")]
    pub mode: Mode,
    /// Requests under way on each connection in pipelined mode
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub pipeline: u16,
    /// Speak HTTP/2: several requests under way on each connection (--streams), answered in any order
    #[arg(long, conflicts_with_all = ["reconnect", "pipeline"])]
    pub http2: bool,
    /// Requests under way on each connection over HTTP/2
    #[arg(long, default_value_t = 16, value_name = "N", requires = "http2", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub streams: u16,
    /// Transfers in each request in bulk mode
    #[arg(long, default_value_t = BATCH_MAX, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=8190))]
    pub batch: u16,
    /// How batches are written
    #[arg(long, value_enum, default_value = "json")]
    pub format: Format,
    /// A batch happens wholly or not at all
    #[arg(long)]
    pub atomic: bool,
    /// Connections to the server [default: 64; 4 in bulk mode]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub connections: Option<u16>,
    /// Threads of the load generator; connections are spread over them
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub threads: u16,
    /// Open loop: requests due each second, whatever the server does; latency counts from when each was due
    #[arg(long, value_name = "PER_SECOND", value_parser = rate)]
    pub rate: Option<f64>,
    /// Who pays whom
    #[arg(long, value_enum, default_value = "uniform")]
    pub pairs: Shape,
    /// How steep Zipf's law is
    #[arg(long, default_value_t = 1.0, value_name = "E", value_parser = exponent)]
    pub zipf_exponent: f64,
    /// Weights of the kinds of request, such as transfers=90,holds=5,reads=4,repeats=1
    #[arg(long, default_value = "transfers=100", value_name = "MIX")]
    pub mix: Mix,
    /// Wallets that take part
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    pub wallets: u32,
    /// Wallets' ids follow from this number: the same seed continues with the same wallets
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// The wallets are there and funded from an earlier run with this seed
    #[arg(long)]
    pub skip_setup: bool,
    /// What each wallet is given at the start
    #[arg(long, default_value = "1000000", value_name = "AMOUNT")]
    pub funds: String,
    /// Transfers are of a random amount up to this
    #[arg(long, default_value = "10", value_name = "AMOUNT")]
    pub amount_max: String,
    /// Currency of wallets and transfers
    #[arg(long, default_value = "INR", value_name = "CODE")]
    pub currency: String,
    /// Append every acknowledged outcome to this file, for `loadtest audit`
    #[arg(long, value_name = "FILE")]
    pub acknowledged: Option<PathBuf>,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// End at once when the standard input ends, for whoever starts a load as a child: it must not outlive its parent
    #[arg(long)]
    pub stop_with_stdin: bool,
    /// Write the report as one HTML page with plots
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

impl RunArgs {
    pub fn connections(&self) -> u16 {
        let default = if self.mode == Mode::Bulk { 4 } else { 64 };
        self.connections.unwrap_or(default).max(self.threads)
    }

    pub fn depth(&self) -> usize {
        match self.mode {
            _ if self.http2 => usize::from(self.streams),
            Mode::Pipelined => usize::from(self.pipeline),
            Mode::Single | Mode::Bulk => 1,
        }
    }
}

#[derive(Args, Clone, Debug)]
pub struct AuditArgs {
    #[command(flatten)]
    pub server: ServerArgs,
    /// The list that `loadtest run` or `loadtest csv` wrote
    #[arg(long, value_name = "FILE")]
    pub acknowledged: PathBuf,
    /// Write the result as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Wallets of the list whose entries are added up
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub wallets_checked: usize,
    /// Entries of one wallet to add up at most; longer histories are told apart in the table
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    pub entries_max: u64,
    /// Connections to the server
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub connections: u16,
    /// Requests under way on each connection, and half as many each time the server ends it
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub pipeline: u16,
}

#[derive(Args, Clone, Debug)]
pub struct CsvArgs {
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub loss: LossArgs,
    /// The transactions: trans_id,account,date,direction,operation,amount,balance_printed
    #[arg(long, value_name = "FILE")]
    pub file: PathBuf,
    /// Currency of the accounts
    #[arg(long, default_value = "CZK", value_name = "CODE")]
    pub currency: String,
    /// Append every acknowledged outcome to this file, for `loadtest audit`
    #[arg(long, value_name = "FILE")]
    pub acknowledged: Option<PathBuf>,
    /// Afterwards compare every account's balance with the sum of its rows
    #[arg(long)]
    pub check: bool,
    /// Write the result as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Connections to the server; accounts are spread over them
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub connections: u16,
    /// Accounts that one connection works on at once
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub pipeline: u16,
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "give a time such as 10s, 500ms or 2m".to_owned();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: f64 = digits.parse().map_err(|_| wrong())?;
    let unit = match &text[digits.len()..] {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    match Duration::try_from_secs_f64(number * unit) {
        Ok(found) if !found.is_zero() && found.as_secs() <= 7 * 86_400 => Ok(found),
        _ => Err("give a time above 0 and of at most seven days".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.001..=10_000_000.0).contains(&rate) => Ok(rate),
        _ => Err("give requests a second, such as 20000".to_owned()),
    }
}

fn exponent(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(exponent) if (0.01..=10.0).contains(&exponent) => Ok(exponent),
        _ => Err("give a number from 0.01 to 10, such as 1.0".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn durations() {
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        for wrong in ["", "s", "0s", "-1s", "10 apples", "9d", "1e30s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
