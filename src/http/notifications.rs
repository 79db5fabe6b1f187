//! What people are told, and where: preferences, devices, and the dead letters that staff looks after.

use uuid::Uuid;

use super::answer::Answer;
use super::call::Call;
use super::problem::Problem;
use super::wire::notification::{
    DeadLetterAnswer, DeviceAnswer, DeviceRequest, PreferencesAnswer, PreferencesRequest, dead_cursor,
    parse_dead_cursor,
};
use super::wire::{Page, read};
use crate::services::notify::{dead_letters, devices, preferences};

pub(super) async fn preferences(call: &Call<'_>) -> Result<Answer, Problem> {
    let list = preferences::list(call.people()?, call.principal.account).await?;
    Ok(Answer::ok(&PreferencesAnswer::new(&list)))
}

pub(super) async fn choose(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let request: PreferencesRequest<'_> = read(&call.body)?;
    preferences::choose(call.people()?, call.principal.account, &request.choices()?).await?;
    preferences(call).await
}

pub(super) async fn devices(call: &Call<'_>) -> Result<Answer, Problem> {
    let list = devices::list(call.people()?, call.principal.account).await?;
    Ok(Answer::ok(&Page::new(list.iter().map(DeviceAnswer::new).collect(), None)))
}

pub(super) async fn add_device(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let request: DeviceRequest<'_> = read(&call.body)?;
    let (token, platform) = request.parts()?;
    let device = devices::add(call.people()?, call.principal.account, &token, platform).await?;
    Ok(Answer::created(&DeviceAnswer::new(&device), false))
}

pub(super) async fn remove_device(call: &Call<'_>) -> Result<Answer, Problem> {
    let (services, account) = (call.people()?, call.principal.account);
    let device = devices::remove(services, account, Uuid::from_u128(call.path_id()?)).await?;
    Ok(Answer::ok(&DeviceAnswer::new(&device)))
}

pub(super) async fn dead_letters(call: &Call<'_>) -> Result<Answer, Problem> {
    let query = call.query(&["limit", "cursor"])?;
    let (limit, after) = (query.limit()?, query.text("cursor").map(parse_dead_cursor).transpose()?);
    let mut letters = dead_letters::list(call.people()?, after, limit + 1).await?;
    let has_more = letters.len() > limit;
    letters.truncate(limit);
    let cursor = letters.last().filter(|_| has_more).map(dead_cursor);
    Ok(Answer::ok(&Page::new(letters.iter().map(DeadLetterAnswer::new).collect(), cursor)))
}

pub(super) async fn send_again(call: &Call<'_>) -> Result<Answer, Problem> {
    let letter = dead_letters::send_again(call.people()?, call.principal, Uuid::from_u128(call.path_id()?)).await?;
    Ok(Answer::ok(&DeadLetterAnswer::new(&letter)))
}

pub(super) async fn discard(call: &Call<'_>) -> Result<Answer, Problem> {
    let letter = dead_letters::discard(call.people()?, call.principal, Uuid::from_u128(call.path_id()?)).await?;
    Ok(Answer::ok(&DeadLetterAnswer::new(&letter)))
}
