//! What a run found: figures by name. The unit stands last in the name, so a reader needs no table.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::error::Error;

pub type Figures = BTreeMap<String, f64>;

pub const RATE: &str = "per_second";

/// One line of JSON on the standard output, for whoever started this program.
pub fn say(figures: &Figures) -> Result<ExitCode, Error> {
    let line = serde_json::to_string(figures).expect("names and numbers are always JSON");
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(Error::io("write to the standard output"))?;
    Ok(ExitCode::SUCCESS)
}

pub fn figures<const N: usize>(list: [(&str, f64); N]) -> Figures {
    list.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Middle and tail of times, and how many there were a second.
pub fn of_times(mut times: Vec<Duration>, took: Duration) -> Figures {
    assert!(!times.is_empty(), "something was done");
    times.sort_unstable();
    let at = |permille: usize| times[(times.len() - 1) * permille / 1_000].as_secs_f64() * 1e6;
    figures([
        (RATE, times.len() as f64 / took.as_secs_f64()),
        ("p50_micros", at(500)),
        ("p99_micros", at(990)),
        ("p999_micros", at(999)),
    ])
}

/// A time to run for, as people write it.
pub fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.01..=3_600.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("give seconds, such as 5 or 0.3".to_owned()),
    }
}

/// Calls until the time is over; how long each call took.
pub fn repeat(time: Duration, mut call: impl FnMut() -> Result<(), Error>) -> Result<Figures, Error> {
    let began = Instant::now();
    let mut times = Vec::new();
    while began.elapsed() < time || times.is_empty() {
        let call_began = Instant::now();
        call()?;
        times.push(call_began.elapsed());
    }
    Ok(of_times(times, began.elapsed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_tail() {
        let times = (1..=1_000).map(Duration::from_micros).collect();
        let found = of_times(times, Duration::from_secs(2));
        assert_eq!((found[RATE], found["p50_micros"].round(), found["p99_micros"].round()), (500.0, 500.0, 990.0));
    }
}
