//! Events as JSON lines. The names of fields are those of the HTTP API and are never changed, only added to;
//! `type` tells which other fields there are.

use std::io::{self, Write};

use florin::http::wire::{Id, Money, Time};
use florin::ledger::book::Entry;
use florin::ledger::{
    Amount, Authorization, Capture, Currency, Event, HoldEnd, Leg, Opening, Reject, SpendingLimits, Status, Transfer,
    WalletId,
};
use serde::Serialize;

use crate::cli::tape::Played;

/// One event and the entries that it made.
#[derive(Debug)]
pub struct EventLine<'a> {
    played: &'a Played,
    entries: Vec<Entry>,
}

#[derive(Serialize)]
struct Line<'a> {
    lsn: u64,
    time: Time,
    #[serde(flatten)]
    body: Body<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Body<'a> {
    WalletOpened {
        id: Id,
        owner: Id,
        currency: &'static str,
        kind: &'static str,
        may_send: bool,
        may_receive: bool,
        overdraft_limit: Option<Money>,
        balance_ceiling: Option<Money>,
    },
    WalletStatusChanged {
        wallet: Id,
        status: &'static str,
    },
    Transferred {
        id: Id,
        kind: &'static str,
        currency: &'static str,
        legs: Vec<LegLine>,
        reference: Option<&'a str>,
    },
    HoldAuthorized {
        id: Id,
        wallet: Id,
        to: Id,
        amount: Money,
        expires_at: Time,
        reference: Option<&'a str>,
    },
    HoldCaptured {
        id: Id,
        hold: Id,
        currency: &'static str,
        amount: Money,
        released: Money,
        legs: Vec<LegLine>,
    },
    HoldReleased {
        hold: Id,
        wallet: Id,
        released: Money,
        /// voided or expired.
        status: &'static str,
    },
    Refused {
        id: Id,
        code: &'static str,
    },
    SpendingLimited {
        wallet: Id,
        per_payment: Option<Money>,
        per_day: Option<Money>,
        per_month: Option<Money>,
        utc_offset_minutes: i16,
    },
}

#[derive(Serialize)]
struct LegLine {
    wallet: Id,
    amount: Money,
    balance_after: Money,
}

impl<'a> EventLine<'a> {
    pub fn new(played: &'a Played, entries: &[Entry]) -> EventLine<'a> {
        EventLine { played, entries: entries.to_vec() }
    }

    /// `currency_of` is asked for wallets that the event names without their currency.
    pub fn write(&self, out: &mut impl Write, currency_of: impl Fn(WalletId) -> Currency) -> io::Result<()> {
        let body = match &self.played.event {
            Event::WalletOpened(opening) => opened(opening),
            Event::StatusChanged { wallet, status } => status_changed(*wallet, *status),
            Event::Transferred(transfer) => self.transferred(transfer),
            Event::HoldAuthorized(authorization) => authorized(authorization),
            Event::HoldCaptured(capture) => self.captured(capture),
            Event::HoldReleased { hold, payer, released, end } => {
                released_body(Id(hold.0), *payer, Money::new(*released, currency_of(*payer)), *end)
            }
            Event::Refused { id, reject, .. } => refused(Id(id.0), *reject),
            Event::SpendingLimited { wallet, limits } => limited(*wallet, *limits, currency_of(*wallet)),
        };
        let line = Line { lsn: self.played.lsn, time: Time(self.played.time_micros), body };
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n")
    }

    fn transferred(&self, transfer: &'a Transfer) -> Body<'a> {
        Body::Transferred {
            id: Id(transfer.id().0),
            kind: transfer.kind().name(),
            currency: transfer.currency().code(),
            legs: self.legs(transfer.currency(), transfer.legs()),
            reference: transfer.reference(),
        }
    }

    fn captured(&self, capture: &Capture) -> Body<'a> {
        let currency = capture.currency;
        let minor = capture.amount.minor();
        let legs = [Leg { wallet: capture.payer, amount: -minor }, Leg { wallet: capture.payee, amount: minor }];
        Body::HoldCaptured {
            id: Id(capture.id.0),
            hold: Id(capture.hold.0),
            currency: currency.code(),
            amount: Money::new(minor, currency),
            released: Money::new(capture.released, currency),
            legs: self.legs(currency, &legs),
        }
    }

    fn legs(&self, currency: Currency, legs: &[Leg]) -> Vec<LegLine> {
        debug_assert!(self.entries.iter().map(|entry| entry.wallet).eq(legs.iter().map(|leg| leg.wallet)));
        let lines = self.entries.iter().map(|entry| LegLine {
            wallet: Id(entry.wallet.0),
            amount: Money::new(entry.amount, currency),
            balance_after: Money::new(entry.balance_after, currency),
        });
        lines.collect()
    }
}

fn opened(opening: &Opening) -> Body<'static> {
    let limit = |minor| Money::new(minor, opening.currency);
    Body::WalletOpened {
        id: Id(opening.wallet.0),
        owner: Id(opening.owner.0),
        currency: opening.currency.code(),
        kind: opening.kind.name(),
        may_send: opening.may_send,
        may_receive: opening.may_receive,
        overdraft_limit: opening.limits.overdraft_limit.map(limit),
        balance_ceiling: opening.limits.balance_ceiling.map(limit),
    }
}

fn status_changed(wallet: WalletId, status: Status) -> Body<'static> {
    Body::WalletStatusChanged { wallet: Id(wallet.0), status: status.name() }
}

fn limited(wallet: WalletId, limits: SpendingLimits, currency: Currency) -> Body<'static> {
    let money = |amount: Amount| Money::new(amount.minor(), currency);
    Body::SpendingLimited {
        wallet: Id(wallet.0),
        per_payment: limits.per_payment.map(money),
        per_day: limits.per_day.map(money),
        per_month: limits.per_month.map(money),
        utc_offset_minutes: limits.utc_offset.minutes(),
    }
}

fn authorized(authorization: &Authorization) -> Body<'_> {
    Body::HoldAuthorized {
        id: Id(authorization.hold.0),
        wallet: Id(authorization.payer.0),
        to: Id(authorization.payee.0),
        amount: Money::new(authorization.amount.minor(), authorization.currency),
        expires_at: Time(authorization.expires_at_micros),
        reference: authorization.reference.as_deref(),
    }
}

fn released_body(hold: Id, payer: WalletId, released: Money, end: HoldEnd) -> Body<'static> {
    Body::HoldReleased { hold, wallet: Id(payer.0), released, status: end.name() }
}

fn refused(id: Id, reject: Reject) -> Body<'static> {
    Body::Refused { id, code: reject.code() }
}
