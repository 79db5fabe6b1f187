//! Transfers, deposits and withdrawals on the wire, alone and as items of a bulk request.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::json;
use super::money::{Money, RawMoney};
use super::raw::{Raw, required};
use super::scalar::{Id, Time};
use crate::http::problem::{Code, Problem};
use crate::ledger::transfer::{REFERENCE_BYTES_MAX, REFERENCE_CHARACTERS_MAX};
use crate::ledger::{Amount, Capture, Currency, Leg, Legs, Reject, Transfer, TransferId, TransferKind, WalletId};

/// A payment between two wallets (`from`, `to`, `amount`), or one of several legs (`legs`).
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TransferRequest)]
pub struct TransferRequest<'a> {
    #[serde(borrow)]
    #[schema(value_type = Option<Id>)]
    from: Option<Raw<'a>>,
    #[serde(borrow)]
    #[schema(value_type = Option<Id>)]
    to: Option<Raw<'a>>,
    #[serde(borrow)]
    amount: Option<RawMoney<'a>>,
    /// 2 to 16, of one currency, adding up to zero. A negative amount pays.
    #[serde(borrow, default, deserialize_with = "json::objects")]
    legs: Option<Vec<LegRequest<'a>>>,
    /// Up to 140 characters.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, example = "Order 4711")]
    reference: Option<Raw<'a>>,
}

/// One item of a bulk request: a transfer and its id.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BulkItem)]
pub struct BulkItem<'a> {
    /// Needed unless the request has an Idempotency-Key, from which ids are derived by position.
    #[serde(borrow)]
    #[schema(value_type = Option<Id>)]
    pub id: Option<Raw<'a>>,
    #[serde(borrow)]
    #[schema(value_type = Option<Id>)]
    from: Option<Raw<'a>>,
    #[serde(borrow)]
    #[schema(value_type = Option<Id>)]
    to: Option<Raw<'a>>,
    #[serde(borrow)]
    amount: Option<RawMoney<'a>>,
    #[serde(borrow, default, deserialize_with = "json::objects")]
    legs: Option<Vec<LegRequest<'a>>>,
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    reference: Option<Raw<'a>>,
}

/// One wallet's part in a transfer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LegRequest)]
pub(super) struct LegRequest<'a> {
    #[serde(borrow)]
    #[schema(value_type = Id)]
    wallet: Option<Raw<'a>>,
    #[serde(borrow)]
    #[schema(value_type = Money)]
    amount: Option<RawMoney<'a>>,
}

/// Money that enters through a system wallet, or leaves through it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = FundingRequest)]
pub struct FundingRequest<'a> {
    #[serde(borrow)]
    #[schema(value_type = Id)]
    wallet: Option<Raw<'a>>,
    #[serde(borrow)]
    #[schema(value_type = Money)]
    amount: Option<RawMoney<'a>>,
    /// Up to 140 characters.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    reference: Option<Raw<'a>>,
    /// The currency's own system wallet if it is not given.
    #[serde(borrow)]
    #[schema(value_type = Option<Id>)]
    system_wallet: Option<Raw<'a>>,
}

/// What a transfer request says, before it has an id.
#[derive(Debug)]
pub struct TransferParts {
    pub currency: Currency,
    pub legs: Legs,
    pub reference: Option<Box<str>>,
}

/// What a deposit or a withdrawal says, before it has an id.
#[derive(Debug)]
pub struct FundingParts {
    pub wallet: WalletId,
    pub amount: Amount,
    pub currency: Currency,
    /// If one is named.
    pub system: Option<WalletId>,
    pub reference: Option<Box<str>>,
}

/// A durable transfer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Transfer)]
pub struct TransferAnswer<'a> {
    id: Id,
    /// Always accepted; a refused one has another shape.
    #[schema(example = "accepted")]
    status: &'static str,
    /// transfer, deposit, withdrawal or capture.
    #[schema(example = "transfer")]
    kind: &'static str,
    #[schema(example = "INR")]
    currency: &'static str,
    legs: Vec<LegAnswer>,
    reference: Option<&'a str>,
    /// Of a capture: the hold.
    hold: Option<Id>,
    created_at: Time,
    /// The position in the log.
    lsn: u64,
}

/// One wallet's part: below zero it paid, above zero it was paid.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Leg)]
pub struct LegAnswer {
    wallet: Id,
    amount: Money,
}

/// A request with an id that the ledger's rules refused; the id stays taken.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefusedTransfer {
    pub id: Id,
    #[schema(example = "refused")]
    pub status: &'static str,
    #[schema(example = "INSUFFICIENT_FUNDS")]
    pub code: &'static str,
    pub detail: &'static str,
    pub created_at: Time,
    pub lsn: u64,
}

/// What became of one item of a bulk request.
#[derive(Debug, Serialize, ToSchema)]
pub struct BulkOutcome {
    /// null where the item has no readable id.
    pub id: Option<Id>,
    /// accepted or refused.
    #[schema(example = "accepted")]
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lsn: Option<u64>,
    /// Whether it was accepted by an earlier request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replayed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

pub(super) fn schemas(list: &mut Vec<crate::http::openapi::NamedSchema>) {
    crate::http::openapi::add::<LegRequest<'_>>(list);
    crate::http::openapi::add::<LegAnswer>(list);
}

impl TransferRequest<'_> {
    pub fn parts(&self) -> Result<TransferParts, Problem> {
        parts((&self.from, &self.to, &self.amount), self.legs.as_deref(), &self.reference)
    }
}

impl BulkItem<'_> {
    pub fn parts(&self) -> Result<TransferParts, Problem> {
        parts((&self.from, &self.to, &self.amount), self.legs.as_deref(), &self.reference)
    }
}

impl FundingRequest<'_> {
    pub fn parts(&self) -> Result<FundingParts, Problem> {
        let wallet = WalletId(required(&self.wallet, "wallet")?.id("wallet")?);
        let (amount, currency) = required(&self.amount, "amount")?.amount("amount")?;
        let system = self.system_wallet.as_ref().map(|raw| raw.id("system_wallet")).transpose()?;
        let (system, reference) = (system.map(WalletId), reference(&self.reference)?);
        Ok(FundingParts { wallet, amount, currency, system, reference })
    }
}

impl TransferParts {
    pub fn with_id(self, id: TransferId) -> Result<Transfer, Reject> {
        Transfer::new(id, TransferKind::Transfer, self.currency, self.legs, self.reference)
    }
}

impl<'a> TransferAnswer<'a> {
    /// The one way to show a transfer, for first answers, repeats and reads.
    pub fn new(transfer: &'a Transfer, created_at_micros: u64, lsn: u64) -> TransferAnswer<'a> {
        let money = |minor| Money::new(minor, transfer.currency());
        let leg = |leg: &Leg| LegAnswer { wallet: Id(leg.wallet.0), amount: money(leg.amount) };
        TransferAnswer {
            id: Id(transfer.id().0),
            status: "accepted",
            kind: transfer.kind().name(),
            currency: transfer.currency().code(),
            legs: transfer.legs().iter().map(leg).collect(),
            reference: transfer.reference(),
            hold: None,
            created_at: Time(created_at_micros),
            lsn,
        }
    }

    pub fn of_capture(capture: &Capture, created_at_micros: u64, lsn: u64) -> TransferAnswer<'static> {
        let money = |minor| Money::new(minor, capture.currency);
        let minor = capture.amount.minor();
        let mut legs = [(capture.payer, -minor), (capture.payee, minor)];
        legs.sort_unstable();
        TransferAnswer {
            id: Id(capture.id.0),
            status: "accepted",
            kind: TransferKind::Capture.name(),
            currency: capture.currency.code(),
            legs: legs.map(|(wallet, minor)| LegAnswer { wallet: Id(wallet.0), amount: money(minor) }).into(),
            reference: None,
            hold: Some(Id(capture.hold.0)),
            created_at: Time(created_at_micros),
            lsn,
        }
    }
}

/// A reference of no characters is none: both are the same request.
pub(super) fn reference(raw: &Option<Raw<'_>>) -> Result<Option<Box<str>>, Problem> {
    line(raw, "reference")
}

/// What goes into a transfer's reference, by whatever name.
pub(super) fn line(raw: &Option<Raw<'_>>, field: &str) -> Result<Option<Box<str>>, Problem> {
    let Some(raw) = raw else { return Ok(None) };
    let text = raw.text(field)?;
    // The second limit follows from the first, as a character has at most four bytes.
    const { assert!(REFERENCE_BYTES_MAX == 4 * REFERENCE_CHARACTERS_MAX) };
    if text.len() > REFERENCE_CHARACTERS_MAX && text.chars().count() > REFERENCE_CHARACTERS_MAX {
        let detail = format!("`{field}` has more than {REFERENCE_CHARACTERS_MAX} characters.");
        return Err(Problem::new(Code::InvalidRequest, detail));
    }
    Ok((!text.is_empty()).then(|| text.into()))
}

type Simple<'r, 'a> = (&'r Option<Raw<'a>>, &'r Option<Raw<'a>>, &'r Option<RawMoney<'a>>);

fn parts(
    (from, to, amount): Simple<'_, '_>,
    legs: Option<&[LegRequest<'_>]>,
    text: &Option<Raw<'_>>,
) -> Result<TransferParts, Problem> {
    let reference = reference(text)?;
    let Some(legs) = legs else {
        let from = WalletId(required(from, "from")?.id("from")?);
        let to = WalletId(required(to, "to")?.id("to")?);
        let (amount, currency) = required(amount, "amount")?.amount("amount")?;
        let pays = Leg { wallet: from, amount: -amount.minor() };
        let is_paid = Leg { wallet: to, amount: amount.minor() };
        return Ok(TransferParts { currency, legs: Legs::from_buf([pays, is_paid]), reference });
    };
    if from.is_some() || to.is_some() || amount.is_some() {
        let detail = "Give either `legs`, or `from`, `to` and `amount`.";
        return Err(Problem::new(Code::InvalidRequest, detail));
    }
    let mut currencies = None;
    let mut list = Legs::with_capacity(legs.len());
    for (index, leg) in legs.iter().enumerate() {
        let (wallet_field, amount_field) = (format!("legs[{index}].wallet"), format!("legs[{index}].amount"));
        let wallet = WalletId(required(&leg.wallet, &wallet_field)?.id(&wallet_field)?);
        let (amount, currency) = required(&leg.amount, &amount_field)?.minor(&amount_field)?;
        if *currencies.get_or_insert(currency) != currency {
            return Err(Problem::from(Reject::CurrencyMismatch));
        }
        list.push(Leg { wallet, amount });
    }
    let currency = currencies.ok_or_else(|| Problem::from(Reject::LegsNotBalanced))?;
    Ok(TransferParts { currency, legs: list, reference })
}
