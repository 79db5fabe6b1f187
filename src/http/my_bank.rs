//! Top-ups and withdrawals: begun here, finished in the background.

use hyper::StatusCode;
use uuid::Uuid;

use super::answer::Answer;
use super::call::Call;
use super::my_payments::confirmation;
use super::problem::Problem;
use super::wire::my_money::{BankMoveAnswer, BankMoveRequest};
use super::wire::{Page, parse_row_cursor, read, row_cursor_text};
use crate::services::bank_moves::{self, NewMove};
use crate::store::bank_moves::Kind;

pub(super) async fn begin(call: &Call<'_>, kind: Kind) -> Result<Answer, Problem> {
    call.expect_json()?;
    let id = Uuid::from_u128(call.key_id()?);
    let request: BankMoveRequest<'_> = read(&call.body)?;
    let ((amount, currency), bank_account) = request.parts()?;
    let confirmation = confirmation(call);
    let new = NewMove { id, kind, amount, currency, bank_account: &bank_account, confirmation };
    let seen = bank_moves::begin(call.people()?, call.principal, new).await?;
    let replayed = seen.replayed;
    Ok(Answer { replayed, ..Answer::json(StatusCode::ACCEPTED, &BankMoveAnswer::new(seen)) })
}

pub(super) async fn list(call: &Call<'_>, kind: Kind) -> Result<Answer, Problem> {
    let query = call.query(&["limit", "cursor"])?;
    let letter = if kind == Kind::TopUp { 't' } else { 'p' };
    let (limit, before) = (query.limit()?, parse_row_cursor(letter, query.text("cursor"))?);
    let mut seen = bank_moves::list(call.people()?, call.principal, kind, before, limit + 1).await?;
    let has_more = seen.len() > limit;
    seen.truncate(limit);
    let last = seen.last().filter(|_| has_more).map(|last| (last.row.created_at, last.row.id));
    let next = last.map(|last| row_cursor_text(letter, last));
    Ok(Answer::ok(&Page::new(seen.into_iter().map(BankMoveAnswer::new).collect(), next)))
}

pub(super) async fn show(call: &Call<'_>, kind: Kind) -> Result<Answer, Problem> {
    let id = Uuid::from_u128(call.path_id()?);
    Ok(Answer::ok(&BankMoveAnswer::new(bank_moves::show(call.people()?, call.principal, kind, id).await?)))
}
