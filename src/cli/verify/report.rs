//! What a verification found: a table and a verdict for people, one JSON object for machines.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use florin::http::wire::Money;
use florin::ledger::book::CurrencySum;
use florin::ledger::money::format_sum;
use florin::ledger::{Currency, StateHash};
use serde::Serialize;

use crate::cli::screen::{self, grouped};

/// What a finding is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    Log,
    Books,
    Snapshots,
    Ids,
    Entries,
}

/// One thing that is not as it should be.
#[derive(Debug, Serialize)]
pub struct Finding {
    pub part: Part,
    /// The first position where it shows, if it has one.
    pub lsn: Option<u64>,
    pub what: String,
    pub advice: &'static str,
}

#[derive(Debug, Default)]
pub struct Report {
    pub log_last_lsn: u64,
    pub verified_lsn: u64,
    pub wallets: u64,
    pub open_holds: u64,
    pub sums: BTreeMap<Currency, CurrencySum>,
    /// Of the books; none where they stopped making sense.
    pub state_hash: Option<StateHash>,
    pub snapshots: u64,
    pub snapshots_fine: u64,
    pub covered: BTreeMap<Part, Covered>,
    pub findings: Vec<Finding>,
    /// The log could not be read to its end, so the rest was compared in part only.
    pub is_partial: bool,
    /// Not wrong, but worth knowing.
    pub notes: Vec<String>,
    pub elapsed: Duration,
}

/// How much of an index was held against the log.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Covered {
    pub lsn: u64,
    pub rows: u64,
}

#[derive(Serialize)]
struct ReportJson<'a> {
    verdict: &'static str,
    log_last_lsn: u64,
    verified_lsn: u64,
    wallets: u64,
    open_holds: u64,
    currencies: Vec<CurrencyJson>,
    state_hash: Option<String>,
    snapshots: u64,
    snapshots_fine: u64,
    indexes: &'a BTreeMap<Part, Covered>,
    findings: &'a [Finding],
    is_partial: bool,
    notes: &'a [String],
    seconds: f64,
}

#[derive(Serialize)]
struct CurrencyJson {
    currency: &'static str,
    wallets: u64,
    sum: Money,
    held: Money,
}

impl Part {
    pub fn name(self) -> &'static str {
        match self {
            Part::Log => "log",
            Part::Books => "books",
            Part::Snapshots => "snapshots",
            Part::Ids => "ids",
            Part::Entries => "entries",
        }
    }
}

impl Report {
    pub fn find(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    pub fn is_fine(&self) -> bool {
        self.findings.is_empty()
    }

    pub fn table(&self) -> String {
        let mut out = String::new();
        let covered = |part| self.covered.get(&part).copied().unwrap_or_default();
        let index = |part| {
            let Covered { lsn, rows } = covered(part);
            format!("{} rows, up to position {}", grouped(rows), grouped(lsn))
        };
        let sums = self.sums.iter().map(|(currency, sum)| format!("{} {currency}", format_sum(sum.posted, *currency)));
        let sums: Vec<String> = sums.collect();
        let sums = if sums.is_empty() { "no wallets".to_owned() } else { sums.join(", ") };
        let wallets = format!("{} wallets, {} open holds, sum {sums}", grouped(self.wallets), grouped(self.open_holds));
        for (part, what) in [
            (Part::Log, format!("{} of {} records", grouped(self.verified_lsn), grouped(self.log_last_lsn))),
            (Part::Books, wallets),
            (Part::Snapshots, format!("{} of {} equal to the books", self.snapshots_fine, self.snapshots)),
            (Part::Ids, index(Part::Ids)),
            (Part::Entries, index(Part::Entries)),
        ] {
            let wrong = self.findings.iter().any(|finding| finding.part == part);
            let verdict = match (wrong, self.is_partial) {
                (true, _) => "WRONG",
                (false, true) => "partly",
                (false, false) => "fine",
            };
            // Writing to a String does not fail, here and below.
            let _ = writeln!(out, "{:<11}{verdict:<7}{what}", part.name());
        }
        for note in &self.notes {
            let _ = writeln!(out, "note: {note}");
        }
        if let Some(hash) = self.state_hash {
            let _ = writeln!(out, "state hash {hash}");
        }
        for finding in &self.findings {
            let at = finding.lsn.map_or_else(String::new, |lsn| format!(" at position {}", grouped(lsn)));
            let _ = writeln!(out, "\n{}{at}: {}\n  {}", finding.part.name(), finding.what, finding.advice);
        }
        let rate = grouped(screen::rate(self.verified_lsn, self.elapsed));
        let time = format!("{}, {rate} events/s", screen::seconds(self.elapsed));
        let verdict = if self.is_fine() { "All agree".to_owned() } else { self.count() };
        let _ = writeln!(out, "\n{verdict}  ({time})");
        out
    }

    pub fn json(&self) -> String {
        let currencies = self.sums.iter().map(|(&currency, sum)| CurrencyJson {
            currency: currency.code(),
            wallets: sum.wallets,
            sum: Money { minor: sum.posted, currency },
            held: Money { minor: sum.held, currency },
        });
        let json = ReportJson {
            verdict: if self.is_fine() { "fine" } else { "wrong" },
            log_last_lsn: self.log_last_lsn,
            verified_lsn: self.verified_lsn,
            wallets: self.wallets,
            open_holds: self.open_holds,
            currencies: currencies.collect(),
            state_hash: self.state_hash.map(|hash| hash.to_string()),
            snapshots: self.snapshots,
            snapshots_fine: self.snapshots_fine,
            indexes: &self.covered,
            findings: &self.findings,
            is_partial: self.is_partial,
            notes: &self.notes,
            seconds: self.elapsed.as_secs_f64(),
        };
        serde_json::to_string(&json).expect("plain data with text keys always serialises") + "\n"
    }

    fn count(&self) -> String {
        match self.findings.len() {
            1 => "One thing is wrong".to_owned(),
            count => format!("{count} things are wrong"),
        }
    }
}
