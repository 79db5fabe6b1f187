//! What the torture came to: one line a round while it goes on, a table for people, one JSON object for machines.

use std::time::Duration;

use serde::Serialize;

use super::plan::{End, Fault};
use crate::cli::screen::{self, grouped};

#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub verdict: &'static str,
    pub rounds: Vec<Round>,
    pub grounds: Vec<GroundReport>,
    /// Rounds that broke off, and why.
    pub unfinished: Vec<String>,
    /// What this machine could not do, and why.
    pub skipped: Vec<String>,
    pub seconds: f64,
}

/// One round: its end, its fault, and what was found afterwards.
#[derive(Debug, Serialize)]
pub struct Round {
    pub number: u32,
    pub end: End,
    /// None where there was nothing to put it into.
    pub fault: Option<Fault>,
    pub acknowledged: u64,
    pub recovered: u64,
    pub lost: u64,
    pub different: u64,
    pub replayed_requests: u64,
    pub sums_zero: bool,
    pub recovered_in_seconds: f64,
    pub replayed_records: u64,
    pub torn_tail_bytes: u64,
    /// Whether the torture has torn a write, so that there was one to be cut off.
    pub torn_here: bool,
    /// Everything that was not as it must be, in words.
    pub problems: Vec<String>,
}

/// What one folder was held to after all its rounds.
#[derive(Debug, Serialize)]
pub struct GroundReport {
    pub name: &'static str,
    pub acknowledged: u64,
    pub recovered: u64,
    pub lost: u64,
    pub doubled: u64,
    pub sums: Vec<(String, String)>,
    pub verify: String,
    pub last_lsn: u64,
    pub state_hash: String,
    pub problems: Vec<String>,
}

impl Report {
    pub fn all_well(&self) -> bool {
        self.rounds.iter().all(|round| round.problems.is_empty())
            && self.grounds.iter().all(|ground| ground.problems.is_empty())
            && self.unfinished.is_empty()
    }

    pub fn table(&self) -> String {
        let mut out = String::from("\n");
        let mut row = |name: &str, value: String| out.push_str(&format!("{name:<24}{value}\n"));
        let sum = |of: fn(&GroundReport) -> u64| grouped(self.grounds.iter().map(of).sum());
        row("rounds", grouped(self.rounds.len() as u64));
        for (name, count) in counted(self.rounds.iter().map(|round| round.end.name())) {
            row("", format!("{count} x {name}"));
        }
        let faults = counted(self.rounds.iter().filter_map(|round| round.fault.map(Fault::name)));
        row("faults put in", grouped(faults.iter().map(|(_, count)| count).sum()));
        for (name, count) in faults {
            row("", format!("{count} x {name}"));
        }
        row("acknowledged", sum(|ground| ground.acknowledged));
        row("recovered", sum(|ground| ground.recovered));
        row("lost", sum(|ground| ground.lost));
        row("doubled", sum(|ground| ground.doubled));
        let count = |of: fn(&Round) -> bool| grouped(self.rounds.iter().filter(|round| of(round)).count() as u64);
        let (cut, torn) = (count(|round| round.torn_tail_bytes > 0), count(|round| round.torn_here));
        row("torn writes cut off", format!("{cut}; {torn} were torn here"));
        let slowest = self.rounds.iter().map(|round| round.recovered_in_seconds).fold(0.0, f64::max);
        row("slowest start", screen::seconds(Duration::from_secs_f64(slowest)));
        for ground in &self.grounds {
            let sums: Vec<String> = ground.sums.iter().map(|(currency, sum)| format!("{sum} {currency}")).collect();
            row(ground.name, format!("sums {}, verify {}, state {}", sums.join(" "), ground.verify, ground.state_hash));
        }
        row("time", screen::seconds(Duration::from_secs_f64(self.seconds)));
        for why in &self.skipped {
            out.push_str(&format!("SKIPPED: {why}\n"));
        }
        out.push_str(match (self.rounds.is_empty(), self.all_well()) {
            (_, false) => "\nNOT all is well:\n",
            (true, true) => "\nNo round was done, so nothing is proved.\n",
            (false, true) => "\nNothing that was acknowledged was lost, and nothing happened twice.\n",
        });
        self.unfinished.iter().for_each(|why| out.push_str(&format!("  broken off: {why}\n")));
        for round in &self.rounds {
            round.problems.iter().for_each(|what| out.push_str(&format!("  round {}: {what}\n", round.number)));
        }
        for ground in &self.grounds {
            ground.problems.iter().for_each(|what| out.push_str(&format!("  {}: {what}\n", ground.name)));
        }
        out
    }

    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("plain data with text keys always serialises") + "\n"
    }
}

impl Round {
    pub fn line(&self) -> String {
        let fault = self.fault.map_or_else(String::new, |fault| format!("; {}", fault.name()));
        format!(
            "round {}: {}{fault}; back in {}; {} acknowledged, {} lost{}",
            self.number,
            self.end.name(),
            screen::seconds(Duration::from_secs_f64(self.recovered_in_seconds)),
            grouped(self.acknowledged),
            grouped(self.lost),
            if self.problems.is_empty() { String::new() } else { format!("; WRONG: {}", self.problems.join("; ")) }
        )
    }
}

/// Names and how often each came, in the order of their first coming.
fn counted(names: impl Iterator<Item = &'static str>) -> Vec<(&'static str, u64)> {
    let mut counts: Vec<(&'static str, u64)> = Vec::new();
    for name in names {
        match counts.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => counts.push((name, 1)),
        }
    }
    counts
}
