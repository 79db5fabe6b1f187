//! The caller's own wallets: which there are, and what is in them.

use uuid::Uuid;

use super::answer::Answer;
use super::call::{Call, Query};
use super::problem::Problem;
use super::wallets::{self, existing};
use super::wire::BalanceAnswer;
use crate::ledger::{Reject, WalletId};
use crate::services::accounts;

pub(super) async fn balance(call: &Call<'_>) -> Result<Answer, Problem> {
    let query = call.query(&["wallet"])?;
    let view = existing(call, own_wallet(call, &query).await?).await?;
    Ok(Answer::ok(&BalanceAnswer::new(&view.wallet, view.lsn)))
}

pub(super) async fn wallets(call: &Call<'_>) -> Result<Answer, Problem> {
    let query = call.query(&["limit", "cursor"])?;
    wallets::list_of(call, call.principal.account.as_u128(), &query).await
}

/// The wallet that the query names, if it is the caller's, or the one that was opened with his account.
pub(super) async fn own_wallet(call: &Call<'_>, query: &Query<'_>) -> Result<WalletId, Problem> {
    let Some(named) = query.id("wallet")? else {
        let account = accounts::by_id(call.people()?, call.principal.account).await?;
        return Ok(wallet_of(account.wallet));
    };
    let named = WalletId(named);
    // For staff, too, who see others' wallets elsewhere.
    if !call.principal.owns(call.engine, named).await? {
        return Err(Reject::WalletNotFound.into());
    }
    Ok(named)
}

fn wallet_of(id: Uuid) -> WalletId {
    WalletId(id.as_u128())
}
