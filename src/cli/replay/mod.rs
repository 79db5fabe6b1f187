//! `florin replay`: the ledger built again out of its log. By default by the book, which shares no
//! arithmetic with the server; with `--shards` by the server's own shards.

mod events;
mod figures;
mod hledger;
mod target;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use florin::engine::config::SHARDS_MAX;
use florin::ledger::money::format_minor;

use super::failure::Failure;
use super::keys::MasterArgs;
use super::tape::{Step, Tape};
use super::{Verdict, screen};
use events::EventLine;
use figures::Figures;
use target::{Target, WalletLine};

pub const EXAMPLES: &str = "\
Examples:
  florin replay --data-dir ./data              to the end, by the book
  florin replay --data-dir ./data --shards 3   by the server's own code: the same hash
  florin replay --data-dir ./data --until-lsn 1000 --balances
  florin replay --data-dir ./data --until-time 2026-11-20T12:00:00Z --json
  florin replay --data-dir ./data --events | grep order-4711
  florin replay --data-dir ./data --hledger all.journal && hledger -f all.journal balance

Nothing is written to the data folder, so this may run beside a server. With --json every line of the output is \
    one JSON object, the summary last. Where --events or --hledger - have the standard output, the summary goes to \
    stderr.

Exit code: 0 done; 1 the log is damaged, or its events do not make sense one after another; 2 could not run.";

#[derive(Args, Clone, Debug)]
pub struct ReplayArgs {
    /// The data folder of a server, running or not
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Stop after this position of the log
    #[arg(long, value_name = "N", conflicts_with = "until_time")]
    until_lsn: Option<u64>,
    /// Stop after the last event of this time or before, such as 2026-11-20T12:00:00Z
    #[arg(long, value_name = "TIME")]
    until_time: Option<jiff::Timestamp>,
    /// Let the server's own code replay, with the wallets spread over so many shards
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=SHARDS_MAX as i64))]
    shards: Option<u16>,
    /// Print a line for each wallet: id, owner, currency, status, posted, held
    #[arg(long, conflicts_with = "events")]
    balances: bool,
    /// Print each event as one line of JSON
    #[arg(long, conflicts_with = "shards")]
    events: bool,
    /// Write a journal for hledger to this file, or to the standard output with -
    #[arg(long, value_name = "FILE", conflicts_with = "shards")]
    hledger: Option<PathBuf>,
    #[command(flatten)]
    master: MasterArgs,
    /// Print JSON for machines
    #[arg(long)]
    json: bool,
}

pub fn run(args: &ReplayArgs) -> Result<Verdict, Failure> {
    let journal_on_stdout = args.hledger.as_deref() == Some(Path::new("-"));
    if journal_on_stdout && (args.events || args.balances) {
        let what = "--hledger - takes the standard output for itself: give it a file, or leave out the other";
        return Err(Failure::Usage(what.to_owned()));
    }
    let tape = Tape::open(&args.data_dir, &args.master.to_read(&args.data_dir)?)?;
    let until_lsn = until(args, &tape)?;
    let mut target = Target::new(args.shards.map(usize::from));
    let mut events = args.events.then(|| BufWriter::new(io::stdout().lock()));
    let mut journal = args.hledger.as_deref().map(journal_writer).transpose()?.map(hledger::Journal::new);

    let began = Instant::now();
    let mut time_micros = 0;
    let bar = screen::bar("replaying", until_lsn);
    let played = tape.play(until_lsn, &bar, |step| {
        let Step::Record(played) = step else { return Ok(()) };
        time_micros = played.time_micros;
        let Target::Book(book) = &mut target else { return target.apply(&played) };
        let entries = book.apply(played.lsn, played.time_micros, &played.event)?;
        if let Some(out) = &mut events {
            let line = EventLine::new(&played, entries);
            line.write(out, |wallet| book.wallets[&wallet].opening.currency).map_err(Failure::output)?;
        }
        if let Some(journal) = &mut journal {
            journal.write(&played, book).map_err(Failure::output)?;
        }
        Ok(())
    });
    bar.finish_and_clear();
    let elapsed = began.elapsed();
    // What was replayed before a failure is still worth having.
    if let Some(mut out) = events {
        out.flush().map_err(Failure::output)?;
    }
    if let Some(journal) = journal {
        journal.finish().map_err(Failure::output)?;
    }
    played?;

    if args.balances {
        print_balances(&target.wallets(), args.json)?;
    }
    let figures = Figures::of(&target, until_lsn, tape.last_lsn(), time_micros, elapsed);
    let text = if args.json { figures.json() } else { figures.table() };
    if args.events || journal_on_stdout {
        eprint!("{text}")
    } else {
        screen::print(&text)?
    }
    Ok(if figures.balance() { Verdict::Fine } else { Verdict::Wrong })
}

/// The position to stop at: 0 where the log is empty or all of it is later.
fn until(args: &ReplayArgs, tape: &Tape) -> Result<u64, Failure> {
    let last_lsn = tape.last_lsn();
    match (args.until_lsn, args.until_time) {
        (Some(lsn), _) if lsn > last_lsn => {
            Err(Failure::Usage(format!("the log ends at position {last_lsn}; --until-lsn {lsn} is behind its end")))
        }
        (Some(lsn), _) => Ok(lsn),
        (None, Some(time)) => {
            let micros = u64::try_from(time.as_microsecond()).unwrap_or(0);
            Ok(tape.reader().last_lsn_at_or_before(micros)?.unwrap_or(0))
        }
        (None, None) => Ok(last_lsn),
    }
}

fn journal_writer(path: &Path) -> Result<Box<dyn Write>, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdout().lock()));
    }
    Ok(Box::new(File::create(path).map_err(Failure::file("create", path))?))
}

fn print_balances(wallets: &[WalletLine], json: bool) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    if !json {
        let header = balance_row(["wallet", "owner", "currency", "status", "posted", "held"]);
        writeln!(out, "{header}").map_err(Failure::output)?;
    }
    for wallet in wallets {
        let line = if json { figures::wallet_json(wallet) } else { balance_line(wallet) };
        writeln!(out, "{line}").map_err(Failure::output)?;
    }
    if !json {
        writeln!(out).map_err(Failure::output)?;
    }
    out.flush().map_err(Failure::output)
}

fn balance_line(wallet: &WalletLine) -> String {
    let WalletLine { opening, status, posted, held } = wallet;
    let (id, owner) = (opening.wallet.to_string(), opening.owner.to_string());
    let (posted, held) = (format_minor(*posted, opening.currency), format_minor(*held, opening.currency));
    balance_row([&id, &owner, opening.currency.code(), status.name(), &posted, &held])
}

fn balance_row([id, owner, currency, status, posted, held]: [&str; 6]) -> String {
    format!("{id:<36} {owner:<36} {currency:<8} {status:<6} {posted:>20} {held:>20}")
}
