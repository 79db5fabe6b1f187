//! The ledger as a whole on the wire, and what a snapshot answers.

use serde::Serialize;
use utoipa::ToSchema;

use super::money::Money;
use super::scalar::Time;
use crate::engine::{SnapshotSummary, Summary};

/// The whole ledger at one position.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Summary)]
pub struct SummaryAnswer {
    last_lsn: u64,
    time: Time,
    /// The hash of every wallet, its spending limits and every open hold, 64 hexadecimal digits.
    state_hash: String,
    /// The log's running hash, 64 hexadecimal digits.
    chain_hash: String,
    wallets: u64,
    open_holds: u64,
    currencies: Vec<CurrencyAnswer>,
}

/// What the ledger has of one currency.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CurrencySummary)]
pub struct CurrencyAnswer {
    #[schema(example = "INR")]
    currency: &'static str,
    wallets: u64,
    /// Of all balances, those of system wallets too: always zero.
    sum: Money,
    held: Money,
}

/// A snapshot that was taken.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Snapshot)]
pub struct SnapshotAnswer {
    lsn: u64,
    bytes: u64,
    wallets: u64,
    state_hash: String,
    duration_ms: u64,
}

pub(super) fn schemas(list: &mut Vec<crate::http::openapi::NamedSchema>) {
    crate::http::openapi::add::<CurrencyAnswer>(list);
}

impl SummaryAnswer {
    pub fn new(summary: &Summary) -> SummaryAnswer {
        let currencies = summary.currencies.iter().map(|(currency, sum)| {
            let money = |minor| Money { minor, currency: *currency };
            CurrencyAnswer {
                currency: currency.code(),
                wallets: sum.wallets,
                sum: money(sum.posted),
                held: money(sum.held),
            }
        });
        SummaryAnswer {
            last_lsn: summary.last_lsn,
            time: Time(summary.time_micros),
            state_hash: hex(&summary.state_hash.bytes()),
            chain_hash: hex(&summary.chain),
            wallets: summary.wallets,
            open_holds: summary.open_holds,
            currencies: currencies.collect(),
        }
    }
}

impl SnapshotAnswer {
    pub fn new(snapshot: &SnapshotSummary) -> SnapshotAnswer {
        SnapshotAnswer {
            lsn: snapshot.lsn,
            bytes: snapshot.bytes,
            wallets: snapshot.wallets,
            state_hash: hex(&snapshot.state_hash.bytes()),
            duration_ms: snapshot.duration_micros / 1000,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).expect("four bits"));
        }
        text
    })
}
