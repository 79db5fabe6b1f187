//! The report as one page: the table of goals, then each row with its plot, figures and commands. Nothing is loaded
//! from elsewhere, and it is readable light and dark.

use super::goals::{Judged, number};
use super::plot;
use super::report::{Report, RowReport, SideReport};
use crate::figures::RATE;

const FIRST: [&str; 4] = [RATE, "p50_micros", "p99_micros", "p999_micros"];
const STYLE: &str = include_str!("page.css");

pub fn page(report: &Report) -> String {
    let machine = &report.machine;
    let facts = format!(
        "commit {}, {}, {} cores ({}), {} GiB, Linux {}, {}; {} turns of {} s, fsync on",
        report.commit,
        report.started_at,
        machine.cores,
        machine.processor,
        machine.memory_gib,
        machine.kernel,
        machine.file_system,
        report.turns,
        report.seconds_each
    );
    let goals: String = report.rows.iter().map(goal_lines).collect();
    let rows: String = report.rows.iter().map(section).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Florin: speed</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>\n\
         <h1>Florin: speed</h1><p>{}</p><p><code>{}</code></p>\n\
         <table><thead><tr><th>row</th><th>what</th><th>figure</th><th>goal</th><th>reached</th><th>of the goal</th></tr>\
         </thead><tbody>\n{goals}</tbody></table>\n{rows}</body></html>\n",
        escaped(&facts),
        escaped(&report.command)
    )
}

fn goal_lines(row: &RowReport) -> String {
    row.goals.iter().map(|goal| goal_line(row, goal)).collect()
}

fn goal_line(row: &RowReport, goal: &Judged) -> String {
    let (class, ratio) = match goal.ratio {
        Some(ratio) if ratio >= 1.0 => ("met", format!("{ratio:.2}")),
        Some(ratio) => ("short", format!("{ratio:.2}")),
        None => ("short", "not measured".to_owned()),
    };
    format!(
        "<tr class=\"{class}\"><td><a href=\"#{name}\">{name}</a></td><td>{}</td><td>{}</td><td>{}</td>\
         <td class=\"number\">{}</td><td class=\"number\">{ratio}</td></tr>\n",
        escaped(&row.what),
        escaped(&format!("{} {}", goal.side, goal.figure.replace('_', " "))),
        escaped(&goal.text),
        goal.reached.map_or("-".to_owned(), number),
        name = row.name
    )
}

fn section(row: &RowReport) -> String {
    let mut figures: Vec<&str> = row.sides.iter().flat_map(|side| side.figures.keys().map(String::as_str)).collect();
    // What matters first; the rest by name.
    figures.sort_by_key(|figure| (FIRST.iter().position(|first| first == figure).unwrap_or(FIRST.len()), *figure));
    figures.dedup();
    let mut plotted: Vec<&str> = row.goals.iter().map(|goal| goal.figure).collect();
    if plotted.is_empty() {
        plotted.push(RATE);
    }
    plotted.dedup();
    let plots: String = plotted.iter().map(|figure| plot::strip(row, figure)).collect();
    let heads: String = figures.iter().map(|figure| format!("<th>{}</th>", figure.replace('_', " "))).collect();
    let lines: String = row.sides.iter().map(|side| side_line(side, &figures)).collect();
    let link = |path: &String| format!("<li><a href=\"{path}\">Flame graph</a></li>");
    let flame = row.flame_graph.as_ref().map_or(String::new(), link);
    let first = row.sides.first().map_or("", |side| side.name);
    let ratio = |(against, ratio): &(&str, f64)| {
        format!("<li>{} to {}: <b>{}</b></li>", escaped(first), escaped(against), number(*ratio))
    };
    let ratios: String = row.ratios.iter().map(ratio).collect();
    let commands: String = row.sides.iter().map(command_line).collect();
    format!(
        "<section id=\"{name}\"><h2>{name}</h2><p>{}</p>{plots}<table><thead><tr><th></th>{heads}</tr></thead><tbody>{lines}\
         </tbody></table><ul>{ratios}{commands}{flame}</ul></section>\n",
        escaped(&row.what),
        name = row.name
    )
}

fn side_line(side: &SideReport, figures: &[&str]) -> String {
    let cell = |figure: &&str| match side.figures.get(*figure) {
        Some(spread) => format!(
            "<td class=\"number\">{}<br><small>{} to {}</small></td>",
            number(spread.median),
            number(spread.min),
            number(spread.max)
        ),
        None => "<td></td>".to_owned(),
    };
    format!("<tr><th>{}</th>{}</tr>", escaped(side.name), figures.iter().map(cell).collect::<String>())
}

fn command_line(side: &SideReport) -> String {
    let mut notes = String::new();
    if side.disturbed_turns > 0 {
        notes.push_str(&format!(" The machine was not quiet before {} of its turns.", side.disturbed_turns));
    }
    if side.stolen_percent_max >= 1.0 {
        notes.push_str(&format!(" The host took up to {:.0} % of the cores' time.", side.stolen_percent_max));
    }
    for note in [&side.skipped, &side.failure].into_iter().flatten() {
        notes.push_str(&format!(" {note}"));
    }
    format!("<li>{}: <code>{}</code>{}</li>", escaped(side.name), escaped(&side.command), escaped(&notes))
}

pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
