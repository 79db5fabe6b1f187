//! Promotions and adjustments on the wire.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::account::reason;
use super::money::{Money, RawMoney};
use super::raw::{Raw, required};
use super::{Id, Time, parse_time};
use crate::http::problem::{Code, Problem};
use crate::ledger::{Currency, WalletId};
use crate::services::adjustments::{self, NewAdjustment};
use crate::services::promotions::{NAME_CHARACTERS_MAX, NewPromotion};
use crate::services::{Fault, Services};
use crate::store::StoreError;
use crate::store::adjustments::{Adjustment, Direction};
use crate::store::promotions::Promotion;

/// A promotion to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PromotionRequest)]
pub struct PromotionRequest<'a> {
    /// Up to 60 characters; people read it in their history.
    #[serde(borrow)]
    #[schema(value_type = String, example = "Diwali 2026")]
    name: Option<Raw<'a>>,
    /// What each account gets that is opened meanwhile; in the currency in which accounts are opened.
    #[serde(borrow)]
    #[schema(value_type = Money)]
    amount: Option<RawMoney<'a>>,
    /// Now, if it is not given.
    #[serde(borrow)]
    #[schema(value_type = Option<Time>)]
    starts_at: Option<Raw<'a>>,
    #[serde(borrow)]
    #[schema(value_type = Time)]
    ends_at: Option<Raw<'a>>,
}

/// What new accounts get.
#[derive(Serialize, ToSchema)]
#[schema(as = Promotion)]
pub struct PromotionAnswer {
    id: Id,
    #[schema(example = "Diwali 2026")]
    name: String,
    amount: Money,
    /// From which it is paid. Bring money in here, by POST /v1/deposits.
    budget_wallet: Id,
    /// coming, running or ended.
    #[schema(example = "running")]
    state: &'static str,
    starts_at: Time,
    ends_at: Time,
    created_at: Time,
}

/// A correction of a balance.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AdjustmentRequest)]
pub struct AdjustmentRequest<'a> {
    #[serde(borrow)]
    #[schema(value_type = Id)]
    wallet: Option<Raw<'a>>,
    #[serde(borrow)]
    #[schema(value_type = Money)]
    amount: Option<RawMoney<'a>>,
    /// in: the wallet gets it; out: it gives it.
    #[serde(borrow)]
    #[schema(value_type = String, example = "in")]
    direction: Option<Raw<'a>>,
    /// Up to 500 characters.
    #[serde(borrow)]
    #[schema(value_type = String, example = "top-up of 3 May was booked twice by the bank")]
    reason: Option<Raw<'a>>,
}

/// A correction of a balance, and where it is.
#[derive(Serialize, ToSchema)]
#[schema(as = Adjustment)]
pub struct AdjustmentAnswer {
    id: Id,
    wallet: Id,
    amount: Money,
    /// in or out.
    #[schema(example = "in")]
    direction: &'static str,
    reason: String,
    /// waiting (for another person), approved (on its way to the ledger), done, refused (by the ledger), rejected or expired.
    #[schema(example = "waiting")]
    state: &'static str,
    asked_by: Id,
    created_at: Time,
    expires_at: Time,
    decided_by: Option<Id>,
    decided_at: Option<Time>,
    settled_at: Option<Time>,
    /// Why the ledger refused it.
    #[schema(example = "INSUFFICIENT_FUNDS")]
    refused: Option<String>,
    /// The transfer by which the money moves.
    transfer: Id,
}

pub(super) fn schemas(list: &mut Vec<crate::http::openapi::NamedSchema>) {
    use crate::http::openapi::add;
    add::<PromotionRequest<'_>>(list);
    add::<PromotionAnswer>(list);
    add::<AdjustmentRequest<'_>>(list);
    add::<AdjustmentAnswer>(list);
}

impl PromotionRequest<'_> {
    pub fn new_promotion(&self, services: &Services, id: Uuid) -> Result<NewPromotion, Problem> {
        let name = required(&self.name, "name")?.text("name")?.trim();
        if !(1..=NAME_CHARACTERS_MAX).contains(&name.chars().count()) || name.chars().any(char::is_control) {
            let detail = format!("`name` has 1 to {NAME_CHARACTERS_MAX} characters, in one line.");
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
        let (amount, currency) = required(&self.amount, "amount")?.amount("amount")?;
        if currency != services.settings.currency {
            let code = services.settings.currency.code();
            let detail = format!("`amount` is not in {code}, in which accounts are opened.");
            return Err(Problem::new(Code::InvalidCurrency, detail));
        }
        let starts_at = self.starts_at.as_ref().map(|raw| time(raw, "starts_at")).transpose()?;
        let ends_at = time(required(&self.ends_at, "ends_at")?, "ends_at")?;
        if ends_at <= starts_at.unwrap_or(services.now()) {
            return Err(Problem::new(Code::InvalidRequest, "`ends_at` is not after `starts_at`."));
        }
        Ok(NewPromotion { id, name: name.to_owned(), amount, currency, starts_at, ends_at })
    }
}

impl PromotionAnswer {
    pub fn new(promotion: &Promotion, now: i64) -> Result<PromotionAnswer, Problem> {
        let state = match () {
            () if now >= promotion.ends_at => "ended",
            () if now < promotion.starts_at => "coming",
            () => "running",
        };
        Ok(PromotionAnswer {
            id: Id(promotion.id.as_u128()),
            name: promotion.name.clone(),
            amount: Money::new(promotion.amount, currency(&promotion.currency)?),
            budget_wallet: Id(promotion.budget_wallet.as_u128()),
            state,
            starts_at: Time::of(promotion.starts_at),
            ends_at: Time::of(promotion.ends_at),
            created_at: Time::of(promotion.created_at),
        })
    }
}

impl AdjustmentRequest<'_> {
    pub fn new_adjustment(&self, id: Uuid) -> Result<NewAdjustment, Problem> {
        let wallet = WalletId(required(&self.wallet, "wallet")?.id("wallet")?);
        let (amount, currency) = required(&self.amount, "amount")?.amount("amount")?;
        let direction = Direction::by_name(required(&self.direction, "direction")?.text("direction")?);
        let wrong = || Problem::new(Code::InvalidRequest, "`direction` is neither in nor out.");
        let direction = direction.ok_or_else(wrong)?;
        Ok(NewAdjustment { id, wallet, amount, currency, direction, reason: reason(&self.reason)? })
    }
}

impl AdjustmentAnswer {
    pub fn new(services: &Services, adjustment: &Adjustment) -> Result<AdjustmentAnswer, Problem> {
        Ok(AdjustmentAnswer {
            id: Id(adjustment.id.as_u128()),
            wallet: Id(adjustment.wallet.as_u128()),
            amount: Money::new(adjustment.amount, currency(&adjustment.currency)?),
            direction: adjustment.direction.name(),
            reason: adjustments::reason(services, adjustment)?,
            state: adjustment.state.name(),
            asked_by: Id(adjustment.asked_by.as_u128()),
            created_at: Time::of(adjustment.created_at),
            expires_at: Time::of(adjustment.expires_at),
            decided_by: adjustment.decided_by.map(|id| Id(id.as_u128())),
            decided_at: adjustment.decided_at.map(Time::of),
            settled_at: adjustment.settled_at.map(Time::of),
            refused: adjustment.refused.clone(),
            transfer: Id(adjustments::transfer(adjustment).0),
        })
    }
}

fn time(raw: &Raw<'_>, field: &str) -> Result<i64, Problem> {
    let micros = parse_time(raw.text(field)?, field)?;
    i64::try_from(micros).map_err(|_| Problem::new(Code::InvalidRequest, format!("`{field}` is too late.")))
}

fn currency(code: &str) -> Result<Currency, Problem> {
    let unknown = || Fault::Store(StoreError::content(format!("the currency {code:?}")));
    Currency::by_code(code).ok_or_else(unknown).map_err(Problem::from)
}
