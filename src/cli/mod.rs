//! The command line: what can be asked for, and the words that teach it. The work of each command
//! is in its own file.

mod ask;
mod backup;
mod core_dumps;
mod demo;
mod failure;
mod keys;
mod logging;
mod messengers;
mod replay;
mod screen;
mod serve;
mod snapshot;
mod tape;
mod torture;
mod trial;
mod verify;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use failure::Failure;
use logging::LogArgs;

const EXAMPLES: &str = "\
Examples:
  florin demo                                  all of it in a minute, on a temporary folder
  florin serve --data-dir ./data               a server; it shows its API key at the first start
  florin snapshot                              ask that server for a snapshot now
  florin replay --data-dir ./data --balances   every wallet's balance, out of the log alone
  florin verify --data-dir ./data              do log, snapshots, indexes and books agree?
  florin backup --data-dir ./data --to ./backup   a copy of a running server's folder, checked
  florin torture --rounds 50                   50 crashes and faults on this disk: is anything lost?

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
    /// Run the server
    #[command(after_help = serve::EXAMPLES)]
    Serve(Box<serve::ServeArgs>),
    /// Build the ledger again out of its log, up to any position or time, and print what it comes to
    #[command(after_help = replay::EXAMPLES)]
    Replay(replay::ReplayArgs),
    /// Check that log, snapshots, indexes and books agree, and name the first place where they do not
    #[command(after_help = verify::EXAMPLES)]
    Verify(verify::VerifyArgs),
    /// Take a snapshot now, of a running server or of a stopped data folder
    #[command(after_help = snapshot::EXAMPLES)]
    Snapshot(snapshot::SnapshotArgs),
    /// Copy a running server's folder to another one, from which a server can start; run again, it copies what is new
    #[command(after_help = backup::EXAMPLES)]
    Backup(backup::BackupArgs),
    /// List, rotate and wrap anew the keys of what is encrypted
    #[command(after_help = keys::EXAMPLES)]
    Keys(keys::KeysArgs),
    /// Serve, put load on, kill with -9 in the middle, recover, and prove that nothing acknowledged was lost
    #[command(after_help = demo::EXAMPLES)]
    Demo(demo::DemoArgs),
    /// Kill servers and break disks and files, round after round, on your own disk, and count what was lost
    #[command(after_help = torture::EXAMPLES)]
    Torture(torture::TortureArgs),
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
    log.start(if matches!(command, Command::Serve(_)) { "info" } else { "warn" });
    let outcome = match command {
        Command::Serve(args) => serve::run(*args),
        Command::Snapshot(args) => snapshot::run(&args),
        Command::Backup(args) => backup::run(&args),
        Command::Keys(args) => keys::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Torture(args) => torture::run(&args),
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

/// A time as people write it: 500ms, 30s, 5m, 2h.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let unit_millis = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    match digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_millis)) {
        Some(millis) if (1..=DURATION_MILLIS_MAX).contains(&millis) => Ok(Duration::from_millis(millis)),
        _ => Err("give a time such as 500ms, 30s, 5m or 2h, of at most a year".to_owned()),
    }
}

const DURATION_MILLIS_MAX: u64 = 365 * 24 * 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, millis) in [("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("2h", 7_200_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for wrong in ["", "s", "5", "0s", "-1s", "1.5m", "9d", "99999999999999999999h", "9000h", "5 m"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
