//! Requests for money: one person asks another, who pays, declines, or lets it expire. A request is paid once: its row says
//! under which key it is being paid before the ledger is asked, and the transfer's id is made from both.

use serde_json::json;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::clock::{DAY, SECOND};
use super::fault::{Fault, Why};
use super::notices::{self, Notice, To};
use super::payees::{self, PayeeAddress};
use super::payments::{Paid, refused};
use super::{Principal, Services, accounts, crash, new_id, step_up};
use crate::engine::{Failure, Outcome};
use crate::ledger::money::format_minor;
use crate::ledger::{Amount, Currency, Reject, Transfer, TransferId, TransferKind, WalletId};
use crate::store::money_requests::{self, Direction, MoneyRequest, State};
use crate::store::{Account, StoreError};

/// Open ones of one person to another, and of one person to all: whoever is asked is not to be flooded.
pub const OPEN_TO_ONE_MAX: i64 = 20;
pub const OPEN_MAX: i64 = 200;
pub const EXPIRES_IN_DAYS_DEFAULT: u64 = 14;
pub const EXPIRES_IN_DAYS_MAX: u64 = 90;

/// After this time nobody is at work on a request that is being paid: a crash came between.
const LEFT_AFTER: i64 = 30 * SECOND;

#[derive(Debug)]
pub struct NewRequest {
    /// Made from the request's Idempotency-Key, if it has one.
    pub id: Option<Uuid>,
    pub from: PayeeAddress,
    pub amount: Amount,
    pub currency: Currency,
    pub note: Option<Box<str>>,
    pub expires_in_days: u64,
}

/// A request as one of the two sees it.
#[derive(Debug)]
pub struct Seen {
    pub row: MoneyRequest,
    pub currency: Currency,
    /// Of the other one.
    pub name: String,
    pub note: Option<String>,
    pub direction: Direction,
    pub replayed: bool,
}

/// Asks somebody for money, and has him told.
pub async fn ask(services: &Services, principal: &Principal, new: NewRequest) -> Result<Seen, Fault> {
    let requester = accounts::by_id(services, principal.account).await?;
    payees::must_be_active(&requester)?;
    if requester.currency != new.currency.code() {
        return Err(refused(Reject::CurrencyMismatch));
    }
    let payer = payees::resolve(services, &new.from).await?.account;
    payees::must_be_payable(&payer)?;
    if payer.id == requester.id {
        return Err(refused(Reject::SameWallet));
    }
    let now = services.now();
    let days = i64::try_from(new.expires_in_days).unwrap_or(0);
    let note = new.note.as_deref();
    let row = MoneyRequest {
        id: new.id.unwrap_or_else(new_id),
        requester: requester.id,
        payer: payer.id,
        amount: new.amount.minor(),
        currency: new.currency.code().to_owned(),
        note_sealed: note.map(|note| services.seal.seal("money_requests.note", note)),
        state: State::Open,
        paying_key: None,
        created_at: now,
        expires_at: now + days * DAY,
        changed_at: now,
    };
    let mut tx = services.store.begin().await?;
    if money_requests::insert(&mut tx, &row).await? {
        let known = money_requests::by_id(&mut tx, row.id).await?;
        let known = known.filter(|known| {
            known.requester == row.requester
                && known.payer == row.payer
                && (known.amount, &known.currency) == (row.amount, &row.currency)
                && known.expires_at - known.created_at == row.expires_at - row.created_at
        });
        let known = known.ok_or_else(key_reused)?;
        let seen = seen(services, known, &payer, Direction::Out)?;
        if seen.note.as_deref() != note {
            return Err(key_reused());
        }
        return Ok(Seen { replayed: true, ..seen });
    }
    let (to_one, to_all) = money_requests::count_open(&mut tx, requester.id, payer.id, now).await?;
    if to_one > OPEN_TO_ONE_MAX || to_all > OPEN_MAX {
        let detail = format!(
            "At most {OPEN_TO_ONE_MAX} requests to one person and {OPEN_MAX} in all may be open; cancel some, or wait."
        );
        return Err(Fault::no(Why::TooManyRequestsOpen, detail));
    }
    let notice = Notice {
        id: row.id,
        to: To::Account(payer.id),
        locale: payer.locale.clone(),
        kind: notices::Kind::MoneyRequested,
        params: json!({
            "amount": { "amount": format_minor(row.amount, new.currency), "currency": row.currency },
            "counterparty": payees::shown_name(services, &requester)?,
            "reference": note,
        }),
        expires_at: Some(row.expires_at),
    };
    notices::enqueue(services, &mut tx, &notice).await?;
    tx.commit().await?;
    crash::point("request.after_row");
    seen(services, row, &payer, Direction::Out)
}

/// One of the caller's, whichever side he is on.
pub async fn show(services: &Services, principal: &Principal, id: Uuid) -> Result<Seen, Fault> {
    let mut c = services.store.read().await?;
    let row = money_requests::by_id(&mut c, id).await?;
    drop(c);
    let me = principal.account;
    let row = row.filter(|row| row.requester == me || row.payer == me).ok_or_else(not_found)?;
    look(services, me, row).await
}

pub async fn list(
    services: &Services,
    principal: &Principal,
    direction: Direction,
    before: (i64, Uuid),
    limit: usize,
) -> Result<Vec<Seen>, Fault> {
    let mut c = services.store.read().await?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = money_requests::page(&mut c, principal.account, direction, before, limit).await?;
    drop(c);
    let mut all = Vec::with_capacity(rows.len());
    for row in rows {
        all.push(look(services, principal.account, row).await?);
    }
    Ok(all)
}

/// Pays it out of the caller's own wallet.
pub async fn pay(
    services: &Services,
    principal: &Principal,
    id: Uuid,
    key: Uuid,
    confirmation: Option<&str>,
) -> Result<Paid, Fault> {
    let mut c = services.store.read().await?;
    let row = money_requests::by_id(&mut c, id).await?.filter(|row| row.payer == principal.account);
    drop(c);
    let row = row.ok_or_else(not_found)?;
    let (payer, payee) = parties(services, &row).await?;
    let transfer = transfer_of(services, &row, key, (&payer, &payee))?;
    let payee_name = payees::shown_name(services, &payee)?;
    if row.state == State::Paid && row.paying_key == Some(key) {
        let receipt = accounts::accepted(services.engine.transfer(transfer.clone()).await)?;
        return Ok(Paid { transfer, receipt, payee_name });
    }
    payees::must_be_active(&payer)?;
    payees::must_be_payable(&payee)?;
    let (amount, currency) = (amount_of(&row)?, transfer.currency());
    let wallet = WalletId(payee.wallet.as_u128());
    step_up::require(services, principal, confirmation, amount, currency, wallet, transfer.id().0).await?;
    let mut tx = services.store.begin().await?;
    if !money_requests::begin_paying(&mut tx, id, key, services.now()).await? {
        let now = money_requests::by_id(&mut tx, id).await?.ok_or_else(not_found)?;
        return Err(if now.state == State::Paying { Fault::Failed(Failure::InProgress) } else { over(services, &now) });
    }
    tx.commit().await?;
    crash::point("request.before_transfer");
    let receipt = finish(services, &row, key, transfer.clone()).await?;
    Ok(Paid { transfer, receipt, payee_name })
}

/// The payer declines, or the requester cancels.
pub async fn close(services: &Services, principal: &Principal, id: Uuid, to: State) -> Result<Seen, Fault> {
    let seen = show(services, principal, id).await?;
    let wanted = if to == State::Declined { Direction::In } else { Direction::Out };
    if seen.direction != wanted {
        return Err(not_found());
    }
    let mut tx = services.store.begin().await?;
    let is_done = money_requests::close(&mut tx, id, to, services.now()).await?;
    let row = money_requests::by_id(&mut tx, id).await?.ok_or_else(not_found)?;
    tx.commit().await?;
    match row.state {
        state if state == to => Ok(Seen { row, replayed: !is_done, ..seen }),
        State::Paying => Err(Fault::Failed(Failure::InProgress)),
        _ => Err(over(services, &row)),
    }
}

/// Finishes what a crash left, and ends what nobody has paid in time.
pub async fn sweep(services: &Services) -> Result<(), Fault> {
    const ROWS_MAX: i64 = 500;
    let now = services.now();
    let mut tx = services.store.begin().await?;
    money_requests::expire(&mut tx, now).await?;
    tx.commit().await?;
    let mut c = services.store.read().await?;
    let left = money_requests::left_paying(&mut c, now - LEFT_AFTER, ROWS_MAX).await?;
    drop(c);
    for row in left {
        let Some(key) = row.paying_key else { continue };
        let (payer, payee) = parties(services, &row).await?;
        let transfer = transfer_of(services, &row, key, (&payer, &payee))?;
        // The payer has asked for it; if it was made already, this is its answer.
        match finish(services, &row, key, transfer).await {
            Ok(_) | Err(Fault::Refused(_)) => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(())
}

/// Asks the ledger, and writes down what it said.
async fn finish(
    services: &Services,
    row: &MoneyRequest,
    key: Uuid,
    transfer: Transfer,
) -> Result<crate::engine::Receipt, Fault> {
    let outcome = services.engine.transfer(transfer).await;
    crash::point("request.after_transfer");
    let is_paid = match &outcome {
        Outcome::Accepted(_) => true,
        Outcome::Refused(_) => false,
        Outcome::Failed(_) => return accounts::accepted(outcome),
    };
    let mut tx = services.store.begin().await?;
    money_requests::end_paying(&mut tx, row.id, key, is_paid, services.now()).await?;
    tx.commit().await?;
    accounts::accepted(outcome)
}

async fn parties(services: &Services, row: &MoneyRequest) -> Result<(Account, Account), Fault> {
    Ok((accounts::by_id(services, row.payer).await?, accounts::by_id(services, row.requester).await?))
}

fn transfer_of(
    services: &Services,
    row: &MoneyRequest,
    key: Uuid,
    (payer, payee): (&Account, &Account),
) -> Result<Transfer, Fault> {
    let (from, to) = (WalletId(payer.wallet.as_u128()), WalletId(payee.wallet.as_u128()));
    let note = note_of(services, row)?.map(String::into_boxed_str);
    let currency = currency(&row.currency)?;
    let id = TransferId(transfer_id(row.id, key));
    Transfer::between(id, TransferKind::Transfer, currency, from, to, amount_of(row)?, note).map_err(refused)
}

/// Another key is another try: what the ledger refused once under an id, it refuses for ever.
fn transfer_id(request: Uuid, key: Uuid) -> u128 {
    let mut hash = Sha256::new();
    hash.update(b"florin money request\0");
    hash.update(request.as_bytes());
    hash.update(key.as_bytes());
    super::id_of_hash(hash)
}

async fn look(services: &Services, me: Uuid, row: MoneyRequest) -> Result<Seen, Fault> {
    let (direction, other) = if row.payer == me { (Direction::In, row.requester) } else { (Direction::Out, row.payer) };
    let other = accounts::by_id(services, other).await?;
    seen(services, row, &other, direction)
}

fn seen(services: &Services, mut row: MoneyRequest, other: &Account, direction: Direction) -> Result<Seen, Fault> {
    if row.state == State::Open && row.expires_at <= services.now() {
        row.state = State::Expired;
    }
    let note = note_of(services, &row)?;
    let (name, currency) = (payees::shown_name(services, other)?, currency(&row.currency)?);
    Ok(Seen { row, currency, name, note, direction, replayed: false })
}

fn note_of(services: &Services, row: &MoneyRequest) -> Result<Option<String>, Fault> {
    let open = |sealed: &String| services.seal.open("money_requests.note", sealed);
    Ok(row.note_sealed.as_ref().map(open).transpose()?)
}

fn amount_of(row: &MoneyRequest) -> Result<Amount, Fault> {
    Ok(Amount::new(row.amount).ok_or_else(|| StoreError::content("a request for nothing"))?)
}

/// A currency as the database keeps it.
pub(super) fn currency(code: &str) -> Result<Currency, Fault> {
    Ok(Currency::by_code(code).ok_or_else(|| StoreError::content(format!("{code:?} as a currency")))?)
}

fn over(services: &Services, row: &MoneyRequest) -> Fault {
    let is_late = row.state == State::Open && row.expires_at <= services.now();
    let state = if is_late { State::Expired } else { row.state };
    Fault::no(Why::InvalidState, format!("The request is {} already.", state.name()))
}

fn not_found() -> Fault {
    Fault::no(Why::NotFound, "There is no request for money with this id that you have this part in.")
}

fn key_reused() -> Fault {
    Fault::no(Why::KeyReused, "This key, or id, was used for a request with other content.")
}
