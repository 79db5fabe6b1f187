//! Events as bytes: the bodies of the log's records. The only file that knows bincode.
//!
//! The layout is bincode's legacy configuration (little endian, fixed-width integers, a u32 tag for the
//! variant, a u64 length before text and lists), pinned to one version; docs/formats.md has the tables. A
//! variant never changes: a new layout is a new variant at the end, and old ones are read for ever.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use smallvec::smallvec;

use crate::ledger::{
    Amount, Authorization, Capture, Currency, Event, HoldEnd, HoldId, Kind, Leg, Legs, Limits, Opening, OwnerId,
    Reject, SpendingLimits, Status, Transfer, TransferId, TransferKind, UtcOffset, WalletId,
};

/// Longest body: 16 legs and the longest reference fit twice.
pub const BODY_BYTES_MAX: usize = 4096;

const _: () = assert!(BODY_BYTES_MAX < wal::RECORD_BYTES_MAX);

const CONFIG: bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Fixint,
    bincode::config::Limit<BODY_BYTES_MAX>,
> = bincode::config::legacy().with_limit::<BODY_BYTES_MAX>();

/// A record's body cannot be read as an event.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("the bytes are not a record of a known layout")]
    Layout(#[source] bincode::error::DecodeError),
    #[error("{surplus} bytes are left over after the record")]
    Surplus { surplus: usize },
    #[error("the record has a value that does not exist: {what}")]
    Value { what: &'static str },
}

#[derive(Serialize, Deserialize)]
enum Body<'a> {
    WalletOpened {
        wallet: u128,
        owner: u128,
        currency: u16,
        kind: u8,
        may_send: bool,
        may_receive: bool,
        overdraft_limit: Option<i64>,
        balance_ceiling: Option<i64>,
    },
    StatusChanged {
        wallet: u128,
        status: u8,
    },
    /// Two legs, which is nearly every transfer: `amount` is what the second wallet gets.
    TransferredBetween {
        id: u128,
        fingerprint: u64,
        kind: u8,
        currency: u16,
        first: u128,
        second: u128,
        amount: i64,
        reference: Option<Cow<'a, str>>,
    },
    TransferredLegs {
        id: u128,
        fingerprint: u64,
        kind: u8,
        currency: u16,
        legs: Vec<(u128, i64)>,
        reference: Option<Cow<'a, str>>,
    },
    HoldAuthorized {
        hold: u128,
        fingerprint: u64,
        payer: u128,
        payee: u128,
        currency: u16,
        amount: i64,
        expires_at_micros: u64,
        reference: Option<Cow<'a, str>>,
    },
    HoldCaptured {
        id: u128,
        fingerprint: u64,
        hold: u128,
        payer: u128,
        payee: u128,
        currency: u16,
        amount: i64,
        released: i64,
    },
    HoldReleased {
        hold: u128,
        payer: u128,
        released: i64,
        end: u8,
    },
    Refused {
        id: u128,
        fingerprint: u64,
        reject: u8,
    },
    SpendingLimited {
        wallet: u128,
        per_payment: Option<i64>,
        per_day: Option<i64>,
        per_month: Option<i64>,
        utc_offset_minutes: i16,
    },
}

/// Appends the event's bytes to `buffer`.
pub fn encode(event: &Event, buffer: &mut Vec<u8>) {
    write(&body_of(event), buffer);
}

/// The same for a transfer, without building an event around it.
pub fn encode_transfer(transfer: &Transfer, buffer: &mut Vec<u8>) {
    match plain_bytes(transfer) {
        Some(bytes) => buffer.extend_from_slice(&bytes),
        None => write(&body_of_transfer(transfer), buffer),
    }
}

/// Reads an event; all bytes must be consumed.
pub fn decode(bytes: &[u8]) -> Result<Event, RecordError> {
    match plain_transfer(bytes) {
        Some(body) => event_of(body),
        None => decode_by_fields(bytes),
    }
}

/// The two wallets of a plain transfer, as nearly every record is one; none for whatever has to be decoded.
pub fn plain_wallets(bytes: &[u8]) -> Option<[WalletId; 2]> {
    match plain_transfer(bytes)? {
        Body::TransferredBetween { first, second, .. } => Some([WalletId(first), WalletId(second)]),
        _ => None,
    }
}

fn decode_by_fields(bytes: &[u8]) -> Result<Event, RecordError> {
    let (body, consumed): (Body<'_>, usize) =
        bincode::serde::borrow_decode_from_slice(bytes, CONFIG).map_err(RecordError::Layout)?;
    if consumed != bytes.len() {
        return Err(RecordError::Surplus { surplus: bytes.len() - consumed });
    }
    event_of(body)
}

/// Two legs and no reference, which nearly every record is: always of the same length, so its fields are where they always
/// are, and neither the journal nor replay goes through them one by one.
/// variant 4 | id 16 | fingerprint 8 | kind 1 | currency 2 | first 16 | second 16 | amount 8 | no reference 1
const PLAIN_BYTES: usize = 72;

fn plain_bytes(transfer: &Transfer) -> Option<[u8; PLAIN_BYTES]> {
    let (&[first, second], None) = (transfer.legs(), transfer.reference()) else { return None };
    let mut bytes = [0; PLAIN_BYTES];
    bytes[..4].copy_from_slice(&2u32.to_le_bytes());
    bytes[4..20].copy_from_slice(&transfer.id().0.to_le_bytes());
    bytes[20..28].copy_from_slice(&transfer.fingerprint().to_le_bytes());
    bytes[28] = transfer.kind() as u8;
    bytes[29..31].copy_from_slice(&transfer.currency().number().to_le_bytes());
    bytes[31..47].copy_from_slice(&first.wallet.0.to_le_bytes());
    bytes[47..63].copy_from_slice(&second.wallet.0.to_le_bytes());
    bytes[63..71].copy_from_slice(&second.amount.to_le_bytes());
    Some(bytes)
}

fn plain_transfer(bytes: &[u8]) -> Option<Body<'static>> {
    let bytes: &[u8; PLAIN_BYTES] = bytes.try_into().ok()?;
    let wide = |at: usize| u128::from_le_bytes(bytes[at..at + 16].try_into().expect("16 bytes"));
    let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
    let is_plain = bytes[..4] == 2u32.to_le_bytes() && bytes[71] == 0;
    is_plain.then(|| Body::TransferredBetween {
        id: wide(4),
        fingerprint: long(20),
        kind: bytes[28],
        currency: u16::from_le_bytes([bytes[29], bytes[30]]),
        first: wide(31),
        second: wide(47),
        amount: long(63).cast_signed(),
        reference: None,
    })
}

fn write(body: &Body<'_>, buffer: &mut Vec<u8>) {
    bincode::serde::encode_into_std_write(body, buffer, CONFIG)
        .expect("writing to memory does not fail, and every event fits the limit");
}

fn body_of(event: &Event) -> Body<'_> {
    match event {
        Event::WalletOpened(opening) => Body::WalletOpened {
            wallet: opening.wallet.0,
            owner: opening.owner.0,
            currency: opening.currency.number(),
            kind: opening.kind as u8,
            may_send: opening.may_send,
            may_receive: opening.may_receive,
            overdraft_limit: opening.limits.overdraft_limit,
            balance_ceiling: opening.limits.balance_ceiling,
        },
        Event::StatusChanged { wallet, status } => Body::StatusChanged { wallet: wallet.0, status: *status as u8 },
        Event::Transferred(transfer) => body_of_transfer(transfer),
        Event::HoldAuthorized(hold) => Body::HoldAuthorized {
            hold: hold.hold.0,
            fingerprint: hold.fingerprint,
            payer: hold.payer.0,
            payee: hold.payee.0,
            currency: hold.currency.number(),
            amount: hold.amount.minor(),
            expires_at_micros: hold.expires_at_micros,
            reference: hold.reference.as_deref().map(Cow::Borrowed),
        },
        Event::HoldCaptured(capture) => Body::HoldCaptured {
            id: capture.id.0,
            fingerprint: capture.fingerprint,
            hold: capture.hold.0,
            payer: capture.payer.0,
            payee: capture.payee.0,
            currency: capture.currency.number(),
            amount: capture.amount.minor(),
            released: capture.released,
        },
        Event::HoldReleased { hold, payer, released, end } => {
            Body::HoldReleased { hold: hold.0, payer: payer.0, released: *released, end: *end as u8 }
        }
        Event::Refused { id, fingerprint, reject } => {
            Body::Refused { id: id.0, fingerprint: *fingerprint, reject: reject.number() }
        }
        Event::SpendingLimited { wallet, limits } => Body::SpendingLimited {
            wallet: wallet.0,
            per_payment: limits.per_payment.map(Amount::minor),
            per_day: limits.per_day.map(Amount::minor),
            per_month: limits.per_month.map(Amount::minor),
            utc_offset_minutes: limits.utc_offset.minutes(),
        },
    }
}

fn body_of_transfer(transfer: &Transfer) -> Body<'_> {
    let id = transfer.id().0;
    let fingerprint = transfer.fingerprint();
    let kind = transfer.kind() as u8;
    let currency = transfer.currency().number();
    let reference = transfer.reference().map(Cow::Borrowed);
    match transfer.legs() {
        [first, second] => Body::TransferredBetween {
            id,
            fingerprint,
            kind,
            currency,
            first: first.wallet.0,
            second: second.wallet.0,
            amount: second.amount,
            reference,
        },
        legs => {
            let legs = legs.iter().map(|leg| (leg.wallet.0, leg.amount)).collect();
            Body::TransferredLegs { id, fingerprint, kind, currency, legs, reference }
        }
    }
}

fn event_of(body: Body<'_>) -> Result<Event, RecordError> {
    Ok(match body {
        Body::WalletOpened {
            wallet,
            owner,
            currency,
            kind,
            may_send,
            may_receive,
            overdraft_limit,
            balance_ceiling,
        } => {
            if overdraft_limit.is_some_and(|limit| limit < 0) || balance_ceiling.is_some_and(|ceiling| ceiling < 0) {
                return Err(RecordError::Value { what: "limit below zero" });
            }
            Event::WalletOpened(Opening {
                wallet: WalletId(wallet),
                owner: OwnerId(owner),
                currency: known(Currency::by_number(currency), "currency")?,
                kind: known(Kind::from_number(kind), "wallet kind")?,
                may_send,
                may_receive,
                limits: Limits { overdraft_limit, balance_ceiling },
            })
        }
        Body::StatusChanged { wallet, status } => Event::StatusChanged {
            wallet: WalletId(wallet),
            status: known(Status::from_number(status), "wallet status")?,
        },
        Body::TransferredBetween { id, fingerprint, kind, currency, first, second, amount, reference } => {
            let pays = amount.checked_neg();
            let legs: Legs = smallvec![
                Leg { wallet: WalletId(first), amount: known(pays, "amount")? },
                Leg { wallet: WalletId(second), amount },
            ];
            Event::Transferred(transfer_of(id, fingerprint, kind, currency, legs, reference)?)
        }
        Body::TransferredLegs { id, fingerprint, kind, currency, legs, reference } => {
            let legs: Legs =
                legs.into_iter().map(|(wallet, amount)| Leg { wallet: WalletId(wallet), amount }).collect();
            Event::Transferred(transfer_of(id, fingerprint, kind, currency, legs, reference)?)
        }
        Body::HoldAuthorized { hold, fingerprint, payer, payee, currency, amount, expires_at_micros, reference } => {
            Event::HoldAuthorized(Authorization {
                hold: HoldId(hold),
                fingerprint,
                payer: WalletId(payer),
                payee: WalletId(payee),
                currency: known(Currency::by_number(currency), "currency")?,
                amount: known(Amount::new(amount), "amount")?,
                expires_at_micros,
                reference: boxed(reference),
            })
        }
        Body::HoldCaptured { id, fingerprint, hold, payer, payee, currency, amount, released } => {
            Event::HoldCaptured(Capture {
                id: TransferId(id),
                fingerprint,
                hold: HoldId(hold),
                payer: WalletId(payer),
                payee: WalletId(payee),
                currency: known(Currency::by_number(currency), "currency")?,
                amount: known(Amount::new(amount), "amount")?,
                released,
            })
        }
        Body::HoldReleased { hold, payer, released, end } => Event::HoldReleased {
            hold: HoldId(hold),
            payer: WalletId(payer),
            released,
            end: known(HoldEnd::from_number(end), "end of a hold")?,
        },
        Body::Refused { id, fingerprint, reject } => {
            Event::Refused { id: TransferId(id), fingerprint, reject: known(Reject::from_number(reject), "refusal")? }
        }
        Body::SpendingLimited { wallet, per_payment, per_day, per_month, utc_offset_minutes } => {
            let limit = |minor: Option<i64>| minor.map(|minor| known(Amount::new(minor), "limit")).transpose();
            let limits = SpendingLimits {
                per_payment: limit(per_payment)?,
                per_day: limit(per_day)?,
                per_month: limit(per_month)?,
                utc_offset: known(UtcOffset::from_minutes(utc_offset_minutes), "offset from UTC")?,
            };
            Event::SpendingLimited { wallet: WalletId(wallet), limits }
        }
    })
}

fn transfer_of(
    id: u128,
    fingerprint: u64,
    kind: u8,
    currency: u16,
    legs: Legs,
    reference: Option<Cow<'_, str>>,
) -> Result<Transfer, RecordError> {
    let currency = known(Currency::by_number(currency), "currency")?;
    let kind = known(TransferKind::from_number(kind), "transfer kind")?;
    let transfer = Transfer::new(TransferId(id), kind, currency, legs, boxed(reference))
        .map_err(|_| RecordError::Value { what: "legs that do not add up" })?;
    // The writer and the reader agree on what was asked, or one of them is broken.
    if transfer.fingerprint() != fingerprint {
        return Err(RecordError::Value { what: "fingerprint of another request" });
    }
    Ok(transfer)
}

fn boxed(reference: Option<Cow<'_, str>>) -> Option<Box<str>> {
    reference.map(|text| text.into_owned().into_boxed_str())
}

fn known<T>(value: Option<T>, what: &'static str) -> Result<T, RecordError> {
    value.ok_or(RecordError::Value { what })
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
