//! A statement as CSV (RFC 4180), for programs and for spreadsheets.

use super::{Statement, counterparty, time_text};
use crate::ledger::money::{format_minor, format_sum};
use crate::services::fault::Fault;

const HEADER: [&str; 9] =
    ["row", "time", "kind", "counterparty", "reference", "amount", "balance_after", "currency", "transfer_id"];

pub(super) fn write(statement: &Statement) -> Result<Vec<u8>, Fault> {
    let currency = statement.currency;
    let code = currency.code();
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    let mut rows = vec![HEADER.map(str::to_owned)];
    let balance = |row: &str, micros, minor| {
        let time = time_text(micros);
        [row, &time, "", "", "", "", &format_minor(minor, currency), code, ""].map(str::to_owned)
    };
    let total = |row: &str, sum| [row, "", "", "", "", &format_sum(sum, currency), "", code, ""].map(str::to_owned);
    rows.push(balance("opening_balance", statement.from_micros, statement.opening));
    for named in &statement.entries {
        let entry = &named.entry;
        rows.push([
            "entry".to_owned(),
            time_text(entry.time_micros),
            entry.kind.name().to_owned(),
            harmless(&counterparty(named)),
            harmless(entry.reference.as_deref().unwrap_or_default()),
            format_minor(entry.amount, currency),
            format_minor(entry.balance_after, currency),
            code.to_owned(),
            entry.transfer.to_string(),
        ]);
    }
    rows.push(balance("closing_balance", statement.to_micros, statement.closing));
    rows.push(total("total_in", statement.total_in));
    rows.push(total("total_out", -statement.total_out));
    let broken = |error: csv::Error| Fault::Broken { what: format!("a statement is not written: {error}") };
    for row in rows {
        writer.write_record(&row).map_err(broken)?;
    }
    writer.into_inner().map_err(|error| Fault::Broken { what: format!("a statement is not written: {error}") })
}

/// What others have written and a spreadsheet would take for a formula gets an apostrophe, which spreadsheets take off again.
/// Whoever wrote it must not get a link or a command run at whoever opens the file.
fn harmless(text: &str) -> String {
    let first = text.trim_start().chars().next();
    let is_formula = matches!(first, Some('=' | '+' | '-' | '@' | '|' | '%' | '＝' | '＋' | '－' | '＠'));
    let begins_odd = text.starts_with(['\t', '\r', '\n']);
    if is_formula || begins_odd { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn formulas_become_text() {
        for text in
            ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "\r=1", "＝1", "=HYPERLINK(\"http://x\",\"y\")", "|cmd"]
        {
            assert_eq!(harmless(text), format!("'{text}"));
        }
        for text in ["", "Dinner", "Order 4711 = paid", "a-b", "आशा"] {
            assert_eq!(harmless(text), text);
        }
    }
}
