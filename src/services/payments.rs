//! Payments from one person to another or to a merchant. A payment is one transfer of the ledger and writes no row: whom it
//! tells of is told from the log.

use super::fault::Fault;
use super::payees::{self, PayeeAddress};
use super::{Principal, Services, accounts, step_up};
use crate::engine::{Receipt, Refusal};
use crate::ledger::{Amount, Currency, Event, Reject, Transfer, TransferId, TransferKind, WalletId};

/// What somebody asks for.
#[derive(Debug)]
pub struct Payment<'p> {
    /// Of the request, and of the transfer.
    pub id: TransferId,
    pub to: PayeeAddress,
    pub amount: Amount,
    pub currency: Currency,
    pub note: Option<Box<str>>,
    /// What the caller got for confirming it.
    pub confirmation: Option<&'p str>,
}

/// A payment that is in the log.
#[derive(Debug)]
pub struct Paid {
    pub transfer: Transfer,
    pub receipt: Receipt,
    /// As the payer may see it.
    pub payee_name: String,
}

/// Pays out of the caller's own wallet.
pub async fn pay(services: &Services, principal: &Principal, payment: Payment<'_>) -> Result<Paid, Fault> {
    let payer = accounts::by_id(services, principal.account).await?;
    let payee = payees::resolve(services, &payment.to).await?;
    if payee.account.id == payer.id {
        return Err(refused(Reject::SameWallet));
    }
    let from = WalletId(payer.wallet.as_u128());
    let Payment { id, amount, currency, note, confirmation, .. } = payment;
    let kind = TransferKind::Transfer;
    let transfer = Transfer::between(id, kind, currency, from, payee.wallet, amount, note).map_err(refused)?;
    let payee_name = payees::shown_name(services, &payee.account)?;
    let checked = async {
        payees::must_be_active(&payer)?;
        payees::must_be_payable(&payee.account)?;
        step_up::require(services, principal, confirmation, amount, currency, payee.wallet, id.0).await
    };
    if let Err(fault) = checked.await {
        // Whoever asks again what was paid already is told so, whatever has changed since.
        let receipt = paid_before(services, &transfer).await?.ok_or(fault)?;
        return Ok(Paid { transfer, receipt, payee_name });
    }
    let receipt = accounts::accepted(services.engine.transfer(transfer.clone()).await)?;
    Ok(Paid { transfer, receipt, payee_name })
}

/// The same transfer under the same id, if it is in the log.
pub(super) async fn paid_before(services: &Services, transfer: &Transfer) -> Result<Option<Receipt>, Fault> {
    let Some(found) = services.engine.find(transfer.id().0).await? else { return Ok(None) };
    let is_same = matches!(&found.event, Event::Transferred(known) if known.fingerprint() == transfer.fingerprint());
    let receipt = Receipt { lsn: found.lsn, time_micros: found.time_micros, replayed: true };
    Ok(is_same.then_some(receipt))
}

pub(super) fn refused(reject: Reject) -> Fault {
    Fault::Refused(Refusal { reject, replayed: false })
}
