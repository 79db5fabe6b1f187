//! Refusals: every reason for which the ledger says no, by name. A refusal is an answer,
//! not a failure: it changes no balance, and a repeat of the request gets it again.
//!
//! # The order of checks
//! The first that applies is the answer.
//! 1. On the request alone: `LEGS_NOT_BALANCED` (2 to 16 legs, none zero, sum zero), `SAME_WALLET`.
//! 2. At each wallet, in ascending order of id: `WALLET_NOT_FOUND`, `WALLET_CLOSED`,
//!    `CURRENCY_MISMATCH`, `WALLET_FROZEN`; then for one that pays `WALLET_MAY_NOT_SEND`,
//!    `PAYMENT_LIMIT_EXCEEDED`, `DAY_LIMIT_EXCEEDED`, `MONTH_LIMIT_EXCEEDED`,
//!    `INSUFFICIENT_FUNDS`; for one that is paid `WALLET_MAY_NOT_RECEIVE`,
//!    `BALANCE_CEILING_EXCEEDED`; for both `BALANCE_OVERFLOW` before the funds or the ceiling.
//! 3. A capture or void asks the hold after its wallet was found and before the wallet's
//!    other checks: `HOLD_NOT_FOUND`, `HOLD_CLOSED`, `HOLD_EXPIRED`, `HOLD_EXCEEDED`. No spending limit refuses
//!    it: the hold was counted when it was authorized.

macro_rules! rejects {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $code:literal, $detail:literal;)*) => {
        /// A refusal by the ledger's rules.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u8)]
        pub enum Reject { $($(#[$doc])* $name = $number,)* }

        impl Reject {
            pub const ALL: &[Reject] = &[$(Reject::$name,)*];

            /// The stable name, as in the `code` of a problem document.
            pub fn code(self) -> &'static str {
                match self { $(Reject::$name => $code,)* }
            }

            /// One sentence for a person.
            pub fn detail(self) -> &'static str {
                match self { $(Reject::$name => $detail,)* }
            }

            /// The number in records and in the binary outcome of bulk requests; never reused.
            pub fn number(self) -> u8 {
                self as u8
            }

            pub fn from_number(number: u8) -> Option<Reject> {
                match number { $($number => Some(Reject::$name),)* _ => None }
            }
        }
    };
}

rejects! {
    LegsNotBalanced = 1, "LEGS_NOT_BALANCED",
        "A transfer has 2 to 16 legs, none of them zero, and their amounts add up to zero.";
    SameWallet = 2, "SAME_WALLET",
        "A wallet may appear only once in a transfer; paying itself moves nothing.";
    WalletNotFound = 3, "WALLET_NOT_FOUND", "There is no wallet with this id.";
    WalletClosed = 4, "WALLET_CLOSED", "The wallet is closed; a closed wallet takes nothing more.";
    CurrencyMismatch = 5, "CURRENCY_MISMATCH",
        "The wallet is in another currency than the request; a transfer never mixes currencies.";
    WalletFrozen = 6, "WALLET_FROZEN", "The wallet is frozen: nothing goes out or comes in until it is unfrozen.";
    WalletMayNotSend = 7, "WALLET_MAY_NOT_SEND", "The wallet may not send money.";
    WalletMayNotReceive = 8, "WALLET_MAY_NOT_RECEIVE", "The wallet may not receive money.";
    InsufficientFunds = 9, "INSUFFICIENT_FUNDS",
        "The available balance and the overdraft limit together are less than the amount.";
    BalanceCeilingExceeded = 10, "BALANCE_CEILING_EXCEEDED",
        "The payment would lift the wallet above its balance ceiling.";
    BalanceOverflow = 11, "BALANCE_OVERFLOW", "The balance would leave the range of 64-bit minor units.";
    WalletExists = 12, "WALLET_EXISTS", "A wallet with this id exists already, opened with other details.";
    WalletNotEmpty = 13, "WALLET_NOT_EMPTY", "Only a wallet with a balance of zero and no holds can be closed.";
    HoldNotFound = 14, "HOLD_NOT_FOUND", "There is no hold with this id.";
    HoldClosed = 15, "HOLD_CLOSED", "The hold is closed: wholly captured, or voided.";
    HoldExpired = 16, "HOLD_EXPIRED", "The hold has expired.";
    HoldExceeded = 17, "HOLD_EXCEEDED", "The amount is more than what remains of the hold.";
    AtomicRefused = 18, "ATOMIC_REFUSED",
        "Another transfer of the same atomic bulk was refused, so this one was not made either.";
    PaymentLimitExceeded = 19, "PAYMENT_LIMIT_EXCEEDED",
        "The amount is above what the wallet may spend in one payment.";
    DayLimitExceeded = 20, "DAY_LIMIT_EXCEEDED",
        "With this payment the wallet would spend more than it may in a day, open holds included.";
    MonthLimitExceeded = 21, "MONTH_LIMIT_EXCEEDED",
        "With this payment the wallet would spend more than it may in a month, open holds included.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_codes_are_one_to_one() {
        for &reject in Reject::ALL {
            assert_eq!(Reject::from_number(reject.number()), Some(reject));
            let same = Reject::ALL.iter().filter(|other| other.code() == reject.code());
            assert_eq!(same.count(), 1);
        }
        assert_eq!(Reject::from_number(0), None, "zero means accepted in binary outcomes");
    }
}
