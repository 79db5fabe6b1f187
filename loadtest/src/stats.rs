//! What is counted while a run goes on: outcomes, latencies by kind of request, one interval a second.
//! Each thread has its own; they are added up at the end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// Latencies are microseconds with three digits, up to an hour.
const MICROS_MAX: u64 = 3_600_000_000;
/// Sentences kept about what went wrong; the rest is only counted.
const PROBLEMS_MAX: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Transfer,
    Bulk,
    Authorize,
    Capture,
    Void,
    Balance,
    Entries,
    Repeat,
    Deposit,
    Withdrawal,
}

pub const KINDS: [(Kind, &str); 10] = [
    (Kind::Transfer, "transfer"),
    (Kind::Bulk, "bulk"),
    (Kind::Authorize, "authorize"),
    (Kind::Capture, "capture"),
    (Kind::Void, "void"),
    (Kind::Balance, "balance"),
    (Kind::Entries, "entries"),
    (Kind::Repeat, "repeat"),
    (Kind::Deposit, "deposit"),
    (Kind::Withdrawal, "withdrawal"),
];

pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MICROS_MAX, 3).expect("the bounds are in order")
}

/// Plain counts; they add up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub requests: u64,
    /// Movements of money that were accepted: transfers, items of batches, holds, captures, voids.
    pub accepted: u64,
    pub reads: u64,
    pub refused: u64,
    /// Answers that said 'not now' (503, 409).
    pub busy: u64,
    /// Answers that a well-formed request should not get.
    pub errors: u64,
    /// Answers that contradict what was asked, or an earlier answer.
    pub wrong: u64,
    /// Answers that the server gave again.
    pub replayed: u64,
    /// Requests whose answer was never heard.
    pub unheard: u64,
    /// Requests that were due before the end of an open-loop run and never left.
    pub unsent: u64,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.accepted += other.accepted;
        self.reads += other.reads;
        self.refused += other.refused;
        self.busy += other.busy;
        self.errors += other.errors;
        self.wrong += other.wrong;
        self.replayed += other.replayed;
        self.unheard += other.unheard;
        self.unsent += other.unsent;
    }
}

/// One second of one thread.
#[derive(Debug)]
pub struct Interval {
    pub counts: Counts,
    pub latency: Histogram<u64>,
    pub in_flight: u64,
    /// How long it was: a busy thread ends its second late.
    pub span: Duration,
}

impl Default for Interval {
    fn default() -> Self {
        Self { counts: Counts::default(), latency: histogram(), in_flight: 0, span: Duration::ZERO }
    }
}

impl Interval {
    pub fn add(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        self.latency += &other.latency;
        self.in_flight += other.in_flight;
        self.span = self.span.max(other.span);
    }
}

#[derive(Debug)]
pub struct Stats {
    pub totals: Counts,
    pub latencies: [Option<Box<Histogram<u64>>>; KINDS.len()],
    pub outcomes: BTreeMap<String, u64>,
    pub problems: Vec<String>,
    pub in_flight: u64,
    pub last_answer: Option<Instant>,
    pub interval: Interval,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            totals: Counts::default(),
            latencies: [const { None }; KINDS.len()],
            outcomes: BTreeMap::new(),
            problems: Vec::new(),
            in_flight: 0,
            last_answer: None,
            interval: Interval::default(),
        }
    }
}

impl Stats {
    /// An answer came: its latency counts whatever it said.
    pub fn answered(&mut self, kind: Kind, latency: Duration, now: Instant) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(1);
        let kind = &mut self.latencies[kind as usize];
        let kind = kind.get_or_insert_with(|| Box::new(histogram()));
        kind.saturating_record(micros);
        self.interval.latency.saturating_record(micros);
        self.interval.counts.requests += 1;
        self.in_flight = self.in_flight.saturating_sub(1);
        self.last_answer = Some(now);
    }

    /// A request was due at the given time before the end and never left: it waited at least so long.
    pub fn unsent(&mut self, kind: Kind, waited: Duration) {
        let micros = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX).max(1);
        let kind = self.latencies[kind as usize].get_or_insert_with(|| Box::new(histogram()));
        kind.saturating_record(micros);
        self.interval.counts.unsent += 1;
    }

    pub fn counts(&mut self) -> &mut Counts {
        &mut self.interval.counts
    }

    pub fn refused(&mut self, code: &str) {
        self.interval.counts.refused += 1;
        self.outcome(code);
    }

    pub fn busy(&mut self, code: &str) {
        self.interval.counts.busy += 1;
        self.outcome(code);
    }

    pub fn error(&mut self, what: String) {
        self.interval.counts.errors += 1;
        self.outcome("(error)");
        self.problem(what);
    }

    pub fn wrong(&mut self, what: String) {
        self.interval.counts.wrong += 1;
        self.outcome("(wrong answer)");
        self.problem(what);
    }

    fn outcome(&mut self, code: &str) {
        match self.outcomes.get_mut(code) {
            Some(count) => *count += 1,
            None => {
                self.outcomes.insert(code.to_owned(), 1);
            }
        }
    }

    fn problem(&mut self, what: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(what);
        }
    }

    /// Ends the interval: adds it to the totals and gives it away.
    pub fn take_interval(&mut self) -> Interval {
        let mut taken = std::mem::take(&mut self.interval);
        taken.in_flight = self.in_flight;
        self.totals.add(&taken.counts);
        taken
    }

    pub fn add(&mut self, other: Self) {
        self.totals.add(&other.totals);
        for (mine, theirs) in self.latencies.iter_mut().zip(other.latencies) {
            match (mine.as_mut(), theirs) {
                (Some(mine), Some(theirs)) => **mine += &*theirs,
                (None, theirs) => *mine = theirs,
                (Some(_), None) => {}
            }
        }
        for (code, count) in other.outcomes {
            *self.outcomes.entry(code).or_default() += count;
        }
        for problem in other.problems {
            self.problem(problem);
        }
        self.in_flight += other.in_flight;
        self.last_answer = self.last_answer.max(other.last_answer);
    }
}
