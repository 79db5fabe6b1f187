//! The steps of a move between a bank and a wallet, and the job that takes them. Each may be taken again after a crash at any
//! place in it: the ledger and the bank know their ids, and the row moves on by conditional statements.

use std::sync::Arc;

use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{BankAccount, find};
use crate::engine::{Failure, Outcome};
use crate::gateways::bank::{Bank, BankError, Order, Standing, Way};
use crate::ledger::{Amount, Currency, Kind as WalletKind, Limits, Opening, OwnerId, Reject};
use crate::ledger::{Transfer, TransferId, TransferKind, WalletId};
use crate::services::clock::{MINUTE, SECOND};
use crate::services::fault::Fault;
use crate::services::{Services, crash, id_of_hash, money_requests};
use crate::store::StoreError;
use crate::store::bank_moves::{self, BankMove, Kind, Left, State, Step};

/// Moves that are worked on at the same time; a slow bank holds up only so many.
const AT_ONCE_MAX: usize = 16;
const DUE_ROWS_MAX: i64 = 500;
/// Waits double from the first to the last of these, and are drawn between half and all of it.
const WAIT_MIN: i64 = SECOND;
const WAIT_MAX: i64 = 5 * MINUTE;

/// Takes every step that is due, until there is none.
pub async fn run(services: Arc<Services>) -> Result<(), Fault> {
    let Some(bank) = services.settings.bank.clone() else { return Ok(()) };
    let mut c = services.store.read().await?;
    let mut due = bank_moves::due(&mut c, services.now(), DUE_ROWS_MAX).await?.into_iter();
    drop(c);
    let mut working = JoinSet::new();
    let mut first_fault = None;
    let (mut silent, mut last_error) = (0u64, None);
    loop {
        while working.len() < AT_ONCE_MAX
            && let Some(id) = due.next()
        {
            let (services, bank) = (Arc::clone(&services), Arc::clone(&bank));
            working.spawn(async move { drive(&services, &*bank, id).await });
        }
        match working.join_next().await {
            None => break,
            Some(Ok(Ok(None))) => {}
            Some(Ok(Ok(Some(error)))) => {
                silent += 1;
                last_error = Some(error);
            }
            Some(Ok(Err(fault))) => first_fault = first_fault.or(Some(fault)),
            Some(Err(broken)) => std::panic::resume_unwind(broken.into_panic()),
        }
    }
    if let Some(error) = last_error {
        metrics::counter!("florin_bank_errors_total").increment(silent);
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        tracing::warn!(orders = silent, %error, cause, "the bank does not say how orders stand; they are asked for again");
    }
    first_fault.map_or(Ok(()), Err)
}

/// The wallet through which money of a currency comes from the bank and goes to it; the opposite of its balance is what the
/// bank has of ours.
pub fn settlement_wallet(currency: Currency) -> WalletId {
    wallet_id("florin bank settlement\0", currency)
}

/// Where money waits that has left a wallet and is not yet known to have reached the bank account. Never below zero.
pub fn transit_wallet(currency: Currency) -> WalletId {
    wallet_id("florin withdrawals in transit\0", currency)
}

pub(super) fn bank_account(services: &Services, row: &BankMove) -> Result<BankAccount, Fault> {
    let number = services.seal.open("bank_moves.bank_account", &row.bank_account_sealed)?;
    Ok(BankAccount(SecretString::from(number)))
}

/// Takes the money of a withdrawal out of the wallet; if the ledger refuses, that is the end of it.
pub(super) async fn take(services: &Services, row: &BankMove) -> Result<(), Fault> {
    let transit = open(services, row, transit_wallet, Some(0)).await?;
    let wallet = WalletId(row.wallet.as_u128());
    let shown = bank_account(services, row)?.shown();
    let reference = format!("Withdrawal to {shown}");
    let transfer = transfer(row, TransferKind::Withdrawal, (wallet, transit), reference)?;
    let outcome = services.engine.transfer(transfer).await;
    crash::point("withdrawal.after_take");
    let now = services.now();
    let mut tx = services.store.begin().await?;
    match outcome {
        Outcome::Accepted(_) => {
            let left = Left { taken_at: Some(now), ..Left::default() };
            bank_moves::step(&mut tx, row.id, (Step::Take, Step::Ask), left, now).await?;
        }
        Outcome::Refused(refusal) => {
            let left = Left { failure: Some(refusal.reject.code()), ..Left::default() };
            bank_moves::end(&mut tx, row.id, Step::Take, State::Failed, left, now).await?;
        }
        Outcome::Failed(failure) => return Err(Fault::Failed(failure)),
    }
    Ok(tx.commit().await?)
}

/// Goes on until the end, or until there is something to wait for; gives what the bank failed with, if it did.
async fn drive(services: &Services, bank: &dyn Bank, id: Uuid) -> Result<Option<BankError>, Fault> {
    loop {
        let Some(row) = find(services, id).await? else { return Ok(None) };
        if row.next_attempt_at.is_none_or(|at| at > services.now()) {
            return Ok(None);
        }
        let done = match row.step {
            Step::Over => return Ok(None),
            Step::Take => take(services, &row).await.map(|()| None),
            Step::Ask => ask(services, bank, &row).await,
            Step::Book | Step::Settle | Step::GiveBack => book(services, &row).await.map(|()| None),
        };
        match done {
            Ok(None) => {}
            Ok(Some(error)) => {
                later(services, &row).await?;
                return Ok(Some(error));
            }
            Err(fault) => {
                // A ledger that is read-only, a database that does not answer: the same step again, later.
                later(services, &row).await?;
                return Err(fault);
            }
        }
    }
}

/// Asks the bank for the order, or how it stands.
async fn ask(services: &Services, bank: &dyn Bank, row: &BankMove) -> Result<Option<BankError>, Fault> {
    let is_top_up = row.kind == Kind::TopUp;
    let order = Order {
        id: row.id,
        way: if is_top_up { Way::Collect } else { Way::PayOut },
        amount: amount(row)?,
        currency: money_requests::currency(&row.currency)?,
        bank_account: bank_account(services, row)?.0,
        reference: row.id.to_string(),
    };
    let known = if row.attempts == 0 { Ok(None) } else { bank.status(&order).await };
    let standing = match known {
        Ok(Some(standing)) => Ok(standing),
        // What the bank has never heard of it is asked for, under the same id as ever.
        Ok(None) => bank.carry_out(&order).await,
        Err(error) => Err(error),
    };
    crash::point(if is_top_up { "top_up.after_ask" } else { "withdrawal.after_ask" });
    let now = services.now();
    let mut tx = services.store.begin().await?;
    match standing {
        Err(error) => return Ok(Some(error)),
        Ok(Standing::Pending) => {
            bank_moves::later(&mut tx, row.id, Step::Ask, now + wait(row.attempts)).await?;
        }
        Ok(Standing::Settled { reference }) => {
            let next = if is_top_up { Step::Book } else { Step::Settle };
            let left = Left { bank_reference: Some(&reference), bank_ended_at: Some(now), ..Left::default() };
            bank_moves::step(&mut tx, row.id, (Step::Ask, next), left, now).await?;
        }
        Ok(Standing::Failed { reason }) => {
            let left = Left { failure: Some(&reason), bank_ended_at: Some(now), ..Left::default() };
            if is_top_up {
                bank_moves::end(&mut tx, row.id, Step::Ask, State::Failed, left, now).await?;
            } else {
                bank_moves::step(&mut tx, row.id, (Step::Ask, Step::GiveBack), left, now).await?;
            }
        }
    }
    tx.commit().await?;
    crash::point(if is_top_up { "top_up.after_answer" } else { "withdrawal.after_answer" });
    Ok(None)
}

/// Brings into the ledger what the bank has said.
async fn book(services: &Services, row: &BankMove) -> Result<(), Fault> {
    let wallet = WalletId(row.wallet.as_u128());
    let shown = bank_account(services, row)?.shown();
    let (kind, ways, reference, end) = match row.step {
        Step::Book => {
            let settlement = open(services, row, settlement_wallet, None).await?;
            (TransferKind::Deposit, (settlement, wallet), format!("Top-up from {shown}"), State::Completed)
        }
        Step::GiveBack => {
            let transit = open(services, row, transit_wallet, Some(0)).await?;
            (TransferKind::Deposit, (transit, wallet), format!("Withdrawal to {shown} came back"), State::Failed)
        }
        _ => {
            let transit = open(services, row, transit_wallet, Some(0)).await?;
            let settlement = open(services, row, settlement_wallet, None).await?;
            (TransferKind::Transfer, (transit, settlement), format!("Withdrawal to {shown}"), State::Completed)
        }
    };
    let transfer = transfer(row, kind, ways, reference)?;
    let outcome = services.engine.transfer(transfer).await;
    crash::point(match row.step {
        Step::Book => "top_up.after_book",
        Step::GiveBack => "withdrawal.after_give_back",
        _ => "withdrawal.after_settle",
    });
    let now = services.now();
    let mut tx = services.store.begin().await?;
    match outcome {
        Outcome::Accepted(_) => bank_moves::end(&mut tx, row.id, row.step, end, Left::default(), now).await?,
        // A wallet that is frozen, most likely: the money waits for it, and the next try has an id of its own.
        Outcome::Refused(refusal) => {
            let reject = refusal.reject.code();
            tracing::warn!(bank_move = %row.id, reject, "money that a bank has moved waits for its wallet");
            bank_moves::refused(&mut tx, row.id, row.step, row.refusals, now + wait(row.refusals + 5)).await?;
        }
        Outcome::Failed(failure) => return Err(Fault::Failed(failure)),
    }
    Ok(tx.commit().await?)
}

async fn later(services: &Services, row: &BankMove) -> Result<(), Fault> {
    let mut tx = services.store.begin().await?;
    bank_moves::later(&mut tx, row.id, row.step, services.now() + wait(row.attempts)).await?;
    Ok(tx.commit().await?)
}

fn wait(attempts: i64) -> i64 {
    let doublings = u32::try_from(attempts.clamp(0, 20)).unwrap_or(20);
    let longest = (WAIT_MIN << doublings).min(WAIT_MAX);
    rand::random_range(longest / 2..=longest)
}

/// The transfer of the row's step, under the same id each time but after a refusal.
fn transfer(
    row: &BankMove,
    kind: TransferKind,
    (from, to): (WalletId, WalletId),
    reference: String,
) -> Result<Transfer, Fault> {
    let mut hash = Sha256::new();
    hash.update(b"florin bank move\0");
    hash.update(row.id.as_bytes());
    hash.update(row.step.name().as_bytes());
    hash.update(row.refusals.to_le_bytes());
    let id = TransferId(id_of_hash(hash));
    let currency = money_requests::currency(&row.currency)?;
    let transfer = Transfer::between(id, kind, currency, from, to, amount(row)?, Some(reference.into()));
    transfer.map_err(super::refused)
}

fn amount(row: &BankMove) -> Result<Amount, Fault> {
    Ok(Amount::new(row.amount).ok_or_else(|| StoreError::content("a move of nothing"))?)
}

/// One of the two system wallets, opened if it is not there yet.
async fn open(
    services: &Services,
    row: &BankMove,
    which: fn(Currency) -> WalletId,
    overdraft_limit: Option<i64>,
) -> Result<WalletId, Fault> {
    let currency = money_requests::currency(&row.currency)?;
    let wallet = which(currency);
    while services.engine.wallet(wallet).await?.is_none() {
        let opening = Opening {
            wallet,
            owner: OwnerId(wallet.0),
            currency,
            kind: WalletKind::System,
            may_send: true,
            may_receive: true,
            limits: Limits { overdraft_limit, balance_ceiling: None },
        };
        match services.engine.open_wallet(opening).await {
            Outcome::Accepted(_) | Outcome::Failed(Failure::InProgress) => {}
            // Opened with other details: there is one then.
            Outcome::Refused(refusal) if refusal.reject == Reject::WalletExists => {}
            Outcome::Refused(refusal) => return Err(Fault::Refused(refusal)),
            Outcome::Failed(failure) => return Err(Fault::Failed(failure)),
        }
    }
    Ok(wallet)
}

fn wallet_id(purpose: &str, currency: Currency) -> WalletId {
    let mut hash = Sha256::new();
    hash.update(purpose);
    hash.update(currency.code());
    WalletId(id_of_hash(hash))
}
