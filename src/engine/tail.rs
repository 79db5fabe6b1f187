//! Reading along with the log as it grows, for what is derived from it outside the engine. It reads files that the page cache
//! has, holds nobody up, and gives only what is durable.

use crate::ledger::{Event, WalletId};

use super::conversation::Failure;
use super::desk::storage;
use super::life::Engine;
use super::lookup::{Found, blocking};
use super::record;

/// A place in the log that moves forward.
#[derive(Debug)]
pub struct Tail {
    scan: wal::Scan,
    /// Everything up to here was given, or passed over.
    lsn: u64,
}

/// What a look at the log found.
#[derive(Debug)]
pub struct Seen {
    pub tail: Tail,
    pub events: Vec<Found>,
    /// Nothing is durable beyond what was seen.
    pub is_at_end: bool,
}

impl Engine {
    /// From the event after this position on.
    pub fn tail(&self, after_lsn: u64) -> Tail {
        Tail { scan: self.inner.desk.reader.scan(after_lsn.saturating_add(1)), lsn: after_lsn }
    }

    /// By which a log is told from every other.
    pub fn log_id(&self) -> [u8; 16] {
        self.inner.desk.reader.log_id()
    }

    /// The last durable position.
    pub fn durable_lsn(&self) -> u64 {
        self.inner.desk.reader.durable_lsn()
    }
}

impl Tail {
    pub fn lsn(&self) -> u64 {
        self.lsn
    }

    /// Reads on through about `records_max` records. Of transfers and captures only those are given that touch a wallet that
    /// is wanted: most are told by their two wallets, without being decoded. It ends early after wallets were opened, so that
    /// they can be wanted from then on: nothing can be paid to them before their opening is durable, so not in its group.
    pub async fn next(
        mut self,
        records_max: usize,
        is_wanted: impl Fn(WalletId) -> bool + Send + 'static,
    ) -> Result<Seen, Failure> {
        blocking(move || {
            let (mut events, mut records) = (Vec::new(), 0);
            while records < records_max {
                let Some(group) = self.scan.next_group().map_err(storage)? else {
                    return Ok(Seen { tail: self, events, is_at_end: true });
                };
                let mut has_openings = false;
                for (lsn, body) in group.records() {
                    records += 1;
                    if let Some(wallets) = record::plain_wallets(body)
                        && !wallets.into_iter().any(&is_wanted)
                    {
                        continue;
                    }
                    let event = record::decode(body).map_err(storage)?;
                    let touches = match &event {
                        Event::Transferred(transfer) => transfer.legs().iter().any(|leg| is_wanted(leg.wallet)),
                        Event::HoldCaptured(capture) => is_wanted(capture.payer) || is_wanted(capture.payee),
                        Event::WalletOpened(_) => {
                            has_openings = true;
                            true
                        }
                        _ => false,
                    };
                    if touches {
                        events.push(Found { lsn, time_micros: group.time_micros, event });
                    }
                }
                self.lsn = group.last_lsn;
                if has_openings {
                    break;
                }
            }
            Ok(Seen { tail: self, events, is_at_end: false })
        })
        .await
    }
}
