//! The command line: what can be asked for, and the words that teach it. The work of each command
//! is in its own file.

mod failure;
mod logging;
mod replay;
mod screen;
mod tape;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::Failure;
use logging::LogArgs;

const EXAMPLES: &str = "\
Examples:
  florin replay --data-dir ./data --balances          every wallet's balance, out of the log alone
  florin replay --data-dir ./data --until-time 2026-11-20T12:00:00Z
  florin verify --data-dir ./data                     do log, snapshots, indexes and books agree?

Exit code: 0 all is well; 1 the command has found something wrong; 2 it could not run or not finish.";

#[derive(Debug, Parser)]
#[command(name = "florin", version, about = "Florin, a payment processor in one process", after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build the ledger again out of its log, up to any position or time, and print what it comes to
    #[command(after_help = replay::EXAMPLES)]
    Replay(replay::ReplayArgs),
    /// Check that log, snapshots, indexes and books agree, and name the first place where they do not
    #[command(after_help = verify::EXAMPLES)]
    Verify(verify::VerifyArgs),
}

/// What a command has to say beside what it printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Fine,
    /// Something is wrong with what was looked at.
    Wrong,
}

pub fn main() -> ExitCode {
    let Cli { log, command } = Cli::parse();
    log.start("warn");
    let outcome = match command {
        Command::Replay(args) => replay::run(&args),
        Command::Verify(args) => verify::run(&args),
    };
    match outcome {
        Ok(Verdict::Fine) => ExitCode::SUCCESS,
        Ok(Verdict::Wrong) => ExitCode::from(1),
        Err(Failure::ReaderGone) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("florin: {}", failure::with_causes(&failure));
            ExitCode::from(if failure.is_finding() { 1 } else { 2 })
        }
    }
}
