//! The book: the whole ledger as plain maps that replay events one after another. It is the
//! target of `florin replay`, the other opinion of `florin verify`, and the oracle of the
//! tests: it does its own arithmetic and trusts nothing but the events.

use std::collections::BTreeMap;

use super::currency::Currency;
use super::event::Event;
use super::hold::{Authorization, Capture, Hold, HoldEnd};
use super::ids::{HoldId, WalletId};
use super::limits::{Limits, LimitsTable};
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
            self.apply_event(event)
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
        }
        for hold in self.holds.values() {
            hash.add_hold(&Hold::restore(&hold.authorization, hold.captured));
        }
        hash
    }

    fn apply_event(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::WalletOpened(opening) => self.open(opening),
            Event::StatusChanged { wallet, status } => self.set_status(*wallet, *status),
            Event::Transferred(transfer) => self.transfer(transfer),
            Event::HoldAuthorized(authorization) => self.authorize(authorization),
            Event::HoldCaptured(capture) => self.capture(capture),
            Event::HoldReleased { hold, payer, released, end } => self.release(*hold, *payer, *released, *end),
            Event::Refused { .. } => Ok(()),
        }
    }

    fn open(&mut self, opening: &Opening) -> Result<(), String> {
        let wallet = BookWallet { opening: *opening, status: Status::Active, posted: 0, held: 0 };
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

    fn transfer(&mut self, transfer: &Transfer) -> Result<(), String> {
        let sum: i128 = transfer.legs().iter().map(|leg| i128::from(leg.amount)).sum();
        if sum != 0 {
            return Err(format!("transfer {} does not add up to zero", transfer.id()));
        }
        for leg in transfer.legs() {
            self.post(leg.wallet, leg.amount, transfer.currency())?;
        }
        Ok(())
    }

    fn authorize(&mut self, authorization: &Authorization) -> Result<(), String> {
        self.takes_part(authorization.payee, authorization.currency)?;
        let payer = self.takes_part(authorization.payer, authorization.currency)?;
        payer.held = payer.held.checked_add(authorization.amount.minor()).ok_or("held money overflows")?;
        within_limits(payer)?;
        let hold = BookHold { authorization: authorization.clone(), captured: 0 };
        match self.holds.insert(authorization.hold, hold) {
            None => Ok(()),
            Some(_) => Err(format!("hold {} is authorized twice", authorization.hold)),
        }
    }

    fn capture(&mut self, capture: &Capture) -> Result<(), String> {
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
        self.post(capture.payer, -capture.amount.minor(), capture.currency)?;
        self.post(capture.payee, capture.amount.minor(), capture.currency)
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

    fn post(&mut self, id: WalletId, amount: i64, currency: Currency) -> Result<(), String> {
        let wallet = self.takes_part(id, currency)?;
        wallet.posted =
            wallet.posted.checked_add(amount).ok_or_else(|| format!("the balance of wallet {id} overflows"))?;
        within_limits(wallet)?;
        let balance_after = wallet.posted;
        self.entries.push(Entry { wallet: id, amount, balance_after });
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
