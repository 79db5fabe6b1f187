//! Promotions: what a new account gets while one runs, paid from the promotion's own wallet. An empty budget pays nothing,
//! which is noted, and holds up nobody.

use serde_json::json;
use sqlx::AnyConnection;
use uuid::Uuid;

use super::accounts::accepted;
use super::fault::{Fault, Why};
use super::{Principal, Services, audit, crash, new_id, transfer_id};
use crate::engine::Outcome;
use crate::ledger::{Amount, Currency, Kind, Limits, Opening, OwnerId, Reject, Transfer, TransferKind, WalletId};
use crate::store::promotions::{self, Promotion};
use crate::store::{Account, AccountState, StoreError};

pub const NAME_CHARACTERS_MAX: usize = 60;

/// What a promotion begins with.
#[derive(Clone, Debug)]
pub struct NewPromotion {
    /// The request's own id: the same one again is the same promotion.
    pub id: Uuid,
    pub name: String,
    pub amount: Amount,
    pub currency: Currency,
    /// At once, if it is not given.
    pub starts_at: Option<i64>,
    pub ends_at: i64,
}

/// Begins one, and opens the wallet that it is paid from; whoever brings money into that wallet sets its budget. True if it
/// had begun before.
pub async fn create(
    services: &Services,
    principal: &Principal,
    new: &NewPromotion,
) -> Result<(Promotion, bool), Fault> {
    let now = services.now();
    let promotion = Promotion {
        id: new.id,
        name: new.name.clone(),
        amount: new.amount.minor(),
        currency: new.currency.code().to_owned(),
        budget_wallet: new_id(),
        wallet_opened_at: None,
        starts_at: new.starts_at.unwrap_or(now),
        ends_at: new.ends_at,
        created_at: now,
    };
    let mut tx = services.store.begin().await?;
    if !promotions::insert(&mut tx, &promotion).await? {
        let known = promotions::by_id(&mut tx, new.id).await?;
        drop(tx);
        let known = known.filter(|known| is_same(known, new, now));
        let known = known.ok_or_else(|| Fault::no(Why::KeyReused, "This key was used for another promotion."))?;
        if known.wallet_opened_at.is_none() {
            open_wallet(services, &known).await?;
        }
        return Ok((known, true));
    }
    let detail = json!({ "name": promotion.name, "amount_minor": promotion.amount, "currency": promotion.currency });
    let actor = principal.actor();
    audit::record(services, &mut tx, &actor, "promotion.create", &object(promotion.id), &detail).await?;
    tx.commit().await?;
    crash::point("promotion.after_row");
    open_wallet(services, &promotion).await?;
    Ok((promotion, false))
}

/// Ends it at once: accounts that were opened before keep what they were promised.
pub async fn end(services: &Services, principal: &Principal, id: Uuid) -> Result<Promotion, Fault> {
    let mut tx = services.store.begin().await?;
    let promotion = promotions::by_id(&mut tx, id).await?;
    let promotion = promotion.ok_or_else(|| Fault::no(Why::NotFound, "There is no promotion with this id."))?;
    let now = services.now();
    if !promotions::end(&mut tx, id, now).await? {
        return Err(Fault::no(Why::InvalidState, "The promotion has ended."));
    }
    audit::record(services, &mut tx, &principal.actor(), "promotion.end", &object(id), &json!({})).await?;
    tx.commit().await?;
    Ok(Promotion { ends_at: now, ..promotion })
}

pub async fn list(services: &Services, before: (i64, Uuid), limit: i64) -> Result<Vec<Promotion>, Fault> {
    let mut c = services.store.read().await?;
    Ok(promotions::list(&mut c, before, limit).await?)
}

/// Opens the wallets that a crash left unopened.
pub async fn sweep(services: &Services) -> Result<(), Fault> {
    let mut c = services.store.read().await?;
    let waiting = promotions::without_wallet(&mut c).await?;
    drop(c);
    for promotion in waiting {
        open_wallet(services, &promotion).await?;
    }
    Ok(())
}

/// The promotion that an account falls under that is opened now.
pub(super) async fn running(services: &Services, c: &mut AnyConnection) -> Result<Option<Uuid>, Fault> {
    Ok(promotions::running(c, services.settings.currency.code(), services.now()).await?)
}

/// Pays an active account what it was promised, once: the transfer's id is made from the account's.
pub(super) async fn pay(services: &Services, account: &Account) -> Result<(), Fault> {
    let is_settled = account.promotion_paid_at.is_some() || account.promotion_refused.is_some();
    let Some(promotion) = account.promotion.as_deref().filter(|_| !is_settled) else { return Ok(()) };
    if account.state != AccountState::Active {
        return Ok(());
    }
    let broken = || StoreError::content(format!("{promotion:?} as a promotion"));
    let id = Uuid::try_parse(promotion).map_err(|_| broken())?;
    let mut c = services.store.read().await?;
    let promotion = promotions::by_id(&mut c, id).await?.ok_or_else(broken)?;
    drop(c);
    let outcome = match transfer(&promotion, account) {
        Ok(transfer) => services.engine.transfer(transfer).await,
        Err(reject) => return Err(Fault::Broken { what: format!("a promotion of an impossible amount: {reject:?}") }),
    };
    let refused = match outcome {
        Outcome::Accepted(_) => None,
        Outcome::Refused(refusal) => Some(refusal.reject.code()),
        Outcome::Failed(failure) => return Err(failure.into()),
    };
    crash::point("promotion.after_transfer");
    let mut tx = services.store.begin().await?;
    promotions::settle(&mut tx, account.id, refused, services.now()).await?;
    Ok(tx.commit().await?)
}

/// One that was ended early is still the one that was asked for.
fn is_same(known: &Promotion, new: &NewPromotion, now: i64) -> bool {
    (&*known.name, known.amount, &*known.currency) == (&*new.name, new.amount.minor(), new.currency.code())
        && new.starts_at.is_none_or(|starts_at| starts_at == known.starts_at)
        && (known.ends_at == new.ends_at || known.ends_at <= now)
}

fn transfer(promotion: &Promotion, account: &Account) -> Result<Transfer, Reject> {
    let currency = Currency::by_code(&promotion.currency).ok_or(Reject::CurrencyMismatch)?;
    let amount = Amount::new(promotion.amount).ok_or(Reject::LegsNotBalanced)?;
    let (from, to) = (WalletId(promotion.budget_wallet.as_u128()), WalletId(account.wallet.as_u128()));
    let reference = format!("promotion {}", promotion.name).into_boxed_str();
    let id = transfer_id("promotion", account.id);
    Transfer::between(id, TransferKind::Transfer, currency, from, to, amount, Some(reference))
}

async fn open_wallet(services: &Services, promotion: &Promotion) -> Result<(), Fault> {
    let unknown = || StoreError::content(format!("the currency {:?}", promotion.currency));
    let opening = Opening {
        wallet: WalletId(promotion.budget_wallet.as_u128()),
        // Nobody's account, so that no person may pay from it: the promotion's own id may have been chosen to be one.
        owner: OwnerId(promotion.budget_wallet.as_u128()),
        currency: Currency::by_code(&promotion.currency).ok_or_else(unknown)?,
        kind: Kind::Store,
        may_send: true,
        may_receive: true,
        limits: Limits::PLAIN,
    };
    accepted(services.engine.open_wallet(opening).await)?;
    crash::point("promotion.after_wallet");
    let mut tx = services.store.begin().await?;
    promotions::wallet_opened(&mut tx, promotion.id, services.now()).await?;
    Ok(tx.commit().await?)
}

fn object(id: Uuid) -> String {
    format!("promotion {id}")
}
