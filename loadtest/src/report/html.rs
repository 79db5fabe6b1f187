//! The report as one HTML page: nothing is fetched, no script runs, it is legible in light and dark.

use std::fmt::Write;

use super::chart::{Axis, Scale, Series, lines};
use super::{Report, Second};
use crate::client::Stop;
use crate::progress::{grouped, micros};

const STYLE: &str = include_str!("page.css");
/// Colours that the page has for lines.
const COLOURS: usize = 8;

pub fn page(report: &Report) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>Load test of {}</title><style>{STYLE}</style></head><body><main>",
        escape(&report.started_at)
    );
    headline(report, &mut out);
    out.push_str(&throughput(&report.timeline));
    out.push_str(&latency_over_time(&report.timeline));
    out.push_str(&distribution(report));
    latency_table(report, &mut out);
    outcomes(report, &mut out);
    settings(report, &mut out);
    out.push_str("</main></body></html>\n");
    out
}

fn headline(report: &Report, out: &mut String) {
    let went_wrong = report.errors + report.wrong > 0;
    let (class, verdict) = match report.stop() {
        _ if went_wrong => ("bad", "errors or wrong answers"),
        Stop::ServerDown | Stop::Broken | Stop::Interrupted => ("warn", report.ended),
        Stop::Running | Stop::TimeUp => ("good", "no errors, no wrong answers"),
    };
    let _ = write!(
        out,
        "<header><h1>Load test</h1><p class=\"when\">{} &middot; {:.1} s &middot; {}</p>\
         <p class=\"verdict {class}\">{verdict}</p></header><ul class=\"tiles\">",
        escape(&report.started_at),
        report.seconds,
        escape(report.ended)
    );
    let rate = |per_second: f64| grouped(per_second.round() as u64);
    let main = report.kinds.first();
    let latency = |pick: fn(&super::KindReport) -> u64| main.map_or_else(|| "-".to_owned(), |kind| micros(pick(kind)));
    let kind = main.map_or("", |kind| kind.kind);
    for (name, value, note) in [
        ("accepted / s", rate(report.accepted_per_second), format!("{} in all", grouped(report.accepted))),
        ("requests / s", rate(report.requests_per_second), format!("{} in all", grouped(report.requests))),
        ("latency p50", latency(|kind| kind.p50), kind.to_owned()),
        ("latency p99", latency(|kind| kind.p99), kind.to_owned()),
        ("refused", grouped(report.refused), "by the rules".to_owned()),
        ("errors", grouped(report.errors + report.wrong), format!("{} wrong answers", grouped(report.wrong))),
    ] {
        let _ = write!(out, "<li><span>{name}</span><b>{value}</b><small>{}</small></li>", escape(&note));
    }
    out.push_str("</ul>");
}

fn throughput(timeline: &[Second]) -> String {
    type Pick = fn(&Second) -> f64;
    let picks: [(&str, usize, Pick); 4] = [
        ("accepted", 0, |second| second.accepted as f64),
        ("refused", 2, |second| second.refused as f64),
        ("busy", 7, |second| second.busy as f64),
        ("errors", 5, |second| second.errors as f64),
    ];
    let series: Vec<Series<'_>> = picks
        .into_iter()
        .map(|(name, colour, pick)| Series {
            name,
            colour,
            points: timeline
                .iter()
                .map(|second| (second.second as f64, pick(second) / second.span_seconds.max(1e-3)))
                .collect(),
        })
        // What never came is not drawn as a line along the floor.
        .filter(|series| series.colour == 0 || series.points.iter().any(|(_, value)| *value > 0.0))
        .collect();
    let values = series.iter().flat_map(|series| series.points.iter().map(|(_, value)| *value));
    let y = Axis {
        scale: Scale::linear(values),
        name: "a second",
        tick: |value| grouped(value.round() as u64),
        value: |value| grouped(value.round() as u64),
    };
    over_time("Throughput", "Outcomes a second, by when they were heard.", timeline, &y, &series)
}

fn latency_over_time(timeline: &[Second]) -> String {
    type Pick = fn(&Second) -> u64;
    let picks: [(&str, usize, Pick); 3] =
        [("p50", 0, |second| second.p50), ("p99", 2, |second| second.p99), ("max", 5, |second| second.max)];
    let answered = || timeline.iter().filter(|second| second.requests > 0);
    let series: Vec<Series<'_>> = picks
        .into_iter()
        .map(|(name, colour, pick)| Series {
            name,
            colour,
            points: answered().map(|second| (second.second as f64, pick(second) as f64)).collect(),
        })
        .collect();
    let values = series.iter().flat_map(|series| series.points.iter().map(|(_, value)| *value));
    let y = Axis {
        scale: Scale::log(values),
        name: "latency",
        tick: round_micros,
        value: |value| micros(value.round() as u64),
    };
    over_time("Latency over time", "All requests of each second; logarithmic.", timeline, &y, &series)
}

fn over_time(title: &str, note: &str, timeline: &[Second], y: &Axis, series: &[Series<'_>]) -> String {
    if timeline.is_empty() {
        return format!(
            "<section class=\"plot\"><h2>{title}</h2><p class=\"note\">The run was over within a second: there is nothing to plot.</p></section>"
        );
    }
    let last = timeline.last().map_or(1.0, |second| second.second as f64).max(1.0);
    let x = Axis {
        scale: Scale::Linear { max: last },
        name: "time",
        tick: |value| format!("{value} s"),
        value: |value| format!("{value} s"),
    };
    lines(title, note, &x, y, series)
}

fn distribution(report: &Report) -> String {
    let nines = |quantile: f64| -(1.0 - quantile).log10();
    let series: Vec<Series<'_>> = report
        .kinds
        .iter()
        .enumerate()
        .map(|(index, kind)| Series {
            name: kind.kind,
            colour: index % COLOURS,
            points: kind.curve.iter().map(|(quantile, value)| (nines(*quantile), *value as f64)).collect(),
        })
        .collect();
    if series.is_empty() {
        return String::new();
    }
    let values = || series.iter().flat_map(|series| series.points.iter());
    let last = values().map(|(nines, _)| *nines).fold(1.0, f64::max);
    let x = Axis {
        scale: Scale::Nines { max: last },
        name: "share of requests that took at most so long",
        tick: percent,
        value: percent,
    };
    let y = Axis {
        scale: Scale::log(values().map(|(_, value)| *value)),
        name: "latency",
        tick: round_micros,
        value: |value| micros(value.round() as u64),
    };
    lines("Latency distribution", "By kind of request; each step to the right is one more nine.", &x, &y, &series)
}

/// A round latency, without digits after the point.
fn round_micros(micros: f64) -> String {
    match micros {
        ..1e3 => format!("{micros} us"),
        ..1e6 => format!("{} ms", micros / 1e3),
        _ => format!("{} s", micros / 1e6),
    }
}

/// A number of nines as a percentage: 0.3 is 50 %, 1 is 90 %, 2.3 is 99.5 %.
fn percent(nines: f64) -> String {
    let digits = (nines.ceil() as usize).saturating_sub(2) + usize::from(nines.fract() > 1e-9 && nines > 1.0);
    format!("{:.digits$}%", (1.0 - 10_f64.powf(-nines)) * 100.0)
}

fn latency_table(report: &Report, out: &mut String) {
    out.push_str(
        "<section><h2>Latency</h2><div class=\"wide\"><table><thead><tr><th>kind</th><th>count</th><th>min</th>\
         <th>mean</th><th>p50</th><th>p90</th><th>p99</th><th>p99.9</th><th>max</th></tr></thead><tbody>",
    );
    for kind in &report.kinds {
        let _ = write!(out, "<tr><td>{}</td><td>{}</td>", kind.kind, grouped(kind.count));
        for value in [kind.min, kind.mean.round() as u64, kind.p50, kind.p90, kind.p99, kind.p999, kind.max] {
            let _ = write!(out, "<td>{}</td>", micros(value));
        }
        out.push_str("</tr>");
    }
    let basis = if report.settings.get("loop").is_some_and(|shape| shape.starts_with("open")) {
        "From the time each request was due, so that a stall counts against all that were due in it."
    } else {
        "From the time each request was written to the time its answer was read."
    };
    let _ = write!(out, "</tbody></table></div><p class=\"note\">{basis}</p></section>");
}

fn outcomes(report: &Report, out: &mut String) {
    out.push_str("<section><h2>Outcomes</h2><table class=\"bars\"><tbody>");
    let counts = [("replayed", report.replayed), ("never heard", report.unheard), ("due, not sent", report.unsent)];
    let counts = counts.into_iter().filter(|(_, count)| *count > 0);
    let listed = report.outcomes.iter().map(|(code, count)| (code.as_str(), *count));
    let rows: Vec<(&str, u64)> = listed.chain(counts).collect();
    let largest = rows.iter().map(|(_, count)| *count).max().unwrap_or(1).max(1);
    for (code, count) in rows {
        let share = count as f64 / largest as f64 * 100.0;
        let _ = write!(
            out,
            "<tr><td>{}</td><td>{}</td><td><span class=\"bar\" style=\"width:{share:.2}%\"></span></td></tr>",
            escape(code),
            grouped(count)
        );
    }
    out.push_str("</tbody></table>");
    if !report.problems.is_empty() {
        out.push_str("<h3>What went wrong first</h3><ul class=\"problems\">");
        for problem in &report.problems {
            let _ = write!(out, "<li>{}</li>", escape(problem));
        }
        out.push_str("</ul>");
    }
    out.push_str("</section>");
}

fn settings(report: &Report, out: &mut String) {
    out.push_str("<section><h2>Settings</h2><dl>");
    for (name, value) in &report.settings {
        let _ = write!(out, "<div><dt>{name}</dt><dd>{}</dd></div>", escape(value));
    }
    let _ = write!(
        out,
        "<div><dt>setup</dt><dd>{:.2} s</dd></div></dl><pre>{}</pre></section>",
        report.setup_seconds,
        escape(&report.command)
    );
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nines_are_written_as_percentages() {
        for (nines, text) in
            [(0.0, "0%"), (2_f64.log10(), "50%"), (1.0, "90%"), (2.0, "99%"), (3.0, "99.9%"), (4.0, "99.99%")]
        {
            assert_eq!(percent(nines), text);
        }
        assert_eq!([1.0, 2e4, 5e6].map(round_micros), ["1 us", "20 ms", "5 s"]);
    }

    #[test]
    fn text_from_outside_is_escaped() {
        assert_eq!(escape("<a href=\"x\">&"), "&lt;a href=&quot;x&quot;&gt;&amp;");
    }
}
