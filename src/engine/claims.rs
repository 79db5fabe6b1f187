//! The claims on ids: a transfer id is taken once, for ever. Ids of late are in memory, those of old are in
//! the index on disk (`runs`); both lead to the record that took them.
//!
//! Beside the claims stand the ids that are *related* to records (a hold's captures, an owner's wallets) and
//! the places of open holds.

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use hashbrown::DefaultHashBuilder;

use crate::ledger::{Currency, Event, HoldId, OwnerId, WalletId};

use super::runs::{self, Row, Runs};

/// Taken by a request that is still under way.
const UNDER_WAY: u64 = 0;

/// Related ids stand in the same index as the ids themselves. Turning these bits keeps the two apart
/// without touching the time at the head of a UUIDv7, by which the index is searched.
const RELATED: u128 = 0x2a5f_19d3_77c1_4eb8;

/// What a request finds when it claims its id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Claim {
    /// It is the first: the id is now taken, and is to be settled or abandoned.
    New,
    UnderWay,
    /// An earlier request took it; this record has the answer.
    Done {
        lsn: u64,
    },
}

/// Where an open hold's wallets are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HoldPlace {
    pub payer: WalletId,
    pub payee: WalletId,
    pub currency: Currency,
}

/// Ids that are taken, and by which record.
#[derive(Debug)]
pub struct Claims {
    recent: DashMap<u128, u64, DefaultHashBuilder>,
    related: DashMap<u128, Vec<u64>, DefaultHashBuilder>,
    open_holds: DashMap<HoldId, HoldPlace, DefaultHashBuilder>,
    index: Arc<Runs>,
}

impl Claims {
    pub fn new(index: Arc<Runs>) -> Claims {
        Claims { recent: DashMap::default(), related: DashMap::default(), open_holds: DashMap::default(), index }
    }

    pub fn claim(&self, id: u128) -> runs::Result<Claim> {
        // The entry stays locked while the disk is asked, so two requests cannot both find the id free.
        match self.recent.entry(id) {
            Entry::Occupied(entry) => Ok(taken_by(*entry.get())),
            Entry::Vacant(entry) => {
                if let Some(lsn) = self.first_in_index(id)? {
                    return Ok(Claim::Done { lsn });
                }
                entry.insert(UNDER_WAY);
                Ok(Claim::New)
            }
        }
    }

    /// The record that took the id, if it is durable.
    pub fn find(&self, id: u128) -> runs::Result<Option<u64>> {
        if let Some(lsn) = self.recent.get(&id).map(|entry| *entry) {
            return Ok((lsn != UNDER_WAY).then_some(lsn));
        }
        self.first_in_index(id)
    }

    /// The request did not happen: the id is free again.
    pub fn abandon(&self, id: u128) {
        let removed = self.recent.remove_if(&id, |_, lsn| *lsn == UNDER_WAY);
        debug_assert!(removed.is_some(), "only a claim that is under way is abandoned");
    }

    /// Takes note of a durable event; its rows for the index are added to `rows`.
    pub fn settle(&self, event: &Event, lsn: u64, rows: &mut Vec<Row>) {
        match event {
            Event::WalletOpened(opening) => {
                self.settle_id(opening.wallet.0, lsn, rows);
                self.relate(opening.owner.0, lsn, rows);
            }
            Event::HoldAuthorized(hold) => {
                self.restore_places(event);
                self.settle_id(hold.hold.0, lsn, rows);
            }
            Event::HoldCaptured(capture) => {
                self.settle_id(capture.id.0, lsn, rows);
                self.relate(capture.hold.0, lsn, rows);
            }
            Event::HoldReleased { hold, .. } => self.relate(hold.0, lsn, rows),
            Event::Transferred(transfer) => self.settle_id(transfer.id().0, lsn, rows),
            Event::Refused { id, .. } => self.settle_id(id.0, lsn, rows),
            Event::StatusChanged { .. } => {}
        }
    }

    /// Takes note of where an open hold is, when the index has its ids already.
    pub fn restore_places(&self, event: &Event) {
        if let Event::HoldAuthorized(hold) = event {
            let place = HoldPlace { payer: hold.payer, payee: hold.payee, currency: hold.currency };
            self.open_holds.insert(hold.hold, place);
        }
    }

    /// The same for a transfer's id, which is all that there is to note of it.
    #[inline]
    pub fn settle_id(&self, id: u128, lsn: u64, rows: &mut Vec<Row>) {
        self.recent.insert(id, lsn);
        rows.push(Row { key: id, lsn, value: 0 });
    }

    /// The rows can be read from the index now, and need no memory here.
    pub fn forget(&self, rows: &[Row]) {
        for row in rows {
            if self.recent.remove_if(&row.key, |_, lsn| *lsn == row.lsn).is_none() {
                self.related.remove_if_mut(&row.key, |_, lsns| {
                    lsns.retain(|lsn| *lsn != row.lsn);
                    lsns.is_empty()
                });
            }
        }
    }

    pub fn open_hold(&self, hold: HoldId) -> Option<HoldPlace> {
        self.open_holds.get(&hold).map(|place| *place)
    }

    pub fn forget_open_hold(&self, hold: HoldId) {
        self.open_holds.remove(&hold);
    }

    pub fn restore_open_hold(&self, hold: HoldId, place: HoldPlace) {
        self.open_holds.insert(hold, place);
    }

    /// The records of a hold after its authorization, oldest first.
    pub fn records_of_hold(&self, hold: HoldId) -> runs::Result<Vec<u64>> {
        self.related_records(hold.0, 0, usize::MAX)
    }

    /// The records that opened an owner's wallets, oldest first.
    pub fn openings_of(&self, owner: OwnerId, after_lsn: u64, limit: usize) -> runs::Result<Vec<u64>> {
        self.related_records(owner.0, after_lsn, limit)
    }

    /// How many ids are in memory.
    pub fn recent_count(&self) -> usize {
        self.recent.len()
    }

    fn relate(&self, id: u128, lsn: u64, rows: &mut Vec<Row>) {
        let key = id ^ RELATED;
        self.related.entry(key).or_default().push(lsn);
        rows.push(Row { key, lsn, value: 0 });
    }

    fn related_records(&self, id: u128, after_lsn: u64, limit: usize) -> runs::Result<Vec<u64>> {
        let key = id ^ RELATED;
        // Memory first: what moves to the index in between is then found twice, not missed.
        let recent = self.related.get(&key).map_or_else(Vec::new, |lsns| lsns.clone());
        let mut rows = Vec::new();
        self.index.rows_after(key, after_lsn, limit, &mut rows)?;
        let mut lsns: Vec<u64> = rows.iter().map(|row| row.lsn).collect();
        lsns.extend(recent.into_iter().filter(|lsn| *lsn > after_lsn));
        lsns.sort_unstable();
        lsns.dedup();
        lsns.truncate(limit);
        Ok(lsns)
    }

    fn first_in_index(&self, id: u128) -> runs::Result<Option<u64>> {
        Ok(self.index.newest(id, u64::MAX)?.map(|row| row.lsn))
    }
}

fn taken_by(lsn: u64) -> Claim {
    if lsn == UNDER_WAY { Claim::UnderWay } else { Claim::Done { lsn } }
}
