//! `loadtest run`: setup, then the threads of load, then the report. The live line is fed from here.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use crate::acknowledged::{FLUSH_MILLIS, List, ListError};
use crate::args::{Mode, RunArgs};
use crate::client::{Halt, OnLoss, Stop};
use crate::crew::Crew;
use crate::endpoint::EndpointError;
use crate::ids::Wallets;
use crate::load::{Bench, Load, Plan};
use crate::money::{Currency, MoneyError};
use crate::pace::Slots;
use crate::pairs::Pairs;
use crate::progress;
use crate::report::{self, Report};
use crate::setup::{SetupError, set_up};
use crate::stats::{Interval, Kind, Stats};
use crate::wire::Wire;

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error(transparent)]
    Money(#[from] MoneyError),
    #[error("--http2 has neither --mode bulk nor repeats in its --mix")]
    NotOverHttp2,
    #[error("{0} must be above zero")]
    NotPositive(&'static str),
    #[error(transparent)]
    List(#[from] ListError),
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error("cannot start a thread of load")]
    Thread(#[source] std::io::Error),
    #[error("cannot write the report {path}")]
    Report { path: PathBuf, source: std::io::Error },
}

/// Runs, reports, and gives the exit code.
pub fn run(args: &RunArgs) -> Result<u8, RunError> {
    if args.http2 && (args.mode == Mode::Bulk || args.mix.has_repeats()) {
        return Err(RunError::NotOverHttp2);
    }
    let endpoint = args.server.endpoint()?;
    let currency = Currency::from_code(&args.currency)?;
    let funds_minor = positive("--funds", currency.parse(&args.funds)?)?;
    let amount_max_minor = positive("--amount-max", currency.parse(&args.amount_max)?)?;
    let wallets = Wallets { seed: args.seed, count: args.wallets };
    let list = List::open(args.acknowledged.as_deref())?;
    let wire = || Wire::new(endpoint.clone(), currency, wallets, args.format, args.atomic);
    let crew = |depth| Crew {
        endpoint: endpoint.clone(),
        depth,
        on_loss: args.loss.on_loss(),
        is_http2: false,
        halt: Arc::new(Halt::default()),
        until: None,
    };
    let setup_start = Instant::now();
    if !args.skip_setup {
        let (crew, wire) = (crew(64), Arc::new(wire()));
        set_up(&crew, &wire, funds_minor, list.writer(), args.server.quiet)?;
    }
    let setup = setup_start.elapsed();

    let plan = Arc::new(Plan {
        wire: wire(),
        pairs: Pairs::new(args.pairs, args.wallets, args.zipf_exponent),
        mix: args.mix,
        batch: (args.mode == Mode::Bulk).then_some(usize::from(args.batch)),
        amount_max_minor,
        retry_busy: matches!(args.loss.on_loss(), OnLoss::Reconnect(_)),
        remaining: args.transfers.map(|count| AtomicI64::new(i64::from(count))),
    });
    let started_at = jiff::Timestamp::now();
    let start = Instant::now();
    let mut crew = crew(args.depth());
    crew.is_http2 = args.http2;
    crew.until = args.transfers.is_none().then_some(start + args.duration);
    let (stats, timeline, losses) = put_load(args, &crew, &plan, &list, start)?;

    let report = Report::new(&report::Parts {
        args,
        started_at,
        setup,
        elapsed: stats.last_answer.map_or_else(|| start.elapsed(), |last| last - start),
        stop: crew.halt.state(),
        stats: &stats,
        timeline: &timeline,
        losses: &losses,
    });
    publish(args, &report)?;
    Ok(exit_code(&report, args.loss.until_down))
}

fn positive(what: &'static str, minor: i64) -> Result<u64, RunError> {
    u64::try_from(minor).ok().filter(|minor| *minor > 0).ok_or(RunError::NotPositive(what))
}

type Gathered = (Stats, BTreeMap<u64, Interval>, Vec<String>);

fn put_load(args: &RunArgs, crew: &Crew, plan: &Arc<Plan>, list: &List, start: Instant) -> Result<Gathered, RunError> {
    let (sender, receiver) = channel();
    let threads = args.threads;
    let handles = (0..threads)
        .map(|thread| {
            let share = Share {
                crew: crew.clone(),
                plan: Arc::clone(plan),
                list: list.clone(),
                sender: sender.clone(),
                start,
                rate: args.rate.map(|rate| rate / f64::from(threads)),
                seeds: (thread..args.connections())
                    .step_by(usize::from(threads))
                    .map(|connection| args.seed.rotate_left(32) ^ u64::from(connection))
                    .collect(),
            };
            let name = format!("load-{thread}");
            std::thread::Builder::new().name(name).spawn(move || share.work())
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(RunError::Thread)?;
    drop(sender);
    let timeline = watch(&receiver, threads, args.server.quiet);
    let (mut stats, mut losses) = (Stats::default(), Vec::new());
    for handle in handles {
        match handle.join() {
            Ok(ended) => {
                let (found, lost) = ended?;
                stats.add(found);
                losses.extend(lost);
            }
            Err(_) => losses.push("a thread of load ended badly".to_owned()),
        }
    }
    losses.sort();
    losses.dedup();
    Ok((stats, timeline, losses))
}

/// Shows each second when all threads have told theirs, and keeps them all.
fn watch(receiver: &Receiver<(u64, Interval)>, threads: u16, quiet: bool) -> BTreeMap<u64, Interval> {
    let line = progress::line(quiet);
    let mut timeline: BTreeMap<u64, Interval> = BTreeMap::new();
    let mut heard: BTreeMap<u64, u16> = BTreeMap::new();
    for (second, interval) in receiver {
        let sum = timeline.entry(second).or_default();
        sum.add(&interval);
        let count = heard.entry(second).or_default();
        *count += 1;
        if *count == threads {
            line.set_message(progress::describe(sum));
            line.tick();
        }
    }
    line.finish_and_clear();
    timeline
}

/// What one thread needs.
struct Share {
    crew: Crew,
    plan: Arc<Plan>,
    list: List,
    sender: Sender<(u64, Interval)>,
    start: Instant,
    rate: Option<f64>,
    seeds: Vec<u64>,
}

impl Share {
    fn work(self) -> Result<(Stats, Vec<String>), RunError> {
        let halt = Arc::clone(&self.crew.halt);
        let bench = Rc::new(Bench {
            plan: self.plan,
            stats: RefCell::new(Stats::default()),
            list: RefCell::new(self.list.writer()),
            slots: self.rate.map(|rate| Slots::start(rate, self.start, Arc::clone(&halt))),
            halt: Arc::clone(&halt),
        });
        let jobs = self.seeds.iter().map(|seed| Load::new(Rc::clone(&bench), *seed)).collect();
        let (ticked, sender, start) = (Rc::clone(&bench), self.sender, self.start);
        let (second, taken) = (Cell::new(0), Cell::new(start));
        let tick = move || {
            ticked.list.borrow_mut().flush();
            let now = Instant::now();
            let passed = (now - start).as_secs();
            if passed > second.get() {
                let mut interval = ticked.stats.borrow_mut().take_interval();
                interval.span = now - taken.replace(now);
                // The receiver outlives all senders, and a lost second would only miss in the plot.
                let _ = sender.send((second.replace(passed), interval));
            }
        };
        let period = Duration::from_millis(FLUSH_MILLIS);
        let ended = self.crew.work(jobs, period, tick);
        let ended = ended.map_err(RunError::Thread)?;
        drop(ended.jobs);
        let bench = Rc::into_inner(bench).expect("jobs and tick, which shared it, are gone");
        let mut stats = bench.stats.into_inner();
        if let (Some(slots), Some(until), Stop::TimeUp) = (&bench.slots, self.crew.until, halt.state()) {
            let kind = if bench.plan.batch.is_some() { Kind::Bulk } else { Kind::Transfer };
            for due in slots.left_before(until) {
                stats.unsent(kind, until - due);
            }
        }
        stats.take_interval();
        bench.list.into_inner().close()?;
        Ok((stats, ended.losses))
    }
}

fn publish(args: &RunArgs, report: &Report) -> Result<(), RunError> {
    if !args.server.quiet {
        print!("{}", report::terminal::table(report));
    }
    let write = |path: &Option<PathBuf>, text: &dyn Fn() -> String| match path {
        Some(path) => std::fs::write(path, text()).map_err(|source| RunError::Report { path: path.clone(), source }),
        None => Ok(()),
    };
    write(&args.json, &|| report::json::text(report))?;
    write(&args.html, &|| report::html::page(report))
}

fn exit_code(report: &Report, until_down: bool) -> u8 {
    if report.errors + report.wrong > 0 {
        return 1;
    }
    match report.stop() {
        // A server that never answered did not go away: it was not there.
        Stop::ServerDown if until_down && report.requests > 0 => 0,
        Stop::ServerDown | Stop::Broken => 2,
        Stop::Running | Stop::TimeUp | Stop::Interrupted if report.unheard > 0 => 2,
        Stop::Running | Stop::TimeUp | Stop::Interrupted => 0,
    }
}
