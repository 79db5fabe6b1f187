//! The states of an account, and what follows from them: whether its wallets move money, its sessions go on, its API keys are
//! good. What is to become of the wallets is written first, and then done; a sweep finishes it after a crash.

use serde_json::json;
use uuid::Uuid;

use super::accounts::{self, accepted};
use super::fault::{Fault, Why};
use super::notices::{self, Notice, To};
use super::{Principal, Services, api_keys, audit, crash, new_id, sessions};
use crate::engine::{Refusal, WalletView};
use crate::ledger::{OwnerId, Reject, Status, WalletId};
use crate::store::standing::Change;
use crate::store::{self, Account, AccountState, AddressKind, Role, bank_moves, standing};

pub const REASON_CHARACTERS_MAX: usize = 500;

/// What is done to an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    /// By somebody, or when the waiting period is over.
    Approve,
    Block,
    Unblock,
    Close,
}

/// From which state which act leads where. Nothing else is possible; docs/people.md prints it.
pub const TABLE: &[(AccountState, Act, AccountState)] = &[
    (AccountState::Pending, Act::Approve, AccountState::Active),
    (AccountState::Pending, Act::Block, AccountState::Blocked),
    (AccountState::Pending, Act::Close, AccountState::Closed),
    (AccountState::Active, Act::Block, AccountState::Blocked),
    (AccountState::Active, Act::Close, AccountState::Closed),
    (AccountState::Blocked, Act::Unblock, AccountState::Active),
    (AccountState::Blocked, Act::Close, AccountState::Closed),
];

const WALLETS_AT_ONCE: usize = 200;

impl Act {
    pub const ALL: &[Act] = &[Act::Approve, Act::Block, Act::Unblock, Act::Close];

    pub fn name(self) -> &'static str {
        match self {
            Act::Approve => "approve",
            Act::Block => "block",
            Act::Unblock => "unblock",
            Act::Close => "close",
        }
    }

    pub fn leads(self, from: AccountState) -> Option<AccountState> {
        TABLE.iter().find(|(state, act, _)| *state == from && *act == self).map(|(_, _, to)| *to)
    }

    /// As the notice to the account's owner says it.
    fn told(self) -> &'static str {
        match self {
            Act::Approve => "approved",
            Act::Block => "blocked",
            Act::Unblock => "unblocked",
            Act::Close => "closed",
        }
    }
}

/// Approves, blocks, unblocks or closes an account.
pub async fn act(
    services: &Services,
    principal: &Principal,
    id: Uuid,
    act: Act,
    reason: Option<&str>,
) -> Result<Account, Fault> {
    let is_own = principal.account == id;
    if is_own && act != Act::Close {
        return Err(Fault::no(Why::SecondPersonRequired, "Nobody does this to his own account."));
    }
    if act == Act::Close {
        must_be_empty(services, id).await?;
    }
    write(services, &principal.actor(), id, act, reason, is_own).await?;
    crash::point("account.after_state");
    // In this order: a key must be good for nothing before anybody hears that the account is blocked.
    api_keys::reload(services, id).await?;
    let account = accounts::finish(services, id).await?;
    if act == Act::Close && account.state != AccountState::Closed {
        return Err(not_empty());
    }
    Ok(account)
}

/// Makes another of an account, by somebody else. Who had the old role has to sign in again, since tokens name it.
pub async fn set_role(services: &Services, principal: &Principal, id: Uuid, role: Role) -> Result<Account, Fault> {
    if principal.account == id {
        return Err(Fault::no(Why::SecondPersonRequired, "Nobody changes his own role."));
    }
    let mut tx = services.store.begin().await?;
    let account = locked(&mut tx, id).await?;
    if account.state == AccountState::Closed {
        return Err(Fault::no(Why::AccountClosed, "The account is closed; it has no role any more."));
    }
    if account.role != role {
        standing::set_role(&mut tx, id, role).await?;
        sessions::end_all(services, &mut tx, id, None, "role changed").await?;
        tell(services, &mut tx, &account, "role").await?;
        let detail = json!({ "from": account.role.name(), "to": role.name() });
        audit::record(services, &mut tx, &principal.actor(), "account.role", &object(id), &detail).await?;
    }
    tx.commit().await?;
    crash::point("account.after_role");
    api_keys::reload(services, id).await?;
    accounts::by_id(services, id).await
}

/// Lets in whose waiting is over.
pub(super) async fn activate_due(services: &Services) -> Result<(), Fault> {
    const ROWS_MAX: i64 = 500;
    let mut c = services.store.read().await?;
    let due = standing::due(&mut c, services.now(), ROWS_MAX).await?;
    drop(c);
    for id in due {
        match write(services, audit::SERVER, id, Act::Approve, None, false).await {
            // Somebody was quicker.
            Err(fault) if fault.why() == Some(Why::InvalidState) => {}
            other => other?,
        }
    }
    Ok(())
}

/// Brings the wallets to what the row wants. Called when it is the account's turn.
pub(super) async fn settle(services: &Services, account: &Account) -> Result<(), Fault> {
    match account.wallet_status_wanted.as_deref() {
        None => return Ok(()),
        Some("frozen") => freeze(services, account).await?,
        Some("active") => thaw(services, account).await?,
        Some("closed") => return close(services, account).await,
        Some(other) => {
            return Err(Fault::Broken { what: format!("account {} wants its wallets {other}", account.id) });
        }
    }
    crash::point("account.after_wallet_status");
    let mut tx = services.store.begin().await?;
    if account.wallet_status_wanted.as_deref() == Some("active") {
        standing::forget_frozen(&mut tx, account.id).await?;
    }
    standing::wallets_done(&mut tx, account).await?;
    Ok(tx.commit().await?)
}

pub(super) fn object(id: Uuid) -> String {
    format!("account {id}")
}

pub(super) async fn locked(c: &mut sqlx::AnyConnection, id: Uuid) -> Result<Account, Fault> {
    let account = store::accounts::lock(c, id).await?;
    account.ok_or_else(|| Fault::no(Why::AccountNotFound, "There is no account with this id."))
}

/// Whoever is closed changes nothing any more. The blocked have no session.
pub(super) fn must_be_open(account: &Account) -> Result<(), Fault> {
    match account.state {
        AccountState::Pending | AccountState::Active => Ok(()),
        AccountState::Blocked => Err(Fault::no(Why::AccountBlocked, "The account is blocked.")),
        AccountState::Closed => Err(Fault::no(Why::AccountClosed, "The account is closed.")),
    }
}

/// One transaction: the state, what the wallets have to become, the end of sessions, who is told, who did it.
async fn write(
    services: &Services,
    actor: &str,
    id: Uuid,
    act: Act,
    reason: Option<&str>,
    is_own: bool,
) -> Result<(), Fault> {
    let now = services.now();
    let mut tx = services.store.begin().await?;
    let account = locked(&mut tx, id).await?;
    let state = account.state.name();
    let impossible = || Fault::no(Why::InvalidState, format!("An account that is {state} cannot be {}.", act.told()));
    let to = act.leads(account.state).ok_or_else(impossible)?;
    let from = account.state;
    // None begins after this, since it would wait for the account and then find it closing.
    if act == Act::Close && bank_moves::any_pending(&mut tx, id).await? {
        return Err(Fault::no(
            Why::InvalidState,
            "A top-up or withdrawal is under way; close the account when it is over.",
        ));
    }
    let done = match act {
        Act::Close => standing::begin_close(&mut tx, id, now).await?,
        Act::Block => standing::change(&mut tx, id, Change { from, to, wallets: "frozen" }, now).await?,
        Act::Approve | Act::Unblock => {
            standing::change(&mut tx, id, Change { from, to, wallets: "active" }, now).await?
        }
    };
    if !done {
        return Err(Fault::no(Why::InvalidState, "The account is being closed."));
    }
    if act == Act::Block {
        sessions::end_all(services, &mut tx, id, None, "account blocked").await?;
    }
    if act != Act::Close {
        tell(services, &mut tx, &account, act.told()).await?;
    }
    let action = format!("account.{}", act.name());
    let detail = json!({ "from": from.name(), "to": to.name(), "reason": reason, "own": is_own });
    audit::record(services, &mut tx, actor, &action, &object(id), &detail).await?;
    Ok(tx.commit().await?)
}

/// Freezes the wallets that nobody has frozen before, and notes which: only these are unfrozen again.
async fn freeze(services: &Services, account: &Account) -> Result<(), Fault> {
    for wallet in wallets(services, account.id).await? {
        if wallet.wallet.status() == Status::Active {
            let id = wallet.wallet.id();
            let mut tx = services.store.begin().await?;
            standing::note_frozen(&mut tx, account.id, Uuid::from_u128(id.0)).await?;
            tx.commit().await?;
            crash::point("account.after_frozen_note");
            accepted(services.engine.set_status(id, Status::Frozen).await)?;
        }
    }
    Ok(())
}

async fn thaw(services: &Services, account: &Account) -> Result<(), Fault> {
    let mut c = services.store.read().await?;
    let frozen = standing::frozen(&mut c, account.id).await?;
    drop(c);
    for wallet in frozen {
        match accepted(services.engine.set_status(WalletId(wallet.as_u128()), Status::Active).await) {
            // Closed by somebody meanwhile.
            Err(fault) if fault.reject() == Some(Reject::WalletClosed) => {}
            other => drop(other?),
        }
    }
    Ok(())
}

/// Frozen first, so that nothing comes in between the look at the balances and the end. Money in one of the wallets calls
/// the whole thing off.
async fn close(services: &Services, account: &Account) -> Result<(), Fault> {
    freeze(services, account).await?;
    let all = wallets(services, account.id).await?;
    if !all.iter().all(is_empty) {
        if account.state == AccountState::Active {
            thaw(services, account).await?;
        }
        let mut tx = services.store.begin().await?;
        if account.state == AccountState::Active {
            standing::forget_frozen(&mut tx, account.id).await?;
        }
        standing::wallets_done(&mut tx, account).await?;
        let detail = json!({ "why": Reject::WalletNotEmpty.code() });
        audit::record(services, &mut tx, audit::SERVER, "account.close_undone", &object(account.id), &detail).await?;
        return Ok(tx.commit().await?);
    }
    crash::point("account.before_wallets_closed");
    for view in all {
        accepted(services.engine.set_status(view.wallet.id(), Status::Closed).await)?;
    }
    crash::point("account.after_wallets_closed");
    let mut tx = services.store.begin().await?;
    tell_addresses(services, &mut tx, account, Act::Close.told()).await?;
    sessions::end_all(services, &mut tx, account.id, None, "account closed").await?;
    api_keys::revoke_all(services, &mut tx, account.id).await?;
    standing::end_close(&mut tx, account.id, services.now()).await?;
    tx.commit().await?;
    api_keys::reload(services, account.id).await
}

async fn must_be_empty(services: &Services, id: Uuid) -> Result<(), Fault> {
    if wallets(services, id).await?.iter().all(is_empty) { Ok(()) } else { Err(not_empty()) }
}

fn is_empty(view: &WalletView) -> bool {
    view.wallet.posted() == 0 && view.wallet.held() == 0
}

fn not_empty() -> Fault {
    Fault::Refused(Refusal { reject: Reject::WalletNotEmpty, replayed: false })
}

/// All wallets of an account that are not closed.
async fn wallets(services: &Services, account: Uuid) -> Result<Vec<WalletView>, Fault> {
    let (mut all, mut after_lsn) = (Vec::new(), 0);
    loop {
        let page = services.engine.wallets_of(OwnerId(account.as_u128()), after_lsn, WALLETS_AT_ONCE).await?;
        let is_last = page.len() < WALLETS_AT_ONCE;
        after_lsn = page.last().map_or(after_lsn, |(lsn, _)| *lsn);
        all.extend(page.into_iter().map(|(_, view)| view).filter(|view| view.wallet.status() != Status::Closed));
        if is_last {
            return Ok(all);
        }
    }
}

async fn tell(services: &Services, c: &mut sqlx::AnyConnection, account: &Account, what: &str) -> Result<(), Fault> {
    notices::enqueue(services, c, &notice(To::Account(account.id), account, what)).await
}

/// The account has none of its addresses any more when this is sent, so the notices name them.
async fn tell_addresses(
    services: &Services,
    c: &mut sqlx::AnyConnection,
    account: &Account,
    what: &str,
) -> Result<(), Fault> {
    for row in store::accounts::addresses_of(c, account.id).await? {
        if row.kind != AddressKind::Handle {
            let address = services.seal.open("addresses.address", &row.address_sealed)?;
            notices::enqueue(services, c, &notice(To::Address { kind: row.kind, address }, account, what)).await?;
        }
    }
    Ok(())
}

fn notice(to: To, account: &Account, what: &str) -> Notice {
    Notice {
        id: new_id(),
        to,
        locale: account.locale.clone(),
        kind: notices::Kind::AccountChanged,
        params: json!({ "what": what }),
        expires_at: None,
    }
}
