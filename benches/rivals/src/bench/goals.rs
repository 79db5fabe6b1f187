//! Goals: what a figure of one side should reach, absolutely or against another side, and whether it did.

use serde::Serialize;

/// What is wanted of the medians of a row.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    pub side: &'static str,
    pub figure: &'static str,
    pub wanted: Wanted,
}

#[derive(Clone, Copy, Debug)]
pub enum Wanted {
    /// At least so much.
    Least(f64),
    Most(f64),
    /// At least so many times what that side has.
    LeastOf(f64, &'static str),
    MostOf(f64, &'static str),
}

/// A goal and what came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    pub side: &'static str,
    pub figure: &'static str,
    pub is_lower_better: bool,
    /// What was asked for, in the figure's own unit.
    pub wanted: Option<f64>,
    pub reached: Option<f64>,
    /// Above 1 is better than asked for.
    pub ratio: Option<f64>,
    pub text: String,
}

impl Goal {
    /// `median` looks up a side's figure.
    pub fn judge(&self, median: impl Fn(&str, &str) -> Option<f64>) -> Judged {
        let reached = median(self.side, self.figure);
        let (wanted, is_lower_better, text) = match self.wanted {
            Wanted::Least(value) => (Some(value), false, format!("at least {}", number(value))),
            Wanted::Most(value) => (Some(value), true, format!("at most {}", number(value))),
            Wanted::LeastOf(share, side) => {
                let wanted = median(side, self.figure).map(|value| value * share);
                (wanted, false, format!("at least {:.0} % of {side}", share * 100.0))
            }
            Wanted::MostOf(share, side) => {
                let wanted = median(side, self.figure).map(|value| value * share);
                (wanted, true, format!("at most {share} times {side}"))
            }
        };
        let ratio = wanted.zip(reached).filter(|(wanted, reached)| *wanted > 0.0 && *reached > 0.0);
        let ratio = ratio.map(|(wanted, reached)| if is_lower_better { wanted / reached } else { reached / wanted });
        Judged { side: self.side, figure: self.figure, is_lower_better, wanted, reached, ratio, text }
    }
}

/// For people: three or four digits that matter, thousands apart.
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 || size == 0.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 4,
    };
    // Below the four leading digits everything is noise.
    let value = if value.abs() >= 10_000.0 {
        let unit = 10_f64.powf(value.abs().log10().floor() - 3.0);
        (value / unit).round() * unit
    } else {
        value
    };
    let text = format!("{value:.digits$}");
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), ""), |(whole, fraction)| (whole, fraction));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && digit != '-' && (whole.len() - index).is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if fraction.is_empty() { grouped } else { format!("{grouped}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        let check = |value: f64, text: &str| assert_eq!(number(value), text);
        check(1_234_567.0, "1,235,000");
        check(9_999.4, "9,999");
        check(71.26, "71.3");
        check(0.5, "0.5000");
        check(-1_500.0, "-1,500");
        check(-150.0, "-150");
        check(0.0, "0");
    }

    #[test]
    fn a_goal_against_another_side() {
        let median = |side: &str, _: &str| Some(if side == "bare" { 100.0 } else { 60.0 });
        let goal = |wanted| Goal { side: "florin", figure: "per_second", wanted }.judge(median).ratio;
        assert_eq!(goal(Wanted::LeastOf(0.75, "bare")), Some(0.8));
        assert_eq!(goal(Wanted::Most(120.0)), Some(2.0));
        let nothing = Goal { side: "florin", figure: "x", wanted: Wanted::Least(1.0) }.judge(|_, _| None);
        assert_eq!((nothing.ratio, nothing.reached), (None, None));
    }
}
