//! API keys: a merchant's own, or, for administrators, any merchant's.

use hyper::StatusCode;
use uuid::Uuid;

use super::answer::Answer;
use super::call::Call;
use super::problem::{Code, Problem};
use super::wire::api_key::{ApiKeyAnswer, ApiKeyMade, ApiKeyRequest, RotationRequest};
use super::wire::{Page, parse_id_cursor, read};
use crate::services::api_keys;
use crate::store::api_keys::ApiKey;

pub(super) async fn create(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let request: ApiKeyRequest<'_> = read(&call.body)?;
    let new = request.new_key()?;
    let own = call.principal.account;
    let account = match request.account()?.map(Uuid::from_u128) {
        Some(other) if call.principal.is_bound_to_own() && other != own => {
            return Err(Problem::new(Code::AccountNotFound, "There is no account with this id."));
        }
        Some(account) => account,
        None if call.principal.is_bound_to_own() => own,
        None => return Err(Problem::new(Code::InvalidRequest, "`account` is missing: whose key is it to be?")),
    };
    let made = api_keys::create(call.people()?, call.principal, account, &new).await?;
    Ok(Answer::json(StatusCode::CREATED, &shown(call, made)?))
}

pub(super) async fn list(call: &Call<'_>) -> Result<Answer, Problem> {
    let query = call.query(&["limit", "cursor", "account"])?;
    let services = call.people()?;
    let account = query.id("account")?.map(Uuid::from_u128);
    let before = query.text("cursor").map(|text| parse_id_cursor('k', text)).transpose()?;
    let limit = query.limit()?;
    let rows = i64::try_from(limit + 1).unwrap_or(i64::MAX);
    let list = api_keys::list(services, call.principal, account, before, rows).await?;
    let (list, next) = Page::cut(list, limit, 'k', |key| key.id);
    let data = list.iter().map(|key| ApiKeyAnswer::new(key, services.now())).collect();
    Ok(Answer::ok(&Page::new(data, next)))
}

pub(super) async fn rotate(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let id = Uuid::from_u128(call.path_id()?);
    let request: RotationRequest<'_> = read(&call.body)?;
    let made = api_keys::rotate(call.people()?, call.principal, id, request.overlap()?).await?;
    Ok(Answer::json(StatusCode::CREATED, &shown(call, made)?))
}

pub(super) async fn revoke(call: &Call<'_>) -> Result<Answer, Problem> {
    let id = Uuid::from_u128(call.path_id()?);
    let services = call.people()?;
    let key = api_keys::revoke(services, call.principal, id).await?;
    Ok(Answer::ok(&ApiKeyAnswer::new(&key, services.now())))
}

fn shown(call: &Call<'_>, (key, secret): (ApiKey, secrecy::SecretString)) -> Result<ApiKeyMade, Problem> {
    Ok(ApiKeyMade::new(ApiKeyAnswer::new(&key, call.people()?.now()), secret))
}
