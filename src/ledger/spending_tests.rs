//! Spending limits as tables: one line is one message to a wallet that has plenty of money, and what counts afterwards.

use super::*;
use crate::ledger::{Currency, Kind, Limits, LimitsTable, Opening, OwnerId, Status, Wallet, WalletId};

/// Runs a script from 2026-01-01T00:00Z on. A line is `message amount -> today/this month/aside` or `-> REFUSAL`;
/// `at TIME` lets time go on, `late TIME` is about a payment that was asked for then.
fn check(script: &str) {
    let inr = Currency::by_code("INR").expect("in the list");
    let opening = Opening {
        wallet: WalletId(1),
        owner: OwnerId(2),
        currency: inr,
        kind: Kind::Personal,
        may_send: true,
        may_receive: true,
        limits: Limits::PLAIN,
    };
    let mut wallet = Wallet::restore(&opening, LimitsTable::default().id(Limits::PLAIN), Status::Active, 1_000_000, 0);
    let mut spending: Option<Spending> = None;
    let mut clock = micros("2026-01-01T00:00Z");
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (message, expected) = line.split_once("->").expect("every line says what it expects");
        let words: Vec<&str> = message.split_whitespace().collect();
        let number = |name: &str| {
            let at = words.iter().position(|word| *word == name)?;
            Some(words[at + 1].parse::<i64>().expect("a number"))
        };
        let minor = words.get(1).and_then(|word| word.parse::<i64>().ok()).unwrap_or(0);
        let reserve = |wallet: &mut Wallet, now_micros: u64| {
            let spending = spending.as_ref().map(|spending| SpendingNow { spending, now_micros });
            wallet.reserve(-minor, inr, Limits::PLAIN, spending)
        };
        let answer = match words[0] {
            "at" => {
                clock = micros(words[1]);
                Ok(())
            }
            "limit" => wallet.may_be_limited().map(|()| {
                let amount = |name: &str| number(name).map(|minor| Amount::new(minor).expect("above zero"));
                let minutes = i16::try_from(number("offset").unwrap_or(0)).expect("small");
                let limits = SpendingLimits {
                    per_payment: amount("payment"),
                    per_day: amount("day"),
                    per_month: amount("month"),
                    utc_offset: UtcOffset::from_minutes(minutes).expect("not above 18 hours"),
                };
                spending = if limits.is_none() {
                    None
                } else {
                    let mut new = spending.unwrap_or(Spending::begin(limits, clock));
                    new.limit(limits, clock);
                    Some(new)
                };
                wallet.set_limited(!limits.is_none());
            }),
            "reserve" => reserve(&mut wallet, clock),
            "late" => reserve(&mut wallet, micros(words[2])),
            "release" => {
                wallet.release(-minor);
                Ok(())
            }
            "settle" => {
                wallet.release(-minor);
                wallet.post(-minor);
                spending.iter_mut().for_each(|spending| spending.spend(minor, clock));
                Ok(())
            }
            "hold" => {
                wallet.release(-minor);
                wallet.hold(minor);
                Ok(())
            }
            "capture" => {
                wallet.unhold(minor);
                wallet.post(-minor);
                spending.iter_mut().for_each(|spending| spending.spend(minor, clock));
                Ok(())
            }
            "void" => {
                wallet.unhold(minor);
                Ok(())
            }
            "receive" => {
                wallet.reserve(minor, inr, Limits::PLAIN, None).expect("there is room");
                wallet.release(minor);
                wallet.post(minor);
                Ok(())
            }
            "freeze" => {
                wallet.set_status(Status::Frozen);
                Ok(())
            }
            other => panic!("unknown message {other}"),
        };
        let spent = spending.map_or_else(SpentNow::default, |spending| spending.spent_at(clock));
        let shown = match answer {
            Ok(()) => format!("{}/{}/{}", spent.day, spent.month, wallet.reserved() + wallet.held()),
            Err(reject) => reject.code().to_owned(),
        };
        assert_eq!(shown, expected.trim(), "at line: {line}");
    }
}

fn micros(time: &str) -> u64 {
    let time: jiff::Timestamp = time.parse().expect("a time");
    u64::try_from(time.as_microsecond()).expect("after 1970")
}

#[test]
fn a_payment_a_day_and_a_month() {
    check(
        "limit payment 60 day 100 month 150 -> 0/0/0
         reserve 61     -> PAYMENT_LIMIT_EXCEEDED
         reserve 60     -> 0/0/60
         reserve 41     -> DAY_LIMIT_EXCEEDED
         reserve 40     -> 0/0/100
         settle 60      -> 60/60/40
         reserve 1      -> DAY_LIMIT_EXCEEDED
         release 40     -> 60/60/0
         reserve 40     -> 60/60/40
         settle 40      -> 100/100/0
         at 2026-01-02T00:00Z -> 0/100/0
         reserve 51     -> MONTH_LIMIT_EXCEEDED
         reserve 50     -> 0/100/50
         settle 50      -> 50/150/0
         at 2026-01-31T23:59:59.999999Z -> 0/150/0
         reserve 1      -> MONTH_LIMIT_EXCEEDED
         at 2026-02-01T00:00Z -> 0/0/0
         reserve 60     -> 0/0/60",
    );
}

#[test]
fn without_limits_nothing_is_refused_or_counted() {
    check(
        "reserve 500000 -> 0/0/500000
         settle 500000  -> 0/0/0
         limit day 10   -> 0/0/0
         reserve 11     -> DAY_LIMIT_EXCEEDED
         reserve 10     -> 0/0/10
         settle 10      -> 10/10/0
         limit          -> 0/0/0
         reserve 300    -> 0/0/300",
    );
}

#[test]
fn what_comes_in_does_not_count() {
    check(
        "limit day 10   -> 0/0/0
         receive 500    -> 0/0/0
         reserve 10     -> 0/0/10
         settle 10      -> 10/10/0
         receive 500    -> 10/10/0
         reserve 1      -> DAY_LIMIT_EXCEEDED",
    );
}

#[test]
fn an_open_hold_counts_until_it_is_captured_or_voided() {
    check(
        "limit day 100 month 120 -> 0/0/0
         reserve 70     -> 0/0/70
         hold 70        -> 0/0/70
         reserve 31     -> DAY_LIMIT_EXCEEDED
         capture 20     -> 20/20/50
         reserve 31     -> DAY_LIMIT_EXCEEDED
         void 50        -> 20/20/0
         reserve 80     -> 20/20/80
         hold 80        -> 20/20/80
         at 2026-01-02T12:00Z -> 0/20/80
         reserve 20     -> 0/20/100
         reserve 1      -> DAY_LIMIT_EXCEEDED
         release 20     -> 0/20/80
         capture 80     -> 80/100/0
         reserve 20     -> 80/100/20",
    );
}

#[test]
fn limits_that_are_changed_keep_what_was_spent() {
    check(
        "limit day 100  -> 0/0/0
         reserve 70     -> 0/0/70
         settle 70      -> 70/70/0
         limit day 50 month 200 -> 70/70/0
         reserve 1      -> DAY_LIMIT_EXCEEDED
         limit month 80 -> 70/70/0
         reserve 11     -> MONTH_LIMIT_EXCEEDED
         reserve 10     -> 70/70/10
         settle 10      -> 80/80/0",
    );
}

#[test]
fn a_hold_of_before_the_limits_is_captured_all_the_same() {
    check(
        "reserve 500    -> 0/0/500
         hold 500       -> 0/0/500
         limit payment 10 day 100 month 100 -> 0/0/500
         reserve 1      -> DAY_LIMIT_EXCEEDED
         capture 500    -> 500/500/0
         reserve 1      -> DAY_LIMIT_EXCEEDED",
    );
}

#[test]
fn days_and_months_begin_where_the_offset_says() {
    check(
        "limit day 100 month 100 offset 330 -> 0/0/0
         at 2026-01-31T18:29:59Z -> 0/0/0
         reserve 100    -> 0/0/100
         settle 100     -> 100/100/0
         at 2026-01-31T18:30Z -> 0/0/0
         reserve 100    -> 0/0/100
         settle 100     -> 100/100/0
         at 2026-02-01T18:29:59Z -> 100/100/0
         reserve 1      -> DAY_LIMIT_EXCEEDED",
    );
    // Elsewhere it is another day; what was spent today stays spent.
    check(
        "at 2026-02-01T01:00Z -> 0/0/0
         limit day 100  -> 0/0/0
         reserve 60     -> 0/0/60
         settle 60      -> 60/60/0
         limit day 100 offset -600 -> 60/60/0
         reserve 41     -> DAY_LIMIT_EXCEEDED
         at 2026-02-01T10:00Z -> 0/0/0
         limit day 100 offset 840 -> 0/0/0
         reserve 100    -> 0/0/100",
    );
}

#[test]
fn what_was_asked_for_before_midnight_counts_with_what_came_after() {
    check(
        "at 2026-01-01T23:59Z -> 0/0/0
         limit day 100  -> 0/0/0
         reserve 100    -> 0/0/100
         at 2026-01-02T00:00Z -> 0/0/100
         reserve 1      -> DAY_LIMIT_EXCEEDED
         settle 100     -> 100/100/0
         late 1 2026-01-01T23:59Z -> DAY_LIMIT_EXCEEDED
         reserve 1      -> DAY_LIMIT_EXCEEDED",
    );
}

#[test]
fn the_order_of_checks() {
    check(
        "limit payment 10 day 5 month 3 -> 0/0/0
         reserve 2000000 -> PAYMENT_LIMIT_EXCEEDED
         reserve 10     -> DAY_LIMIT_EXCEEDED
         reserve 4      -> MONTH_LIMIT_EXCEEDED
         limit payment 3000000 -> 0/0/0
         reserve 2000000 -> INSUFFICIENT_FUNDS
         limit payment 10 -> 0/0/0
         freeze         -> 0/0/0
         reserve 11     -> WALLET_FROZEN",
    );
}

#[test]
fn more_than_can_be_counted_is_more_than_any_limit() {
    let per_day = Amount::new(i64::MAX);
    let mut spending = Spending::begin(SpendingLimits { per_day, ..SpendingLimits::default() }, 0);
    spending.spend(i64::MAX, 0);
    spending.spend(i64::MAX, 1);
    assert_eq!(spending.spent().day, i64::MAX);
    assert_eq!(SpendingNow { spending: &spending, now_micros: 2 }.admit(1, 0), Err(Reject::DayLimitExceeded));
    assert_eq!(SpendingNow { spending: &spending, now_micros: 1 << 40 }.admit(1, 0), Ok(()));
}
