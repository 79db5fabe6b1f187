//! Spending limits of wallets: set, change, take away, and read with what has been spent.

use super::answer::Answer;
use super::call::Call;
use super::problem::Problem;
use super::wallets::existing;
use super::wire::{SpendingLimitsAnswer, SpendingLimitsRequest, now_micros, read};
use crate::engine::Outcome;
use crate::ledger::WalletId;

pub(super) async fn limit(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let id = WalletId(call.path_id()?);
    let request: SpendingLimitsRequest<'_> = read(&call.body)?;
    let currency = existing(call, id).await?.wallet.currency();
    match call.engine.limit_spending(id, request.limits(currency)?).await {
        Outcome::Accepted(_) => get(call).await,
        Outcome::Refused(refusal) => Err(refusal.into()),
        Outcome::Failed(failure) => Err(failure.into()),
    }
}

pub(super) async fn get(call: &Call<'_>) -> Result<Answer, Problem> {
    let view = existing(call, WalletId(call.path_id()?)).await?;
    Ok(Answer::ok(&SpendingLimitsAnswer::new(&view, now_micros())))
}
