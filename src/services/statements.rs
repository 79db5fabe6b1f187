//! Statements of a wallet: every entry of a time, between the balance before it and the balance after it. The sums are checked
//! before anything is written.

mod csv;
mod pdf;

use super::clock::SECOND;
use super::fault::{Fault, Why};
use super::history::{self, Named};
use super::{Services, accounts};
use crate::engine::{At, EntriesQuery};
use crate::ledger::{Currency, WalletId};
use uuid::Uuid;

/// A statement is made in memory, so it has an end.
pub const ENTRIES_MAX: usize = 10_000;

const STEP_ENTRIES: usize = 200;

/// Of a wallet, from a time on and before another.
#[derive(Clone, Debug)]
pub struct Statement {
    pub name: String,
    pub wallet: WalletId,
    pub currency: Currency,
    pub from_micros: u64,
    pub to_micros: u64,
    pub made_at_micros: u64,
    pub opening: i64,
    pub closing: i64,
    /// Both above zero.
    pub total_in: i128,
    pub total_out: i128,
    /// Oldest first.
    pub entries: Vec<Named>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    Csv,
    Pdf,
}

/// Gathers what was before now.
pub async fn gather(
    services: &Services,
    account: Uuid,
    wallet: WalletId,
    from_micros: u64,
    to_micros: u64,
) -> Result<Statement, Fault> {
    let now = u64::try_from(services.now() + SECOND).unwrap_or(u64::MAX);
    let account = accounts::by_id(services, account).await?;
    let view = services.engine.wallet(wallet).await?;
    let view = view.ok_or_else(|| Fault::no(Why::NotFound, "There is no such wallet."))?;
    let last = At::TimeMicros(to_micros.min(now).saturating_sub(1));
    let mut query = EntriesQuery {
        wallet,
        before_lsn: None,
        not_after: Some(last),
        not_before: Some(At::TimeMicros(from_micros)),
        direction: None,
        kind: None,
        counterparty: None,
        limit: STEP_ENTRIES,
    };
    let mut entries = Vec::new();
    loop {
        let page = history::page(services, query.clone(), None).await?;
        entries.extend(page.entries);
        if entries.len() > ENTRIES_MAX {
            let detail = format!("There are more than {ENTRIES_MAX} entries in this time; ask for a shorter one.");
            return Err(Fault::no(Why::InvalidRequest, detail));
        }
        match page.next_before_lsn {
            Some(before) => query.before_lsn = Some(before),
            None => break,
        }
    }
    entries.reverse();
    let (opening, closing) = match (entries.first(), entries.last()) {
        (Some(first), Some(last)) => (first.entry.balance_after - first.entry.amount, last.entry.balance_after),
        _ => {
            let balance = services.engine.balance_at(wallet, last).await?.map_or(0, |(posted, _)| posted);
            (balance, balance)
        }
    };
    let statement = Statement {
        name: services.seal.open("accounts.name", &account.name_sealed)?,
        wallet,
        currency: view.wallet.currency(),
        from_micros,
        to_micros,
        made_at_micros: u64::try_from(services.now()).unwrap_or(0),
        opening,
        closing,
        total_in: sum(&entries, |amount| amount > 0),
        total_out: -sum(&entries, |amount| amount < 0),
        entries,
    };
    statement.check()?;
    Ok(statement)
}

impl Statement {
    pub fn write(&self, format: Format) -> Result<Vec<u8>, Fault> {
        match format {
            Format::Csv => csv::write(self),
            Format::Pdf => Ok(pdf::write(self)),
        }
    }

    /// Each balance follows from the one before it, and the totals lead from the first to the last.
    fn check(&self) -> Result<(), Fault> {
        let mut balance = self.opening;
        for Named { entry, .. } in &self.entries {
            let is_next = balance.checked_add(entry.amount) == Some(entry.balance_after);
            if !is_next {
                return Err(Fault::Broken {
                    what: format!("the balance of {} does not follow at {}", self.wallet, entry.lsn),
                });
            }
            balance = entry.balance_after;
        }
        let is_whole = i128::from(self.opening) + self.total_in - self.total_out == i128::from(self.closing);
        if is_whole {
            Ok(())
        } else {
            Err(Fault::Broken { what: format!("the totals of {} do not add up", self.wallet) })
        }
    }
}

/// Who was on the other side, in one text.
fn counterparty(named: &Named) -> String {
    let names: Vec<&str> = named.names.iter().flatten().map(String::as_str).collect();
    names.join(", ")
}

fn sum(entries: &[Named], which: impl Fn(i64) -> bool) -> i128 {
    entries.iter().map(|named| named.entry.amount).filter(|amount| which(*amount)).map(i128::from).sum()
}

fn time_text(micros: u64) -> String {
    let micros = i64::try_from(micros).unwrap_or(i64::MAX);
    jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX).to_string()
}
