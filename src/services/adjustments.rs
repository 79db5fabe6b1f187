//! Adjustments: corrections of a balance by hand, against the currency's system wallet. One person may make small ones, up to
//! a sum in 24 hours; whatever is above needs another person. The row comes first, the transfer's id is made from its id.

use serde_json::json;
use uuid::Uuid;

use super::clock::DAY;
use super::fault::{Fault, Why};
use super::{Principal, Services, audit, crash, standing, transfer_id};
use crate::engine::Outcome;
use crate::ledger::{Amount, Currency, Reject, Transfer, TransferId, TransferKind, WalletId};
use crate::store::StoreError;
use crate::store::adjustments::{self, Adjustment, Direction, State};

const REASON: &str = "adjustments.reason";
const WAITS_MICROS: i64 = 7 * DAY;

/// What somebody asks for.
#[derive(Clone, Debug)]
pub struct NewAdjustment {
    /// The request's own id: the same one again is the same adjustment.
    pub id: Uuid,
    pub wallet: WalletId,
    pub amount: Amount,
    pub currency: Currency,
    pub direction: Direction,
    pub reason: String,
}

/// Asks for one. A small one is carried out at once, another waits for a second person. True if it had been asked before.
pub async fn ask(services: &Services, principal: &Principal, new: &NewAdjustment) -> Result<(Adjustment, bool), Fault> {
    principal.session()?;
    let wallet = services.engine.wallet(new.wallet).await?;
    let wallet = wallet.ok_or_else(|| refused(Reject::WalletNotFound))?;
    if wallet.wallet.currency() != new.currency {
        return Err(refused(Reject::CurrencyMismatch));
    }
    let now = services.now();
    let mut tx = services.store.begin().await?;
    // Whoever asks twice at the same moment is counted one after the other.
    standing::locked(&mut tx, principal.account).await?;
    let since = now - DAY;
    let code = new.currency.code();
    let before = adjustments::alone_since(&mut tx, principal.account, code, since).await?;
    let alone_max = services.settings.adjustment_alone_max;
    let is_small = new.currency == services.settings.currency
        && before.checked_add(new.amount.minor()).is_some_and(|sum| sum <= alone_max);
    let adjustment = Adjustment {
        id: new.id,
        wallet: Uuid::from_u128(new.wallet.0),
        amount: new.amount.minor(),
        currency: code.to_owned(),
        direction: new.direction,
        reason_sealed: services.seal.seal(REASON, &new.reason),
        state: if is_small { State::Approved } else { State::Waiting },
        asked_by: principal.account,
        created_at: now,
        expires_at: now + WAITS_MICROS,
        decided_by: None,
        decided_at: None,
        settled_at: None,
        refused: None,
    };
    if !adjustments::insert(&mut tx, &adjustment).await? {
        let known = existing(&mut tx, new.id).await?;
        drop(tx);
        let is_same = known.asked_by == adjustment.asked_by
            && (known.wallet, known.amount, &known.currency)
                == (adjustment.wallet, adjustment.amount, &adjustment.currency)
            && known.direction == adjustment.direction
            && reason(services, &known)? == new.reason;
        if !is_same {
            return Err(Fault::no(Why::KeyReused, "This key was used for another adjustment."));
        }
        return Ok((carry_out(services, known).await?, true));
    }
    let detail = json!({
        "wallet": adjustment.wallet, "amount_minor": adjustment.amount, "currency": adjustment.currency,
        "direction": adjustment.direction.name(), "reason": new.reason, "alone": is_small,
    });
    let actor = principal.actor();
    audit::record(services, &mut tx, &actor, "adjustment.ask", &object(new.id), &detail).await?;
    tx.commit().await?;
    crash::point("adjustment.after_row");
    Ok((carry_out(services, adjustment).await?, false))
}

/// Approves or rejects one that somebody else asked for.
pub async fn decide(
    services: &Services,
    principal: &Principal,
    id: Uuid,
    is_approved: bool,
) -> Result<Adjustment, Fault> {
    principal.session()?;
    let (to, action) =
        if is_approved { (State::Approved, "adjustment.approve") } else { (State::Rejected, "adjustment.reject") };
    let mut tx = services.store.begin().await?;
    if !adjustments::decide(&mut tx, id, to, principal.account, services.now()).await? {
        let known = existing(&mut tx, id).await?;
        if known.asked_by == principal.account {
            return Err(Fault::no(Why::SecondPersonRequired, "Another person than the one who asked decides."));
        }
        let state = if known.state == State::Waiting { State::Expired } else { known.state };
        let detail = format!("The adjustment waits for nobody: it is {}.", state.name());
        return Err(Fault::no(Why::InvalidState, detail));
    }
    audit::record(services, &mut tx, &principal.actor(), action, &object(id), &json!({})).await?;
    let adjustment = existing(&mut tx, id).await?;
    tx.commit().await?;
    crash::point("adjustment.after_decision");
    carry_out(services, adjustment).await
}

pub async fn list(
    services: &Services,
    state: Option<State>,
    before: (i64, Uuid),
    limit: i64,
) -> Result<Vec<Adjustment>, Fault> {
    let mut c = services.store.read().await?;
    Ok(adjustments::list(&mut c, state, before, limit).await?)
}

pub async fn by_id(services: &Services, id: Uuid) -> Result<Adjustment, Fault> {
    existing(&mut *services.store.read().await?, id).await
}

pub fn reason(services: &Services, adjustment: &Adjustment) -> Result<String, Fault> {
    Ok(services.seal.open(REASON, &adjustment.reason_sealed)?)
}

/// The transfer by which its money moves.
pub fn transfer(adjustment: &Adjustment) -> TransferId {
    transfer_id("adjustment", adjustment.id)
}

/// Carries out what a crash left undone, and lets those expire that nobody decided on.
pub async fn sweep(services: &Services) -> Result<(), Fault> {
    const ROWS_MAX: i64 = 500;
    let mut tx = services.store.begin().await?;
    adjustments::expire(&mut tx, services.now()).await?;
    let approved = adjustments::list(&mut tx, Some(State::Approved), (i64::MAX, Uuid::max()), ROWS_MAX).await?;
    tx.commit().await?;
    for adjustment in approved {
        carry_out(services, adjustment).await?;
    }
    Ok(())
}

/// Asks the ledger, which answers once and for ever under the row's id.
async fn carry_out(services: &Services, adjustment: Adjustment) -> Result<Adjustment, Fault> {
    if adjustment.state != State::Approved {
        return Ok(adjustment);
    }
    let unknown = || StoreError::content(format!("the currency {:?}", adjustment.currency));
    let currency = Currency::by_code(&adjustment.currency).ok_or_else(unknown)?;
    let amount = Amount::new(adjustment.amount);
    let amount = amount.ok_or_else(|| StoreError::content("an adjustment of nothing"))?;
    let system = services.engine.system_wallet(currency).await?;
    let wallet = WalletId(adjustment.wallet.as_u128());
    let (kind, from, to) = match adjustment.direction {
        Direction::In => (TransferKind::Deposit, system, wallet),
        Direction::Out => (TransferKind::Withdrawal, wallet, system),
    };
    let reference = format!("adjustment {}", adjustment.id).into_boxed_str();
    let outcome = match Transfer::between(transfer(&adjustment), kind, currency, from, to, amount, Some(reference)) {
        Ok(transfer) => services.engine.transfer(transfer).await,
        // Of the system wallet itself.
        Err(reject) => Outcome::Refused(crate::engine::Refusal { reject, replayed: false }),
    };
    let refused = match outcome {
        Outcome::Accepted(_) => None,
        Outcome::Refused(refusal) => Some(refusal.reject.code()),
        Outcome::Failed(failure) => return Err(failure.into()),
    };
    crash::point("adjustment.after_transfer");
    let mut tx = services.store.begin().await?;
    adjustments::settle(&mut tx, adjustment.id, refused, services.now()).await?;
    let adjustment = existing(&mut tx, adjustment.id).await?;
    tx.commit().await?;
    Ok(adjustment)
}

async fn existing(c: &mut sqlx::AnyConnection, id: Uuid) -> Result<Adjustment, Fault> {
    let adjustment = adjustments::by_id(c, id).await?;
    adjustment.ok_or_else(|| Fault::no(Why::NotFound, "There is no adjustment with this id."))
}

fn refused(reject: Reject) -> Fault {
    Fault::Refused(crate::engine::Refusal { reject, replayed: false })
}

fn object(id: Uuid) -> String {
    format!("adjustment {id}")
}
