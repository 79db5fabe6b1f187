//! Replay of the log's tail: one reads and decodes, each shard applies what is for it, and the indexer sorts and writes, each
//! on a thread of its own, or all in turn where there are to be no threads. Which part of the log that is, `recovery` says.

use std::sync::Arc;

use crossbeam::channel::{Receiver, Sender, bounded};
use wal::Scan;

use crate::ledger::{Event, WalletId};

use super::claims::Claims;
use super::indexer::Indexer;
use super::messages::{IndexerMessage, ShardMessage};
use super::placement::Placement;
use super::record;
use super::recovery::StartError;
use super::runs::{self, Row};
use super::shard::{Outbox, Part, Posting, Shard};

/// Records that are read together, at least, and how many such pieces may be read before a shard has applied them.
const PIECE_RECORDS: u64 = 4_096;
const PIECES_AHEAD: usize = 8;

/// Reads the log and says which shard gets what.
pub struct Tape<'a> {
    scan: Scan,
    claims: &'a Claims,
    placement: Placement,
    /// Up to here the index has the ids.
    covered_lsn: u64,
    /// So many rows for the index of ids are collected before a mark is set.
    rows_max: usize,
    /// Rows of transfers' ids since the last mark. Nobody asks for an id meanwhile, so they need not be found.
    rows: Vec<Row>,
}

/// What was read at once.
struct Piece {
    records: u64,
    last_lsn: u64,
}

/// What a shard's thread is to do.
enum Errand {
    Apply(Part),
    Mark(u64),
}

/// Replays all that is left on the tape; `progress` hears how many records were read. `ahead`: with threads. Gives how many
/// there were.
pub fn replay(
    mut tape: Tape<'_>,
    shards: &mut [Shard],
    new_indexer: impl Fn() -> Indexer,
    ahead: bool,
    mut progress: impl FnMut(u64),
) -> Result<u64, StartError> {
    if ahead {
        return replay_ahead(tape, shards, new_indexer, progress);
    }
    let mut indexer = new_indexer();
    let mut records = 0;
    let mut parts: Vec<Part> = shards.iter().map(|_| Part::default()).collect();
    while let Some(piece) = tape.read(&mut parts)? {
        for (shard, part) in shards.iter_mut().zip(&mut parts) {
            shard.replay_part(part);
            part.clear();
        }
        if tape.is_mark_due() {
            indexer.handle(tape.mark(piece.last_lsn))?;
            for shard in &mut *shards {
                mark(shard, piece.last_lsn).try_for_each(|message| indexer.handle(message))?;
            }
        }
        records += piece.records;
        progress(records);
    }
    tape.end();
    Ok(records)
}

fn replay_ahead(
    mut tape: Tape<'_>,
    shards: &mut [Shard],
    new_indexer: impl Fn() -> Indexer,
    mut progress: impl FnMut(u64),
) -> Result<u64, StartError> {
    std::thread::scope(|scope| {
        // Each index on a thread of its own: one sorts while the other waits for the disk. What is read may be one mark
        // ahead of them.
        let index = |messages: Receiver<IndexerMessage>| {
            let mut indexer = new_indexer();
            scope.spawn(move || -> runs::Result<()> { messages.into_iter().try_for_each(|it| indexer.handle(it)) })
        };
        let ((to_ids, ids), (to_entries, entries)) = (bounded(1), bounded(shards.len()));
        let indexing = [index(ids), index(entries)];
        let mut lanes: Vec<Lane> = Vec::with_capacity(shards.len());
        for shard in shards {
            let ((errands, work), (done, spare)) = (bounded(PIECES_AHEAD), bounded(PIECES_AHEAD));
            let to_entries = to_entries.clone();
            scope.spawn(move || work_off(shard, &work, &done, &to_entries));
            lanes.push(Lane { errands, spare });
        }
        drop(to_entries);
        let mut records = 0;
        let mut parts: Vec<Part> = lanes.iter().map(|_| Part::default()).collect();
        while let Some(piece) = tape.read(&mut parts)? {
            for (lane, part) in lanes.iter().zip(&mut parts) {
                let next = lane.spare.try_recv().unwrap_or_default();
                lane.send(Errand::Apply(std::mem::replace(part, next)));
            }
            if tape.is_mark_due() {
                lanes.iter().for_each(|lane| lane.send(Errand::Mark(piece.last_lsn)));
                if to_ids.send(tape.mark(piece.last_lsn)).is_err() {
                    break; // It has failed, and says below why.
                }
            }
            records += piece.records;
            progress(records);
        }
        drop((lanes, to_ids));
        tape.end();
        for thread in indexing {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok(records)
    })
}

struct Lane {
    errands: Sender<Errand>,
    /// Parts that were applied, for their memory.
    spare: Receiver<Part>,
}

impl Lane {
    /// A shard that panicked takes nothing more; the panic goes on where its thread is waited for.
    fn send(&self, errand: Errand) {
        self.errands.send(errand).unwrap_or_default();
    }
}

fn work_off(shard: &mut Shard, work: &Receiver<Errand>, done: &Sender<Part>, to_indexer: &Sender<IndexerMessage>) {
    for errand in work {
        match errand {
            Errand::Apply(mut part) => {
                shard.replay_part(&part);
                part.clear();
                // Enough are on their way already.
                done.try_send(part).unwrap_or_default();
            }
            // An indexer that has failed takes nothing more; nor does anybody look at this shard then.
            Errand::Mark(lsn) => mark(shard, lsn).for_each(|message| to_indexer.send(message).unwrap_or_default()),
        }
    }
}

/// What the journal's mark does, without the journal.
fn mark(shard: &mut Shard, lsn: u64) -> impl Iterator<Item = IndexerMessage> {
    let mut out = Outbox::default();
    shard.handle(ShardMessage::Mark { lsn, cut: None }, &mut out);
    out.indexer.into_iter()
}

impl<'a> Tape<'a> {
    /// The log from where `scan` is on. `covered_lsn`: up to here the index has the ids. A mark is set when `rows_max` rows
    /// for it have come together.
    pub fn new(scan: Scan, claims: &'a Claims, placement: Placement, covered_lsn: u64, rows_max: usize) -> Tape<'a> {
        Tape { scan, claims, placement, covered_lsn, rows_max, rows: Vec::new() }
    }

    /// Reads some whole groups, and deals out what is in them. None at the end of the log.
    fn read(&mut self, parts: &mut [Part]) -> Result<Option<Piece>, StartError> {
        let mut piece = Piece { records: 0, last_lsn: 0 };
        while piece.records < PIECE_RECORDS
            && let Some(group) = self.scan.next_group()?
        {
            for (lsn, body) in group.records() {
                let event = record::decode(body).map_err(|source| StartError::Record { lsn, source })?;
                note(self.claims, &mut self.rows, &event, lsn, self.covered_lsn);
                deal(event, lsn, self.placement, parts);
                piece.records += 1;
            }
            parts.iter_mut().for_each(|part| part.end_group(group.last_lsn, group.time_micros));
            piece.last_lsn = group.last_lsn;
        }
        Ok((piece.records > 0).then_some(piece))
    }

    fn is_mark_due(&self) -> bool {
        self.rows.len() + self.claims.unmarked_count() >= self.rows_max
    }

    fn mark(&mut self, lsn: u64) -> IndexerMessage {
        // The next will be as many, or a few more: a piece ends behind the limit.
        let next = Vec::with_capacity(self.rows.len() + self.rows.len() / 8);
        let mut rows = vec![Arc::new(std::mem::replace(&mut self.rows, next))];
        rows.extend(self.claims.mark(lsn));
        IndexerMessage::Ids { lsn, rows }
    }

    /// From now on ids are asked for.
    fn end(self) {
        self.claims.settle_ids(&self.rows);
    }
}

/// Takes note of ids and of the places of holds. What the shards then close is told to the claims by them, later.
fn note(claims: &Claims, rows: &mut Vec<Row>, event: &Event, lsn: u64, covered_lsn: u64) {
    match event {
        _ if lsn <= covered_lsn => claims.restore_places(event),
        Event::Transferred(transfer) => rows.push(Row { key: transfer.id().0, lsn, value: 0 }),
        _ => claims.settle(event, lsn),
    }
}

fn deal(event: Event, lsn: u64, placement: Placement, parts: &mut [Part]) {
    let (one, other): (WalletId, Option<WalletId>) = match &event {
        Event::Transferred(transfer) => {
            for leg in transfer.legs() {
                let posting = Posting { wallet: leg.wallet, amount: leg.amount, lsn };
                parts[placement.shard_of(leg.wallet)].postings.push(posting);
            }
            return;
        }
        Event::WalletOpened(opening) => (opening.wallet, None),
        Event::StatusChanged { wallet, .. } | Event::SpendingLimited { wallet, .. } => (*wallet, None),
        Event::HoldAuthorized(authorization) => (authorization.payer, None),
        Event::HoldCaptured(capture) => (capture.payer, Some(capture.payee)),
        Event::HoldReleased { payer, .. } => (*payer, None),
        Event::Refused { .. } => return,
    };
    let home = placement.shard_of(one);
    if let Some(other) = other.map(|wallet| placement.shard_of(wallet)).filter(|other| *other != home) {
        parts[other].push_other(lsn, event.clone());
    }
    parts[home].push_other(lsn, event);
}
