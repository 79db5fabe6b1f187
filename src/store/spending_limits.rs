//! What may leave a wallet, as its owner and the operator set it, and raises that wait. A row is locked, read, changed and
//! written as a whole; that the wallet keeps what stands here is the services' business.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use super::StoreError;
use super::accounts::uuid_of;
use crate::ledger::{Amount, SpendingLimits, UtcOffset};

/// What a limit becomes, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Raise<T> {
    pub to: T,
    pub at: i64,
}

/// Those of the owner's that wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Raises {
    pub per_payment: Option<Raise<Option<Amount>>>,
    pub per_day: Option<Raise<Option<Amount>>>,
    pub per_month: Option<Raise<Option<Amount>>>,
    pub utc_offset: Option<Raise<UtcOffset>>,
}

/// A row of `spending_limits`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WalletLimits {
    pub wallet: Uuid,
    pub account: Option<Uuid>,
    pub own: SpendingLimits,
    pub operators: SpendingLimits,
    pub raises: Raises,
    pub revision: i64,
    pub unapplied_since: Option<i64>,
}

impl WalletLimits {
    /// Of a wallet that nobody but the operator has limited so far.
    pub fn first(wallet: Uuid, account: Option<Uuid>, operators: SpendingLimits) -> WalletLimits {
        let (own, raises) = (SpendingLimits::default(), Raises::default());
        WalletLimits { wallet, account, own, operators, raises, revision: 0, unapplied_since: None }
    }
}

impl Raises {
    pub fn next_at(&self) -> Option<i64> {
        let amounts = [self.per_payment, self.per_day, self.per_month];
        let amounts = amounts.into_iter().flatten().map(|raise| raise.at);
        amounts.chain(self.utc_offset.map(|raise| raise.at)).min()
    }
}

pub async fn by_wallet(c: &mut AnyConnection, wallet: Uuid) -> Result<Option<WalletLimits>, StoreError> {
    let sql = "SELECT * FROM spending_limits WHERE wallet = $1";
    let row = sqlx::query(sql).bind(wallet.to_string()).fetch_optional(c).await?;
    row.map(|row| limits(&row)).transpose()
}

/// Reads the row, or writes this one if there is none, and keeps others from changing it until the transaction ends.
pub async fn lock(c: &mut AnyConnection, first: &WalletLimits) -> Result<WalletLimits, StoreError> {
    let sql = "INSERT INTO spending_limits (wallet, account, own_utc_offset_minutes, operator_per_payment, \
               operator_per_day, operator_per_month, operator_utc_offset_minutes, revision) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
               ON CONFLICT (wallet) DO UPDATE SET wallet = excluded.wallet RETURNING *";
    let row = sqlx::query(sql)
        .bind(first.wallet.to_string())
        .bind(first.account.map(|account| account.to_string()))
        .bind(i64::from(first.own.utc_offset.minutes()))
        .bind(first.operators.per_payment.map(Amount::minor))
        .bind(first.operators.per_day.map(Amount::minor))
        .bind(first.operators.per_month.map(Amount::minor))
        .bind(i64::from(first.operators.utc_offset.minutes()))
        .bind(first.revision)
        .fetch_one(c)
        .await?;
    limits(&row)
}

/// Writes a row that is locked.
pub async fn save(c: &mut AnyConnection, limits: &WalletLimits) -> Result<(), StoreError> {
    let sql = "UPDATE spending_limits SET own_per_payment = $2, own_per_day = $3, own_per_month = $4, \
               own_utc_offset_minutes = $5, operator_per_payment = $6, operator_per_day = $7, operator_per_month = $8, \
               operator_utc_offset_minutes = $9, raise_per_payment = $10, raise_per_payment_at = $11, \
               raise_per_day = $12, raise_per_day_at = $13, raise_per_month = $14, raise_per_month_at = $15, \
               raise_utc_offset_minutes = $16, raise_utc_offset_at = $17, next_raise_at = $18, revision = $19, \
               unapplied_since = $20 WHERE wallet = $1";
    let mut query = sqlx::query(sql).bind(limits.wallet.to_string());
    for of in [limits.own, limits.operators] {
        for amount in [of.per_payment, of.per_day, of.per_month] {
            query = query.bind(amount.map(Amount::minor));
        }
        query = query.bind(i64::from(of.utc_offset.minutes()));
    }
    let Raises { per_payment, per_day, per_month, utc_offset } = limits.raises;
    for raise in [per_payment, per_day, per_month] {
        query = query.bind(raise.and_then(|raise| raise.to).map(Amount::minor)).bind(raise.map(|raise| raise.at));
    }
    query = query.bind(utc_offset.map(|raise| i64::from(raise.to.minutes()))).bind(utc_offset.map(|raise| raise.at));
    query = query.bind(limits.raises.next_at()).bind(limits.revision).bind(limits.unapplied_since);
    query.execute(c).await?;
    Ok(())
}

/// The wallet keeps what stands in the row, if that is still this revision.
pub async fn applied(c: &mut AnyConnection, wallet: Uuid, revision: i64) -> Result<(), StoreError> {
    let sql = "UPDATE spending_limits SET unapplied_since = NULL WHERE wallet = $1 AND revision = $2";
    sqlx::query(sql).bind(wallet.to_string()).bind(revision).execute(c).await?;
    Ok(())
}

/// Wallets of which a raise has waited long enough, in the order of their ids.
pub async fn due(c: &mut AnyConnection, now: i64, after: Uuid, limit: i64) -> Result<Vec<Uuid>, StoreError> {
    let sql = "SELECT wallet FROM spending_limits WHERE next_raise_at <= $1 AND wallet > $2 ORDER BY wallet LIMIT $3";
    let rows = sqlx::query(sql).bind(now).bind(after.to_string()).bind(limit).fetch_all(c).await?;
    rows.iter().map(|row| uuid_of(row.try_get("wallet")?)).collect()
}

/// Wallets that do not keep yet what their rows say, in the order of their ids.
pub async fn unapplied(c: &mut AnyConnection, after: Uuid, limit: i64) -> Result<Vec<Uuid>, StoreError> {
    let sql = "SELECT wallet FROM spending_limits WHERE unapplied_since IS NOT NULL AND wallet > $1 \
               ORDER BY wallet LIMIT $2";
    let rows = sqlx::query(sql).bind(after.to_string()).bind(limit).fetch_all(c).await?;
    rows.iter().map(|row| uuid_of(row.try_get("wallet")?)).collect()
}

fn limits(row: &AnyRow) -> Result<WalletLimits, StoreError> {
    let account: Option<String> = row.try_get("account")?;
    let set = |[per_payment, per_day, per_month, utc_offset]: [&str; 4]| -> Result<SpendingLimits, StoreError> {
        Ok(SpendingLimits {
            per_payment: amount(row, per_payment)?,
            per_day: amount(row, per_day)?,
            per_month: amount(row, per_month)?,
            utc_offset: offset(row.try_get(utc_offset)?)?,
        })
    };
    let raise = |to: &str, at: &str| -> Result<Option<Raise<Option<Amount>>>, StoreError> {
        let at: Option<i64> = row.try_get(at)?;
        at.map(|at| Ok(Raise { to: amount(row, to)?, at })).transpose()
    };
    let other_offset: Option<i64> = row.try_get("raise_utc_offset_minutes")?;
    let other_offset_at: Option<i64> = row.try_get("raise_utc_offset_at")?;
    let other_offset = other_offset.zip(other_offset_at);
    Ok(WalletLimits {
        wallet: uuid_of(row.try_get("wallet")?)?,
        account: account.as_deref().map(uuid_of).transpose()?,
        own: set(["own_per_payment", "own_per_day", "own_per_month", "own_utc_offset_minutes"])?,
        operators: set([
            "operator_per_payment",
            "operator_per_day",
            "operator_per_month",
            "operator_utc_offset_minutes",
        ])?,
        raises: Raises {
            per_payment: raise("raise_per_payment", "raise_per_payment_at")?,
            per_day: raise("raise_per_day", "raise_per_day_at")?,
            per_month: raise("raise_per_month", "raise_per_month_at")?,
            utc_offset: match other_offset {
                None => None,
                Some((to, at)) => Some(Raise { to: offset(to)?, at }),
            },
        },
        revision: row.try_get("revision")?,
        unapplied_since: row.try_get("unapplied_since")?,
    })
}

fn amount(row: &AnyRow, column: &str) -> Result<Option<Amount>, StoreError> {
    let minor: Option<i64> = row.try_get(column)?;
    let wrong = |minor: i64| StoreError::content(format!("{minor} as a spending limit"));
    minor.map(|minor| Amount::new(minor).ok_or_else(|| wrong(minor))).transpose()
}

fn offset(minutes: i64) -> Result<UtcOffset, StoreError> {
    let offset = i16::try_from(minutes).ok().and_then(UtcOffset::from_minutes);
    offset.ok_or_else(|| StoreError::content(format!("{minutes} as minutes ahead of UTC")))
}
