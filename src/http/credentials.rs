//! What the caller signs in by, and where: password, second factor, sessions, confirmations of payments.

use hyper::StatusCode;
use secrecy::SecretString;
use uuid::Uuid;

use super::answer::Answer;
use super::call::Call;
use super::problem::{Code, Problem};
use super::wire::auth::{
    ConfirmationAnswer, ConfirmationAsked, ConfirmationRequest, CredentialsAnswer, DoneAnswer, EnrolmentAnswer,
    FactorRequest, PasswordChange, RecoveryCodesAnswer, SessionAnswer, Shown,
};
use super::wire::{Id, Page, Time, parse_id, read};
use crate::ledger::{Amount, Currency, WalletId};
use crate::services::{passwords, second_factor, sessions, step_up};

pub(super) async fn show(call: &Call<'_>) -> Result<Answer, Problem> {
    let credentials = second_factor::credentials(call.people()?, call.principal.account).await?;
    Ok(Answer::ok(&CredentialsAnswer::new(credentials)))
}

pub(super) async fn change_password(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let request: PasswordChange<'_> = read(&call.body)?;
    let (current, new) = request.parts()?;
    passwords::change(call.people()?, call.principal, current.as_ref(), &new).await?;
    Ok(Answer::ok(&DoneAnswer::DONE))
}

pub(super) async fn begin_totp(call: &Call<'_>) -> Result<Answer, Problem> {
    let enrolment = second_factor::begin(call.people()?, call.principal).await?;
    Ok(Answer::ok(&EnrolmentAnswer {
        secret: Shown(enrolment.secret),
        otpauth_uri: Shown(enrolment.uri),
        qr: Shown(enrolment.qr),
    }))
}

pub(super) async fn confirm_totp(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let request: FactorRequest<'_> = read(&call.body)?;
    Ok(recovery_codes(second_factor::confirm(call.people()?, call.principal, request.code()?).await?))
}

pub(super) async fn remove_totp(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let request: FactorRequest<'_> = read(&call.body)?;
    second_factor::remove(call.people()?, call.principal, &request.factor()?).await?;
    Ok(Answer::ok(&DoneAnswer::DONE))
}

pub(super) async fn renew_recovery_codes(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let request: FactorRequest<'_> = read(&call.body)?;
    Ok(recovery_codes(second_factor::renew_recovery(call.people()?, call.principal, &request.factor()?).await?))
}

pub(super) async fn list_sessions(call: &Call<'_>) -> Result<Answer, Problem> {
    let query = call.query(&["limit", "cursor"])?;
    let before = match query.text("cursor") {
        None => None,
        Some(text) => {
            let id = text.strip_prefix('s').and_then(|id| parse_id(id, "cursor").ok());
            let wrong = || Problem::new(Code::InvalidCursor, "`cursor` is not a next_cursor of this list.");
            Some(Uuid::from_u128(id.ok_or_else(wrong)?))
        }
    };
    let current = call.principal.session()?;
    let (list, has_more) = sessions::open_of(call.people()?, call.principal.account, before, query.limit()?).await?;
    let next = list.last().filter(|_| has_more).map(|session| format!("s{}", session.id));
    let data = list.iter().map(|session| SessionAnswer::new(session, session.id == current)).collect();
    Ok(Answer::ok(&Page::new(data, next)))
}

pub(super) async fn end_session(call: &Call<'_>) -> Result<Answer, Problem> {
    let id = Uuid::from_u128(call.path_id()?);
    let current = call.principal.session()?;
    let session = sessions::end(call.people()?, call.principal.account, id, "ended by its owner").await?;
    Ok(Answer::ok(&SessionAnswer::new(&session, id == current)))
}

pub(super) async fn log_out(call: &Call<'_>) -> Result<Answer, Problem> {
    let session = call.principal.session()?;
    sessions::end(call.people()?, call.principal.account, session, "logged out").await?;
    Ok(Answer::ok(&DoneAnswer::DONE))
}

pub(super) async fn log_out_everywhere(call: &Call<'_>) -> Result<Answer, Problem> {
    let services = call.people()?;
    sessions::end_everywhere(services, call.principal.account, "logged out everywhere").await?;
    Ok(Answer::ok(&DoneAnswer::DONE))
}

pub(super) async fn ask_confirmation(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let request: ConfirmationRequest<'_> = read(&call.body)?;
    let (amount, currency, payee) = request.parts()?;
    let asked = step_up::ask(call.people()?, call.principal, amount, currency, payee).await?;
    let answer = ConfirmationAsked {
        confirmation: Id(asked.id.as_u128()),
        by: asked.by,
        payee_wallet: Id(asked.payee_wallet.0),
        expires_at: Time::of(asked.expires_at),
    };
    Ok(Answer::json(StatusCode::ACCEPTED, &answer))
}

pub(super) async fn verify_confirmation(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let id = Uuid::from_u128(call.path_id()?);
    let request: FactorRequest<'_> = read(&call.body)?;
    let (token, expires_at) = step_up::verify(call.people()?, call.principal, id, request.code()?).await?;
    Ok(Answer::ok(&ConfirmationAnswer { confirmation_token: Shown(token), expires_at: Time::of(expires_at) }))
}

/// A person's payment above the threshold needs a confirmation of just this payment. The ledger without people has none.
pub(super) async fn must_be_confirmed(
    call: &Call<'_>,
    amount: Amount,
    currency: Currency,
    payee: WalletId,
    request_id: u128,
) -> Result<(), Problem> {
    let Some(services) = call.services else { return Ok(()) };
    let token = call.headers.get("confirmation").and_then(|value| value.to_str().ok()).map(str::trim);
    Ok(step_up::require(services, call.principal, token, amount, currency, payee, request_id).await?)
}

fn recovery_codes(codes: Vec<SecretString>) -> Answer {
    Answer::ok(&RecoveryCodesAnswer { recovery_codes: codes.into_iter().map(Shown).collect() })
}
