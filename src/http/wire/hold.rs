//! Holds and captures on the wire.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::money::{Money, RawMoney};
use super::raw::{Raw, required};
use super::scalar::{Id, Time};
use super::transfer::reference;
use crate::http::problem::{Code, Problem};
use crate::ledger::fingerprint::Fingerprint;
use crate::ledger::hold::{EXPIRES_IN_SECONDS_DEFAULT, EXPIRES_IN_SECONDS_MAX, EXPIRES_IN_SECONDS_MIN};
use crate::ledger::{Amount, Authorization, Currency, HoldEnd, HoldId, WalletId};

/// Money of a wallet to be put aside for another.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = HoldRequest)]
pub struct HoldRequest<'a> {
    /// The payer.
    #[serde(borrow)]
    #[schema(value_type = Id)]
    wallet: Option<Raw<'a>>,
    /// Whom a capture pays.
    #[serde(borrow)]
    #[schema(value_type = Id)]
    to: Option<Raw<'a>>,
    #[serde(borrow)]
    #[schema(value_type = Money)]
    amount: Option<RawMoney<'a>>,
    /// 60 to 31536000; default 604800, a week.
    #[serde(borrow)]
    #[schema(value_type = Option<u64>, example = 604_800)]
    expires_in_seconds: Option<Raw<'a>>,
    /// Up to 140 characters.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    reference: Option<Raw<'a>>,
}

/// Money of a hold to be moved. An empty object captures all that remains.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CaptureRequest)]
pub struct CaptureRequest<'a> {
    /// All that remains if it is not given.
    #[serde(borrow)]
    #[schema(value_type = Option<Money>)]
    amount: Option<RawMoney<'a>>,
    /// Whether the rest becomes available again; default false.
    #[serde(rename = "final", borrow)]
    #[schema(value_type = Option<bool>)]
    is_final: Option<Raw<'a>>,
}

/// A hold.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Hold)]
pub struct HoldAnswer {
    id: Id,
    wallet: Id,
    to: Id,
    amount: Money,
    captured: Money,
    /// What may still be captured.
    remaining: Money,
    /// authorized, captured, voided or expired.
    #[schema(example = "authorized")]
    status: &'static str,
    expires_at: Time,
    created_at: Time,
    /// The position of the authorization in the log.
    lsn: u64,
}

impl HoldRequest<'_> {
    pub fn authorization(&self, hold: HoldId, now_micros: u64) -> Result<Authorization, Problem> {
        let payer = WalletId(required(&self.wallet, "wallet")?.id("wallet")?);
        let payee = WalletId(required(&self.to, "to")?.id("to")?);
        let (amount, currency) = required(&self.amount, "amount")?.amount("amount")?;
        let seconds = match &self.expires_in_seconds {
            None => EXPIRES_IN_SECONDS_DEFAULT,
            Some(raw) => raw.unsigned("expires_in_seconds")?,
        };
        if !(EXPIRES_IN_SECONDS_MIN..=EXPIRES_IN_SECONDS_MAX).contains(&seconds) {
            let detail =
                format!("`expires_in_seconds` is not between {EXPIRES_IN_SECONDS_MIN} and {EXPIRES_IN_SECONDS_MAX}.");
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
        let reference = reference(&self.reference)?;
        let minor = amount.minor();
        let fingerprint = Fingerprint::of_hold((payer, payee), minor, currency, seconds, reference.as_deref());
        let expires_at_micros = now_micros + seconds * 1_000_000;
        Ok(Authorization { hold, fingerprint, payer, payee, currency, amount, expires_at_micros, reference })
    }
}

impl CaptureRequest<'_> {
    pub fn amount(&self) -> Result<Option<(Amount, Currency)>, Problem> {
        self.amount.as_ref().map(|money| money.amount("amount")).transpose()
    }

    pub fn is_final(&self) -> Result<bool, Problem> {
        self.is_final.as_ref().map_or(Ok(false), |raw| raw.flag("final"))
    }
}

impl HoldAnswer {
    /// The one way to show a hold: as it was authorized (nothing captured, no end), or as it is.
    pub fn new(
        authorization: &Authorization,
        captured: i64,
        end: Option<HoldEnd>,
        created_at_micros: u64,
        lsn: u64,
    ) -> HoldAnswer {
        let money = |minor| Money::new(minor, authorization.currency);
        let amount = authorization.amount.minor();
        HoldAnswer {
            id: Id(authorization.hold.0),
            wallet: Id(authorization.payer.0),
            to: Id(authorization.payee.0),
            amount: money(amount),
            captured: money(captured),
            remaining: money(if end.is_none() { amount - captured } else { 0 }),
            status: end.map_or("authorized", HoldEnd::name),
            expires_at: Time(authorization.expires_at_micros),
            created_at: Time(created_at_micros),
            lsn,
        }
    }
}
