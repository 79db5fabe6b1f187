//! Requests for money: made, listed, paid, declined, cancelled.

use hyper::StatusCode;
use uuid::Uuid;

use super::answer::Answer;
use super::call::{Call, Purpose};
use super::my_payments::confirmation;
use super::problem::{Code, Problem};
use super::wire::my_money::{MoneyRequestAnswer, MoneyRequestRequest, PaymentAnswer};
use super::wire::{Page, parse_row_cursor, read, row_cursor_text};
use crate::services::money_requests::{self, NewRequest};
use crate::store::money_requests::{Direction, State};

pub(super) async fn ask(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let key = call.optional_key()?.map(|key| call.id_of(Purpose::Request, key)).transpose()?;
    let request: MoneyRequestRequest<'_> = read(&call.body)?;
    let ((from, (amount, currency), note), expires_in_days) = request.parts()?;
    let new = NewRequest { id: key.map(Uuid::from_u128), from, amount, currency, note, expires_in_days };
    let seen = money_requests::ask(call.people()?, call.principal, new).await?;
    let replayed = seen.replayed;
    Ok(Answer { replayed, ..Answer::json(StatusCode::CREATED, &MoneyRequestAnswer::new(seen)) })
}

pub(super) async fn list(call: &Call<'_>) -> Result<Answer, Problem> {
    let query = call.query(&["direction", "limit", "cursor"])?;
    let (direction, letter) = match query.text("direction") {
        Some("in") => (Direction::In, 'i'),
        Some("out") => (Direction::Out, 'o'),
        _ => return Err(Problem::new(Code::InvalidRequest, "`direction` is neither in nor out.")),
    };
    let (limit, before) = (query.limit()?, parse_row_cursor(letter, query.text("cursor"))?);
    let mut seen = money_requests::list(call.people()?, call.principal, direction, before, limit + 1).await?;
    let has_more = seen.len() > limit;
    seen.truncate(limit);
    let last = seen.last().filter(|_| has_more).map(|last| (last.row.created_at, last.row.id));
    let next = last.map(|last| row_cursor_text(letter, last));
    Ok(Answer::ok(&Page::new(seen.into_iter().map(MoneyRequestAnswer::new).collect(), next)))
}

pub(super) async fn show(call: &Call<'_>) -> Result<Answer, Problem> {
    let id = Uuid::from_u128(call.path_id()?);
    Ok(Answer::ok(&MoneyRequestAnswer::new(money_requests::show(call.people()?, call.principal, id).await?)))
}

pub(super) async fn pay(call: &Call<'_>) -> Result<Answer, Problem> {
    let (id, key) = (Uuid::from_u128(call.path_id()?), Uuid::from_u128(call.key_id()?));
    let paid = money_requests::pay(call.people()?, call.principal, id, key, confirmation(call)).await?;
    Ok(Answer::created(&PaymentAnswer::new(&paid), paid.receipt.replayed))
}

pub(super) async fn close(call: &Call<'_>, to: State) -> Result<Answer, Problem> {
    let id = Uuid::from_u128(call.path_id()?);
    let seen = money_requests::close(call.people()?, call.principal, id, to).await?;
    Ok(Answer::ok(&MoneyRequestAnswer::new(seen)))
}
