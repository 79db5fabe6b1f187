//! What is shown while something runs: a bar for what has an end, a line for load. Silent when asked to be,
//! and where there is no terminal.

use std::fmt::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::stats::Interval;

/// A bar with a rate, for a known number of steps.
pub fn bar(quiet: bool, what: &'static str, total: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), target(quiet));
    let style = ProgressStyle::with_template("{msg:>16} {wide_bar:.green} {human_pos}/{human_len}  {rate}  {eta}");
    let style = style.expect("the template is fixed and known to be right");
    bar.set_style(style.with_key("rate", |state: &ProgressState, out: &mut dyn Write| {
        // What cannot be shown on a bar is no reason to stop.
        let _ = write!(out, "{}/s", grouped(state.per_sec().round() as u64));
    }));
    bar.set_message(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// The line of a load run.
pub fn line(quiet: bool) -> ProgressBar {
    let line = ProgressBar::with_draw_target(None, target(quiet));
    let style = ProgressStyle::with_template("{elapsed_precise} {wide_msg}");
    line.set_style(style.expect("the template is fixed and known to be right"));
    line
}

/// What happened in one second.
pub fn describe(interval: &Interval) -> String {
    let counts = &interval.counts;
    let at = |quantile| micros(interval.latency.value_at_quantile(quantile));
    let mut text = format!("{}/s", grouped(counts.accepted));
    if counts.requests != counts.accepted {
        text.push_str(&format!("  {} requests/s", grouped(counts.requests)));
    }
    // Short enough for 80 columns, with what matters most in front.
    text.push_str(&format!(
        "  p50 {}  p99 {}  {} in flight  refused {}  errors {}",
        at(0.5),
        at(0.99),
        interval.in_flight,
        grouped(counts.refused),
        grouped(counts.errors + counts.wrong),
    ));
    if counts.busy > 0 {
        text.push_str(&format!("  busy {}", grouped(counts.busy)));
    }
    text
}

/// Digits in groups of three.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A latency with the unit that suits it.
pub fn micros(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} us"),
        1_000..10_000 => format!("{:.2} ms", micros as f64 / 1e3),
        10_000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => format!("{:.2} s", micros as f64 / 1e6),
    }
}

fn target(quiet: bool) -> ProgressDrawTarget {
    if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr_with_hz(10) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_legible() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(micros(87), "87 us");
        assert_eq!(micros(1_234), "1.23 ms");
        assert_eq!(micros(61_200), "61.2 ms");
        assert_eq!(micros(2_500_000), "2.50 s");
    }
}
