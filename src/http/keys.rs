//! The data keys: which there are, and new ones. No key itself is ever shown.

use hyper::StatusCode;

use super::answer::Answer;
use super::call::Call;
use super::problem::Problem;
use super::wire::data_key::{DataKeyAnswer, KeyRotationRequest};
use super::wire::{Page, read};
use crate::services::keys;

pub(super) async fn list(call: &Call<'_>) -> Result<Answer, Problem> {
    let keys = keys::list(call.people()?).await?;
    Ok(Answer::ok(&Page::new(keys.into_iter().map(DataKeyAnswer::new).collect(), None)))
}

pub(super) async fn rotate(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let request: KeyRotationRequest<'_> = read(&call.body)?;
    let purpose = request.purpose()?;
    let key = keys::rotate(call.people()?, call.principal, purpose).await?;
    Ok(Answer::json(StatusCode::CREATED, &DataKeyAnswer::new(key)))
}
