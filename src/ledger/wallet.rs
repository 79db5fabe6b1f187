//! The wallet's rules: what may be put aside, what a settled transfer changes, when a status may
//! change. Every wallet actor, the replay and the tests run this code; who hosts it is not its business.

use super::currency::Currency;
use super::ids::{OwnerId, WalletId};
use super::limits::{Limits, LimitsId};
use super::reject::Reject;
use super::spending::SpendingNow;

/// What a wallet is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    Personal = 0,
    Merchant = 1,
    Store = 2,
    /// The ledger's own: money enters and leaves through these, and they may go below zero.
    System = 3,
}

/// Where a wallet is in its life. Closed is the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Status {
    Active = 0,
    Frozen = 1,
    Closed = 2,
}

/// Everything that is fixed when a wallet is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opening {
    pub wallet: WalletId,
    pub owner: OwnerId,
    pub currency: Currency,
    pub kind: Kind,
    pub may_send: bool,
    pub may_receive: bool,
    pub limits: Limits,
}

/// A wallet's state: one line of the cache, since a transfer that is under way finds the wallets of many others there
/// as well. Whose it is and what its limits are, its host keeps elsewhere: no rule asks the one, and few limits serve all.
///
/// Invariants: `reserved`, `incoming` and `held` are never below zero;
/// `posted - reserved - held` is never below the overdraft limit, and `posted + incoming` never
/// above the ceiling, whichever of the conversations under way come to settle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(align(64))]
pub struct Wallet {
    id: WalletId,
    posted: i64,
    reserved: i64,
    incoming: i64,
    held: i64,
    limits: LimitsId,
    in_flight: u32,
    /// Free for whoever hosts the wallet; the rules never read it.
    pub host_mark: u32,
    currency: Currency,
    kind_and_flags: u8,
    status: Status,
}

const _: () = assert!(size_of::<Wallet>() == 64);

const MAY_SEND: u8 = 0x10;
const MAY_RECEIVE: u8 = 0x20;
const IS_LIMITED: u8 = 0x40;

impl Wallet {
    pub fn open(opening: &Opening, limits: LimitsId) -> Wallet {
        let mut kind_and_flags = opening.kind as u8;
        if opening.may_send {
            kind_and_flags |= MAY_SEND;
        }
        if opening.may_receive {
            kind_and_flags |= MAY_RECEIVE;
        }
        Wallet {
            id: opening.wallet,
            posted: 0,
            reserved: 0,
            incoming: 0,
            held: 0,
            limits,
            in_flight: 0,
            host_mark: 0,
            currency: opening.currency,
            kind_and_flags,
            status: Status::Active,
        }
    }

    /// A wallet as a snapshot knows it: nothing is under way.
    pub fn restore(opening: &Opening, limits: LimitsId, status: Status, posted: i64, held: i64) -> Wallet {
        let mut wallet = Wallet::open(opening, limits);
        wallet.status = status;
        wallet.posted = posted;
        wallet.held = held;
        wallet.check();
        wallet
    }

    /// What it was opened with; owner and limits come from its host.
    pub fn opening(&self, owner: OwnerId, limits: Limits) -> Opening {
        Opening {
            wallet: self.id,
            owner,
            currency: self.currency,
            kind: self.kind(),
            may_send: self.kind_and_flags & MAY_SEND != 0,
            may_receive: self.kind_and_flags & MAY_RECEIVE != 0,
            limits,
        }
    }

    pub fn id(&self) -> WalletId {
        self.id
    }

    pub fn currency(&self) -> Currency {
        self.currency
    }

    pub fn kind(&self) -> Kind {
        Kind::from_number(self.kind_and_flags & 0x0f).expect("written by open")
    }

    pub fn status(&self) -> Status {
        self.status
    }

    pub fn limits(&self) -> LimitsId {
        self.limits
    }

    /// Money that durable transfers have left in the wallet.
    pub fn posted(&self) -> i64 {
        self.posted
    }

    /// Put aside for payments that are on their way to the log.
    pub fn reserved(&self) -> i64 {
        self.reserved
    }

    /// Put aside for customers' holds that are authorized and not yet captured or voided.
    pub fn held(&self) -> i64 {
        self.held
    }

    /// What is left for a new payment, before the overdraft limit: posted - reserved - held.
    pub fn available(&self) -> i128 {
        i128::from(self.posted) - i128::from(self.reserved) - i128::from(self.held)
    }

    /// Conversations that this wallet takes part in and that have not ended.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Whether there are spending limits, which its host keeps beside it.
    #[inline]
    pub fn is_limited(&self) -> bool {
        self.kind_and_flags & IS_LIMITED != 0
    }

    pub fn set_limited(&mut self, is_limited: bool) {
        self.kind_and_flags &= !IS_LIMITED;
        if is_limited {
            self.kind_and_flags |= IS_LIMITED;
        }
    }

    /// Puts money aside (`delta` below zero) or room for it (above zero). `spending`: that of a wallet that is limited,
    /// where money is to go out.
    pub fn reserve(
        &mut self,
        delta: i64,
        currency: Currency,
        limits: Limits,
        spending: Option<SpendingNow<'_>>,
    ) -> Result<(), Reject> {
        debug_assert!(delta != 0);
        debug_assert!(delta > 0 || spending.is_some() == self.is_limited());
        self.takes_part(currency)?;
        let amount = i128::from(delta).abs();
        if delta < 0 {
            if self.kind_and_flags & MAY_SEND == 0 {
                return Err(Reject::WalletMayNotSend);
            }
            if let Some(spending) = spending {
                spending.admit(amount, i128::from(self.reserved) + i128::from(self.held))?;
            }
            let lowest = self.available() - amount;
            if lowest < i128::from(i64::MIN) {
                return Err(Reject::BalanceOverflow);
            }
            if lowest < i128::from(limits.floor()) {
                return Err(Reject::InsufficientFunds);
            }
        } else {
            if self.kind_and_flags & MAY_RECEIVE == 0 {
                return Err(Reject::WalletMayNotReceive);
            }
            let highest = i128::from(self.posted) + i128::from(self.incoming) + amount;
            if highest > i128::from(i64::MAX) {
                return Err(Reject::BalanceOverflow);
            }
            if highest > i128::from(limits.ceiling()) {
                return Err(Reject::BalanceCeilingExceeded);
            }
        }
        let reserved = if delta < 0 { self.reserved.checked_sub(delta) } else { Some(self.reserved) };
        let reserved = reserved.ok_or(Reject::BalanceOverflow)?;
        // Nothing below this line may refuse.
        self.reserved = reserved;
        if delta > 0 {
            self.incoming += delta;
        }
        self.begin();
        self.check();
        Ok(())
    }

    /// The checks that need no amount: closed, currency, frozen, in this order.
    pub fn takes_part(&self, currency: Currency) -> Result<(), Reject> {
        if self.status == Status::Closed {
            return Err(Reject::WalletClosed);
        }
        if self.currency != currency {
            return Err(Reject::CurrencyMismatch);
        }
        if self.status == Status::Frozen {
            return Err(Reject::WalletFrozen);
        }
        Ok(())
    }

    /// Whether it may be named as the payee of a hold; nothing is put aside before the capture.
    pub fn may_be_paid(&self, currency: Currency) -> Result<(), Reject> {
        self.takes_part(currency)?;
        if self.kind_and_flags & MAY_RECEIVE == 0 {
            return Err(Reject::WalletMayNotReceive);
        }
        Ok(())
    }

    /// Takes back what [`Wallet::reserve`] put aside: before posting it, or because of a refusal.
    pub fn release(&mut self, delta: i64) {
        if delta < 0 {
            self.reserved += delta;
        } else {
            self.incoming -= delta;
        }
        self.end();
        self.check();
    }

    /// A conversation that puts nothing aside begins here.
    pub fn begin(&mut self) {
        self.in_flight += 1;
    }

    /// And ends here.
    pub fn end(&mut self) {
        self.in_flight = self.in_flight.checked_sub(1).expect("what ends has begun");
    }

    /// Changes the posted balance by a durable transfer; returns the balance after it.
    pub fn post(&mut self, delta: i64) -> i64 {
        self.posted = self.posted.checked_add(delta).expect("reserve left room for it");
        self.check();
        self.posted
    }

    /// An authorized hold is durable: the money stays here and is no longer available.
    pub fn hold(&mut self, amount: i64) {
        self.held = self.held.checked_add(amount).expect("reserve left room for it");
        self.check();
    }

    /// A hold is captured, voided or expired by this much.
    pub fn unhold(&mut self, amount: i64) {
        self.held -= amount;
        self.check();
    }

    /// Whether a durable change to `status` is allowed now.
    pub fn may_become(&self, status: Status) -> Result<(), Reject> {
        if self.status == Status::Closed && status != Status::Closed {
            return Err(Reject::WalletClosed);
        }
        let empty = self.posted == 0 && self.held == 0 && self.in_flight == 0;
        if status == Status::Closed && !empty {
            return Err(Reject::WalletNotEmpty);
        }
        Ok(())
    }

    /// Whether spending limits may be set, changed or taken away now.
    pub fn may_be_limited(&self) -> Result<(), Reject> {
        if self.status == Status::Closed { Err(Reject::WalletClosed) } else { Ok(()) }
    }

    pub fn set_status(&mut self, status: Status) {
        debug_assert!(self.may_become(status).is_ok());
        self.status = status;
    }

    #[inline]
    fn check(&self) {
        assert!(
            self.reserved >= 0 && self.incoming >= 0 && self.held >= 0,
            "wallet {}: reserved {}, incoming {}, held {} are never below zero",
            self.id,
            self.reserved,
            self.incoming,
            self.held
        );
    }
}

impl Kind {
    pub fn from_number(number: u8) -> Option<Kind> {
        [Kind::Personal, Kind::Merchant, Kind::Store, Kind::System].into_iter().find(|kind| *kind as u8 == number)
    }

    pub fn name(self) -> &'static str {
        match self {
            Kind::Personal => "personal",
            Kind::Merchant => "merchant",
            Kind::Store => "store",
            Kind::System => "system",
        }
    }
}

impl Status {
    pub fn from_number(number: u8) -> Option<Status> {
        [Status::Active, Status::Frozen, Status::Closed].into_iter().find(|status| *status as u8 == number)
    }

    pub fn name(self) -> &'static str {
        match self {
            Status::Active => "active",
            Status::Frozen => "frozen",
            Status::Closed => "closed",
        }
    }
}

#[cfg(test)]
#[path = "wallet_tests.rs"]
mod tests;
