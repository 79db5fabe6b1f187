//! Spending limits of wallets: set, change, take away, and read with what has been spent; by the operator, and by their owner.

use super::answer::Answer;
use super::call::Call;
use super::my_wallet::own_wallet;
use super::problem::Problem;
use super::wallets::existing;
use super::wire::{MyLimitsAnswer, MyLimitsRequest, SpendingLimitsAnswer, SpendingLimitsRequest, now_micros, read};
use crate::engine::Outcome;
use crate::ledger::WalletId;
use crate::services::spending_limits;

pub(super) async fn limit(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let id = WalletId(call.path_id()?);
    let request: SpendingLimitsRequest<'_> = read(&call.body)?;
    let currency = existing(call, id).await?.wallet.currency();
    let limits = request.limits(currency)?;
    if let Some(services) = call.services {
        // The owner's own, which are kept with people, may be lower.
        spending_limits::set_operators(services, call.principal, id, limits).await?;
        return get(call).await;
    }
    match call.engine.limit_spending(id, limits).await {
        Outcome::Accepted(_) => get(call).await,
        Outcome::Refused(refusal) => Err(refusal.into()),
        Outcome::Failed(failure) => Err(failure.into()),
    }
}

pub(super) async fn get(call: &Call<'_>) -> Result<Answer, Problem> {
    let view = existing(call, WalletId(call.path_id()?)).await?;
    Ok(Answer::ok(&SpendingLimitsAnswer::new(&view, now_micros())))
}

pub(super) async fn show_own(call: &Call<'_>) -> Result<Answer, Problem> {
    let query = call.query(&["wallet"])?;
    let seen = spending_limits::show(call.people()?, own_wallet(call, &query).await?).await?;
    Ok(Answer::ok(&MyLimitsAnswer::new(&seen, now_micros())))
}

pub(super) async fn change_own(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let query = call.query(&["wallet"])?;
    let request: MyLimitsRequest<'_> = read(&call.body)?;
    let wallet = own_wallet(call, &query).await?;
    let change = request.change(existing(call, wallet).await?.wallet.currency())?;
    let seen = spending_limits::change(call.people()?, call.principal, wallet, change).await?;
    Ok(Answer::ok(&MyLimitsAnswer::new(&seen, now_micros())))
}
