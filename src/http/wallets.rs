//! Wallets: open, read, list, freeze, unfreeze, close; balance and entries, now and then.

use serde_json::json;
use uuid::Uuid;

use super::answer::Answer;
use super::call::{Call, Purpose, Query, key_id};
use super::problem::{Code, Problem};
use super::wire::{
    BalanceAnswer, BalanceThenAnswer, EntryAnswer, Id, Money, Page, WalletAnswer, WalletRequest, cursor_text,
    parse_cursor, read,
};
use crate::engine::{At, Direction, EntriesQuery, Failure, Found, Outcome, WalletView};
use crate::ledger::{Event, OwnerId, Reject, Status, TransferKind, WalletId};
use crate::services::intentions::{self, Intention};

pub(super) async fn open(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let request: WalletRequest<'_> = read(&call.body)?;
    let id = match (&request.id, call.optional_key()?) {
        (Some(raw), _) => raw.id("id")?,
        (None, Some(key)) => key_id(Purpose::Wallet, key)?,
        (None, None) => Uuid::now_v7().as_u128(),
    };
    let opening = request.opening(WalletId(id))?;
    let outcome = match call.services {
        Some(services) => intentions::open_wallet(services, opening).await?,
        None => call.engine.open_wallet(opening).await,
    };
    match outcome {
        Outcome::Accepted(receipt) => {
            let wallet = WalletAnswer::new(&opening, Status::Active, receipt.time_micros, receipt.lsn);
            Ok(Answer::created(&wallet, receipt.replayed))
        }
        Outcome::Refused(refusal) => Err(refusal.into()),
        Outcome::Failed(failure) => Err(failure.into()),
    }
}

pub(super) async fn get(call: &Call<'_>) -> Result<Answer, Problem> {
    let id = WalletId(call.path_id()?);
    let view = existing(call, id).await?;
    let opened = call.engine.find(id.0).await?;
    Ok(Answer::ok(&show(&view, opened)?))
}

pub(super) async fn list(call: &Call<'_>) -> Result<Answer, Problem> {
    let query = call.query(&["owner", "limit", "cursor"])?;
    let Some(owner) = query.id("owner")? else {
        return Err(Problem::new(Code::InvalidRequest, "`owner` is missing: wallets are listed by their owner."));
    };
    // A stranger has no wallets for who may see his own only.
    if call.principal.is_bound_to_own() && owner != call.principal.account.as_u128() {
        return Ok(Answer::ok(&Page::<WalletAnswer>::new(Vec::new(), None)));
    }
    list_of(call, owner, &query).await
}

/// A page of an owner's wallets, as `limit` and `cursor` of the query say.
pub(super) async fn list_of(call: &Call<'_>, owner: u128, query: &Query<'_>) -> Result<Answer, Problem> {
    let limit = query.limit()?;
    let after_lsn = query.text("cursor").map_or(Ok(0), |text| parse_cursor('w', text))?;
    // One more than asked for tells whether there is a next page.
    let mut views = call.engine.wallets_of(OwnerId(owner), after_lsn, limit + 1).await?;
    let has_more = views.len() > limit;
    views.truncate(limit);
    let next = views.last().filter(|_| has_more).map(|(lsn, _)| cursor_text('w', *lsn));
    let mut wallets = Vec::with_capacity(views.len());
    for (lsn, view) in &views {
        wallets.push(show(view, call.engine.event(*lsn).await?)?);
    }
    Ok(Answer::ok(&Page::new(wallets, next)))
}

pub(super) async fn set_status(call: &Call<'_>, status: Status) -> Result<Answer, Problem> {
    let id = WalletId(call.path_id()?);
    // What is so already is not done again, so that nothing is done that is not written down.
    if call.services.is_some() && existing(call, id).await?.wallet.status() == status {
        return get(call).await;
    }
    let action = match status {
        Status::Active => "wallet.unfreeze",
        Status::Frozen => "wallet.freeze",
        Status::Closed => "wallet.close",
    };
    call.record(Intention::of_wallet(action, id, json!({ "to": status.name() }))).await?;
    match call.engine.set_status(id, status).await {
        Outcome::Accepted(_) => get(call).await,
        Outcome::Refused(refusal) => Err(refusal.into()),
        Outcome::Failed(failure) => Err(failure.into()),
    }
}

pub(super) async fn balance(call: &Call<'_>) -> Result<Answer, Problem> {
    let id = WalletId(call.path_id()?);
    let as_of = match call.query {
        None => None,
        Some(_) => call.query(&["as_of_lsn", "as_of_time"])?.as_of()?,
    };
    let view = existing(call, id).await?;
    let Some(at) = as_of else {
        return Ok(Answer::ok(&BalanceAnswer::new(&view.wallet, view.lsn)));
    };
    let Some((posted, lsn)) = call.engine.balance_at(id, at).await? else {
        return Err(Problem::new(Code::WalletNotFound, "The wallet was not opened yet then."));
    };
    let currency = view.wallet.currency();
    let posted = Money::new(posted, currency);
    Ok(Answer::ok(&BalanceThenAnswer { wallet: Id(id.0), currency: currency.code(), posted, lsn }))
}

pub(super) async fn entries(call: &Call<'_>) -> Result<Answer, Problem> {
    let wallet = WalletId(call.path_id()?);
    let query =
        call.query(&["limit", "cursor", "from", "to", "direction", "kind", "counterparty", "as_of_lsn", "as_of_time"])?;
    let to = query.time("to")?.map(At::TimeMicros);
    let as_of = query.as_of()?;
    if to.is_some() && as_of.is_some() {
        let detail = "Give one of `to`, `as_of_lsn` and `as_of_time`: each says where the list begins.";
        return Err(Problem::new(Code::InvalidRequest, detail));
    }
    let asked = EntriesQuery {
        wallet,
        before_lsn: query.text("cursor").map(|text| parse_cursor('e', text)).transpose()?,
        not_after: to.or(as_of),
        not_before: query.time("from")?.map(At::TimeMicros),
        direction: query.text("direction").map(direction).transpose()?,
        kind: query.text("kind").map(kind).transpose()?,
        counterparty: query.id("counterparty")?.map(WalletId),
        limit: query.limit()?,
    };
    let currency = existing(call, wallet).await?.wallet.currency();
    let page = call.engine.entries(asked).await?;
    let next = page.next_before_lsn.map(|lsn| cursor_text('e', lsn));
    let entries = page.entries.into_iter().map(|entry| EntryAnswer::new(entry, currency));
    Ok(Answer::ok(&Page::new(entries.collect(), next)))
}

/// The wallet, or 404.
pub(super) async fn existing(call: &Call<'_>, id: WalletId) -> Result<WalletView, Problem> {
    call.engine.wallet(id).await?.ok_or_else(|| Problem::from(Reject::WalletNotFound))
}

fn show(view: &WalletView, opened: Option<Found>) -> Result<WalletAnswer, Problem> {
    let opening = view.wallet.opening(view.owner, view.limits);
    match opened {
        Some(Found { lsn, time_micros, event: Event::WalletOpened(_) }) => {
            Ok(WalletAnswer::new(&opening, view.wallet.status(), time_micros, lsn))
        }
        _ => Err(Problem::from(Failure::Storage(format!("the opening of wallet {} is not found", opening.wallet)))),
    }
}

pub(super) fn direction(text: &str) -> Result<Direction, Problem> {
    match text {
        "in" => Ok(Direction::In),
        "out" => Ok(Direction::Out),
        _ => Err(Problem::new(Code::InvalidRequest, "`direction` is neither in nor out.")),
    }
}

pub(super) fn kind(text: &str) -> Result<TransferKind, Problem> {
    let kinds = [TransferKind::Deposit, TransferKind::Withdrawal, TransferKind::Transfer, TransferKind::Capture];
    kinds.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
        Problem::new(Code::InvalidRequest, "`kind` is none of deposit, withdrawal, transfer and capture.")
    })
}
