//! The report as JSON, for machines.

use super::Report;

pub fn text(report: &Report) -> String {
    let mut text =
        serde_json::to_string_pretty(report).expect("a report is plain data with text keys, which always serialises");
    text.push('\n');
    text
}
