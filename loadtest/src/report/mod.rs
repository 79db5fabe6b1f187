//! What a run found, as plain data: the one source of the table, the JSON file and the HTML page.

pub mod chart;
pub mod html;
pub mod json;
pub mod terminal;

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::args::{Mode, RunArgs};
use crate::client::Stop;
use crate::stats::{Interval, KINDS, Stats};

#[derive(Debug, Serialize)]
pub struct Report {
    pub command: String,
    pub started_at: String,
    pub ended: &'static str,
    pub settings: BTreeMap<&'static str, String>,
    pub setup_seconds: f64,
    pub seconds: f64,
    pub accepted: u64,
    pub accepted_per_second: f64,
    pub requests: u64,
    pub requests_per_second: f64,
    pub reads: u64,
    pub refused: u64,
    pub busy: u64,
    pub errors: u64,
    pub wrong: u64,
    pub replayed: u64,
    pub unheard: u64,
    pub unsent: u64,
    pub kinds: Vec<KindReport>,
    pub outcomes: BTreeMap<String, u64>,
    pub timeline: Vec<Second>,
    /// The first few things that went wrong, in words.
    pub problems: Vec<String>,
    #[serde(skip)]
    stop: Option<Stop>,
}

/// Latencies of one kind of request, in microseconds.
#[derive(Debug, Serialize)]
pub struct KindReport {
    pub kind: &'static str,
    pub count: u64,
    pub mean: f64,
    pub min: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p999: u64,
    pub max: u64,
    /// Share of requests (0 to 1) that took at most so many microseconds.
    pub curve: Vec<(f64, u64)>,
}

#[derive(Debug, Serialize)]
pub struct Second {
    pub second: u64,
    /// How long this second was: a busy thread ends it late.
    pub span_seconds: f64,
    pub accepted: u64,
    pub requests: u64,
    pub refused: u64,
    pub busy: u64,
    pub errors: u64,
    pub in_flight: u64,
    pub p50: u64,
    pub p99: u64,
    pub max: u64,
}

/// What a report is made from.
#[derive(Debug)]
pub struct Parts<'a> {
    pub args: &'a RunArgs,
    pub started_at: jiff::Timestamp,
    pub setup: Duration,
    pub elapsed: Duration,
    pub stop: Stop,
    pub stats: &'a Stats,
    pub timeline: &'a BTreeMap<u64, Interval>,
    pub losses: &'a [String],
}

impl Report {
    pub fn new(parts: &Parts<'_>) -> Self {
        let (stats, totals) = (parts.stats, &parts.stats.totals);
        let seconds = parts.elapsed.as_secs_f64().max(1e-6);
        let mut outcomes = stats.outcomes.clone();
        outcomes.insert("ACCEPTED".to_owned(), totals.accepted);
        outcomes.retain(|_, count| *count > 0);
        let kinds = KINDS.iter().filter_map(|(kind, name)| {
            let latency = stats.latencies[*kind as usize].as_deref()?;
            Some(KindReport::new(name, latency))
        });
        let problems = stats.problems.iter().chain(parts.losses);
        Self {
            command: command(std::env::args()),
            started_at: format!("{:.0}", parts.started_at),
            ended: match parts.stop {
                Stop::Running => "all transfers sent",
                Stop::TimeUp => "time up",
                Stop::Interrupted => "interrupted",
                Stop::ServerDown => "server went away",
                Stop::Broken => "broken off",
            },
            settings: settings(parts.args),
            setup_seconds: parts.setup.as_secs_f64(),
            seconds,
            accepted: totals.accepted,
            accepted_per_second: totals.accepted as f64 / seconds,
            requests: totals.requests,
            requests_per_second: totals.requests as f64 / seconds,
            reads: totals.reads,
            refused: totals.refused,
            busy: totals.busy,
            errors: totals.errors,
            wrong: totals.wrong,
            replayed: totals.replayed,
            unheard: totals.unheard,
            unsent: totals.unsent,
            kinds: kinds.collect(),
            outcomes,
            timeline: parts.timeline.iter().map(second).collect(),
            problems: problems.cloned().collect(),
            stop: Some(parts.stop),
        }
    }

    pub fn stop(&self) -> Stop {
        self.stop.unwrap_or(Stop::Running)
    }
}

impl KindReport {
    fn new(kind: &'static str, latency: &Histogram<u64>) -> Self {
        let at = |quantile| latency.value_at_quantile(quantile);
        // Evenly spaced on the logarithmic scale of the plot: 90, 99, 99.9 ... percent.
        let curve = (0..=60)
            .map(|step| 1.0 - 10_f64.powf(-f64::from(step) / 10.0))
            .take_while(|quantile| (1.0 - quantile) * latency.len() as f64 >= 0.5)
            .map(|quantile| (quantile, at(quantile)))
            .collect();
        Self {
            kind,
            count: latency.len(),
            mean: latency.mean(),
            min: latency.min(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: latency.max(),
            curve,
        }
    }
}

fn second((second, interval): (&u64, &Interval)) -> Second {
    let counts = &interval.counts;
    Second {
        second: *second,
        span_seconds: interval.span.as_secs_f64(),
        accepted: counts.accepted,
        requests: counts.requests,
        refused: counts.refused,
        busy: counts.busy,
        errors: counts.errors + counts.wrong,
        in_flight: interval.in_flight,
        p50: interval.latency.value_at_quantile(0.5),
        p99: interval.latency.value_at_quantile(0.99),
        max: interval.latency.max(),
    }
}

fn settings(args: &RunArgs) -> BTreeMap<&'static str, String> {
    let mut settings = BTreeMap::from([
        ("url", args.server.url.clone()),
        ("mode", format!("{:?}", args.mode).to_lowercase()),
        ("loop", args.rate.map_or("closed".to_owned(), |rate| format!("open, {rate} requests/s"))),
        ("connections", args.connections().to_string()),
        ("threads", args.threads.to_string()),
        ("pairs", format!("{:?}", args.pairs).to_lowercase()),
        ("wallets", args.wallets.to_string()),
        ("seed", args.seed.to_string()),
        ("currency", args.currency.to_uppercase()),
        ("amount", format!("random up to {}", args.amount_max)),
    ]);
    if args.pairs == crate::pairs::Shape::Zipf {
        settings.insert("zipf exponent", args.zipf_exponent.to_string());
    }
    settings.insert("mix", args.mix.to_string());
    match args.mode {
        Mode::Single => {}
        Mode::Pipelined => {
            settings.insert("pipeline", args.pipeline.to_string());
        }
        Mode::Bulk => {
            let atomic = if args.atomic { ", atomic" } else { "" };
            let format = format!("{:?}{atomic}", args.format).to_lowercase();
            settings.insert("batch", format!("{} items, {format}", args.batch));
        }
    }
    settings
}

/// The command as it was given, but for the key.
fn command(args: impl Iterator<Item = String>) -> String {
    let mut hide_next = false;
    let shown = args.enumerate().map(|(index, arg)| {
        if std::mem::take(&mut hide_next) {
            return "***".to_owned();
        }
        hide_next = arg == "--key";
        match arg {
            _ if index == 0 => "loadtest".to_owned(),
            arg if arg.starts_with("--key=") => "--key=***".to_owned(),
            arg => arg,
        }
    });
    shown.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_not_in_the_command() {
        let check = |text: &str| command(text.split(' ').map(str::to_owned));
        assert_eq!(check("/x/loadtest run --key abc --quiet"), "loadtest run --key *** --quiet");
        assert_eq!(check("loadtest run --key=abc"), "loadtest run --key=***");
        assert_eq!(check("loadtest run --key-file f"), "loadtest run --key-file f");
    }
}
