//! The book: the whole ledger as plain maps that replay events one after another. It is the
//! target of `florin replay`, the other opinion of `florin verify`, and the oracle of the
//! tests: it does its own arithmetic and trusts nothing but the events.

use std::collections::BTreeMap;

use super::civil::{day_of, month_of};
use super::currency::Currency;
use super::event::Event;
use super::hold::{Authorization, Capture, Hold, HoldEnd};
use super::ids::{HoldId, WalletId};
use super::limits::{Limits, LimitsTable};
use super::money::Amount;
use super::spending::{Spending, SpendingLimits, SpentNow};
use super::state_hash::StateHash;
use super::transfer::Transfer;
use super::wallet::{Opening, Status, Wallet};

/// One wallet as the book sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BookWallet {
    pub opening: Opening,
    pub status: Status,
    pub posted: i64,
    pub held: i64,
    pub spending: Option<BookSpending>,
}

/// What a wallet with spending limits has spent, as the book sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BookSpending {
    pub limits: SpendingLimits,
    pub day: i32,
    pub spent_today: i128,
    pub spent_this_month: i128,
}

/// One open hold as the book sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BookHold {
    pub authorization: Authorization,
    pub captured: i64,
}

/// What the book has of one currency.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CurrencySum {
    pub wallets: u64,
    pub posted: i128,
    pub held: i128,
}

/// A change of one wallet's posted balance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    pub wallet: WalletId,
    pub amount: i64,
    pub balance_after: i64,
}

/// The events do not make sense one after another: this log is not one that Florin wrote.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("at LSN {lsn} the books stop making sense: {what}")]
pub struct Broken {
    pub lsn: u64,
    pub what: String,
}

/// The ledger at one LSN.
#[derive(Clone, Debug, Default)]
pub struct Book {
    pub wallets: BTreeMap<WalletId, BookWallet>,
    pub holds: BTreeMap<HoldId, BookHold>,
    pub last_lsn: u64,
    pub last_time_micros: u64,
    entries: Vec<Entry>,
}

impl Book {
    /// Applies the next event; gives the entries that it made. After an error the book is not to be used.
    pub fn apply(&mut self, lsn: u64, time_micros: u64, event: &Event) -> Result<&[Entry], Broken> {
        self.entries.clear();
        let order_kept = lsn == self.last_lsn + 1 && time_micros >= self.last_time_micros;
        let outcome = if order_kept {
            self.apply_event(event, time_micros)
        } else {
            Err(format!("it follows LSN {}, or time went back", self.last_lsn))
        };
        outcome.map_err(|what| Broken { lsn, what })?;
        self.last_lsn = lsn;
        self.last_time_micros = time_micros;
        Ok(&self.entries)
    }

    /// Per currency: wallets, the sum of all balances (zero in a book that balances), and held money.
    pub fn sums(&self) -> BTreeMap<Currency, CurrencySum> {
        let mut sums: BTreeMap<Currency, CurrencySum> = BTreeMap::new();
        for wallet in self.wallets.values() {
            let sum = sums.entry(wallet.opening.currency).or_default();
            sum.wallets += 1;
            sum.posted += i128::from(wallet.posted);
            sum.held += i128::from(wallet.held);
        }
        sums
    }

    pub fn state_hash(&self) -> StateHash {
        let mut hash = StateHash::default();
        let mut table = LimitsTable::default();
        for wallet in self.wallets.values() {
            let limits = wallet.opening.limits;
            let state = Wallet::restore(&wallet.opening, table.id(limits), wallet.status, wallet.posted, wallet.held);
            hash.add_wallet(&state, wallet.opening.owner, limits);
            if let Some(spending) = &wallet.spending {
                hash.add_spending(wallet.opening.wallet, &spending.state());
            }
        }
        for hold in self.holds.values() {
            hash.add_hold(&Hold::restore(&hold.authorization, hold.captured));
        }
        hash
    }

    fn apply_event(&mut self, event: &Event, time_micros: u64) -> Result<(), String> {
        match event {
            Event::WalletOpened(opening) => self.open(opening),
            Event::StatusChanged { wallet, status } => self.set_status(*wallet, *status),
            Event::Transferred(transfer) => self.transfer(transfer, time_micros),
            Event::HoldAuthorized(authorization) => self.authorize(authorization, time_micros),
            Event::HoldCaptured(capture) => self.capture(capture, time_micros),
            Event::HoldReleased { hold, payer, released, end } => self.release(*hold, *payer, *released, *end),
            Event::Refused { .. } => Ok(()),
            Event::SpendingLimited { wallet, limits } => self.limit_spending(*wallet, *limits, time_micros),
        }
    }

    fn open(&mut self, opening: &Opening) -> Result<(), String> {
        let wallet = BookWallet { opening: *opening, status: Status::Active, posted: 0, held: 0, spending: None };
        match self.wallets.insert(opening.wallet, wallet) {
            None => Ok(()),
            Some(_) => Err(format!("wallet {} is opened twice", opening.wallet)),
        }
    }

    fn set_status(&mut self, id: WalletId, status: Status) -> Result<(), String> {
        let wallet = self.wallet(id)?;
        if wallet.status == Status::Closed || (status == Status::Closed && (wallet.posted, wallet.held) != (0, 0)) {
            return Err(format!("wallet {id} cannot go from {:?} to {status:?}", wallet.status));
        }
        wallet.status = status;
        Ok(())
    }

    fn limit_spending(&mut self, id: WalletId, limits: SpendingLimits, time_micros: u64) -> Result<(), String> {
        let wallet = self.wallet(id)?;
        if wallet.status == Status::Closed {
            return Err(format!("wallet {id} is closed and gets other spending limits"));
        }
        let day = day_of(time_micros, limits.utc_offset);
        let known = wallet.spending.map(|known| known.on(time_micros));
        let (spent_today, spent_this_month) = known.map_or((0, 0), |known| (known.spent_today, known.spent_this_month));
        let is_limited = limits != SpendingLimits { utc_offset: limits.utc_offset, ..SpendingLimits::default() };
        wallet.spending = is_limited.then_some(BookSpending { limits, day, spent_today, spent_this_month });
        Ok(())
    }

    fn transfer(&mut self, transfer: &Transfer, time_micros: u64) -> Result<(), String> {
        let sum: i128 = transfer.legs().iter().map(|leg| i128::from(leg.amount)).sum();
        if sum != 0 {
            return Err(format!("transfer {} does not add up to zero", transfer.id()));
        }
        for leg in transfer.legs() {
            self.post(leg.wallet, leg.amount, transfer.currency(), time_micros)?;
            if leg.amount < 0 {
                self.within_spending_limits(leg.wallet, -i128::from(leg.amount), time_micros)?;
            }
        }
        Ok(())
    }

    fn authorize(&mut self, authorization: &Authorization, time_micros: u64) -> Result<(), String> {
        self.takes_part(authorization.payee, authorization.currency)?;
        let payer = self.takes_part(authorization.payer, authorization.currency)?;
        payer.held = payer.held.checked_add(authorization.amount.minor()).ok_or("held money overflows")?;
        within_limits(payer)?;
        self.within_spending_limits(authorization.payer, authorization.amount.minor().into(), time_micros)?;
        let hold = BookHold { authorization: authorization.clone(), captured: 0 };
        match self.holds.insert(authorization.hold, hold) {
            None => Ok(()),
            Some(_) => Err(format!("hold {} is authorized twice", authorization.hold)),
        }
    }

    fn capture(&mut self, capture: &Capture, time_micros: u64) -> Result<(), String> {
        let hold = self.holds.get_mut(&capture.hold).ok_or_else(|| format!("hold {} is not open", capture.hold))?;
        let known = &hold.authorization;
        if (known.payer, known.payee, known.currency) != (capture.payer, capture.payee, capture.currency) {
            return Err(format!("capture {} names other wallets than its hold", capture.id));
        }
        let total = known.amount.minor();
        hold.captured += capture.amount.minor();
        let left = total - hold.captured - capture.released;
        if left < 0 || capture.released < 0 || (capture.released > 0 && left != 0) {
            return Err(format!("capture {} takes more than its hold has", capture.id));
        }
        if left == 0 {
            self.holds.remove(&capture.hold);
        }
        self.unhold(capture.payer, capture.amount.minor() + capture.released)?;
        self.post(capture.payer, -capture.amount.minor(), capture.currency, time_micros)?;
        self.post(capture.payee, capture.amount.minor(), capture.currency, time_micros)
    }

    fn release(&mut self, id: HoldId, payer: WalletId, released: i64, end: HoldEnd) -> Result<(), String> {
        let hold = self.holds.remove(&id).ok_or_else(|| format!("hold {id} is not open"))?;
        let remaining = hold.authorization.amount.minor() - hold.captured;
        if remaining != released || payer != hold.authorization.payer || end == HoldEnd::Captured {
            return Err(format!("the release of hold {id} does not fit it"));
        }
        self.unhold(payer, released)
    }

    fn unhold(&mut self, id: WalletId, amount: i64) -> Result<(), String> {
        let wallet = self.wallet(id)?;
        wallet.held -= amount;
        if wallet.held < 0 {
            return Err(format!("wallet {id} would hold less than nothing"));
        }
        Ok(())
    }

    fn post(&mut self, id: WalletId, amount: i64, currency: Currency, time_micros: u64) -> Result<(), String> {
        let wallet = self.takes_part(id, currency)?;
        wallet.posted =
            wallet.posted.checked_add(amount).ok_or_else(|| format!("the balance of wallet {id} overflows"))?;
        within_limits(wallet)?;
        if let Some(known) = wallet.spending.filter(|_| amount < 0) {
            let mut spending = known.on(time_micros);
            spending.spent_today -= i128::from(amount);
            spending.spent_this_month -= i128::from(amount);
            wallet.spending = Some(spending);
        }
        let balance_after = wallet.posted;
        self.entries.push(Entry { wallet: id, amount, balance_after });
        Ok(())
    }

    /// A payment that is let out, or held, has room beside all that was spent and is held. What is captured of a hold may
    /// exceed limits that were set after it.
    fn within_spending_limits(&mut self, id: WalletId, amount: i128, time_micros: u64) -> Result<(), String> {
        let wallet = self.wallet(id)?;
        let Some(spending) = wallet.spending.map(|known| known.on(time_micros)) else { return Ok(()) };
        let SpendingLimits { per_payment, per_day, per_month, .. } = spending.limits;
        let held = i128::from(wallet.held);
        let above = |limit: Option<Amount>, spent: i128| limit.is_some_and(|limit| spent > limit.minor().into());
        if above(per_payment, amount)
            || above(per_day, spending.spent_today + held)
            || above(per_month, spending.spent_this_month + held)
        {
            return Err(format!("wallet {id} spends {amount} and is above its limits: {spending:?}, held {held}"));
        }
        Ok(())
    }

    fn takes_part(&mut self, id: WalletId, currency: Currency) -> Result<&mut BookWallet, String> {
        let wallet = self.wallet(id)?;
        if wallet.status != Status::Active {
            return Err(format!("wallet {id} is {:?} and takes part in a transfer", wallet.status));
        }
        if wallet.opening.currency != currency {
            return Err(format!("wallet {id} is in {}, not in {currency}", wallet.opening.currency));
        }
        Ok(wallet)
    }

    fn wallet(&mut self, id: WalletId) -> Result<&mut BookWallet, String> {
        self.wallets.get_mut(&id).ok_or_else(|| format!("there is no wallet {id}"))
    }
}

fn within_limits(wallet: &BookWallet) -> Result<(), String> {
    let Limits { overdraft_limit, balance_ceiling } = wallet.opening.limits;
    let lowest = i128::from(wallet.posted) - i128::from(wallet.held);
    let below = overdraft_limit.is_some_and(|limit| lowest < -i128::from(limit));
    let above = balance_ceiling.is_some_and(|ceiling| wallet.posted > ceiling);
    if below || above {
        return Err(format!(
            "wallet {} is outside its limits: posted {}, held {}",
            wallet.opening.wallet, wallet.posted, wallet.held
        ));
    }
    Ok(())
}

impl BookSpending {
    /// As it is on the day of this moment.
    fn on(mut self, time_micros: u64) -> BookSpending {
        let day = day_of(time_micros, self.limits.utc_offset);
        if day != self.day {
            self.spent_today = 0;
        }
        if month_of(day) != month_of(self.day) {
            self.spent_this_month = 0;
        }
        self.day = day;
        self
    }

    /// The same as a wallet's host has it, to compare.
    pub fn state(&self) -> Spending {
        let counted = |minor: i128| i64::try_from(minor).unwrap_or(i64::MAX);
        let spent = SpentNow { day: counted(self.spent_today), month: counted(self.spent_this_month) };
        Spending::restore(self.limits, self.day, spent)
    }
}
