//! Accounts: opening one opens its wallet in the same act. The row comes first and names the wallet; what a crash leaves
//! undone, a sweep finishes, and doing it twice is doing it once.

use std::time::Duration;

use sqlx::AnyConnection;
use uuid::Uuid;

use super::fault::{Fault, Why};
use super::{Services, crash, new_id, promotions, standing};
use crate::engine::Outcome;
use crate::ledger::{Currency, Kind, Limits, Opening, OwnerId, Status, WalletId};
use crate::store::accounts::Address;
use crate::store::standing::Filter;
use crate::store::{self, Account, AccountState, AddressKind, Role, StoreError, accounts};

pub const LOCALES: [&str; 2] = ["en", "hi"];
/// The column of names, as they are sealed.
pub(super) const NAME: &str = "accounts.name";
pub const NAME_CHARACTERS_MAX: usize = 100;

/// What a new account waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Approval {
    /// Nothing.
    None,
    /// This time, in which an administrator may look at it.
    After(Duration),
    /// An administrator.
    Manual,
}

/// What somebody opens an account with.
#[derive(Clone, Debug)]
pub struct NewAccount {
    pub role: Role,
    pub name: String,
    pub locale: String,
    /// Verified ones.
    pub addresses: Vec<(AddressKind, String)>,
}

/// Opens an account and its wallet. Whoever repeats it after a crash is told that the address is taken, and can sign in.
pub async fn open(services: &Services, new: &NewAccount) -> Result<Account, Fault> {
    let mut tx = services.store.begin().await?;
    let account = insert(services, &mut tx, new).await?;
    tx.commit().await?;
    finish(services, account.id).await
}

/// Writes the rows of an account, in a transaction of the caller's, who calls [`finish`] after it.
pub(super) async fn insert(services: &Services, c: &mut AnyConnection, new: &NewAccount) -> Result<Account, Fault> {
    let now = services.now();
    let state = match services.settings.approval {
        Approval::None => AccountState::Active,
        Approval::After(_) | Approval::Manual => AccountState::Pending,
    };
    let active_from = match services.settings.approval {
        Approval::After(wait) => Some(now + i64::try_from(wait.as_micros()).unwrap_or(i64::MAX / 2)),
        Approval::None | Approval::Manual => None,
    };
    let is_pending = state == AccountState::Pending;
    let account = Account {
        id: new_id(),
        role: new.role,
        state,
        name_sealed: services.seal.seal(NAME, &new.name),
        locale: new.locale.clone(),
        currency: services.settings.currency.code().to_owned(),
        wallet: new_id(),
        wallet_opened_at: None,
        promotion: promotions::running(services, c).await?.map(|id| id.to_string()),
        promotion_paid_at: None,
        promotion_refused: None,
        created_at: now,
        active_from,
        state_changed_at: now,
        wallet_status_wanted: is_pending.then(|| Status::Frozen.name().to_owned()),
    };
    accounts::insert(c, &account).await?;
    for (kind, address) in &new.addresses {
        insert_address(services, c, account.id, *kind, address).await?;
    }
    Ok(account)
}

pub(super) async fn insert_address(
    services: &Services,
    c: &mut AnyConnection,
    account: Uuid,
    kind: AddressKind,
    address: &str,
) -> Result<(), Fault> {
    let row = Address {
        kind,
        address_digest: address_digest(services, kind, address),
        address_sealed: services.seal.seal("addresses.address", address),
        account,
        verified_at: services.now(),
    };
    accounts::insert_address(c, &row).await.map_err(|error| taken(error, kind))
}

/// By which an address is found. Emails and phones come in their normal form.
pub fn address_digest(services: &Services, kind: AddressKind, address: &str) -> String {
    services.seal.digest(kind.name(), address)
}

pub async fn by_id(services: &Services, id: Uuid) -> Result<Account, Fault> {
    let mut c = services.store.read().await?;
    let account = accounts::by_id(&mut c, id).await?;
    account.ok_or_else(|| Fault::no(Why::AccountNotFound, "There is no account with this id."))
}

pub fn name(services: &Services, account: &Account) -> Result<String, Fault> {
    Ok(services.seal.open(NAME, &account.name_sealed)?)
}

/// Newest first; one row more than asked for, if there is one.
pub async fn list(services: &Services, filter: &Filter, limit: usize) -> Result<Vec<Account>, Fault> {
    let mut c = services.store.read().await?;
    Ok(store::standing::list(&mut c, filter, i64::try_from(limit + 1).unwrap_or(i64::MAX)).await?)
}

/// An account's addresses, opened.
pub async fn addresses(services: &Services, account: &Account) -> Result<Vec<(AddressKind, String)>, Fault> {
    let mut c = services.store.read().await?;
    let rows = accounts::addresses_of(&mut c, account.id).await?;
    let open = |row: &Address| Ok((row.kind, services.seal.open("addresses.address", &row.address_sealed)?));
    rows.iter().map(open).collect()
}

/// Brings the ledger to what the rows say, and lets those in whose waiting is over. Run at the start and now and then. An
/// account that cannot be finished does not keep the others from it.
pub async fn sweep(services: &Services) -> Result<(), Fault> {
    const ROWS_MAX: i64 = 500;
    let mut failed = standing::activate_due(services).await.err();
    let mut after = Uuid::nil();
    loop {
        let mut c = services.store.read().await?;
        let unfinished = accounts::unfinished(&mut c, after, ROWS_MAX).await?;
        drop(c);
        let is_last = i64::try_from(unfinished.len()).unwrap_or(i64::MAX) < ROWS_MAX;
        for id in unfinished {
            if let Err(fault) = finish(services, id).await {
                failed = Some(fault);
            }
            after = id;
        }
        if is_last {
            return failed.map_or(Ok(()), Err);
        }
    }
}

/// Opens the wallet that the row names, gives it the status that the row wants, and pays what the account was promised.
pub(super) async fn finish(services: &Services, id: Uuid) -> Result<Account, Fault> {
    let _turn = services.turns.of(id).await;
    let account = by_id(services, id).await?;
    if account.wallet_opened_at.is_none() {
        open_wallet(services, &account).await?;
        crash::point("account.after_wallet");
    }
    standing::settle(services, &account).await?;
    promotions::pay(services, &account).await?;
    by_id(services, id).await
}

async fn open_wallet(services: &Services, account: &Account) -> Result<(), Fault> {
    let unknown = || StoreError::content(format!("the currency {:?}", account.currency));
    let currency = Currency::by_code(&account.currency).ok_or_else(unknown)?;
    let kind = if account.role == Role::Merchant { Kind::Merchant } else { Kind::Personal };
    let opening = Opening {
        wallet: WalletId(account.wallet.as_u128()),
        owner: OwnerId(account.id.as_u128()),
        currency,
        kind,
        may_send: true,
        may_receive: true,
        limits: Limits::PLAIN,
    };
    accepted(services.engine.open_wallet(opening).await)?;
    crash::point("account.after_opening");
    let mut tx = services.store.begin().await?;
    accounts::wallet_opened(&mut tx, account.id, services.now()).await?;
    Ok(tx.commit().await?)
}

/// Turns what is not acceptance into a fault.
pub(super) fn accepted(outcome: Outcome) -> Result<crate::engine::Receipt, Fault> {
    match outcome {
        Outcome::Accepted(receipt) => Ok(receipt),
        Outcome::Refused(refusal) => Err(Fault::Refused(refusal)),
        Outcome::Failed(failure) => Err(Fault::Failed(failure)),
    }
}

fn taken(error: StoreError, kind: AddressKind) -> Fault {
    if error.is_taken() {
        Fault::no(Why::AddressTaken, format!("This {} belongs to an account, or did.", kind.name()))
    } else {
        Fault::Store(error)
    }
}
