//! What staff and the operator do to the ledger itself: the audit log says who asks for what before the ledger is asked, so that
//! nothing is done that is not written down. What became of it is the ledger's own record.
//! Acts on rows are not in here: those are written down in the transaction that does them.

use serde_json::Value;
use uuid::Uuid;

use super::fault::{Fault, Why};
use super::{Principal, Services, audit};
use crate::engine::Outcome;
use crate::ledger::{Opening, WalletId};
use crate::store::{Account, AccountState, accounts};

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
    let Intention { action, object, detail } = intention;
    let mut tx = services.store.begin().await?;
    audit::record(services, &mut tx, &principal.actor(), action, &object, &detail).await?;
    Ok(tx.commit().await?)
}

/// Opens a wallet by the operator's key. It is the account's, if the owner is one: then the account must be active, since a
/// wallet that opens later than its account was blocked would be free to pay.
///
/// The opening is a record of the ledger, as deposits are, and no row of the audit log: wallets are opened by the million.
pub async fn open_wallet(services: &Services, opening: Opening) -> Result<Outcome, Fault> {
    let owner = Uuid::from_u128(opening.owner.0);
    let is_new = services.engine.wallet(opening.wallet).await?.is_none();
    // A ledger that takes nothing says so itself, whatever has become of the database on the same disk.
    let is_read_only = services.engine.health().read_only.is_some();
    if !is_new || is_read_only || account(services, owner).await?.is_none() {
        return Ok(services.engine.open_wallet(opening).await);
    }
    // Whoever blocks or closes the account looks for its wallets when it is his turn, and so finds this one.
    let _turn = services.turns.of(owner).await;
    if let Some(account) = account(services, owner).await? {
        must_be_active(&account)?;
    }
    Ok(services.engine.open_wallet(opening).await)
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
