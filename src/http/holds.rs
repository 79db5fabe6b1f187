//! Holds: authorize, read, capture, void.

use super::answer::Answer;
use super::call::Call;
use super::credentials;
use super::problem::Problem;
use super::wire::{CaptureRequest, HoldAnswer, HoldRequest, TransferAnswer, now_micros, read};
use crate::engine::{self, Failure, Found, HoldView, Outcome};
use crate::ledger::{Authorization, Event, HoldId, Reject, TransferId};

pub(super) async fn authorize(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let id = HoldId(call.key_id()?);
    let request: HoldRequest<'_> = read(&call.body)?;
    let authorization = request.authorization(id, now_micros())?;
    call.must_own(authorization.payer).await?;
    // The payee can take what is put aside for it at any time.
    let Authorization { amount, currency, payee, .. } = authorization;
    credentials::must_be_confirmed(call, amount, currency, payee, id.0).await?;
    let mut shown = authorization.clone();
    match call.engine.authorize(authorization).await {
        Outcome::Accepted(receipt) => {
            if receipt.replayed {
                // The first request's expiry counts, not the one reckoned from now.
                shown = match call.engine.find(id.0).await? {
                    Some(Found { event: Event::HoldAuthorized(first), .. }) => first,
                    _ => return Err(lost(id.0)),
                };
            }
            let hold = HoldAnswer::new(&shown, 0, None, receipt.time_micros, receipt.lsn);
            Ok(Answer::created(&hold, receipt.replayed))
        }
        Outcome::Refused(refusal) => Err(refusal.into()),
        Outcome::Failed(failure) => Err(failure.into()),
    }
}

pub(super) async fn get(call: &Call<'_>) -> Result<Answer, Problem> {
    let view = existing(call, HoldId(call.path_id()?)).await?;
    let Authorization { payer, payee, .. } = view.authorization;
    if call.must_own(payer).await.is_err() && call.must_own(payee).await.is_err() {
        return Err(Reject::HoldNotFound.into());
    }
    let hold = HoldAnswer::new(&view.authorization, view.captured, view.end, view.authorized_at_micros, view.lsn);
    Ok(Answer::ok(&hold))
}

pub(super) async fn capture(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let hold = HoldId(call.path_id()?);
    must_be_payee(call, hold).await?;
    let id = TransferId(call.key_id()?);
    let request: CaptureRequest<'_> = if call.body.is_empty() { CaptureRequest::default() } else { read(&call.body)? };
    let is_final = request.is_final()?;
    let amount = match request.amount()? {
        None => None,
        // The engine is asked in minor units, so another currency has to be found out here.
        Some((_, currency)) if existing(call, hold).await?.authorization.currency != currency => {
            return Err(Reject::CurrencyMismatch.into());
        }
        Some((amount, _)) => Some(amount),
    };
    match call.engine.capture(engine::CaptureRequest { id, hold, amount, is_final }).await {
        Outcome::Accepted(receipt) => match call.engine.find(id.0).await? {
            Some(Found { lsn, time_micros, event: Event::HoldCaptured(capture) }) => {
                Ok(Answer::created(&TransferAnswer::of_capture(&capture, time_micros, lsn), receipt.replayed))
            }
            _ => Err(lost(id.0)),
        },
        Outcome::Refused(refusal) => Err(refusal.into()),
        Outcome::Failed(failure) => Err(failure.into()),
    }
}

pub(super) async fn void(call: &Call<'_>) -> Result<Answer, Problem> {
    let hold = HoldId(call.path_id()?);
    must_be_payee(call, hold).await?;
    match call.engine.void(hold).await {
        Outcome::Accepted(_) => get(call).await,
        Outcome::Refused(refusal) => Err(refusal.into()),
        Outcome::Failed(failure) => Err(failure.into()),
    }
}

/// A hold is for the payee to capture or to give back; the payer cannot take back what was promised.
async fn must_be_payee(call: &Call<'_>, hold: HoldId) -> Result<(), Problem> {
    if !call.principal.is_bound_to_own() {
        return Ok(());
    }
    let payee = existing(call, hold).await?.authorization.payee;
    call.must_own(payee).await.map_err(|_| Problem::from(Reject::HoldNotFound))
}

async fn existing(call: &Call<'_>, id: HoldId) -> Result<HoldView, Problem> {
    call.engine.hold(id).await?.ok_or_else(|| Problem::from(Reject::HoldNotFound))
}

/// The engine has just accepted it, so the log must have it.
fn lost(id: u128) -> Problem {
    let id = TransferId(id);
    Problem::from(Failure::Storage(format!("the event of {id} is not found though it was accepted")))
}
