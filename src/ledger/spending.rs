//! Spending limits: how much may leave a wallet in one payment, in a civil day and in a month, and what has left it.
//! What has been spent follows from the log alone: a record counts on the day of its own time.
//!
//! Why no day can exceed its limit: whoever is let out has everything counted that has left that day and all that is
//! put aside; the journal never gives a record an earlier time than the one at which it was let out; and limits change
//! only while nothing is under way. (docs/decisions/009.md)

use super::civil::{UtcOffset, day_of, month_of};
use super::money::Amount;
use super::reject::Reject;

/// What may leave a wallet; without any limit, all of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SpendingLimits {
    pub per_payment: Option<Amount>,
    pub per_day: Option<Amount>,
    pub per_month: Option<Amount>,
    /// Where days and months begin.
    pub utc_offset: UtcOffset,
}

/// What has left a wallet on one day, and in its month.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SpentNow {
    pub day: i64,
    pub month: i64,
}

/// The limits of one wallet and what counts against them. Its host keeps it beside the wallet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spending {
    limits: SpendingLimits,
    /// The day that is counted: of the last payment out, or of the last change of the limits.
    day: i32,
    spent: SpentNow,
}

/// The same at the moment at which a payment asks.
#[derive(Clone, Copy, Debug)]
pub struct SpendingNow<'a> {
    pub spending: &'a Spending,
    pub now_micros: u64,
}

const _: () = assert!(size_of::<Spending>() <= 56);

impl SpendingLimits {
    /// Nothing is limited: as if there were none.
    pub fn is_none(&self) -> bool {
        (self.per_payment, self.per_day, self.per_month) == (None, None, None)
    }
}

impl Spending {
    /// What was spent before there were limits is not known and not counted.
    pub fn begin(limits: SpendingLimits, time_micros: u64) -> Spending {
        Spending { limits, day: day_of(time_micros, limits.utc_offset), spent: SpentNow::default() }
    }

    /// As a snapshot knows it.
    pub fn restore(limits: SpendingLimits, day: i32, spent: SpentNow) -> Spending {
        Spending { limits, day, spent }
    }

    pub fn limits(&self) -> SpendingLimits {
        self.limits
    }

    /// The day that was counted last.
    pub fn day(&self) -> i32 {
        self.day
    }

    /// What was spent on that day, and in its month.
    pub fn spent(&self) -> SpentNow {
        self.spent
    }

    /// What counts at a moment. One before the day that is counted is taken for that day: the log's time does not go back.
    pub fn spent_at(&self, time_micros: u64) -> SpentNow {
        let day = day_of(time_micros, self.limits.utc_offset);
        if day <= self.day {
            self.spent
        } else if month_of(day) == month_of(self.day) {
            SpentNow { day: 0, month: self.spent.month }
        } else {
            SpentNow::default()
        }
    }

    /// Money has left the wallet. More than can be counted is more than any limit.
    pub fn spend(&mut self, minor: i64, time_micros: u64) {
        debug_assert!(minor > 0);
        self.go_to(time_micros);
        self.spent.day = self.spent.day.saturating_add(minor);
        self.spent.month = self.spent.month.saturating_add(minor);
    }

    /// Other limits: what has been spent stays spent, today and this month, wherever these begin from now on.
    pub fn limit(&mut self, limits: SpendingLimits, time_micros: u64) {
        self.go_to(time_micros);
        self.limits = limits;
        self.day = day_of(time_micros, limits.utc_offset);
    }

    fn go_to(&mut self, time_micros: u64) {
        self.spent = self.spent_at(time_micros);
        self.day = self.day.max(day_of(time_micros, self.limits.utc_offset));
    }
}

impl SpendingNow<'_> {
    /// Whether so much may leave, with `aside` on its way out already.
    pub fn admit(&self, amount: i128, aside: i128) -> Result<(), Reject> {
        let SpendingLimits { per_payment, per_day, per_month, .. } = self.spending.limits;
        let spent = self.spending.spent_at(self.now_micros);
        let checks = [
            (per_payment, 0, Reject::PaymentLimitExceeded),
            (per_day, i128::from(spent.day) + aside, Reject::DayLimitExceeded),
            (per_month, i128::from(spent.month) + aside, Reject::MonthLimitExceeded),
        ];
        for (limit, before, reject) in checks {
            if limit.is_some_and(|limit| before + amount > i128::from(limit.minor())) {
                return Err(reject);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "spending_tests.rs"]
mod tests;
