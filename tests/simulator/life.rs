//! One life of the engine: its state machines, their mailboxes, and the messages between them. Every mailbox is first in,
//! first out, as in life; who runs next, and what happens between two messages of one sender, the seed decides.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam::channel::Receiver;
use florin::engine::batch::Batch;
use florin::engine::conversation::Answer;
use florin::engine::desk::{Desk, Outgoing};
use florin::engine::indexer::{Indexer, Indexes};
use florin::engine::journal::{Journal, JournalOutput};
use florin::engine::messages::{Chunk, Group, IndexerMessage, JournalMessage, Marked, ReadOnly, ShardMessage};
use florin::engine::placement::Placement;
use florin::engine::recovery::Recovered;
use florin::engine::shard::{Outbox, Shard};
use florin::engine::snapshot::{self, Collector};
use florin::engine::status::Status;
use florin::ledger::WalletId;
use rand::RngExt;
use tokio::sync::oneshot;
use wal::disk::Disk;

use super::world::World;

/// Something on its way from one part to another.
enum Sent {
    Shard(usize, ShardMessage),
    Journal(JournalMessage),
    Indexer(IndexerMessage),
    Answer(Arc<Batch>, u32, Answer),
    /// The journal itself: every shard has the group.
    Settled(Arc<Group>),
    Marked(oneshot::Sender<Result<Marked, ReadOnly>>, Result<Marked, ReadOnly>),
}

/// A part with a mailbox. What it sends goes out piece by piece before it takes its next message.
struct Part<M, T> {
    machine: T,
    inbox: VecDeque<M>,
    outbox: VecDeque<Sent>,
}

pub struct Life {
    pub desk: Desk,
    pub indexes: Indexes,
    shards: Vec<Part<ShardMessage, Shard>>,
    journal: Part<JournalMessage, Journal>,
    indexer: Part<IndexerMessage, Indexer>,
    clients: Vec<VecDeque<Sent>>,
    snapshot: Option<Snapshot>,
}

/// Rounds in which everything under way has ended, many times over.
const FINISH_ROUNDS_MAX: u32 = 20_000;

/// A snapshot on its way.
enum Snapshot {
    Marking(Receiver<Chunk>, oneshot::Receiver<Result<Marked, ReadOnly>>),
    Copying { cut: Receiver<Chunk>, collector: Collector, lsn: u64, copying: usize },
    Indexing { collector: Collector, lsn: u64 },
}

impl<M, T> Part<M, T> {
    fn new(machine: T) -> Part<M, T> {
        Part { machine, inbox: VecDeque::new(), outbox: VecDeque::new() }
    }
}

impl Life {
    pub fn new(recovered: Recovered, world: &World) -> Life {
        let Recovered { journal, reader, shards, claims, indexes, indexer, report } = recovered;
        let status = Arc::new(Status::default());
        status.last_lsn.store(report.last_lsn, Ordering::Release);
        let desk = Desk {
            claims,
            reader,
            placement: Placement::new(world.config.shards),
            status,
            in_flight_max: world.config.in_flight_max,
        };
        Life {
            desk,
            indexes,
            shards: shards.into_iter().map(Part::new).collect(),
            journal: Part::new(journal),
            indexer: Part::new(indexer),
            clients: (0..super::clients::CLIENTS).map(|_| VecDeque::new()).collect(),
            snapshot: None,
        }
    }

    pub fn check_recovered(&mut self, world: &mut World) {
        let shards: Vec<&Shard> = self.shards.iter().map(|part| &part.machine).collect();
        world.oracle.check_recovered(&self.desk, &self.indexes, &shards);
    }

    /// One step of somebody. False: the process is gone.
    pub fn step(&mut self, world: &mut World) -> bool {
        match world.rng.random_range(0..100) {
            0..45 => {
                let shard = world.rng.random_range(0..self.shards.len());
                self.step_shard(shard);
            }
            45..60 => self.step_journal(world),
            60..66 => {
                self.step_indexer(world);
            }
            66..68 => self.step_snapshot(world),
            68 => {
                world.let_time_go_on();
                let now_micros = world.clock_micros;
                for shard in &mut self.shards {
                    shard.inbox.push_back(ShardMessage::Tick { now_micros });
                }
            }
            69 => self.merge(world),
            70..80 => {
                let client = world.rng.random_range(0..self.clients.len());
                self.deliver_from_client(client);
            }
            _ => {
                world.clock_micros += world.rng.random_range(0..300);
                self.step_client(world);
            }
        }
        // A server that can only read is looked at for a while, and then ends.
        !(self.desk.status.read_only().is_some() && world.rng.random_bool(0.02))
    }

    /// Lets everything under way come to its end, and compares everything.
    pub fn finish(&mut self, world: &mut World) {
        if self.desk.status.read_only().is_some() {
            return; // What is put aside stays so until a restart.
        }
        world.say(|| "finishing".to_owned());
        let mut rounds = 0;
        while self.is_busy() || world.clients.are_waiting() {
            rounds += 1;
            assert!(rounds < FINISH_ROUNDS_MAX, "something never ends: {}", self.describe());
            for client in 0..self.clients.len() {
                while self.deliver_from_client(client) {}
            }
            for shard in 0..self.shards.len() {
                while self.step_shard(shard) {}
            }
            self.step_journal(world);
            while self.step_indexer(world) {}
            self.step_snapshot(world);
            for client in 0..self.clients.len() {
                world_poll(self, world, client);
            }
            assert!(self.desk.status.read_only().is_none(), "no fault is armed any more");
        }
        let shards: Vec<&Shard> = self.shards.iter().map(|part| &part.machine).collect();
        world.oracle.check_quiet(&self.desk, &self.indexes, &shards);
        for wallet in (0..super::clients::WALLETS).map(WalletId) {
            let shard = self.desk.placement.shard_of(wallet);
            world.oracle.check_recent(&mut self.shards[shard].machine, wallet);
        }
    }

    pub fn send_from_client(&mut self, client: usize, messages: impl IntoIterator<Item = Outgoing>) {
        self.clients[client].extend(messages.into_iter().map(|message| match message {
            Outgoing::Shard(shard, message) => Sent::Shard(shard, message),
            Outgoing::Journal(batch) => Sent::Journal(JournalMessage::Batch(batch)),
        }));
    }

    /// Who is waiting for what, when nothing moves any more.
    fn describe(&self) -> String {
        let shards: Vec<_> = self.shards.iter().map(|part| (part.inbox.len(), part.outbox.len())).collect();
        let snapshot = match &self.snapshot {
            None => "no snapshot",
            Some(Snapshot::Marking(..)) => "a snapshot waits for its mark",
            Some(Snapshot::Copying { .. }) => "a snapshot is being copied",
            Some(Snapshot::Indexing { .. }) => "a snapshot waits for the indexes",
        };
        format!(
            "shards {shards:?}, journal {} and {}, indexer {}, {snapshot}; indexed to {} of {}",
            self.journal.inbox.len(),
            self.journal.machine.has_work(),
            self.indexer.inbox.len(),
            self.indexes.durable_lsn(),
            self.journal.machine.last_lsn(),
        )
    }

    fn is_busy(&self) -> bool {
        self.shards.iter().any(|part| !part.inbox.is_empty() || !part.outbox.is_empty())
            || !self.journal.inbox.is_empty()
            || !self.journal.outbox.is_empty()
            || self.journal.machine.has_work()
            || !self.indexer.inbox.is_empty()
            || self.clients.iter().any(|out| !out.is_empty())
            || self.snapshot.is_some()
    }

    fn deliver(&mut self, sent: Sent) {
        match sent {
            Sent::Shard(shard, message) => self.shards[shard].inbox.push_back(message),
            Sent::Journal(message) => self.journal.inbox.push_back(message),
            Sent::Indexer(message) => self.indexer.inbox.push_back(message),
            Sent::Answer(batch, ticket, answer) => batch.answer(std::iter::once((ticket, answer))),
            Sent::Settled(group) => {
                self.desk.status.last_lsn.store(group.last_lsn, Ordering::Release);
                let mut outputs = VecDeque::new();
                self.journal.machine.settled(&group, &mut outputs);
                self.send_from_journal(outputs);
            }
            Sent::Marked(reply, marked) => reply.send(marked).unwrap_or_default(),
        }
    }

    pub fn deliver_from_client(&mut self, client: usize) -> bool {
        let sent = self.clients[client].pop_front();
        sent.map(|sent| self.deliver(sent)).is_some()
    }

    fn step_shard(&mut self, shard: usize) -> bool {
        let part = &mut self.shards[shard];
        if let Some(sent) = part.outbox.pop_front() {
            self.deliver(sent);
            return true;
        }
        let Some(message) = part.inbox.pop_front() else { return false };
        let mut out = Outbox::default();
        part.machine.handle(message, &mut out);
        let sent = &mut part.outbox;
        sent.extend(out.shards.into_iter().map(|(shard, message)| Sent::Shard(shard, message)));
        sent.extend(out.journal.into_iter().map(|batch| Sent::Journal(JournalMessage::Batch(batch))));
        sent.extend(out.answers.into_iter().map(|(batch, ticket, answer)| Sent::Answer(batch, ticket, answer)));
        sent.extend(out.indexer.into_iter().map(Sent::Indexer));
        true
    }

    fn step_journal(&mut self, world: &mut World) {
        if let Some(sent) = self.journal.outbox.pop_front() {
            return self.deliver(sent);
        }
        let is_read_only = self.desk.status.read_only().is_some();
        let mut outputs = VecDeque::new();
        let mut mark_reply = None;
        match self.journal.inbox.pop_front() {
            Some(JournalMessage::Batch(batch)) if is_read_only => batch.fail(Answer::ReadOnly),
            Some(JournalMessage::Batch(batch)) => self.journal.machine.put(batch),
            Some(JournalMessage::Mark { cut, reply }) => {
                let marked =
                    if is_read_only { Err(ReadOnly) } else { Ok(self.journal.machine.mark(cut, &mut outputs)) };
                mark_reply = Some(Sent::Marked(reply, marked));
            }
            Some(JournalMessage::Cut { cut, reply }) => {
                reply.send(self.journal.machine.cut(cut, &mut outputs)).unwrap_or_default();
            }
            Some(JournalMessage::Archive { before_lsn }) => {
                // It is tried again after the next snapshot.
                drop(self.journal.machine.archive_before(before_lsn, &world.config.archive_dir()));
            }
            Some(JournalMessage::Stop) | None => {}
        }
        // The real one writes when nothing more is waiting; here it may also write in between.
        if (self.journal.inbox.is_empty() || world.rng.random_bool(0.3))
            && let Err(error) = self.journal.machine.write(world.clock_micros, &mut outputs)
        {
            world.say(|| format!("read-only: {error}"));
            self.turn_read_only(world, "the log");
        }
        self.send_from_journal(outputs);
        self.journal.outbox.extend(mark_reply);
    }

    fn send_from_journal(&mut self, outputs: VecDeque<JournalOutput>) {
        for output in outputs {
            match output {
                JournalOutput::Settle(group) => {
                    for shard in 0..self.shards.len() {
                        let settle = ShardMessage::Settle(Arc::clone(&group));
                        self.journal.outbox.push_back(Sent::Shard(shard, settle));
                    }
                    self.journal.outbox.push_back(Sent::Settled(Arc::clone(&group)));
                    let shard = group.answering_shard(self.shards.len());
                    self.journal.outbox.push_back(Sent::Shard(shard, ShardMessage::Answer(group)));
                }
                JournalOutput::Mark { lsn, cut } => {
                    for shard in 0..self.shards.len() {
                        let mark = ShardMessage::Mark { lsn, cut: cut.clone() };
                        self.journal.outbox.push_back(Sent::Shard(shard, mark));
                    }
                }
                JournalOutput::Index(message) => self.journal.outbox.push_back(Sent::Indexer(message)),
            }
        }
    }

    fn step_indexer(&mut self, world: &mut World) -> bool {
        let Some(message) = self.indexer.inbox.pop_front() else { return false };
        // Read-only or not: after its disk has failed it goes on in memory.
        if let Err(error) = self.indexer.machine.handle(message) {
            world.say(|| format!("read-only by the index: {error}"));
            self.turn_read_only(world, "the index");
        }
        true
    }

    fn turn_read_only(&mut self, world: &mut World, what: &str) {
        if self.desk.status.read_only().is_none() {
            world.figures.read_only += 1;
        }
        self.desk.status.set_read_only(what.to_owned());
    }

    fn merge(&mut self, world: &mut World) {
        for runs in [&self.indexes.ids, &self.indexes.entries] {
            if let Err(error) = runs.merge_if_due() {
                world.say(|| format!("merge: {error}"));
            }
        }
    }

    fn step_snapshot(&mut self, world: &mut World) {
        self.snapshot = match self.snapshot.take() {
            None if world.rng.random_bool(0.1) => {
                let (sink, cut) = crossbeam::channel::unbounded();
                let (reply, marked) = oneshot::channel();
                self.journal.inbox.push_back(JournalMessage::Mark { cut: Some(sink), reply });
                Some(Snapshot::Marking(cut, marked))
            }
            None => None,
            Some(Snapshot::Marking(cut, mut reply)) => match reply.try_recv() {
                Ok(Ok(marked)) if marked.lsn > 0 => self.begin_copying(world, cut, marked),
                Ok(_) | Err(oneshot::error::TryRecvError::Closed) => None,
                Err(oneshot::error::TryRecvError::Empty) => Some(Snapshot::Marking(cut, reply)),
            },
            Some(Snapshot::Copying { cut, mut collector, lsn, mut copying }) => {
                while let Ok(chunk) = cut.try_recv() {
                    if chunk.is_last {
                        copying -= 1;
                    } else {
                        self.shards[chunk.shard].inbox.push_back(ShardMessage::CopyMore);
                    }
                    if collector.add(&chunk).is_err() {
                        return; // The disk failed; there is no snapshot this time.
                    }
                }
                Some(match copying {
                    0 => Snapshot::Indexing { collector, lsn },
                    _ => Snapshot::Copying { cut, collector, lsn, copying },
                })
            }
            Some(Snapshot::Indexing { collector, lsn }) if self.indexes.durable_lsn() >= lsn => {
                if collector.finish().is_ok() {
                    world.figures.snapshots += 1;
                    world.say(|| format!("snapshot at {lsn}"));
                    self.tidy(world);
                }
                None
            }
            Some(waiting) if self.desk.status.read_only().is_none() => Some(waiting),
            Some(_) => None,
        };
    }

    fn begin_copying(&mut self, world: &World, cut: Receiver<Chunk>, marked: Marked) -> Option<Snapshot> {
        let disk: Arc<dyn Disk> = Arc::new(world.disk.clone());
        let log_id = self.desk.reader.log_id();
        let writer = snapshot::begin(&world.config.snapshot_store(&disk, log_id), marked, log_id).ok()?;
        for shard in &mut self.shards {
            shard.inbox.push_back(ShardMessage::CopyMore);
        }
        let copying = self.shards.len();
        Some(Snapshot::Copying { cut, collector: Collector::new(Some(writer)), lsn: marked.lsn, copying })
    }

    fn tidy(&mut self, world: &World) {
        let dir = world.config.snapshots_dir();
        if snapshots::disk::prune(&world.disk, &dir, world.config.snapshots_kept).is_err() {
            return;
        }
        if let Ok(kept) = snapshots::disk::list(&world.disk, &dir)
            && let Some(oldest) = kept.last()
            && kept.len() >= world.config.snapshots_kept
        {
            self.journal.inbox.push_back(JournalMessage::Archive { before_lsn: oldest.lsn });
        }
    }

    fn step_client(&mut self, world: &mut World) {
        let client = world.rng.random_range(0..self.clients.len());
        world_poll(self, world, client);
        if world.clients.is_idle(client) && self.desk.status.read_only().is_none() {
            let mut clients = std::mem::take(&mut world.clients);
            clients.ask(client, self, world);
            world.clients = clients;
        }
    }

    /// Puts a question into a shard's mailbox, as a client does.
    pub fn ask_shard(&mut self, client: usize, shard: usize, message: ShardMessage) {
        self.clients[client].push_back(Sent::Shard(shard, message));
    }
}

fn world_poll(life: &mut Life, world: &mut World, client: usize) {
    let mut clients = std::mem::take(&mut world.clients);
    clients.poll(client, life, world);
    world.clients = clients;
}
