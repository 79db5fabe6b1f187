//! The report as a table in the terminal.

use std::fmt::Write;

use super::Report;
use crate::progress::{grouped, micros};

pub fn table(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a String does not fail, so results of `writeln!` are let go in `row` below.
    let rate = |per_second: f64| grouped(per_second.round() as u64);
    row(&mut out, "ended", report.ended);
    row(&mut out, "time", &format!("{:.2} s (setup {:.2} s)", report.seconds, report.setup_seconds));
    let accepted = format!("{}  ({}/s)", grouped(report.accepted), rate(report.accepted_per_second));
    row(&mut out, "accepted", &accepted);
    let requests = format!("{}  ({}/s)", grouped(report.requests), rate(report.requests_per_second));
    row(&mut out, "requests", &requests);
    for (name, count) in [
        ("refused", report.refused),
        ("busy", report.busy),
        ("replayed", report.replayed),
        ("unheard", report.unheard),
        ("due but not sent", report.unsent),
        ("errors", report.errors),
        ("wrong answers", report.wrong),
    ] {
        if count > 0 || matches!(name, "refused" | "errors" | "wrong answers") {
            row(&mut out, name, &grouped(count));
        }
    }
    let _ = writeln!(
        out,
        "\n{:<12}{:>12}{:>11}{:>11}{:>11}{:>11}{:>11}{:>11}",
        "latency", "count", "min", "p50", "p90", "p99", "p99.9", "max"
    );
    for kind in &report.kinds {
        let _ = write!(out, "{:<12}{:>12}", kind.kind, grouped(kind.count));
        for value in [kind.min, kind.p50, kind.p90, kind.p99, kind.p999, kind.max] {
            let _ = write!(out, "{:>11}", micros(value));
        }
        out.push('\n');
    }
    let _ = writeln!(out, "\n{:<28}{:>14}", "outcome", "count");
    for (code, count) in &report.outcomes {
        let _ = writeln!(out, "{code:<28}{:>14}", grouped(*count));
    }
    if !report.problems.is_empty() {
        out.push_str("\nwhat went wrong first:\n");
        for problem in &report.problems {
            let _ = writeln!(out, "  {problem}");
        }
    }
    out
}

fn row(out: &mut String, name: &str, value: &str) {
    let _ = writeln!(out, "{name:<18}{value}");
}
