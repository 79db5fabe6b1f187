//! What Florin's speed is compared with (a bare HTTP endpoint, the disk, Postgres), programs that drive Florin's engine
//! in this process, and `bench`, which runs every row of docs/performance.md in turn with its comparison.
//! Each program prints one line of JSON; what is measured over HTTP is driven by `loadtest`.

mod bare;
mod bench;
mod disk;
mod engine;
mod error;
mod figures;
mod ledger;
#[path = "../../rig/load.rs"]
#[allow(dead_code)]
mod load;
mod log_bytes;
mod replay;
#[path = "../../rig/ledger.rs"]
#[allow(dead_code)] // The benches use the rest.
mod rig_ledger;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// As many transfers as the largest bulk request has.
pub const BATCH: usize = florin::config::BULK_ITEMS_MAX;

#[derive(Debug, Parser)]
#[command(name = "rivals", about = "Measures Florin, and what it is compared with")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run rows of the table of goals, in turn with what they are compared with, and write a report
    Bench(bench::BenchArgs),
    /// A bare hyper server that reads requests and answers as many bytes as Florin does
    Bare(bare::BareArgs),
    /// What the disk itself takes: append and sync, over and over
    Disk(disk::DiskArgs),
    /// The engine in this process, to fdatasync, with ids claimed
    Engine(engine::EngineArgs),
    /// Replay of a log, through the book or through recovery
    Replay(replay::ReplayArgs),
    /// Write the log of a ledger that `loadtest run --skip-setup` can go on with
    Ledger(ledger::LedgerArgs),
    /// Bytes of the log for each transfer
    LogBytes(log_bytes::LogBytesArgs),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Bench(args) => bench::run(&args),
        Command::Bare(args) => bare::run(&args),
        Command::Disk(args) => disk::run(&args),
        Command::Engine(args) => engine::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Ledger(args) => ledger::run(&args),
        Command::LogBytes(args) => log_bytes::run(&args),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("rivals: {}", error::with_causes(&error));
            ExitCode::from(2)
        }
    }
}
