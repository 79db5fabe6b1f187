//! Accounts: opening one opens its wallet in the same act. The row comes first and names the wallet; what a crash leaves
//! undone, a sweep finishes, and doing it twice is doing it once.

use std::time::Duration;

use uuid::Uuid;

use super::fault::{Fault, Why};
use super::{Services, new_id};
use crate::engine::Outcome;
use crate::ledger::{Kind, Limits, Opening, OwnerId, Status, WalletId};
use crate::store::accounts::Address;
use crate::store::{Account, AccountState, AddressKind, Role, StoreError, accounts};

pub const LOCALES: [&str; 2] = ["en", "hi"];
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
        name_sealed: services.seal.seal("accounts.name", &new.name),
        locale: new.locale.clone(),
        currency: services.settings.currency.code().to_owned(),
        wallet: new_id(),
        wallet_opened_at: None,
        promotion: None,
        promotion_paid_at: None,
        created_at: now,
        active_from,
        state_changed_at: now,
        wallet_status_wanted: is_pending.then(|| Status::Frozen.name().to_owned()),
    };
    let mut tx = services.store.begin().await?;
    accounts::insert(&mut tx, &account).await?;
    for (kind, address) in &new.addresses {
        let row = Address {
            kind: *kind,
            address_digest: address_digest(services, *kind, address),
            address_sealed: services.seal.seal("addresses.address", address),
            account: account.id,
            verified_at: now,
        };
        accounts::insert_address(&mut tx, &row).await.map_err(|error| taken(error, *kind))?;
    }
    tx.commit().await?;
    finish(services, account).await
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

/// An account's addresses, opened.
pub async fn addresses(services: &Services, account: &Account) -> Result<Vec<(AddressKind, String)>, Fault> {
    let mut c = services.store.read().await?;
    let rows = accounts::addresses_of(&mut c, account.id).await?;
    let open = |row: &Address| Ok((row.kind, services.seal.open("addresses.address", &row.address_sealed)?));
    rows.iter().map(open).collect()
}

/// Brings the ledger to what the rows say. Run at the start and now and then.
pub async fn sweep(services: &Services) -> Result<(), Fault> {
    const ROWS_MAX: i64 = 500;
    loop {
        let mut c = services.store.read().await?;
        let unfinished = accounts::unfinished(&mut c, ROWS_MAX).await?;
        drop(c);
        let is_last = i64::try_from(unfinished.len()).unwrap_or(i64::MAX) < ROWS_MAX;
        for account in unfinished {
            finish(services, account).await?;
        }
        if is_last {
            return Ok(());
        }
    }
}

/// Opens the wallet that the row names, and gives it the status that the row wants.
async fn finish(services: &Services, mut account: Account) -> Result<Account, Fault> {
    let wallet = WalletId(account.wallet.as_u128());
    if account.wallet_opened_at.is_none() {
        let kind = if account.role == Role::Merchant { Kind::Merchant } else { Kind::Personal };
        let opening = Opening {
            wallet,
            owner: OwnerId(account.id.as_u128()),
            currency: services.settings.currency,
            kind,
            may_send: true,
            may_receive: true,
            limits: Limits::PLAIN,
        };
        accepted(services.engine.open_wallet(opening).await)?;
        let now = services.now();
        let mut tx = services.store.begin().await?;
        accounts::wallet_opened(&mut tx, account.id, now).await?;
        tx.commit().await?;
        account.wallet_opened_at = Some(now);
    }
    Ok(account)
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
        Fault::no(Why::KeyReused, format!("This {} belongs to an account already.", kind.name()))
    } else {
        Fault::Store(error)
    }
}
