//! The report as data: what each side of each row has found, with medians and spread. It is written as JSON and as a
//! page; the page is made in `page`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde::Serialize;

use super::goals::{Judged, number};
use super::machine::Machine;
use super::rows::{Row, Side};
use super::stage::Stage;
use super::{Settings, page};
use crate::error::Error;
use crate::figures::{Figures, RATE};

#[derive(Debug, Serialize)]
pub struct Report {
    pub commit: String,
    pub started_at: String,
    pub command: String,
    pub machine: Machine,
    pub turns: u16,
    pub seconds_each: f64,
    pub rows: Vec<RowReport>,
}

#[derive(Debug, Serialize)]
pub struct RowReport {
    pub name: &'static str,
    pub what: String,
    pub goals: Vec<Judged>,
    /// The first side's rate to that of each other side.
    pub ratios: Vec<(&'static str, f64)>,
    pub sides: Vec<SideReport>,
    /// Beside the page, if one was drawn.
    pub flame_graph: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct SideReport {
    pub name: &'static str,
    pub command: String,
    pub figures: BTreeMap<String, Spread>,
    /// Turns before which the machine did not become quiet.
    pub disturbed_turns: usize,
    /// Most of the cores' time that the host took away in a turn.
    pub stolen_percent_max: f64,
    pub skipped: Option<String>,
    pub failure: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
    pub runs: Vec<f64>,
}

/// One turn of one side.
#[derive(Debug)]
pub struct Run {
    pub figures: Figures,
    pub command: String,
    pub was_quiet: bool,
    pub stolen_percent: f64,
}

impl Report {
    pub fn new(settings: &Settings) -> Report {
        let arguments: Vec<String> = std::env::args().skip(2).collect();
        Report {
            commit: commit(),
            started_at: format!("{:.0}", jiff::Timestamp::now()),
            command: format!("scripts/bench {}", arguments.join(" ")).trim_end().to_owned(),
            machine: Machine::here(&settings.dir),
            turns: settings.turns,
            seconds_each: settings.time.as_secs_f64(),
            rows: Vec::new(),
        }
    }

    pub fn write(&self, dir: &Path) -> Result<(), Error> {
        let json = serde_json::to_string_pretty(self).expect("a report is plain data with text keys");
        std::fs::write(dir.join("report.json"), json).map_err(Error::io("write report.json"))?;
        std::fs::write(dir.join("report.html"), page::page(self)).map_err(Error::io("write report.html"))
    }

    pub fn has_failures(&self) -> bool {
        self.rows.iter().flat_map(|row| &row.sides).any(|side| side.failure.is_some())
    }
}

impl RowReport {
    pub fn new(row: &Row, sides: Vec<SideReport>, dir: &Path) -> RowReport {
        let median = |side: &str, figure: &str| {
            let side = sides.iter().find(|found| found.name == side)?;
            side.figures.get(figure).map(|spread| spread.median)
        };
        let goals: Vec<Judged> = row.goals.iter().map(|goal| goal.judge(median)).collect();
        for goal in &goals {
            let reached = goal.reached.map_or("nothing".to_owned(), number);
            let ratio = goal.ratio.map_or(String::new(), |ratio| format!(" ({ratio:.2} of the goal)"));
            println!("     {} {}: {reached}, wanted {}{ratio}", goal.side, goal.figure, goal.text);
        }
        let first = sides.first().and_then(|side| median(side.name, RATE));
        let ratio = |side: &SideReport| Some((side.name, first? / median(side.name, RATE)?));
        let ratios: Vec<_> = sides.iter().skip(1).filter_map(ratio).collect();
        for (against, ratio) in &ratios {
            println!("     {} to {against}: {}", sides[0].name, number(*ratio));
        }
        let drawn = format!("flames/{}.svg", row.name);
        let flame_graph = dir.join(&drawn).exists().then_some(drawn);
        RowReport { name: row.name, what: row.what.clone(), goals, ratios, sides, flame_graph }
    }
}

impl SideReport {
    pub fn new(side: &Side) -> SideReport {
        SideReport {
            name: side.name,
            command: String::new(),
            figures: BTreeMap::new(),
            disturbed_turns: 0,
            stolen_percent_max: 0.0,
            skipped: None,
            failure: None,
        }
    }

    pub fn add(&mut self, run: Run) {
        self.command = run.command;
        self.disturbed_turns += usize::from(!run.was_quiet);
        self.stolen_percent_max = self.stolen_percent_max.max(run.stolen_percent);
        for (name, value) in run.figures {
            self.figures.entry(name).or_insert_with(Spread::new).add(value);
        }
    }

    pub fn skip(&mut self, stage: &Stage<'_>) {
        self.skipped = Some(format!("SKIPPED: {}", stage.lacking.as_deref().unwrap_or("something is missing")));
    }

    pub fn fail(&mut self, why: String) {
        self.failure = Some(format!("FAILED: {why}"));
    }
}

impl Spread {
    fn new() -> Spread {
        Spread { median: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY, runs: Vec::new() }
    }

    fn add(&mut self, value: f64) {
        self.runs.push(value);
        let mut sorted = self.runs.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        self.median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) };
        (self.min, self.max) = (self.min.min(value), self.max.max(value));
    }
}

/// The figures that matter most, for the terminal.
pub fn line(figures: &Figures) -> String {
    let shown = [RATE, "p50_micros", "p99_micros", "seconds", "bytes_each", "bytes_per_wallet"];
    let shown = shown.iter().filter_map(|name| Some(format!("{name} {}", number(*figures.get(*name)?))));
    shown.collect::<Vec<_>>().join(", ")
}

/// With a star if the files differ from it.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success());
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    let is_changed = git(&["status", "--porcelain"]).is_some_and(|changes| !changes.is_empty());
    if is_changed { format!("{commit}*") } else { commit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_runs() {
        let mut spread = Spread::new();
        [5.0, 1.0, 9.0].into_iter().for_each(|value| spread.add(value));
        assert_eq!((spread.median, spread.min, spread.max), (5.0, 1.0, 9.0));
        spread.add(7.0);
        assert_eq!(spread.median, 6.0);
    }
}
