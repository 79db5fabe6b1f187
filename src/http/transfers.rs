//! Transfers, deposits and withdrawals, one at a time.

use super::answer::Answer;
use super::call::Call;
use super::credentials;
use super::problem::{Code, Problem};
use super::wallets::existing;
use super::wire::{FundingParts, FundingRequest, Id, RefusedTransfer, Time, TransferAnswer, TransferRequest, read};
use crate::engine::{Found, Outcome};
use crate::ledger::{Amount, Event, Kind, Transfer, TransferId, TransferKind, WalletId};
use crate::services::step_up;

pub(super) async fn transfer(call: &Call<'_>) -> Result<Answer, Problem> {
    call.expect_json()?;
    let id = TransferId(call.key_id()?);
    let request: TransferRequest<'_> = read(&call.body)?;
    let transfer = request.parts()?.with_id(id)?;
    must_own_payers(call, &transfer).await?;
    must_be_confirmed(call, &transfer).await?;
    send(call, transfer).await
}

/// What a person pays above the threshold is confirmed; of several legs it cannot be, as a confirmation has one payee.
async fn must_be_confirmed(call: &Call<'_>, transfer: &Transfer) -> Result<(), Problem> {
    let (Some(services), Some(amount)) = (call.services, paid(transfer)) else { return Ok(()) };
    if !step_up::is_needed(services, call.principal, amount, transfer.currency()) {
        return Ok(());
    }
    let payees: Vec<WalletId> = transfer.legs().iter().filter(|leg| leg.amount > 0).map(|leg| leg.wallet).collect();
    match payees[..] {
        [payee] => credentials::must_be_confirmed(call, amount, transfer.currency(), payee, transfer.id().0).await,
        _ => {
            let detail = "So much is paid to one payee at a time, with a confirmation of each payment.";
            Err(Problem::new(Code::StepUpRequired, detail))
        }
    }
}

/// What all payers pay together.
pub(super) fn paid(transfer: &Transfer) -> Option<Amount> {
    let minor = transfer.legs().iter().filter(|leg| leg.amount < 0).map(|leg| i128::from(leg.amount)).sum::<i128>();
    Amount::new(i64::try_from(-minor).unwrap_or(i64::MAX))
}

/// A deposit or a withdrawal: a transfer from, or to, a system wallet.
pub(super) async fn fund(call: &Call<'_>, kind: TransferKind) -> Result<Answer, Problem> {
    call.expect_json()?;
    let id = TransferId(call.key_id()?);
    let request: FundingRequest<'_> = read(&call.body)?;
    let FundingParts { wallet, amount, currency, system, reference } = request.parts()?;
    let system = match system {
        Some(system) => system_wallet(call, system).await?,
        None => call.engine.system_wallet(currency).await?,
    };
    let (from, to) = if kind == TransferKind::Deposit { (system, wallet) } else { (wallet, system) };
    send(call, Transfer::between(id, kind, currency, from, to, amount, reference)?).await
}

/// Whoever is bound to his own sends from his own wallets only.
pub(super) async fn must_own_payers(call: &Call<'_>, transfer: &Transfer) -> Result<(), Problem> {
    if call.principal.is_bound_to_own() {
        for payer in payers(transfer) {
            call.must_own(payer).await?;
        }
    }
    Ok(())
}

pub(super) fn payers(transfer: &Transfer) -> impl Iterator<Item = WalletId> {
    transfer.legs().iter().filter(|leg| leg.amount < 0).map(|leg| leg.wallet)
}

/// A transfer is there for whoever owns the wallet of one of its legs.
async fn must_be_party(call: &Call<'_>, wallets: Vec<WalletId>) -> Result<(), Problem> {
    if !call.principal.is_bound_to_own() {
        return Ok(());
    }
    for wallet in wallets {
        if call.principal.owns(call.engine, wallet).await? {
            return Ok(());
        }
    }
    Err(not_found())
}

fn not_found() -> Problem {
    Problem::new(Code::TransferNotFound, "There is no transfer with this id.")
}

pub(super) async fn get(call: &Call<'_>) -> Result<Answer, Problem> {
    let id = call.path_id()?;
    let Found { lsn, time_micros, event } = call.engine.find(id).await?.ok_or_else(not_found)?;
    match event {
        Event::Transferred(transfer) => {
            must_be_party(call, transfer.legs().iter().map(|leg| leg.wallet).collect()).await?;
            Ok(Answer::ok(&TransferAnswer::new(&transfer, time_micros, lsn)))
        }
        Event::HoldCaptured(capture) => {
            must_be_party(call, vec![capture.payer, capture.payee]).await?;
            Ok(Answer::ok(&TransferAnswer::of_capture(&capture, time_micros, lsn)))
        }
        // Whose it was is not known, and nobody but the one who made it has the id.
        Event::Refused { id, reject, .. } => Ok(Answer::ok(&RefusedTransfer {
            id: Id(id.0),
            status: "refused",
            code: Code::from(reject).name(),
            detail: reject.detail(),
            created_at: Time(time_micros),
            lsn,
        })),
        Event::WalletOpened(_)
        | Event::StatusChanged { .. }
        | Event::HoldAuthorized(_)
        | Event::HoldReleased { .. }
        | Event::SpendingLimited { .. } => Err(not_found()),
    }
}

/// A repeat has the content of the first request, so its answer is made of the request and the
/// first one's place in the log, without reading the log.
async fn send(call: &Call<'_>, transfer: Transfer) -> Result<Answer, Problem> {
    let shown = transfer.clone();
    match call.engine.transfer(transfer).await {
        Outcome::Accepted(receipt) => {
            let answer = TransferAnswer::new(&shown, receipt.time_micros, receipt.lsn);
            Ok(Answer::created(&answer, receipt.replayed))
        }
        Outcome::Refused(refusal) => Err(refusal.into()),
        Outcome::Failed(failure) => Err(failure.into()),
    }
}

/// Only a system wallet may be the other side; otherwise a deposit could be drawn from anybody.
async fn system_wallet(call: &Call<'_>, id: WalletId) -> Result<WalletId, Problem> {
    match existing(call, id).await?.wallet.kind() {
        Kind::System => Ok(id),
        Kind::Personal | Kind::Merchant | Kind::Store => {
            Err(Problem::new(Code::InvalidRequest, "`system_wallet` is not a wallet of kind system."))
        }
    }
}
