//! What a replay comes to: a table for people, a JSON line for machines. Field names as in the HTTP API.

use std::collections::BTreeMap;
use std::time::Duration;

use florin::http::wire::{Id, Money, Time};
use florin::ledger::money::format_sum;
use florin::ledger::{Currency, StateHash};
use serde::Serialize;

use super::target::{Target, WalletLine};
use crate::cli::screen::{self, grouped};

pub struct Figures {
    lsn: u64,
    log_last_lsn: u64,
    time_micros: Option<u64>,
    open_holds: u64,
    sums: BTreeMap<Currency, Sum>,
    state_hash: StateHash,
    elapsed: Duration,
}

#[derive(Default)]
struct Sum {
    wallets: u64,
    posted: i128,
    held: i128,
}

#[derive(Serialize)]
struct SummaryJson {
    #[serde(rename = "type")]
    line: &'static str,
    last_lsn: u64,
    time: Option<Time>,
    log_last_lsn: u64,
    wallets: u64,
    open_holds: u64,
    currencies: Vec<CurrencyJson>,
    state_hash: String,
    seconds: f64,
    events_per_second: u64,
}

#[derive(Serialize)]
struct CurrencyJson {
    currency: &'static str,
    wallets: u64,
    sum: Money,
    held: Money,
}

#[derive(Serialize)]
struct WalletJson {
    #[serde(rename = "type")]
    line: &'static str,
    id: Id,
    owner: Id,
    currency: &'static str,
    kind: &'static str,
    status: &'static str,
    posted: Money,
    held: Money,
}

impl Figures {
    pub fn of(target: &Target, lsn: u64, log_last_lsn: u64, time_micros: u64, elapsed: Duration) -> Figures {
        let mut sums: BTreeMap<Currency, Sum> = BTreeMap::new();
        for wallet in target.wallets() {
            let sum = sums.entry(wallet.opening.currency).or_default();
            sum.wallets += 1;
            sum.posted += i128::from(wallet.posted);
            sum.held += i128::from(wallet.held);
        }
        Figures {
            lsn,
            log_last_lsn,
            time_micros: (lsn > 0).then_some(time_micros),
            open_holds: target.open_holds(),
            sums,
            state_hash: target.state_hash(),
            elapsed,
        }
    }

    /// False where money came out of nothing, which no sound log can do.
    pub fn balance(&self) -> bool {
        self.sums.values().all(|sum| sum.posted == 0)
    }

    pub fn table(&self) -> String {
        let mut out = String::new();
        let mut row = |name: &str, value: String| out.push_str(&format!("{name:<12}{value}\n"));
        let whole = if self.lsn == self.log_last_lsn { "the end of the log".to_owned() } else { self.rest() };
        row("position", format!("{}  ({whole})", grouped(self.lsn)));
        if let Some(micros) = self.time_micros {
            row("time", screen::time(micros));
        }
        row("wallets", grouped(self.wallets()));
        row("open holds", grouped(self.open_holds));
        for (currency, sum) in &self.sums {
            let (posted, held) = (format_sum(sum.posted, *currency), format_sum(sum.held, *currency));
            let wallets = grouped(sum.wallets);
            row(&format!("sum {currency}"), format!("{posted}  ({wallets} wallets, {held} held)"));
        }
        row("state hash", self.state_hash.to_string());
        let rate = grouped(screen::rate(self.lsn, self.elapsed));
        row("replayed", format!("in {}, {rate} events/s", screen::seconds(self.elapsed)));
        out
    }

    pub fn json(&self) -> String {
        let currencies = self.sums.iter().map(|(&currency, sum)| CurrencyJson {
            currency: currency.code(),
            wallets: sum.wallets,
            sum: Money { minor: sum.posted, currency },
            held: Money { minor: sum.held, currency },
        });
        line(&SummaryJson {
            line: "summary",
            last_lsn: self.lsn,
            time: self.time_micros.map(Time),
            log_last_lsn: self.log_last_lsn,
            wallets: self.wallets(),
            open_holds: self.open_holds,
            currencies: currencies.collect(),
            state_hash: self.state_hash.to_string(),
            seconds: self.elapsed.as_secs_f64(),
            events_per_second: screen::rate(self.lsn, self.elapsed),
        }) + "\n"
    }

    fn wallets(&self) -> u64 {
        self.sums.values().map(|sum| sum.wallets).sum()
    }

    fn rest(&self) -> String {
        format!("the log goes on to {}", grouped(self.log_last_lsn))
    }
}

pub fn wallet_json(wallet: &WalletLine) -> String {
    let WalletLine { opening, status, posted, held } = wallet;
    let money = |minor| Money::new(minor, opening.currency);
    line(&WalletJson {
        line: "wallet",
        id: Id(opening.wallet.0),
        owner: Id(opening.owner.0),
        currency: opening.currency.code(),
        kind: opening.kind.name(),
        status: status.name(),
        posted: money(*posted),
        held: money(*held),
    })
}

fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data with text keys always serialises")
}
