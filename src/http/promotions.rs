//! Promotions: what new accounts get.

use uuid::Uuid;

use super::answer::Answer;
use super::call::Call;
use super::problem::Problem;
use super::wire::administration::{PromotionAnswer, PromotionRequest};
use super::wire::{Page, parse_row_cursor, read, row_cursor_text};
use crate::services::promotions;

pub(super) async fn create(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let id = Uuid::from_u128(call.key_id()?);
    let services = call.people()?;
    let request: PromotionRequest<'_> = read(&call.body)?;
    let new = request.new_promotion(services, id)?;
    let (promotion, replayed) = promotions::create(services, call.principal, &new).await?;
    Ok(Answer::created(&PromotionAnswer::new(&promotion, services.now())?, replayed))
}

pub(super) async fn list(call: &Call<'_>) -> Result<Answer, Problem> {
    let query = call.query(&["limit", "cursor"])?;
    let services = call.people()?;
    let before = parse_row_cursor('p', query.text("cursor"))?;
    let limit = query.limit()?;
    let mut list = promotions::list(services, before, i64::try_from(limit + 1).unwrap_or(i64::MAX)).await?;
    let has_more = list.len() > limit;
    list.truncate(limit);
    let next = list.last().filter(|_| has_more).map(|row| row_cursor_text('p', (row.created_at, row.id)));
    let data: Result<Vec<_>, Problem> = list.iter().map(|row| PromotionAnswer::new(row, services.now())).collect();
    Ok(Answer::ok(&Page::new(data?, next)))
}

pub(super) async fn end(call: &Call<'_>) -> Result<Answer, Problem> {
    let services = call.people()?;
    let promotion = promotions::end(services, call.principal, Uuid::from_u128(call.path_id()?)).await?;
    Ok(Answer::ok(&PromotionAnswer::new(&promotion, services.now())?))
}
