//! The doors that anybody may knock at: codes, passwords, second factors, refresh.

use hyper::StatusCode;

use super::answer::Answer;
use super::call::Call;
use super::problem::Problem;
use super::wire::auth::{
    CodeRequest, CodeSent, GrantAnswer, PasswordRequest, RefreshRequest, SecondFactorRequest, SignInAnswer,
    VerifyRequest,
};
use super::wire::{Id, Time, read};
use crate::services::{codes, sessions, sign_in};

pub(super) async fn send_code(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let request: CodeRequest<'_> = read(&call.body)?;
    let (kind, address, locale) = request.parts()?;
    let sent = codes::send(call.people()?, kind, &address, locale).await?;
    let answer = CodeSent {
        challenge: Id(sent.challenge.as_u128()),
        expires_at: Time::of(sent.expires_at),
        resend_after: Time::of(sent.resend_after),
    };
    Ok(Answer::json(StatusCode::ACCEPTED, &answer))
}

pub(super) async fn verify(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let request: VerifyRequest<'_> = read(&call.body)?;
    let (challenge, code) = request.parts()?;
    let challenge = uuid::Uuid::from_u128(challenge);
    answer(call, sign_in::by_code(call.people()?, challenge, code, &call.client()).await?)
}

pub(super) async fn password(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let request: PasswordRequest<'_> = read(&call.body)?;
    let (kind, address, password) = request.parts()?;
    answer(call, sign_in::by_password(call.people()?, kind, &address, &password, &call.client()).await?)
}

pub(super) async fn second_factor(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let request: SecondFactorRequest<'_> = read(&call.body)?;
    let (token, factor) = request.parts()?;
    answer(call, sign_in::by_second_factor(call.people()?, &token, &factor, &call.client()).await?)
}

pub(super) async fn refresh(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let request: RefreshRequest<'_> = read(&call.body)?;
    let services = call.people()?;
    let (grant, account) = sessions::refresh(services, &request.token()?).await?;
    Ok(Answer::ok(&GrantAnswer::new(services, grant, account)))
}

fn answer(call: &Call<'_>, signed_in: sign_in::SignedIn) -> Result<Answer, Problem> {
    Ok(Answer::ok(&SignInAnswer::new(call.people()?, signed_in)))
}
