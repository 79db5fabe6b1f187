//! Pages, their cursors, and the entries of a wallet.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::money::Money;
use super::scalar::{Id, Time, parse_id};
use crate::engine::EntryView;
use crate::http::problem::{Code, Problem};
use crate::ledger::Currency;
use crate::services::history::Named;

/// One page of a list.
#[derive(Debug, Serialize)]
pub struct Page<T> {
    data: Vec<T>,
    has_more: bool,
    next_cursor: Option<String>,
}

/// One change of a wallet's balance.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Entry)]
pub struct EntryAnswer {
    /// The position in the log.
    lsn: u64,
    transfer_id: Id,
    /// transfer, deposit, withdrawal or capture.
    #[schema(example = "transfer")]
    kind: &'static str,
    /// in or out.
    #[schema(example = "in")]
    direction: &'static str,
    /// Below zero for money that went out.
    amount: Money,
    balance_after: Money,
    counterparties: Vec<Id>,
    reference: Option<Box<str>>,
    created_at: Time,
}

/// One change of the caller's balance, and whom it was with.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HistoryEntry)]
pub struct HistoryEntryAnswer {
    #[serde(flatten)]
    entry: EntryAnswer,
    /// One for each counterparty, in their order: a merchant's name, a person's first name and initial, or null.
    names: Vec<Option<String>>,
}

impl HistoryEntryAnswer {
    pub fn new(named: Named, currency: Currency) -> HistoryEntryAnswer {
        HistoryEntryAnswer { entry: EntryAnswer::new(named.entry, currency), names: named.names }
    }
}

impl<T> Page<T> {
    pub fn new(data: Vec<T>, next_cursor: Option<String>) -> Page<T> {
        Page { data, has_more: next_cursor.is_some(), next_cursor }
    }

    /// Of rows of which one more than the limit was read, a page and where the next one begins.
    pub fn cut(mut rows: Vec<T>, limit: usize, list: char, id: impl Fn(&T) -> Uuid) -> (Vec<T>, Option<String>) {
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| has_more).map(|row| format!("{list}{}", id(row)));
        (rows, next)
    }
}

/// A cursor is a position in the log, which stays where it is however much is appended. The letter
/// names the list, so that a cursor of another list is not taken for one of this.
pub fn cursor_text(list: char, lsn: u64) -> String {
    format!("{list}{lsn:x}")
}

pub fn parse_cursor(list: char, text: &str) -> Result<u64, Problem> {
    let digits = text.strip_prefix(list).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    digits
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or_else(|| Problem::new(Code::InvalidCursor, "`cursor` is not a next_cursor of this list."))
}

/// The same for a list of rows, by the time at which each came to be and its id.
pub fn row_cursor_text(list: char, (micros, id): (i64, Uuid)) -> String {
    format!("{list}{micros:x}-{}", id.simple())
}

/// Without a cursor, the first page: before all that there will be.
pub fn parse_row_cursor(list: char, text: Option<&str>) -> Result<(i64, Uuid), Problem> {
    let Some(text) = text else { return Ok((i64::MAX, Uuid::max())) };
    let parsed = || {
        let (micros, id) = text.strip_prefix(list)?.split_once('-')?;
        let is_hex = micros.bytes().all(|digit| digit.is_ascii_hexdigit());
        let micros = i64::from_str_radix(micros, 16).ok().filter(|_| is_hex)?;
        Some((micros, Uuid::try_parse(id).ok()?))
    };
    parsed().ok_or_else(|| Problem::new(Code::InvalidCursor, "`cursor` is not a next_cursor of this list."))
}

/// The cursor of a list of rows is the id of the last one before the page.
pub fn parse_id_cursor(list: char, text: &str) -> Result<Uuid, Problem> {
    let id = text.strip_prefix(list).and_then(|id| parse_id(id, "cursor").ok()).map(Uuid::from_u128);
    id.ok_or_else(|| Problem::new(Code::InvalidCursor, "`cursor` is not a next_cursor of this list."))
}

impl EntryAnswer {
    pub fn new(entry: EntryView, currency: Currency) -> EntryAnswer {
        EntryAnswer {
            lsn: entry.lsn,
            transfer_id: Id(entry.transfer.0),
            kind: entry.kind.name(),
            direction: if entry.amount < 0 { "out" } else { "in" },
            amount: Money::new(entry.amount, currency),
            balance_after: Money::new(entry.balance_after, currency),
            counterparties: entry.counterparties.iter().map(|wallet| Id(wallet.0)).collect(),
            reference: entry.reference,
            created_at: Time(entry.time_micros),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_belongs_to_its_list() {
        for lsn in [1, 255, u64::MAX] {
            assert_eq!(parse_cursor('e', &cursor_text('e', lsn)).unwrap(), lsn);
            assert_eq!(parse_cursor('w', &cursor_text('e', lsn)).unwrap_err().code, Code::InvalidCursor);
        }
        let row = (1_700_000_000_000_000, Uuid::from_u128(7));
        assert_eq!(parse_row_cursor('r', Some(&row_cursor_text('r', row))).unwrap(), row);
        for text in ["", "r", "r-", "r+1-00000000000000000000000000000007", "s1-00000000000000000000000000000007"] {
            assert_eq!(parse_row_cursor('r', Some(text)).unwrap_err().code, Code::InvalidCursor, "{text}");
        }
        for text in ["", "e", "e-1", "e+1", "eg", "e10000000000000000"] {
            assert_eq!(parse_cursor('e', text).unwrap_err().code, Code::InvalidCursor, "{text}");
        }
    }
}
