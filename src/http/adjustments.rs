//! Adjustments of balances by hand, the large ones by two people.

use uuid::Uuid;

use super::answer::Answer;
use super::call::Call;
use super::problem::{Code, Problem};
use super::wire::administration::{AdjustmentAnswer, AdjustmentRequest};
use super::wire::{Page, parse_row_cursor, read, row_cursor_text};
use crate::services::adjustments;
use crate::store::adjustments::State;

pub(super) async fn ask(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let id = Uuid::from_u128(call.key_id()?);
    let request: AdjustmentRequest<'_> = read(&call.body)?;
    let services = call.people()?;
    let (adjustment, replayed) = adjustments::ask(services, call.principal, &request.new_adjustment(id)?).await?;
    Ok(Answer::created(&AdjustmentAnswer::new(services, &adjustment)?, replayed))
}

pub(super) async fn list(call: &Call<'_>) -> Result<Answer, Problem> {
    let query = call.query(&["limit", "cursor", "state"])?;
    let services = call.people()?;
    let unknown = || {
        let detail = "`state` is none of waiting, approved, done, refused, rejected and expired.";
        Problem::new(Code::InvalidRequest, detail)
    };
    let state = query.text("state").map(|text| State::by_name(text).ok_or_else(unknown)).transpose()?;
    let before = parse_row_cursor('j', query.text("cursor"))?;
    let limit = query.limit()?;
    let rows = i64::try_from(limit + 1).unwrap_or(i64::MAX);
    let mut list = adjustments::list(services, state, before, rows).await?;
    let has_more = list.len() > limit;
    list.truncate(limit);
    let next = list.last().filter(|_| has_more).map(|row| row_cursor_text('j', (row.created_at, row.id)));
    let data: Result<Vec<_>, Problem> = list.iter().map(|row| AdjustmentAnswer::new(services, row)).collect();
    Ok(Answer::ok(&Page::new(data?, next)))
}

pub(super) async fn get(call: &Call<'_>) -> Result<Answer, Problem> {
    let services = call.people()?;
    let adjustment = adjustments::by_id(services, Uuid::from_u128(call.path_id()?)).await?;
    Ok(Answer::ok(&AdjustmentAnswer::new(services, &adjustment)?))
}

pub(super) async fn decide(call: &Call<'_>, is_approved: bool) -> Result<Answer, Problem> {
    let services = call.people()?;
    let id = Uuid::from_u128(call.path_id()?);
    let adjustment = adjustments::decide(services, call.principal, id, is_approved).await?;
    Ok(Answer::ok(&AdjustmentAnswer::new(services, &adjustment)?))
}
