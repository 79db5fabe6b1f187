//! Wallets and balances on the wire.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::money::{self, Money, limit};
use super::raw::{Raw, required};
use super::scalar::{Id, Time};
use crate::http::problem::{Code, Problem};
use crate::ledger::{Kind, Limits, Opening, OwnerId, Status, Wallet, WalletId};

/// A wallet to be opened.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WalletRequest)]
pub struct WalletRequest<'a> {
    /// Without it the server makes one, from the Idempotency-Key if there is one.
    #[serde(borrow)]
    #[schema(value_type = Option<Id>)]
    pub id: Option<Raw<'a>>,
    #[serde(borrow)]
    #[schema(value_type = Id)]
    owner: Option<Raw<'a>>,
    /// ISO 4217, three capital letters; fixed for the wallet's life.
    #[serde(borrow)]
    #[schema(value_type = String, example = "INR")]
    currency: Option<Raw<'a>>,
    /// personal (default), merchant, store or system.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, example = "personal")]
    kind: Option<Raw<'a>>,
    /// How far below zero the balance may go, default "0"; a system wallet has no limit by default.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, example = "100.00")]
    overdraft_limit: Option<Raw<'a>>,
    /// The most that the wallet may own; no ceiling by default.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, example = "10000.00")]
    balance_ceiling: Option<Raw<'a>>,
    /// Default true.
    #[serde(borrow)]
    #[schema(value_type = Option<bool>)]
    may_send: Option<Raw<'a>>,
    /// Default true.
    #[serde(borrow)]
    #[schema(value_type = Option<bool>)]
    may_receive: Option<Raw<'a>>,
}

/// A wallet.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Wallet)]
pub struct WalletAnswer {
    id: Id,
    owner: Id,
    #[schema(example = "INR")]
    currency: &'static str,
    /// personal, merchant, store or system.
    #[schema(example = "personal")]
    kind: &'static str,
    /// active, frozen or closed.
    #[schema(example = "active")]
    status: &'static str,
    may_send: bool,
    may_receive: bool,
    /// null: no limit (system wallets only).
    overdraft_limit: Option<Money>,
    /// null: no ceiling.
    balance_ceiling: Option<Money>,
    opened_at: Time,
    /// The position of the opening in the log.
    lsn: u64,
}

/// A wallet's balance now. As of a time or a position it has `wallet`, `currency`, `posted` and `lsn` only.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Balance)]
pub struct BalanceAnswer {
    wallet: Id,
    #[schema(example = "INR")]
    currency: &'static str,
    /// What durable transfers have left in the wallet.
    posted: Money,
    /// Put aside for payments that are on their way to the disk.
    #[schema(required = false)]
    reserved: Money,
    /// Put aside for open holds.
    #[schema(required = false)]
    held: Money,
    /// posted - reserved - held; the overdraft limit comes on top.
    #[schema(required = false)]
    available: Money,
    /// The position in the log that the balance is settled up to.
    lsn: u64,
}

/// A wallet's balance as of a time or a position.
#[derive(Debug, Serialize)]
pub struct BalanceThenAnswer {
    pub wallet: Id,
    pub currency: &'static str,
    pub posted: Money,
    pub lsn: u64,
}

impl WalletRequest<'_> {
    pub fn opening(&self, wallet: WalletId) -> Result<Opening, Problem> {
        let owner = OwnerId(required(&self.owner, "owner")?.id("owner")?);
        let currency = money::currency(required(&self.currency, "currency")?, &"currency")?;
        let kind = match &self.kind {
            None => Kind::Personal,
            Some(raw) => kind(raw.text("kind")?)?,
        };
        let overdraft_limit = match &self.overdraft_limit {
            Some(raw) => Some(limit(raw, currency, "overdraft_limit")?),
            None if kind == Kind::System => None,
            None => Some(0),
        };
        let ceiling = self.balance_ceiling.as_ref();
        let balance_ceiling = ceiling.map(|raw| limit(raw, currency, "balance_ceiling")).transpose()?;
        let flag = |raw: &Option<Raw<'_>>, field| raw.as_ref().map_or(Ok(true), |raw| raw.flag(field));
        Ok(Opening {
            wallet,
            owner,
            currency,
            kind,
            may_send: flag(&self.may_send, "may_send")?,
            may_receive: flag(&self.may_receive, "may_receive")?,
            limits: Limits { overdraft_limit, balance_ceiling },
        })
    }
}

fn kind(name: &str) -> Result<Kind, Problem> {
    let kinds = [Kind::Personal, Kind::Merchant, Kind::Store, Kind::System];
    kinds
        .into_iter()
        .find(|kind| kind.name() == name)
        .ok_or_else(|| Problem::new(Code::InvalidRequest, "`kind` is none of personal, merchant, store and system."))
}

impl WalletAnswer {
    /// The one way to show a wallet: as it was opened with `Status::Active`, or as it is.
    pub fn new(opening: &Opening, status: Status, opened_at_micros: u64, lsn: u64) -> WalletAnswer {
        let money = |minor| Money::new(minor, opening.currency);
        WalletAnswer {
            id: Id(opening.wallet.0),
            owner: Id(opening.owner.0),
            currency: opening.currency.code(),
            kind: opening.kind.name(),
            status: status.name(),
            may_send: opening.may_send,
            may_receive: opening.may_receive,
            overdraft_limit: opening.limits.overdraft_limit.map(money),
            balance_ceiling: opening.limits.balance_ceiling.map(money),
            opened_at: Time(opened_at_micros),
            lsn,
        }
    }
}

impl BalanceAnswer {
    pub fn new(wallet: &Wallet, lsn: u64) -> BalanceAnswer {
        let currency = wallet.currency();
        BalanceAnswer {
            wallet: Id(wallet.id().0),
            currency: currency.code(),
            posted: Money::new(wallet.posted(), currency),
            reserved: Money::new(wallet.reserved(), currency),
            held: Money::new(wallet.held(), currency),
            available: Money { minor: wallet.available(), currency },
            lsn,
        }
    }
}
