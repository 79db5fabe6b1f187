//! The wallet's rules as tables: one line is one message to a wallet and what it shows afterwards.

use super::*;
use crate::ledger::limits::LimitsTable;

/// Runs a script. The first line opens the wallet; each later one is
/// `message amount -> posted/reserved/held` or `-> REFUSAL`.
fn check(script: &str) {
    let inr = Currency::by_code("INR").expect("in the list");
    let mut table = LimitsTable::default();
    let mut wallet = None;
    let mut limits = Limits::PLAIN;
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (message, expected) = line.split_once("->").expect("every line says what it expects");
        let words: Vec<&str> = message.split_whitespace().collect();
        if words[0] == "open" {
            let number = |name: &str| {
                let at = words.iter().position(|word| *word == name)?;
                Some(words[at + 1].parse::<i64>().expect("a number"))
            };
            limits = Limits {
                overdraft_limit: if words.contains(&"system") { None } else { Some(number("overdraft").unwrap_or(0)) },
                balance_ceiling: number("ceiling"),
            };
            wallet = Some(Wallet::open(
                &Opening {
                    wallet: WalletId(1),
                    owner: OwnerId(2),
                    currency: inr,
                    kind: if words.contains(&"system") { Kind::System } else { Kind::Personal },
                    may_send: !words.contains(&"no-send"),
                    may_receive: !words.contains(&"no-receive"),
                    limits,
                },
                table.id(limits),
            ));
        }
        let wallet = wallet.as_mut().expect("the first line opens the wallet");
        let amount = words.get(1).and_then(|word| word.parse::<i64>().ok()).unwrap_or(0);
        let answer = match words[0] {
            "open" => Ok(()),
            "reserve" => wallet.reserve(amount, inr, limits, None),
            "reserve-jpy" => wallet.reserve(amount, Currency::by_code("JPY").expect("in the list"), limits, None),
            "release" => {
                wallet.release(amount);
                Ok(())
            }
            "settle" => {
                wallet.release(amount);
                wallet.post(amount);
                Ok(())
            }
            "settle-hold" => {
                wallet.release(-amount);
                wallet.hold(amount);
                Ok(())
            }
            "capture" => {
                wallet.unhold(amount);
                wallet.post(-amount);
                Ok(())
            }
            "void" => {
                wallet.unhold(amount);
                Ok(())
            }
            "payee" => wallet.may_be_paid(inr),
            "freeze" => wallet.may_become(Status::Frozen).map(|()| wallet.set_status(Status::Frozen)),
            "unfreeze" => wallet.may_become(Status::Active).map(|()| wallet.set_status(Status::Active)),
            "close" => wallet.may_become(Status::Closed).map(|()| wallet.set_status(Status::Closed)),
            other => panic!("unknown message {other}"),
        };
        let shown = match answer {
            Ok(()) => format!("{}/{}/{}", wallet.posted(), wallet.reserved(), wallet.held()),
            Err(reject) => reject.code().to_owned(),
        };
        assert_eq!(shown, expected.trim(), "at line: {line}");
    }
}

#[test]
fn reserve_settle_release() {
    check(
        "open           -> 0/0/0
         reserve 100    -> 0/0/0
         settle 100     -> 100/0/0
         reserve -70    -> 100/70/0
         reserve -31    -> INSUFFICIENT_FUNDS
         reserve -30    -> 100/100/0
         release -30    -> 100/70/0
         settle -70     -> 30/0/0",
    );
}

#[test]
fn money_on_its_way_in_cannot_be_spent() {
    check(
        "open           -> 0/0/0
         reserve 100    -> 0/0/0
         reserve -1     -> INSUFFICIENT_FUNDS
         settle 100     -> 100/0/0
         reserve -1     -> 100/1/0",
    );
}

#[test]
fn overdraft_and_ceiling_hold_whatever_settles() {
    check(
        "open overdraft 50 ceiling 120 -> 0/0/0
         reserve -51    -> INSUFFICIENT_FUNDS
         reserve -50    -> 0/50/0
         reserve -1     -> INSUFFICIENT_FUNDS
         settle -50     -> -50/0/0
         reserve 170    -> -50/0/0
         reserve 1      -> BALANCE_CEILING_EXCEEDED
         release 170    -> -50/0/0
         reserve 171    -> BALANCE_CEILING_EXCEEDED",
    );
}

#[test]
fn system_wallets_go_below_zero_up_to_the_end_of_the_range() {
    check(
        "open system -> 0/0/0
         reserve -9223372036854775807 -> 0/9223372036854775807/0
         settle -9223372036854775807  -> -9223372036854775807/0/0
         reserve -2     -> BALANCE_OVERFLOW
         reserve -1     -> -9223372036854775807/1/0",
    );
    check(
        "open system -> 0/0/0
         reserve 9223372036854775807 -> 0/0/0
         reserve 1      -> BALANCE_OVERFLOW
         settle 9223372036854775807  -> 9223372036854775807/0/0
         reserve 1      -> BALANCE_OVERFLOW",
    );
}

#[test]
fn holds_stay_in_the_wallet_and_out_of_reach() {
    check(
        "open           -> 0/0/0
         reserve 100    -> 0/0/0
         settle 100     -> 100/0/0
         reserve -60    -> 100/60/0
         settle-hold 60 -> 100/0/60
         reserve -41    -> INSUFFICIENT_FUNDS
         capture 25     -> 75/0/35
         void 35        -> 75/0/0
         reserve -75    -> 75/75/0",
    );
}

#[test]
fn the_order_of_checks() {
    check(
        "open no-send no-receive -> 0/0/0
         reserve-jpy -1 -> CURRENCY_MISMATCH
         reserve -1     -> WALLET_MAY_NOT_SEND
         reserve 1      -> WALLET_MAY_NOT_RECEIVE
         payee          -> WALLET_MAY_NOT_RECEIVE
         freeze         -> 0/0/0
         reserve-jpy -1 -> CURRENCY_MISMATCH
         reserve -1     -> WALLET_FROZEN
         payee          -> WALLET_FROZEN
         unfreeze       -> 0/0/0
         close          -> 0/0/0
         reserve-jpy 1  -> WALLET_CLOSED
         unfreeze       -> WALLET_CLOSED",
    );
}

#[test]
fn only_an_empty_wallet_closes() {
    check(
        "open           -> 0/0/0
         reserve 5      -> 0/0/0
         close          -> WALLET_NOT_EMPTY
         settle 5       -> 5/0/0
         close          -> WALLET_NOT_EMPTY
         reserve -5     -> 5/5/0
         settle -5      -> 0/0/0
         close          -> 0/0/0",
    );
}
