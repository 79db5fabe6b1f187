//! The oracle: what clients were told, what readers saw, and the log as it was read back. It compares with the book,
//! which does its own arithmetic.

use std::collections::{BTreeMap, HashMap};

use florin::engine::desk::Desk;
use florin::engine::indexer::Indexes;
use florin::engine::messages::{ShardMessage, WalletRead};
use florin::engine::record;
use florin::engine::runs::Row;
use florin::engine::shard::{Outbox, Shard};
use florin::engine::{Found, HoldView};
use florin::ledger::book::Entry;
use florin::ledger::{Book, Event, HoldEnd, HoldId, Reject, Spending, StateHash, WalletId};
use tokio::sync::oneshot;
use wal::disk::SimDisk;

use super::reads::History;

pub struct Oracle {
    /// Only to look at it undisturbed.
    disk: SimDisk,
    accepted: HashMap<u128, u64>,
    refused: HashMap<u128, Reject>,
    /// The highest position that somebody was told of, by an answer or a read.
    told_lsn: u64,
    acknowledged_lsn: u64,
    /// How far each wallet was seen by its readers: nobody after them sees less of it.
    seen: HashMap<WalletId, u64>,
    /// The log as far as it was read back.
    log: Log,
}

/// A log read from the beginning, and everything that follows from it.
#[derive(Default)]
pub struct Log {
    pub events: Vec<(u64, Event)>,
    pub book: Book,
    pub ids: HashMap<u128, u64>,
    /// Each wallet's posted and held balance, and its spending, after each record that touched it.
    balances: HashMap<WalletId, Vec<Balance>>,
    pub entries: BTreeMap<WalletId, Vec<(u64, i64)>>,
}

/// At a position: posted, held, and the spending of a wallet that has limits.
type Balance = (u64, i64, i64, Option<Spending>);

impl Oracle {
    pub fn new(disk: SimDisk) -> Oracle {
        Oracle {
            disk,
            accepted: HashMap::new(),
            refused: HashMap::new(),
            told_lsn: 0,
            acknowledged_lsn: 0,
            seen: HashMap::new(),
            log: Log::default(),
        }
    }

    pub fn acknowledged_lsn(&self) -> u64 {
        self.acknowledged_lsn
    }

    /// What a reader of this wallet has to see from now on.
    pub fn floor(&self, wallet: WalletId) -> u64 {
        self.acknowledged_lsn.max(self.seen.get(&wallet).copied().unwrap_or(0))
    }

    pub fn acknowledged(&mut self, lsn: u64) {
        self.acknowledged_lsn = self.acknowledged_lsn.max(lsn);
        self.told_lsn = self.told_lsn.max(lsn);
    }

    pub fn accepted(&mut self, id: u128, lsn: u64) {
        self.acknowledged(lsn);
        assert!(!self.refused.contains_key(&id), "{id:x} was refused before and is accepted now");
        let first = *self.accepted.entry(id).or_insert(lsn);
        assert_eq!(first, lsn, "{id:x}: a repeat gets the first answer");
    }

    pub fn refused(&mut self, id: u128, reject: Reject) {
        assert!(!self.accepted.contains_key(&id), "{id:x} was accepted before and is refused now");
        let first = *self.refused.entry(id).or_insert(reject);
        assert_eq!(first, reject, "{id:x}: a repeat gets the first answer");
    }

    /// A reader sees everything that was acknowledged before he asked, and nothing that could vanish.
    pub fn check_read(&mut self, reader: &wal::Reader, wallet: WalletId, floor: u64, read: Option<WalletRead>) {
        self.read_on(reader);
        let Some(read) = read else {
            let opened = self.log.balances.get(&wallet).and_then(|list| list.first());
            let known_before = opened.is_some_and(|(lsn, ..)| *lsn <= floor);
            assert!(!known_before, "wallet {wallet} was open before the read was asked for");
            return;
        };
        let lsn = read.settled_lsn;
        assert!(lsn >= floor, "the read at {lsn} misses what was acknowledged at {floor}");
        assert!(lsn <= reader.durable_lsn(), "the read at {lsn} is ahead of what is durable");
        self.saw(wallet, lsn);
        if lsn > self.log.book.last_lsn {
            return; // The disk is dead and the log cannot be read just now.
        }
        let list = self.log.balances.get(&wallet).expect("a wallet that can be read was opened by a record");
        let (_, posted, held, spending) = list[list.partition_point(|(at, ..)| *at <= lsn) - 1];
        assert_eq!((read.wallet.posted(), read.wallet.held()), (posted, held), "wallet {wallet} at {lsn}");
        assert_eq!(read.spending, spending, "the spending of wallet {wallet} at {lsn}");
        let floor = read.limits.overdraft_limit.map_or(i128::MIN, |limit| -i128::from(limit));
        assert!(read.wallet.available() >= floor, "wallet {wallet} is below its limit");
    }

    /// Entries, newest first: those of the log up to some position between what had to be seen and what is durable,
    /// without a gap and none twice.
    pub fn check_history(&mut self, reader: &wal::Reader, asked: &History, rows: &[Row]) {
        self.read_on(reader);
        let newest_lsn = rows.first().map_or(0, |row| row.lsn);
        assert!(newest_lsn <= reader.durable_lsn(), "the history is ahead of what is durable");
        self.saw(asked.wallet, newest_lsn);
        if newest_lsn > self.log.book.last_lsn {
            return; // The disk is dead and the log cannot be read just now.
        }
        let entries = self.log.entries.get(&asked.wallet).map_or(&[][..], Vec::as_slice);
        let seen_lsn = newest_lsn.max(asked.floor);
        let end = entries.partition_point(|(lsn, _)| *lsn < asked.before_lsn && *lsn <= seen_lsn);
        let expected: Vec<_> = entries[..end].iter().rev().take(asked.limit).copied().collect();
        assert_eq!(pairs(rows), expected, "the history of {asked:?}");
    }

    /// What took an id, as somebody found it. He was told of it by this, as if by an answer.
    pub fn check_found(&mut self, reader: &wal::Reader, id: u128, found: Option<Found>) {
        self.read_on(reader);
        let Some(found) = found else {
            let lsn = self.log.ids.get(&id);
            assert!(lsn.is_none_or(|lsn| *lsn > self.acknowledged_lsn), "{id:x} is not found, told of at {lsn:?}");
            return;
        };
        assert!(found.lsn <= reader.durable_lsn(), "{id:x} is found ahead of what is durable");
        self.acknowledged(found.lsn);
        if found.lsn <= self.log.book.last_lsn {
            assert_eq!(self.log.ids.get(&id), Some(&found.lsn), "{id:x} is found at another record");
            assert!(
                self.log.events[index_of(found.lsn)] == (found.time_micros, found.event),
                "{id:x} is another event"
            );
        }
    }

    /// A hold as it was at some position that is not before what had to be seen.
    pub fn check_hold(&mut self, reader: &wal::Reader, hold: HoldId, view: Option<HoldView>) {
        self.read_on(reader);
        let floor = self.acknowledged_lsn;
        let mut known = HoldRecords::default();
        for (at, (_, event)) in self.log.events.iter().enumerate() {
            let lsn = at as u64 + 1;
            if lsn > view.as_ref().map_or(0, |view| view.lsn).max(floor) {
                break;
            }
            known.note(hold, lsn, event);
        }
        let Some(view) = view else {
            assert_eq!(known.lsn, 0, "{hold} is not found");
            return;
        };
        assert!(view.lsn <= reader.durable_lsn(), "{hold} is ahead of what is durable");
        self.acknowledged(view.lsn);
        if view.lsn <= self.log.book.last_lsn {
            assert_eq!((view.lsn, view.captured, view.end), (known.lsn, known.captured, known.end), "{hold}");
        }
    }

    /// After recovery: nothing that anybody was told of is gone or different, and state and claims follow from the log.
    pub fn check_recovered(&mut self, desk: &Desk, indexes: &Indexes, shards: &[&Shard]) {
        let mut log = Log::default();
        drop(self.disk.without_faults(|| log.read_on(&desk.reader)));
        let durable_lsn = desk.reader.durable_lsn();
        assert!(durable_lsn >= self.told_lsn, "the log ends at {durable_lsn}, told of {}", self.told_lsn);
        if log.book.last_lsn < durable_lsn {
            return; // The disk died right after the recovery; the next one is looked at.
        }
        let told = usize::try_from(self.told_lsn).expect("small").min(self.log.events.len());
        assert!(log.events[..told] == self.log.events[..told], "what was told of has changed");
        self.log = log;
        self.check_told();
        self.check_state(shards);
        self.disk.without_faults(|| self.check_indexes(desk, indexes));
    }

    /// When nothing is under way: the same, and every wallet's history.
    pub fn check_quiet(&mut self, desk: &Desk, indexes: &Indexes, shards: &[&Shard]) {
        self.read_on(&desk.reader);
        self.check_told();
        self.check_state(shards);
        self.disk.without_faults(|| self.check_indexes(desk, indexes));
    }

    fn read_on(&mut self, reader: &wal::Reader) {
        // A dead disk gives no more; whoever needs it looks how far the log was read.
        drop(self.disk.without_faults(|| self.log.read_on(reader)));
    }

    fn saw(&mut self, wallet: WalletId, lsn: u64) {
        self.told_lsn = self.told_lsn.max(lsn);
        let seen = self.seen.entry(wallet).or_default();
        *seen = lsn.max(*seen);
    }

    fn check_told(&self) {
        for (id, lsn) in &self.accepted {
            assert_eq!(self.log.ids.get(id), Some(lsn), "{id:x} was acknowledged at {lsn}");
            let event = &self.log.events[index_of(*lsn)].1;
            assert!(!matches!(event, Event::Refused { .. }), "{id:x} was acknowledged and is refused in the log");
        }
        for (id, told) in &self.refused {
            // A refusal before any wallet was asked (the same wallet twice) is not recorded.
            let Some(lsn) = self.log.ids.get(id) else { continue };
            match &self.log.events[index_of(*lsn)].1 {
                Event::Refused { reject, .. } => assert_eq!(reject, told, "{id:x}"),
                other => panic!("{id:x} was refused with {told:?} and is in the log: {other:?}"),
            }
        }
        let sums = self.log.book.sums();
        assert!(sums.values().all(|sum| sum.posted == 0), "money is conserved: {sums:?}");
    }

    fn check_state(&self, shards: &[&Shard]) {
        for shard in shards {
            shard.for_each(
                |wallet, _, _, _| {
                    assert_eq!((wallet.reserved(), wallet.in_flight()), (0, 0), "wallet {}", wallet.id());
                },
                |_| {},
            );
        }
        assert_eq!(state_hash(shards.iter().copied()), self.log.book.state_hash(), "state follows from the log");
    }

    fn check_indexes(&self, desk: &Desk, indexes: &Indexes) {
        // With a dead disk a read fails; it must never be wrong.
        for (id, lsn) in &self.log.ids {
            if let Ok(found) = desk.claims.find(*id) {
                assert_eq!(found, Some(*lsn), "the claim on {id:x}");
            }
        }
        let covered = indexes.entries.covered_lsn();
        for (wallet, entries) in &self.log.entries {
            let mut rows = Vec::new();
            if indexes.entries.rows_after(wallet.0, 0, usize::MAX, &mut rows).is_ok() {
                let expected: Vec<_> = entries.iter().filter(|(lsn, _)| *lsn <= covered).copied().collect();
                assert_eq!(pairs(&rows), expected, "entries of {wallet} up to {covered}");
            }
        }
    }

    /// Entries that a shard still has in memory.
    pub fn check_recent(&self, shard: &mut Shard, wallet: WalletId) {
        let (reply, mut recent) = oneshot::channel();
        let message = ShardMessage::ReadEntries { wallet, before_lsn: u64::MAX, limit: usize::MAX, reply };
        shard.handle(message, &mut Outbox::default());
        let mut recent = recent.try_recv().expect("answered at once");
        recent.rows.reverse();
        let entries = self.log.entries.get(&wallet).map_or(&[][..], Vec::as_slice);
        let expected: Vec<_> = entries.iter().filter(|(lsn, _)| *lsn > recent.marked_lsn).copied().collect();
        assert_eq!(pairs(&recent.rows), expected, "recent entries of {wallet}");
    }
}

/// A hold, out of its records.
#[derive(Default)]
struct HoldRecords {
    lsn: u64,
    total: i64,
    captured: i64,
    end: Option<HoldEnd>,
}

impl HoldRecords {
    fn note(&mut self, of: HoldId, lsn: u64, event: &Event) {
        match event {
            Event::HoldAuthorized(authorization) if authorization.hold == of => {
                self.total = authorization.amount.minor();
            }
            Event::HoldCaptured(capture) if capture.hold == of => {
                self.captured += capture.amount.minor();
                let is_used_up = self.captured + capture.released == self.total;
                self.end = is_used_up.then_some(HoldEnd::Captured);
            }
            Event::HoldReleased { hold, end, .. } if *hold == of => self.end = Some(*end),
            _ => return,
        }
        self.lsn = lsn;
    }
}

impl Log {
    /// What follows from its records up to this one.
    pub fn up_to(&self, lsn: u64) -> Log {
        let mut log = Log::default();
        for (lsn, (time_micros, event)) in (1..=lsn).zip(&self.events) {
            log.apply(lsn, *time_micros, event.clone());
        }
        log
    }

    /// Reads what is durable and has not been read yet. Where it cannot be read, the rest may be another time.
    pub fn read_on(&mut self, reader: &wal::Reader) -> Result<(), wal::Error> {
        let mut scan = reader.scan(self.book.last_lsn + 1);
        while let Some(group) = scan.next_group()? {
            for (lsn, body) in group.records() {
                let event = record::decode(body).expect("a record that was written can be read");
                self.apply(lsn, group.time_micros, event);
            }
        }
        Ok(())
    }

    fn apply(&mut self, lsn: u64, time_micros: u64, event: Event) {
        let entries: Vec<Entry> = self.book.apply(lsn, time_micros, &event).expect("the books make sense").to_vec();
        for entry in entries {
            self.entries.entry(entry.wallet).or_default().push((lsn, entry.balance_after));
        }
        let touched: Vec<WalletId> = match &event {
            Event::WalletOpened(opening) => vec![opening.wallet],
            Event::StatusChanged { wallet, .. } | Event::SpendingLimited { wallet, .. } => vec![*wallet],
            Event::Transferred(transfer) => transfer.legs().iter().map(|leg| leg.wallet).collect(),
            Event::HoldAuthorized(hold) => vec![hold.payer],
            Event::HoldCaptured(capture) => vec![capture.payer, capture.payee],
            Event::HoldReleased { payer, .. } => vec![*payer],
            Event::Refused { .. } => Vec::new(),
        };
        for id in touched {
            let wallet = self.book.wallets[&id];
            self.balances.entry(id).or_default().push((
                lsn,
                wallet.posted,
                wallet.held,
                wallet.spending.map(|spending| spending.state()),
            ));
        }
        let taken = match &event {
            Event::WalletOpened(opening) => Some(opening.wallet.0),
            other => other.request().map(|(id, _)| id.0),
        };
        if let Some(id) = taken {
            let before = self.ids.insert(id, lsn);
            assert_eq!(before, None, "{id:x} is decided twice");
        }
        self.events.push((time_micros, event));
    }
}

pub fn state_hash<'a>(shards: impl Iterator<Item = &'a Shard>) -> StateHash {
    let mut hash = StateHash::default();
    shards.for_each(|shard| shard.add_to(&mut hash));
    hash
}

pub fn index_of(lsn: u64) -> usize {
    usize::try_from(lsn - 1).expect("small")
}

pub fn pairs(rows: &[Row]) -> Vec<(u64, i64)> {
    rows.iter().map(|row| (row.lsn, row.value)).collect()
}
