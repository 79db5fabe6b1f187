//! That each id was decided by one record. Of what the index covers, the index itself tells which keys have several
//! rows, and only those are followed; ids of the log's newest part are kept in memory, as the server does.

use std::collections::HashMap;
use std::sync::Arc;

use florin::engine::runs::Runs;
use florin::ledger::Event;
use uuid::Uuid;

use super::report::{Finding, Part, Report};
use crate::cli::failure::Failure;

/// Ids of the part that no index covers, of about 50 bytes each.
const TAIL_IDS_MAX: usize = 1 << 23;

/// One mistake of a program can make very many of them.
const FINDINGS_MAX: usize = 10;

pub struct OnceCheck {
    index: Arc<Runs>,
    covered_lsn: u64,
    /// Keys with several rows in the index, and the first record that decided them, if one has: an owner's wallets have
    /// a key in common too, and that is as it should be.
    repeated: HashMap<u128, Option<u64>>,
    tail: HashMap<u128, u64>,
    findings: usize,
    is_over: bool,
}

impl OnceCheck {
    /// `covered_lsn`: 0 for an index that cannot be relied on.
    pub fn new(index: Arc<Runs>, covered_lsn: u64) -> Result<OnceCheck, Failure> {
        let (mut repeated, mut last_key) = (HashMap::new(), None);
        if covered_lsn > 0 {
            index.for_each_by_key(|row| {
                if last_key.replace(row.key) == Some(row.key) {
                    repeated.insert(row.key, None);
                }
            })?;
        }
        Ok(OnceCheck { index, covered_lsn, repeated, tail: HashMap::new(), findings: 0, is_over: false })
    }

    /// Records come in their order.
    pub fn take(&mut self, lsn: u64, event: &Event, report: &mut Report) -> Result<(), Failure> {
        let Some(id) = decided_id(event).filter(|_| !self.is_over) else { return Ok(()) };
        let Some(first_lsn) = self.decided_before(id, lsn)? else {
            if self.tail.len() == TAIL_IDS_MAX {
                self.is_over = true;
                report.notes.push(format!(
                    "from position {lsn} on it was not checked that each id was decided once: the index ends at {}, and \
                     this much is not kept in memory; a server that has been started makes the index anew",
                    self.covered_lsn
                ));
            }
            return Ok(());
        };
        report.find(Finding {
            part: Part::Books,
            lsn: Some(lsn),
            what: format!("the id {} was decided by record {first_lsn} and again by record {lsn}", Uuid::from_u128(id)),
            advice: "Keep a copy of the data folder and report this: an id is taken once, for ever. `florin replay \
                     --events` shows both records.",
        });
        self.findings += 1;
        if self.findings == FINDINGS_MAX {
            self.is_over = true;
            report.notes.push("there may be more ids that were decided twice".to_owned());
        }
        Ok(())
    }

    /// The record that decided this id before; it is noted that this one has.
    fn decided_before(&mut self, id: u128, lsn: u64) -> Result<Option<u64>, Failure> {
        if lsn <= self.covered_lsn {
            let Some(first) = self.repeated.get_mut(&id) else { return Ok(None) };
            let before = *first;
            first.get_or_insert(lsn);
            return Ok(before);
        }
        if let Some(first_lsn) = self.tail.get(&id) {
            return Ok(Some(*first_lsn));
        }
        self.tail.insert(id, lsn);
        if self.covered_lsn == 0 {
            return Ok(None);
        }
        Ok(self.index.newest(id, self.covered_lsn)?.map(|row| row.lsn))
    }
}

/// The id whose fate this event is.
fn decided_id(event: &Event) -> Option<u128> {
    match event {
        Event::WalletOpened(opening) => Some(opening.wallet.0),
        Event::Transferred(transfer) => Some(transfer.id().0),
        Event::HoldAuthorized(hold) => Some(hold.hold.0),
        Event::HoldCaptured(capture) => Some(capture.id.0),
        Event::Refused { id, .. } => Some(id.0),
        Event::HoldReleased { .. } | Event::StatusChanged { .. } | Event::SpendingLimited { .. } => None,
    }
}
