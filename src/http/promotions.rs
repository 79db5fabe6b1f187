//! Promotions: what new accounts get.

use hyper::StatusCode;
use uuid::Uuid;

use super::answer::Answer;
use super::call::Call;
use super::problem::Problem;
use super::wire::administration::{PromotionAnswer, PromotionRequest};
use super::wire::{Page, parse_id_cursor, read};
use crate::services::promotions;

pub(super) async fn create(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let services = call.people()?;
    let request: PromotionRequest<'_> = read(&call.body)?;
    let new = request.new_promotion(services)?;
    let promotion = promotions::create(services, call.principal, &new).await?;
    Ok(Answer::json(StatusCode::CREATED, &PromotionAnswer::new(&promotion, services.now())?))
}

pub(super) async fn list(call: &Call<'_>) -> Result<Answer, Problem> {
    let query = call.query(&["limit", "cursor"])?;
    let services = call.people()?;
    let before = query.text("cursor").map(|text| parse_id_cursor('p', text)).transpose()?;
    let limit = query.limit()?;
    let list = promotions::list(services, before, i64::try_from(limit + 1).unwrap_or(i64::MAX)).await?;
    let (list, next) = Page::cut(list, limit, 'p', |promotion| promotion.id);
    let data: Result<Vec<_>, Problem> = list.iter().map(|row| PromotionAnswer::new(row, services.now())).collect();
    Ok(Answer::ok(&Page::new(data?, next)))
}

pub(super) async fn end(call: &Call<'_>) -> Result<Answer, Problem> {
    let services = call.people()?;
    let promotion = promotions::end(services, call.principal, Uuid::from_u128(call.path_id()?)).await?;
    Ok(Answer::ok(&PromotionAnswer::new(&promotion, services.now())?))
}
