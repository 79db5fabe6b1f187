//! `bank-sim`: the bank as a program.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use simulators::bank::{Bank, Faults, ServeError};

/// A bank to try Florin with: it collects and pays out, settles after a while, and misbehaves as often as it is told to
#[derive(Debug, Parser)]
#[command(name = "bank-sim", version)]
struct Args {
    /// Address and port to listen on; port 0 lets the system choose one
    #[arg(long, default_value = "127.0.0.1:8090", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// The bank's books; made if they are not there
    #[arg(long, default_value = "./bank-books.jsonl", value_name = "FILE")]
    books: PathBuf,
    /// The key that its clients have to show
    #[arg(long, env = "BANK_SIM_KEY", hide_env_values = true, default_value = "bank-sim-key", value_name = "KEY")]
    key: String,
    /// How long an order is pending
    #[arg(long, default_value_t = 2000, value_name = "MS")]
    delay_ms: u64,
    /// Of a thousand orders, so many fail
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1000))]
    failing: u32,
    /// Of a thousand requests, so many are carried out and their answers lost
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1000))]
    losing: u32,
    /// Of a thousand requests, so many are carried out twice
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1000))]
    doubling: u32,
    /// Of a thousand requests, so many are turned away
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1000))]
    refusing: u32,
    /// What all of this is drawn from
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            eprintln!("bank-sim: {error}{cause}");
            ExitCode::from(2)
        }
    }
}

fn run(args: Args) -> Result<(), ServeError> {
    let address = args.listen;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| ServeError::Listen { address, source })?;
    let faults = Faults {
        seed: args.seed,
        delay: Duration::from_millis(args.delay_ms),
        failing: args.failing,
        losing: args.losing,
        doubling: args.doubling,
        refusing: args.refusing,
    };
    runtime.block_on(async {
        let bank = Bank::open(address, &args.books, &args.key, faults).await?;
        println!("{}", bank.url());
        bank.closed().await;
        Ok(())
    })
}
