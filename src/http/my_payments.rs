//! Payments out of the caller's own wallet.

use super::answer::Answer;
use super::call::Call;
use super::problem::Problem;
use super::wire::my_money::{PaymentAnswer, PaymentRequest};
use super::wire::read;
use crate::ledger::TransferId;
use crate::services::payments::{self, Payment};

pub(super) async fn pay(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let id = TransferId(call.key_id()?);
    let request: PaymentRequest<'_> = read(&call.body)?;
    let (to, (amount, currency), note) = request.parts()?;
    let payment = Payment { id, to, amount, currency, note, confirmation: confirmation(call) };
    let paid = payments::pay(call.people()?, call.principal, payment).await?;
    Ok(Answer::created(&PaymentAnswer::new(&paid), paid.receipt.replayed))
}

/// What the caller got for confirming a payment.
pub(super) fn confirmation<'c>(call: &Call<'c>) -> Option<&'c str> {
    call.headers.get("confirmation").and_then(|value| value.to_str().ok()).map(str::trim)
}
