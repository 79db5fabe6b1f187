//! What staff and the operator do to the ledger itself: the audit log says who asks for what before the ledger is asked, so that
//! nothing is done that is not written down. What became of it is the ledger's own record.
//! Acts on rows are not in here: those are written down in the transaction that does them.

use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::sync::oneshot::{self, error::TryRecvError};
use uuid::Uuid;

use super::fault::{Fault, Why};
use super::{Principal, Services, audit};
use crate::engine::Outcome;
use crate::ledger::{Opening, WalletId};
use crate::store::{Account, AccountState, accounts};

/// Those that wait to be written down. Whoever's turn it is writes them all in one transaction, so that opening wallets by the
/// thousand does not cost an fsync of the database each.
#[derive(Debug, Default)]
pub struct Intentions {
    waiting: Mutex<Vec<Waiting>>,
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Waiting {
    actor: String,
    intention: Intention,
    written: oneshot::Sender<()>,
}

/// What is about to be done.
#[derive(Clone, Debug)]
pub struct Intention {
    pub action: &'static str,
    pub object: String,
    pub detail: Value,
}

impl Intention {
    pub fn of_wallet(action: &'static str, wallet: WalletId, detail: Value) -> Intention {
        Intention { action, object: format!("wallet {}", Uuid::from_u128(wallet.0)), detail }
    }
}

/// When this is over, it is written down.
pub async fn record(services: &Services, principal: &Principal, intention: Intention) -> Result<(), Fault> {
    let intentions = &services.intentions;
    loop {
        let (written, mut is_written) = oneshot::channel();
        let own = Waiting { actor: principal.actor(), intention: intention.clone(), written };
        intentions.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(own);
        let _turn = intentions.turn.lock().await;
        match is_written.try_recv() {
            Ok(()) => return Ok(()),
            // Still in the list, and so among those that are written now.
            Err(TryRecvError::Empty) => return write(services).await,
            // Whoever took it did not get it written: then it is tried alone.
            Err(TryRecvError::Closed) => {}
        }
    }
}

/// Opens a wallet by the operator's key. It is the account's, if the owner is one: then the account must be active, since a
/// wallet that opens later than its account was blocked would be free to pay.
pub async fn open_wallet(services: &Services, principal: &Principal, opening: Opening) -> Result<Outcome, Fault> {
    if services.engine.wallet(opening.wallet).await?.is_some() {
        // Nothing will be opened: it is asked again, or refused.
        return Ok(services.engine.open_wallet(opening).await);
    }
    let owner = Uuid::from_u128(opening.owner.0);
    // Whoever blocks or closes the account looks for its wallets when it is his turn, and so finds this one.
    let _turn = if account(services, owner).await?.is_some() { Some(services.turns.of(owner).await) } else { None };
    if let Some(account) = account(services, owner).await? {
        must_be_active(&account)?;
    }
    let detail = json!({
        "owner": owner, "currency": opening.currency.code(), "kind": opening.kind.name(),
        "may_send": opening.may_send, "may_receive": opening.may_receive,
        "overdraft_limit_minor": opening.limits.overdraft_limit, "balance_ceiling_minor": opening.limits.balance_ceiling,
    });
    record(services, principal, Intention::of_wallet("wallet.open", opening.wallet, detail)).await?;
    Ok(services.engine.open_wallet(opening).await)
}

/// Takes all that wait. Those who wait no more are left out, as nothing will be done for them.
async fn write(services: &Services) -> Result<(), Fault> {
    let mut all = std::mem::take(&mut *services.intentions.waiting.lock().unwrap_or_else(PoisonError::into_inner));
    all.retain(|waiting| !waiting.written.is_closed());
    let mut tx = services.store.begin().await?;
    for Waiting { actor, intention, .. } in &all {
        let Intention { action, object, detail } = intention;
        audit::record(services, &mut tx, actor, action, object, detail).await?;
    }
    tx.commit().await?;
    for waiting in all {
        // Whoever has gone meanwhile does nothing with it.
        let _ = waiting.written.send(());
    }
    Ok(())
}

async fn account(services: &Services, id: Uuid) -> Result<Option<Account>, Fault> {
    let mut c = services.store.read().await?;
    Ok(accounts::by_id(&mut c, id).await?)
}

fn must_be_active(account: &Account) -> Result<(), Fault> {
    let (why, detail) = match account.state {
        AccountState::Active if account.is_closing() => {
            (Why::InvalidState, "The owner's account is being closed; it gets no wallets any more.")
        }
        AccountState::Active => return Ok(()),
        AccountState::Pending => (Why::AccountPending, "The owner's account waits for approval: approve it first."),
        AccountState::Blocked => (Why::AccountBlocked, "The owner's account is blocked: unblock it first."),
        AccountState::Closed => (Why::AccountClosed, "The owner's account is closed; it gets no wallets any more."),
    };
    Err(Fault::no(why, detail))
}
