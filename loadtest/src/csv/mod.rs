//! `loadtest csv`: real transactions in through HTTP, each row under its own key, so that a run that was
//! killed is simply done again. Afterwards, if asked, every balance is compared with the sum of its rows.

pub mod check;
pub mod import;
pub mod rows;

use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use self::check::Check;
use self::import::{Import, Tally};
use self::rows::{Book, RowsError};
use crate::acknowledged::{FLUSH_MILLIS, List, ListError};
use crate::args::CsvArgs;
use crate::client::{Halt, Stop};
use crate::crew::Crew;
use crate::endpoint::EndpointError;
use crate::money::{Currency, MoneyError};
use crate::progress::{self, grouped, micros};

#[derive(Debug, thiserror::Error)]
pub enum CsvError {
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error(transparent)]
    Money(#[from] MoneyError),
    #[error(transparent)]
    Rows(#[from] RowsError),
    #[error(transparent)]
    List(#[from] ListError),
    #[error("cannot run")]
    Runtime(#[from] io::Error),
    #[error("cannot write the result {path}")]
    Write { path: PathBuf, source: io::Error },
}

/// What a run of `csv` found.
#[derive(Debug, Default, Serialize)]
struct Outcome {
    ended: &'static str,
    seconds: f64,
    accounts: u64,
    rows: u64,
    accepted: u64,
    repeats: u64,
    refused: u64,
    errors: u64,
    not_sent: u64,
    unheard: u64,
    p50_micros: u64,
    p99_micros: u64,
    checked: Option<u64>,
    balances_different: Option<u64>,
    problems: Vec<String>,
}

pub fn csv(args: &CsvArgs) -> Result<u8, CsvError> {
    let endpoint = args.server.endpoint()?;
    let book = Rc::new(Book::read(&args.file, Currency::from_code(&args.currency)?)?);
    let list = List::open(args.acknowledged.as_deref())?;
    let crew = Crew {
        endpoint,
        depth: usize::from(args.pipeline),
        on_loss: args.loss.on_loss(),
        is_http2: false,
        halt: Arc::new(Halt::default()),
        until: None,
    };
    let quiet = args.server.quiet;
    let bar = progress::bar(quiet, "rows", book.rows);
    let tally = Rc::new(RefCell::new(Tally::new(bar.clone(), list.writer())));
    let connections = usize::from(args.connections);
    let jobs = (0..connections).map(|first| Import::new(&crew, &book, &tally, (first, connections))).collect();
    let flushed = Rc::clone(&tally);
    let start = Instant::now();
    let period = Duration::from_millis(FLUSH_MILLIS);
    let ended = crew.work(jobs, period, move || flushed.borrow_mut().list.flush())?;
    bar.finish_and_clear();
    drop(ended.jobs);
    let tally = Rc::into_inner(tally).expect("jobs and tick, which shared it, are gone").into_inner();
    tally.list.close()?;
    let heard = tally.accepted + tally.repeats + tally.refused + tally.errors;
    let mut outcome = Outcome {
        ended: "all rows sent",
        seconds: start.elapsed().as_secs_f64(),
        accounts: book.accounts.len() as u64,
        rows: book.rows,
        accepted: tally.accepted,
        repeats: tally.repeats,
        refused: tally.refused,
        errors: tally.errors,
        not_sent: book.rows.saturating_sub(heard + tally.unheard),
        unheard: tally.unheard,
        p50_micros: tally.latency.value_at_quantile(0.5),
        p99_micros: tally.latency.value_at_quantile(0.99),
        problems: tally.problems,
        ..Outcome::default()
    };
    outcome.problems.extend(ended.losses.into_iter().next());
    let mut code = match crew.halt.state() {
        Stop::Running | Stop::TimeUp => u8::from(outcome.refused + outcome.errors > 0),
        Stop::ServerDown => {
            outcome.ended = "server went away";
            if args.loss.until_down { 0 } else { 2 }
        }
        Stop::Interrupted => {
            outcome.ended = "interrupted";
            2
        }
        Stop::Broken => {
            outcome.ended = "broken off";
            2
        }
    };
    if args.check && !crew.halt.stopped() {
        code = code.max(check_balances(args, &crew, &book, &mut outcome)?);
    }
    publish(args, &outcome)?;
    Ok(code)
}

fn check_balances(args: &CsvArgs, crew: &Crew, book: &Rc<Book>, outcome: &mut Outcome) -> Result<u8, CsvError> {
    let bar = progress::bar(args.server.quiet, "balances", book.accounts.len() as u64);
    let connections = usize::from(args.connections);
    let jobs = (0..connections).map(|first| Check::new(crew, book, &bar, (first, connections))).collect();
    let ended = crew.work(jobs, Duration::from_secs(1), || {})?;
    bar.finish_and_clear();
    let (mut checked, mut different) = (0, 0);
    for job in ended.jobs {
        checked += job.checked;
        different += job.different;
        outcome.problems.extend(job.problems);
    }
    outcome.problems.extend(ended.losses.into_iter().next());
    outcome.checked = Some(checked);
    outcome.balances_different = Some(different);
    let unfinished = checked < book.accounts.len() as u64;
    Ok(if unfinished { 2 } else { u8::from(different > 0) })
}

fn publish(args: &CsvArgs, outcome: &Outcome) -> Result<(), CsvError> {
    if !args.server.quiet {
        print!("{}", table(outcome));
    }
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(outcome).map_err(io::Error::from)?;
        std::fs::write(path, text + "\n").map_err(|source| CsvError::Write { path: path.clone(), source })?;
    }
    Ok(())
}

fn table(outcome: &Outcome) -> String {
    let heard = outcome.accepted + outcome.repeats + outcome.refused + outcome.errors;
    let per_second = (heard as f64 / outcome.seconds.max(1e-6)).round() as u64;
    let mut rows = vec![
        ("ended", outcome.ended.to_owned()),
        ("time", format!("{:.2} s ({} rows/s)", outcome.seconds, grouped(per_second))),
        ("accounts", grouped(outcome.accounts)),
        ("rows", grouped(outcome.rows)),
        ("accepted now", grouped(outcome.accepted)),
        ("accepted before", grouped(outcome.repeats)),
        ("refused", grouped(outcome.refused)),
        ("errors", grouped(outcome.errors)),
        ("unheard", grouped(outcome.unheard)),
        ("not sent", grouped(outcome.not_sent)),
        ("latency", format!("p50 {}, p99 {}", micros(outcome.p50_micros), micros(outcome.p99_micros))),
    ];
    if let (Some(checked), Some(different)) = (outcome.checked, outcome.balances_different) {
        rows.push(("balances checked", grouped(checked)));
        rows.push(("balances different", grouped(different)));
    }
    let mut text: String = rows.iter().map(|(name, value)| format!("{name:<20}{value}\n")).collect();
    for problem in &outcome.problems {
        text.push_str(&format!("  {problem}\n"));
    }
    text
}
