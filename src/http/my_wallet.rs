//! The caller's own wallets: which there are, what is in them, their history, and statements of it.

use hyper::StatusCode;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use uuid::Uuid;

use super::answer::Answer;
use super::call::{Call, Query};
use super::problem::{Code, Problem};
use super::wallets::{self, existing};
use super::wire::{BalanceAnswer, HistoryEntryAnswer, Page, cursor_text, parse_cursor};
use crate::engine::{At, EntriesQuery};
use crate::ledger::{Reject, WalletId};
use crate::services::history::SEARCH_CHARACTERS_MAX;
use crate::services::statements::Format;
use crate::services::{accounts, history, statements};

pub(super) async fn balance(call: &Call<'_>) -> Result<Answer, Problem> {
    let query = call.query(&["wallet"])?;
    let view = existing(call, own_wallet(call, &query).await?).await?;
    Ok(Answer::ok(&BalanceAnswer::new(&view.wallet, view.lsn)))
}

pub(super) async fn wallets(call: &Call<'_>) -> Result<Answer, Problem> {
    let query = call.query(&["limit", "cursor"])?;
    wallets::list_of(call, call.principal.account.as_u128(), &query).await
}

/// The wallet that the query names, if it is the caller's, or the one that was opened with his account.
pub(super) async fn own_wallet(call: &Call<'_>, query: &Query<'_>) -> Result<WalletId, Problem> {
    let Some(named) = query.id("wallet")? else {
        let account = accounts::by_id(call.people()?, call.principal.account).await?;
        return Ok(wallet_of(account.wallet));
    };
    let named = WalletId(named);
    // For staff, too, who see others' wallets elsewhere.
    if !call.principal.owns(call.engine, named).await? {
        return Err(Reject::WalletNotFound.into());
    }
    Ok(named)
}

pub(super) async fn history(call: &Call<'_>) -> Result<Answer, Problem> {
    let query = call.query(&["wallet", "limit", "cursor", "from", "to", "direction", "kind", "counterparty", "q"])?;
    let search = query.text("q").filter(|text| !text.is_empty());
    if search.is_some_and(|text| text.chars().count() > SEARCH_CHARACTERS_MAX) {
        let detail = format!("`q` has more than {SEARCH_CHARACTERS_MAX} characters.");
        return Err(Problem::new(Code::InvalidRequest, detail));
    }
    let wallet = own_wallet(call, &query).await?;
    let asked = EntriesQuery {
        wallet,
        before_lsn: query.text("cursor").map(|text| parse_cursor('h', text)).transpose()?,
        not_after: query.time("to")?.map(At::TimeMicros),
        not_before: query.time("from")?.map(At::TimeMicros),
        direction: query.text("direction").map(wallets::direction).transpose()?,
        kind: query.text("kind").map(wallets::kind).transpose()?,
        counterparty: query.id("counterparty")?.map(WalletId),
        limit: query.limit()?,
    };
    let currency = existing(call, wallet).await?.wallet.currency();
    let page = history::page(call.people()?, asked, search).await?;
    let next = page.next_before_lsn.map(|lsn| cursor_text('h', lsn));
    let entries = page.entries.into_iter().map(|named| HistoryEntryAnswer::new(named, currency));
    Ok(Answer::ok(&Page::new(entries.collect(), next)))
}

pub(super) async fn statement(call: &Call<'_>) -> Result<Answer, Problem> {
    let query = call.query(&["wallet", "month", "from", "to", "format"])?;
    let format = match query.text("format") {
        None | Some("csv") => Format::Csv,
        Some("pdf") => Format::Pdf,
        Some(_) => return Err(Problem::new(Code::InvalidRequest, "`format` is neither csv nor pdf.")),
    };
    let (from, to) = match (query.text("month"), query.time("from")?, query.time("to")?) {
        (Some(month), None, None) => {
            month_of(month).ok_or_else(|| Problem::new(Code::InvalidRequest, "`month` is not a month like 2026-10."))?
        }
        (None, Some(from), Some(to)) if from < to => (from, to),
        _ => {
            let detail = "Give `month`, or `from` and a later `to`.";
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
    };
    let wallet = own_wallet(call, &query).await?;
    let statement = statements::gather(call.people()?, call.principal.account, wallet, from, to).await?;
    let content_type = if format == Format::Csv { "text/csv; charset=utf-8" } else { "application/pdf" };
    Ok(Answer::bytes(StatusCode::OK, content_type, statement.write(format)?))
}

/// From its first moment to the next month's, in UTC.
fn month_of(text: &str) -> Option<(u64, u64)> {
    let (year, month) = text.split_once('-')?;
    let digits = |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(year, 4) || !digits(month, 2) {
        return None;
    }
    let (year, month): (i16, i8) = (year.parse().ok()?, month.parse().ok()?);
    let first = |year, month| {
        let date = Date::new(year, month, 1).ok()?;
        let time = date.to_zoned(TimeZone::UTC).ok()?.timestamp();
        u64::try_from(time.as_microsecond()).ok()
    };
    let next = if month == 12 { first(year + 1, 1) } else { first(year, month + 1) };
    Some((first(year, month)?, next?))
}

fn wallet_of(id: Uuid) -> WalletId {
    WalletId(id.as_u128())
}

#[cfg(test)]
mod tests {
    use super::month_of;

    #[test]
    fn months_follow_each_other() {
        let months = ["2026-10", "2026-11", "2026-12", "2027-01"].map(|text| month_of(text).unwrap());
        assert!(months.windows(2).all(|pair| pair[0].1 == pair[1].0));
        assert_eq!(months[0].0, 1_790_812_800_000_000);
        for text in ["", "2026", "2026-13", "2026-00", "2026-1", "26-10", "1960-01", "2026-10-01", "+026-10"] {
            assert!(month_of(text).is_none(), "{text}");
        }
    }
}
