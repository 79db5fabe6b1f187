//! The claims on ids: a transfer id is taken once, for ever. Ids under way and ids of late are in memory (`recent`), those
//! of old are in the index on disk (`runs`); both lead to the record that took them.
//!
//! Beside the claims stand the ids that are *related* to records (a hold's captures, an owner's wallets) and
//! the places of open holds.

use std::cell::Cell;
use std::sync::Arc;

use dashmap::DashMap;
use hashbrown::DefaultHashBuilder;

use crate::ledger::{Currency, Event, HoldId, OwnerId, Transfer, WalletId};

use super::recent::{Recent, Taken};
use super::runs::{self, Row, Runs};

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
    recent: Recent,
    related: DashMap<u128, Vec<u64>, DefaultHashBuilder>,
    open_holds: DashMap<HoldId, HoldPlace, DefaultHashBuilder>,
    index: Arc<Runs>,
}

impl Claims {
    pub fn new(index: Arc<Runs>) -> Claims {
        Claims { recent: Recent::new(), related: DashMap::default(), open_holds: DashMap::default(), index }
    }

    pub fn claim(&self, id: u128) -> runs::Result<Claim> {
        let mut in_index = None;
        let taken = self.recent.take(id, || {
            in_index = self.first_in_index(id)?;
            Ok(in_index.is_none())
        })?;
        Ok(claim_of(taken, in_index))
    }

    /// Claims the ids of many transfers; `told` hears of each, in no order.
    pub fn claim_each(&self, transfers: &[Transfer], mut told: impl FnMut(usize, runs::Result<Claim>)) {
        let id = |index: usize| transfers[index].id().0;
        let Some(least) = transfers.iter().map(|transfer| transfer.id().0).min() else { return };
        let greatest = transfers.iter().map(|transfer| transfer.id().0).max().expect("there is a least one");
        let look = |these: &[u32]| {
            let view = self.index.view(&(least..=greatest));
            view.fetch(these.iter().map(|index| id(*index as usize)));
            view
        };
        let in_index = Cell::new(None);
        let is_free = |view: &runs::View<'_>, index| {
            in_index.set(view.newest(id(index))?.map(|row| row.lsn));
            Ok(in_index.get().is_none())
        };
        self.recent.take_all(transfers.len(), id, look, is_free, |index, taken| {
            told(index, taken.map(|taken| claim_of(taken, in_index.take())));
        });
    }

    /// The record that took the id, if it is durable.
    pub fn find(&self, id: u128) -> runs::Result<Option<u64>> {
        match self.recent.find(id) {
            Some(Taken::By(lsn)) => Ok(Some(lsn)),
            Some(Taken::UnderWay) => Ok(None),
            None => self.first_in_index(id),
        }
    }

    /// The request did not happen: the id is free again.
    pub fn abandon(&self, id: u128) {
        self.recent.abandon(id);
    }

    /// Takes note of a durable event, whose ids the index has not got yet.
    pub fn settle(&self, event: &Event, lsn: u64) {
        self.restore_places(event);
        rows_of(event, lsn, |row, is_related| {
            if is_related {
                self.related.entry(row.key).or_default().push(lsn);
                self.recent.add(row);
            } else {
                self.recent.settle(row);
            }
        });
    }

    /// The same for transfers' ids, which are all that there is to note of them.
    pub fn settle_ids(&self, rows: &[Row]) {
        self.recent.settle_all(rows);
    }

    /// Takes note of where an open hold is, when the index has its ids already.
    pub fn restore_places(&self, event: &Event) {
        if let Event::HoldAuthorized(hold) = event {
            let place = HoldPlace { payer: hold.payer, payee: hold.payee, currency: hold.currency };
            self.open_holds.insert(hold.hold, place);
        }
    }

    /// Hands over the rows of everything settled since the last mark. They can be found here until they are forgotten.
    pub fn mark(&self, lsn: u64) -> Vec<Arc<Vec<Row>>> {
        self.recent.mark(lsn)
    }

    /// How many rows there are since the last mark.
    pub fn unmarked_count(&self) -> usize {
        self.recent.unmarked_count()
    }

    /// All rows up to the mark at this position can be read from the index now, and need no memory here.
    pub fn forget(&self, lsn: u64) {
        self.recent.forget(lsn);
        self.related.retain(|_, lsns| {
            lsns.retain(|of| *of > lsn);
            !lsns.is_empty()
        });
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
        self.recent.count()
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

fn claim_of(taken: Option<Taken>, in_index: Option<u64>) -> Claim {
    match (taken, in_index) {
        (Some(Taken::UnderWay), _) => Claim::UnderWay,
        (Some(Taken::By(lsn)), _) | (None, Some(lsn)) => Claim::Done { lsn },
        (None, None) => Claim::New,
    }
}

/// The rows that an event has in the index of ids, each with whether its key is a related id.
pub fn rows_of(event: &Event, lsn: u64, mut each: impl FnMut(Row, bool)) {
    let mut id = |id: u128| each(Row { key: id, lsn, value: 0 }, false);
    let related = match event {
        Event::WalletOpened(opening) => {
            id(opening.wallet.0);
            Some(opening.owner.0)
        }
        Event::HoldAuthorized(hold) => {
            id(hold.hold.0);
            None
        }
        Event::HoldCaptured(capture) => {
            id(capture.id.0);
            Some(capture.hold.0)
        }
        Event::HoldReleased { hold, .. } => Some(hold.0),
        Event::Transferred(transfer) => {
            id(transfer.id().0);
            None
        }
        Event::Refused { id: refused, .. } => {
            id(refused.0);
            None
        }
        Event::StatusChanged { .. } | Event::SpendingLimited { .. } => None,
    };
    if let Some(related) = related {
        each(Row { key: related ^ RELATED, lsn, value: 0 }, true);
    }
}
