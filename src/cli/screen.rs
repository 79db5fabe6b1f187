//! What the terminal shows: progress on stderr while something takes long, numbers that can be read, and
//! standard output that may end early.

use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::failure::Failure;

/// A bar with a rate and the time that is left; nothing where stderr is no terminal.
pub fn bar(what: &'static str, total: u64) -> ProgressBar {
    let target = if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(total), target);
    let style = ProgressStyle::with_template("{msg:>20} {wide_bar:.green} {human_pos}/{human_len}  {rate}  {eta} left");
    let style = style.expect("the template is fixed and known to be right");
    bar.set_style(style.with_key("rate", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        // What cannot be shown on a bar is no reason to stop.
        let _ = write!(out, "{}/s", grouped(state.per_sec().round() as u64));
    }));
    bar.set_message(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
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

/// Microseconds since 1970 as RFC 3339, UTC.
pub fn time(micros: u64) -> String {
    let stamp = i64::try_from(micros).ok().and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok());
    stamp.map_or_else(|| format!("{micros} microseconds after 1970"), |stamp| format!("{stamp:.6}"))
}

/// A length of time for a person.
pub fn seconds(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

/// Events a second.
pub fn rate(events: u64, time: Duration) -> u64 {
    (events as f64 / time.as_secs_f64().max(1e-6)).round() as u64
}

/// Prints to standard output; tells an early end of the reader from a failure.
pub fn print(text: &str) -> Result<(), Failure> {
    io::stdout().lock().write_all(text.as_bytes()).map_err(Failure::output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_for_people() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(time(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(time(1_700_000_000_123_456), "2023-11-14T22:13:20.123456Z");
        assert_eq!(time(u64::MAX), "18446744073709551615 microseconds after 1970");
    }
}
