//! The journal: gives positions, writes groups, and sends what is durable on its way. The plain state machine;
//! the thread around it is in `host.rs`.
//!
//! The order of what is done for one group is the heart of the matter: first Settle goes to every shard, then the ids
//! are noted, then the answers go out. Whoever hears of a transfer, by its answer or by a repeat of it, finds it in
//! his next read of any wallet; and whoever has its answer and repeats it, gets that answer.

use std::collections::VecDeque;
use std::sync::Arc;

use crossbeam::channel::Sender;
use wal::{GROUP_BYTES_MAX, GroupBuilder, Log};

use super::claims::Claims;
use super::conversation::{ActRef, Answer, Conversation, EventRef};
use super::messages::{Chunk, Group, IndexerMessage, JournalBatch, Marked};
use super::record;
use super::runs::Row;

/// A group is written when it has this many bytes, or when nothing more is waiting. Larger groups would only make
/// everyone in them wait longer: from about this size on the disk's rate is flat.
const GROUP_BYTES: usize = 1 << 20;

const _: () = assert!(GROUP_BYTES + (256 << 10) < GROUP_BYTES_MAX);

/// What the journal has to say, in this order.
#[derive(Debug)]
pub enum JournalOutput {
    /// To every shard; afterwards [`Journal::settled`], and then the group's answers.
    Settle(Arc<Group>),
    /// To every shard.
    Mark {
        lsn: u64,
        cut: Option<Sender<Chunk>>,
    },
    Index(IndexerMessage),
}

/// The one writer of the log.
#[derive(Debug)]
pub struct Journal {
    log: Log,
    claims: Arc<Claims>,
    builder: GroupBuilder,
    waiting: VecDeque<JournalBatch>,
    /// A buffer: the ids of one group's transfers.
    rows: Vec<Row>,
    marked_lsn: u64,
    last_lsn: u64,
    last_time_micros: u64,
    chain: [u8; 32],
    mark_every_rows: usize,
}

impl Journal {
    /// Replay has marked everything up to `marked_lsn`.
    pub fn new(log: Log, claims: Arc<Claims>, marked_lsn: u64, mark_every_rows: usize) -> Journal {
        let reader = log.reader();
        Journal {
            claims,
            builder: GroupBuilder::new(),
            waiting: VecDeque::new(),
            rows: Vec::new(),
            marked_lsn,
            last_lsn: reader.durable_lsn(),
            last_time_micros: reader.durable_time_micros(),
            chain: reader.chain_at_end(),
            mark_every_rows,
            log,
        }
    }

    /// Takes a batch; it is written by the next [`Journal::write`] that has room for it.
    pub fn put(&mut self, batch: JournalBatch) {
        self.waiting.push_back(batch);
    }

    pub fn has_work(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub fn last_lsn(&self) -> u64 {
        self.last_lsn
    }

    /// Writes one group of what is waiting. After a failure nothing more is acknowledged: all that waits is
    /// answered with `ReadOnly`, and so is everything that comes later.
    pub fn write(&mut self, now_micros: u64, out: &mut VecDeque<JournalOutput>) -> Result<(), wal::Error> {
        let batches = self.next_group();
        if batches.is_empty() {
            return Ok(());
        }
        // The clock may jump back; the log's time never does, and no record is of a time before it was asked for: what
        // was let out on one day must not count on the day before (`ledger::spending`).
        let asked_micros = batches.iter().map(|batch| batch.batch.now_micros).max().unwrap_or(0);
        let time_micros = now_micros.max(asked_micros).max(self.last_time_micros);
        let appended = match self.log.append(&mut self.builder, time_micros) {
            Ok(appended) => appended,
            Err(error) => {
                let failed = batches.into_iter().chain(std::mem::take(&mut self.waiting));
                failed.for_each(|batch| batch.fail(Answer::ReadOnly));
                return Err(error);
            }
        };
        assert_eq!(appended.first_lsn, self.last_lsn + 1, "positions are dense");
        self.last_lsn = appended.last_lsn;
        self.last_time_micros = time_micros;
        self.chain = appended.chain;
        let (first_lsn, last_lsn) = (appended.first_lsn, appended.last_lsn);
        out.push_back(JournalOutput::Settle(Arc::new(Group { first_lsn, last_lsn, time_micros, batches })));
        Ok(())
    }

    /// Every shard has the group in its mailbox: from now on its ids lead to its records.
    pub fn settled(&mut self, group: &Group, out: &mut VecDeque<JournalOutput>) {
        self.note_ids(group);
        if self.claims.unmarked_count() >= self.mark_every_rows {
            self.mark(None, out);
        }
    }

    /// Marks the present end of the log: all shards see the mark between the same two groups.
    pub fn mark(&mut self, cut: Option<Sender<Chunk>>, out: &mut VecDeque<JournalOutput>) -> Marked {
        let lsn = self.last_lsn;
        if lsn > self.marked_lsn || cut.is_some() {
            let rows = self.claims.mark(lsn);
            out.push_back(JournalOutput::Index(IndexerMessage::Ids { lsn, rows }));
            out.push_back(JournalOutput::Mark { lsn, cut });
            self.marked_lsn = lsn;
        }
        self.position()
    }

    /// The shards copy their wallets at the present end, without a new mark: entries and ids stay where they are.
    pub fn cut(&self, cut: Sender<Chunk>, out: &mut VecDeque<JournalOutput>) -> Marked {
        // Every shard is past 0. Where the last mark was it cannot say: after a start the shards' entries may have been
        // marked less far than the ids, and would be marked here, with entries beyond it.
        out.push_back(JournalOutput::Mark { lsn: 0, cut: Some(cut) });
        self.position()
    }

    fn position(&self) -> Marked {
        Marked { lsn: self.last_lsn, time_micros: self.last_time_micros, chain: self.chain }
    }

    pub fn archive_before(&self, lsn: u64, dir: &std::path::Path) -> Result<usize, wal::Error> {
        self.log.archive_before(lsn, dir).map(|moved| moved.len())
    }

    /// Encodes conversations into the log's buffer until the group is full or nothing waits.
    fn next_group(&mut self) -> Vec<JournalBatch> {
        self.builder.clear();
        let mut batches = Vec::new();
        while self.builder.bytes() < GROUP_BYTES
            && let Some(mut batch) = self.waiting.pop_front()
        {
            let fits = |conversation: &&Conversation| self.encode(conversation, batch.batch.act(conversation.ticket));
            let fitting = batch.conversations.iter().take_while(fits).count();
            if fitting < batch.conversations.len() {
                let rest = batch.conversations.drain(fitting..).collect();
                self.waiting.push_front(JournalBatch { batch: Arc::clone(&batch.batch), conversations: rest });
                if fitting > 0 {
                    batches.push(batch);
                }
                break;
            }
            batches.push(batch);
        }
        batches
    }

    /// Adds all records of a conversation to the group, or none.
    fn encode(&mut self, conversation: &Conversation, act: ActRef<'_>) -> bool {
        let full =
            self.builder.bytes() >= GROUP_BYTES || self.builder.bytes() + act.record_bytes_max() > GROUP_BYTES_MAX;
        if full && !self.builder.is_empty() {
            return false;
        }
        conversation.for_each_event(act, |event| {
            let pushed = self.builder.push_with(|buffer| match &event {
                EventRef::Transfer(transfer) => record::encode_transfer(transfer, buffer),
                EventRef::Other(event) => record::encode(event, buffer),
            });
            pushed.expect("its greatest size fits, and was checked when it was submitted");
        });
        true
    }

    fn note_ids(&mut self, group: &Group) {
        let rows = &mut self.rows;
        rows.clear();
        let mut lsn = group.first_lsn;
        for JournalBatch { batch, conversations } in &group.batches {
            for conversation in conversations {
                conversation.for_each_event(batch.act(conversation.ticket), |event| {
                    match event {
                        EventRef::Transfer(transfer) => rows.push(Row { key: transfer.id().0, lsn, value: 0 }),
                        EventRef::Other(event) => self.claims.settle(&event, lsn),
                    }
                    lsn += 1;
                });
            }
        }
        self.claims.settle_ids(rows);
    }
}
