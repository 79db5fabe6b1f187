//! Customers' holds: authorized, then captured in parts, voided, or expired by themselves.
//! A hold lives beside its payer's wallet, whose host asks it before each step.

use super::currency::Currency;
use super::ids::{HoldId, TransferId, WalletId};
use super::money::Amount;
use super::reject::Reject;

pub const EXPIRES_IN_SECONDS_MIN: u64 = 60;
pub const EXPIRES_IN_SECONDS_MAX: u64 = 365 * 24 * 3600;
pub const EXPIRES_IN_SECONDS_DEFAULT: u64 = 7 * 24 * 3600;

/// A hold that may be asked of the wallets, and the event when it is durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Authorization {
    pub hold: HoldId,
    pub fingerprint: u64,
    pub payer: WalletId,
    pub payee: WalletId,
    pub currency: Currency,
    pub amount: Amount,
    /// Microseconds since 1970, UTC.
    pub expires_at_micros: u64,
    pub reference: Option<Box<str>>,
}

/// A durable capture: `amount` moved from payer to payee; `released` became available again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Capture {
    pub id: TransferId,
    pub fingerprint: u64,
    pub hold: HoldId,
    pub payer: WalletId,
    pub payee: WalletId,
    pub currency: Currency,
    pub amount: Amount,
    pub released: i64,
}

/// How a hold ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum HoldEnd {
    Captured = 0,
    Voided = 1,
    Expired = 2,
}

/// A hold's answer to a message: take it, refuse it, or let it wait for the steps before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission<T> {
    Taken(T),
    Refused(Reject),
    /// A step that the answer depends on is on its way to the log.
    Wait,
}

/// An open hold. Invariant: `captured + capturing <= amount`, none of them below zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hold {
    pub id: HoldId,
    pub payer: WalletId,
    pub payee: WalletId,
    pub currency: Currency,
    pub amount: i64,
    pub captured: i64,
    pub expires_at_micros: u64,
    capturing: i64,
    in_flight: u32,
    closing: bool,
}

impl Hold {
    pub fn open(authorization: &Authorization) -> Hold {
        Hold::restore(authorization, 0)
    }

    /// A hold as a snapshot knows it: no step is under way.
    pub fn restore(authorization: &Authorization, captured: i64) -> Hold {
        let hold = Hold {
            id: authorization.hold,
            payer: authorization.payer,
            payee: authorization.payee,
            currency: authorization.currency,
            amount: authorization.amount.minor(),
            captured,
            expires_at_micros: authorization.expires_at_micros,
            capturing: 0,
            in_flight: 0,
            closing: false,
        };
        hold.check();
        hold
    }

    /// What durable captures have left of it.
    pub fn remaining(&self) -> i64 {
        self.amount - self.captured
    }

    /// Begins a capture of `amount` (of all that remains without one). With `is_final` the rest is
    /// released. Gives the amount and what is released.
    pub fn begin_capture(
        &mut self,
        amount: Option<Amount>,
        is_final: bool,
        now_micros: u64,
    ) -> Admission<(Amount, i64)> {
        // What is left when the steps under way have ended is needed to close the hold.
        let closes = is_final || amount.is_none();
        if self.closing || (closes && self.in_flight > 0) {
            return Admission::Wait;
        }
        if now_micros >= self.expires_at_micros {
            return Admission::Refused(Reject::HoldExpired);
        }
        let free = self.remaining() - self.capturing;
        let Some(amount) = amount.or(Amount::new(free)) else {
            return Admission::Refused(Reject::HoldExceeded);
        };
        if amount.minor() > free {
            return Admission::Refused(Reject::HoldExceeded);
        }
        let released = if is_final { free - amount.minor() } else { 0 };
        self.capturing += amount.minor();
        self.in_flight += 1;
        self.closing = closes;
        self.check();
        Admission::Taken((amount, released))
    }

    /// Begins the release of all that remains, for a void or an expiry; gives how much that is.
    pub fn begin_release(&mut self) -> Admission<i64> {
        if self.in_flight > 0 {
            return Admission::Wait;
        }
        self.in_flight += 1;
        self.closing = true;
        Admission::Taken(self.remaining())
    }

    /// The capture was refused at the payee: as if it had never begun.
    pub fn cancel_capture(&mut self, minor: i64) {
        self.end_step();
        self.capturing -= minor;
        self.check();
    }

    /// The capture that [`Hold::begin_capture`] began is durable. True when this closes the hold.
    pub fn settle_capture(&mut self, amount: Amount, released: i64) -> bool {
        self.end_step();
        self.capturing -= amount.minor();
        self.apply_capture(amount, released)
    }

    /// A durable capture of which this process has not seen the beginning (replay).
    pub fn apply_capture(&mut self, amount: Amount, released: i64) -> bool {
        self.captured += amount.minor();
        self.check();
        self.captured + released == self.amount
    }

    fn end_step(&mut self) {
        self.in_flight = self.in_flight.checked_sub(1).expect("what ends has begun");
        self.closing = false;
    }

    fn check(&self) {
        assert!(
            self.captured >= 0 && self.capturing >= 0 && self.captured + self.capturing <= self.amount,
            "hold {}: captured {} and capturing {} of {}",
            self.id,
            self.captured,
            self.capturing,
            self.amount
        );
    }
}

impl HoldEnd {
    pub fn from_number(number: u8) -> Option<HoldEnd> {
        [HoldEnd::Captured, HoldEnd::Voided, HoldEnd::Expired].into_iter().find(|end| *end as u8 == number)
    }

    pub fn name(self) -> &'static str {
        match self {
            HoldEnd::Captured => "captured",
            HoldEnd::Voided => "voided",
            HoldEnd::Expired => "expired",
        }
    }

    /// What a later capture or void of the hold is told.
    pub fn reject(self) -> Reject {
        match self {
            HoldEnd::Captured | HoldEnd::Voided => Reject::HoldClosed,
            HoldEnd::Expired => Reject::HoldExpired,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold() -> Hold {
        Hold::open(&Authorization {
            hold: HoldId(1),
            fingerprint: 0,
            payer: WalletId(2),
            payee: WalletId(3),
            currency: Currency::by_code("INR").expect("in the list"),
            amount: Amount::new(100).expect("above zero"),
            expires_at_micros: 1_000,
            reference: None,
        })
    }

    fn amount(minor: i64) -> Amount {
        Amount::new(minor).expect("above zero")
    }

    #[test]
    fn captured_in_parts_never_above_the_hold() {
        let mut hold = hold();
        assert_eq!(hold.begin_capture(Some(amount(60)), false, 0), Admission::Taken((amount(60), 0)));
        assert_eq!(hold.begin_capture(Some(amount(41)), false, 0), Admission::Refused(Reject::HoldExceeded));
        assert_eq!(hold.begin_capture(Some(amount(30)), false, 0), Admission::Taken((amount(30), 0)));
        assert!(!hold.settle_capture(amount(60), 0));
        hold.cancel_capture(30);
        assert_eq!(hold.remaining(), 40);
        assert_eq!(hold.begin_capture(None, false, 0), Admission::Taken((amount(40), 0)));
        assert!(hold.settle_capture(amount(40), 0), "nothing remains");
    }

    #[test]
    fn what_closes_a_hold_waits_for_the_steps_before_it() {
        let mut hold = hold();
        assert_eq!(hold.begin_capture(Some(amount(10)), false, 0), Admission::Taken((amount(10), 0)));
        assert_eq!(hold.begin_capture(Some(amount(10)), true, 0), Admission::Wait);
        assert_eq!(hold.begin_release(), Admission::Wait);
        assert!(!hold.settle_capture(amount(10), 0));
        assert_eq!(hold.begin_capture(Some(amount(20)), true, 0), Admission::Taken((amount(20), 70)));
        assert_eq!(hold.begin_capture(Some(amount(1)), false, 0), Admission::Wait);
        assert!(hold.settle_capture(amount(20), 70), "a final capture closes it");
    }

    #[test]
    fn expired_at_the_microsecond() {
        let mut hold = hold();
        assert_eq!(hold.begin_capture(Some(amount(1)), false, 1_000), Admission::Refused(Reject::HoldExpired));
        assert_eq!(hold.begin_capture(Some(amount(1)), false, 999), Admission::Taken((amount(1), 0)));
    }
}
