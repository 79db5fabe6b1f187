//! The caller's own account: who he is, and by what he is found.

use super::answer::Answer;
use super::call::Call;
use super::problem::Problem;
use super::wire::account::{AccountAnswer, AddressAddition, AddressRemoval, HandleRequest, ProfileRequest};
use super::wire::read;
use crate::services::standing::{self, Act};
use crate::services::{accounts, handles, profile};
use crate::store::Account;

pub(super) async fn show(call: &Call<'_>) -> Result<Answer, Problem> {
    let account = accounts::by_id(call.people()?, call.principal.account).await?;
    answer(call, &account).await
}

pub(super) async fn change(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let request: ProfileRequest<'_> = read(&call.body)?;
    let (name, locale) = request.parts()?;
    let account = profile::change(call.people()?, call.principal, name, locale).await?;
    answer(call, &account).await
}

pub(super) async fn set_handle(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let request: HandleRequest<'_> = read(&call.body)?;
    let account = handles::change(call.people()?, call.principal, request.handle()?).await?;
    answer(call, &account).await
}

pub(super) async fn add_address(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let request: AddressAddition<'_> = read(&call.body)?;
    let account = profile::add_address(call.people()?, call.principal, &request.token()?).await?;
    answer(call, &account).await
}

pub(super) async fn remove_address(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let request: AddressRemoval<'_> = read(&call.body)?;
    let (kind, address) = request.address()?;
    let account = profile::remove_address(call.people()?, call.principal, kind, &address).await?;
    answer(call, &account).await
}

pub(super) async fn close(call: &Call<'_>) -> Result<Answer, Problem> {
    let services = call.people()?;
    let account = standing::act(services, call.principal, call.principal.account, Act::Close, None).await?;
    answer(call, &account).await
}

async fn answer(call: &Call<'_>, account: &Account) -> Result<Answer, Problem> {
    let services = call.people()?;
    let addresses = accounts::addresses(services, account).await?;
    Ok(Answer::ok(&AccountAnswer::new(services, account, &addresses)?))
}
