//! Plots as inline SVG: one line for each side, a dot for each turn, a bar at the median, a dashed line at the goal.

use super::goals::number;
use super::page::escaped;
use super::report::RowReport;

const WIDTH: f64 = 900.0;
const LEFT: f64 = 190.0;
const RIGHT: f64 = 110.0;
const TOP: f64 = 28.0;
const LINE: f64 = 34.0;
const DOT: f64 = 4.5;

/// Nothing if no side has this figure.
pub fn strip(row: &RowReport, figure: &str) -> String {
    let sides: Vec<_> = row.sides.iter().filter_map(|side| Some((side.name, side.figures.get(figure)?))).collect();
    if sides.is_empty() {
        return String::new();
    }
    let goals = row.goals.iter().filter(|goal| goal.figure == figure).filter_map(|goal| goal.wanted);
    let goals: Vec<f64> = goals.collect();
    let largest = sides.iter().map(|(_, spread)| spread.max).chain(goals.iter().copied()).fold(0.0, f64::max);
    if largest <= 0.0 {
        return String::new();
    }
    let x = |value: f64| LEFT + value / largest * (WIDTH - LEFT - RIGHT);
    let height = TOP + LINE * sides.len() as f64 + 8.0;
    let mut drawn = format!("<text x=\"0\" y=\"14\" class=\"faint\">{}</text>", figure.replace('_', " "));
    for goal in goals {
        let at = x(goal);
        drawn.push_str(&format!(
            "<line class=\"goal\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"18\" y2=\"{height:.0}\"><title>goal {}</title></line>",
            number(goal)
        ));
    }
    for (index, (name, spread)) in sides.iter().enumerate() {
        let y = TOP + LINE * (index as f64 + 0.5);
        drawn.push_str(&format!(
            "<text x=\"0\" y=\"{:.1}\">{}</text><line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>",
            y + 4.5,
            escaped(name),
            WIDTH - RIGHT
        ));
        for run in &spread.runs {
            drawn.push_str(&format!(
                "<circle class=\"run\" cx=\"{:.1}\" cy=\"{y:.1}\" r=\"{DOT}\"><title>{}</title></circle>",
                x(*run),
                number(*run)
            ));
        }
        let at = x(spread.median);
        drawn.push_str(&format!(
            "<line class=\"median\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            y - 10.0,
            y + 10.0,
            WIDTH - RIGHT + 8.0,
            y + 4.5,
            number(spread.median)
        ));
    }
    format!("<svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\">{drawn}</svg>")
}
