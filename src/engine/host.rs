//! The thin shell around the engine's state machines: ractor actors host the shards, a thread each runs
//! the journal, the indexer and the merger, and messages go between them. No rule of the ledger is in here.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tracing::{error, info, warn};

use super::clock::now_micros;
use super::conversation::Answer;
use super::indexer::{Indexer, Indexes};
use super::journal::{Journal, JournalOutput};
use super::messages::{IndexerMessage, JournalMessage, ReadOnly, ShardMessage};
use super::runs::Runs;
use super::shard::{Outbox, Shard};
use super::status::{Status, with_causes};

/// So many conversations go on at once at the latest, so that others need not wait for all that lay in a mailbox.
const CONVERSATIONS_PER_DELIVERY: usize = 512;

/// How often the shards look for holds that have expired.
const TICK: Duration = Duration::from_secs(1);

/// So long after a mark nothing urgent is expected.
const LULL: Duration = Duration::from_secs(3);

/// How many times as long as a part of a merge the rest after it is, while anybody is served.
const RESTS_PER_MERGE: u32 = 4;

/// What a shard's actor is told: that something lies in its mailbox, or that time has gone on.
#[derive(Debug)]
pub enum Bell {
    Mail,
    Tick,
}

/// A shard's mailbox, first in, first out. An actor's own mailbox costs a wake-up and an allocation for each message;
/// here that is paid once for all that comes in until the actor looks.
#[derive(Debug)]
struct Mailbox {
    messages: Mutex<Vec<ShardMessage>>,
    actor: ActorRef<Bell>,
}

/// The ways between the parts.
#[derive(Debug)]
pub struct Wires {
    shards: OnceLock<Vec<Mailbox>>,
    pub journal: Sender<JournalMessage>,
    pub indexer: Sender<IndexerMessage>,
}

impl Wires {
    pub fn new(journal: Sender<JournalMessage>, indexer: Sender<IndexerMessage>) -> Wires {
        Wires { shards: OnceLock::new(), journal, indexer }
    }

    pub fn connect(&self, shards: Vec<ActorRef<Bell>>) {
        let mailbox = |actor| Mailbox { messages: Mutex::default(), actor };
        let mailboxes = shards.into_iter().map(mailbox).collect();
        self.shards.set(mailboxes).expect("connected once, at the start");
    }

    pub fn shards(&self) -> impl Iterator<Item = &ActorRef<Bell>> {
        self.mailboxes().iter().map(|mailbox| &mailbox.actor)
    }

    pub fn shard_count(&self) -> usize {
        self.mailboxes().len()
    }

    fn mailboxes(&self) -> &[Mailbox] {
        self.shards.get().map_or(&[], Vec::as_slice)
    }

    /// A message to a shard that has stopped is dropped, and with it whoever waits for an answer is let go.
    pub fn to_shard(&self, shard: usize, message: ShardMessage) {
        if let Some(mailbox) = self.mailboxes().get(shard) {
            mailbox.put(message);
        }
    }

    fn to_all_shards(&self, mut message: impl FnMut() -> ShardMessage) {
        for shard in 0..self.shard_count() {
            self.to_shard(shard, message());
        }
    }

    fn deliver(&self, out: &mut Outbox) {
        out.conversations = 0;
        for (shard, message) in out.shards.drain(..) {
            self.to_shard(shard, message);
        }
        for batch in out.journal.drain(..) {
            drop(self.journal.send(JournalMessage::Batch(batch)));
        }
        for (batch, ticket, answer) in out.answers.drain(..) {
            batch.answer(std::iter::once((ticket, answer)));
        }
        for message in out.indexer.drain(..) {
            drop(self.indexer.send(message));
        }
    }
}

impl Mailbox {
    fn put(&self, message: ShardMessage) {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = messages.is_empty();
        messages.push(message);
        drop(messages);
        // Whoever put in the first one rings; until the shard has taken it, the others lie under the same bell.
        if is_first && self.actor.send_message(Bell::Mail).is_err() {
            // Nobody will take them any more. What was put in meanwhile goes too.
            let mut dropped = Vec::new();
            self.take(&mut dropped);
        }
    }

    fn take(&self, into: &mut Vec<ShardMessage>) {
        std::mem::swap(&mut *self.messages.lock().unwrap_or_else(PoisonError::into_inner), into);
    }
}

/// Hosts one shard.
pub struct ShardActor;

/// What a shard's actor owns.
pub struct ShardState {
    shard: Shard,
    wires: Arc<Wires>,
    out: Outbox,
    /// A buffer: what was taken out of the mailbox.
    mail: Vec<ShardMessage>,
}

impl Actor for ShardActor {
    type Msg = Bell;
    type State = ShardState;
    type Arguments = (Shard, Arc<Wires>);

    async fn pre_start(
        &self,
        myself: ActorRef<Bell>,
        (shard, wires): Self::Arguments,
    ) -> Result<ShardState, ActorProcessingErr> {
        myself.send_interval(TICK, || Bell::Tick);
        Ok(ShardState { shard, wires, out: Outbox::default(), mail: Vec::new() })
    }

    async fn handle(
        &self,
        _myself: ActorRef<Bell>,
        bell: Bell,
        state: &mut ShardState,
    ) -> Result<(), ActorProcessingErr> {
        let ShardState { shard, wires, out, mail } = state;
        match bell {
            Bell::Mail => wires.mailboxes()[shard.index()].take(mail),
            Bell::Tick => mail.push(ShardMessage::Tick { now_micros: now_micros() }),
        }
        for message in mail.drain(..) {
            shard.handle(message, out);
            if out.conversations >= CONVERSATIONS_PER_DELIVERY {
                wires.deliver(out);
            }
        }
        wires.deliver(out);
        Ok(())
    }
}

/// Watches the shards. A shard that dies had found money that does not add up, or was lost with
/// money put aside: going on is worse than a restart, which recovers from the log.
pub struct Supervisor;

impl Actor for Supervisor {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _myself: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<()>,
        event: SupervisionEvent,
        _state: &mut (),
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(_, cause) = event {
            error!(%cause, "a shard has failed; the process stops, and a restart recovers from the log");
            std::process::abort();
        }
        Ok(())
    }
}

/// Starts the thread of the journal.
pub fn spawn_journal(
    journal: Journal,
    receiver: Receiver<JournalMessage>,
    wires: Arc<Wires>,
    status: Arc<Status>,
    archive_dir: PathBuf,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("journal".to_owned()).spawn(move || {
        let guard = AbortOnPanic;
        JournalThread { journal, wires, status, archive_dir, outputs: VecDeque::new() }.run(&receiver);
        std::mem::forget(guard);
    })
}

/// Starts the threads of the indexer: one adds, the other merges, so that a long merge holds up nothing.
pub fn spawn_indexer(
    mut indexer: Indexer,
    indexes: Indexes,
    receiver: Receiver<IndexerMessage>,
    status: Arc<Status>,
) -> std::io::Result<Vec<JoinHandle<()>>> {
    let (merge, merge_due) = crossbeam::channel::bounded::<()>(1);
    let in_flight = Arc::clone(&status.in_flight);
    let adding = std::thread::Builder::new().name("indexer".to_owned()).spawn(move || {
        for message in receiver {
            if matches!(message, IndexerMessage::Stop) {
                break;
            }
            // After that it goes on in memory: what the shards have handed over stays readable.
            if let Err(error) = indexer.handle(message) {
                status.set_read_only(format!("the index could not be written: {}", with_causes(&error)));
            }
            // If one is asked for already, that one will see this run too.
            merge.try_send(()).unwrap_or_default();
        }
    })?;
    let merging = std::thread::Builder::new().name("merger".to_owned()).spawn(move || {
        let mut is_quiet = true;
        // When the next mark has come, there is no time for rests: what is to be merged must not become more and more.
        let rest = |took: Duration| {
            if in_flight.load(Ordering::Relaxed) > 0 && merge_due.is_empty() {
                std::thread::sleep(took * RESTS_PER_MERGE);
            }
        };
        loop {
            // While marks come one after another, only what cannot wait is merged: transfers need the cores.
            is_quiet = match merge_due.recv_timeout(if is_quiet { Duration::MAX } else { LULL }) {
                Ok(()) => false,
                Err(RecvTimeoutError::Timeout) => true,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let merge = |runs: &Runs| if is_quiet { runs.merge_gently(&rest) } else { runs.merge_if_overdue() };
            for runs in [&indexes.ids, &indexes.entries] {
                while merge(runs).unwrap_or_else(|error| {
                    warn!(error = with_causes(&error), "a merge of the index has failed; it is tried again later");
                    false
                }) {}
            }
        }
    })?;
    Ok(vec![adding, merging])
}

struct JournalThread {
    journal: Journal,
    wires: Arc<Wires>,
    status: Arc<Status>,
    archive_dir: PathBuf,
    outputs: VecDeque<JournalOutput>,
}

impl JournalThread {
    fn run(mut self, receiver: &Receiver<JournalMessage>) {
        let group_records = metrics::histogram!("florin_log_group_records");
        let write_seconds = metrics::histogram!("florin_log_write_seconds");
        while let Ok(message) = receiver.recv() {
            let mut goes_on = self.take(message);
            while goes_on {
                // What came while the last group was written goes into the next one.
                while goes_on && let Ok(message) = receiver.try_recv() {
                    goes_on = self.take(message);
                }
                if !self.journal.has_work() {
                    break;
                }
                let before = self.journal.last_lsn();
                let began = Instant::now();
                self.write();
                write_seconds.record(began.elapsed());
                group_records.record((self.journal.last_lsn() - before) as f64);
            }
            if !goes_on {
                while self.journal.has_work() {
                    self.write();
                }
                break;
            }
        }
        info!(last_lsn = self.journal.last_lsn(), "log closed");
    }

    /// False when it is time to stop.
    fn take(&mut self, message: JournalMessage) -> bool {
        match message {
            JournalMessage::Batch(batch) if self.status.read_only().is_some() => batch.fail(Answer::ReadOnly),
            JournalMessage::Batch(batch) => self.journal.put(batch),
            JournalMessage::Mark { cut, reply } => {
                let marked = match self.status.read_only() {
                    Some(_) => Err(ReadOnly),
                    None => Ok(self.journal.mark(cut, &mut self.outputs)),
                };
                self.deliver();
                // A snapshotter that has gone away has no use for the mark.
                reply.send(marked).unwrap_or_default();
            }
            JournalMessage::Cut { cut, reply } => {
                let marked = self.journal.cut(cut, &mut self.outputs);
                self.deliver();
                reply.send(marked).unwrap_or_default();
            }
            JournalMessage::Archive { before_lsn } => {
                match self.journal.archive_before(before_lsn, &self.archive_dir) {
                    Ok(0) => {}
                    Ok(segments) => info!(segments, before_lsn, "segments archived"),
                    Err(error) => {
                        warn!(
                            error = with_causes(&error),
                            "segments could not be archived; it is tried again after the next snapshot"
                        )
                    }
                }
            }
            JournalMessage::Stop => return false,
        }
        true
    }

    fn write(&mut self) {
        if let Err(error) = self.journal.write(now_micros(), &mut self.outputs) {
            // The last of the causes is the one that an operator can mend, such as a full disk.
            let why = std::error::Error::source(&error).map_or_else(|| error.to_string(), with_causes);
            self.status.set_read_only(format!("the log could not be written: {why}"));
        }
        self.deliver();
    }

    fn deliver(&mut self) {
        while let Some(output) = self.outputs.pop_front() {
            match output {
                JournalOutput::Settle(group) => {
                    self.wires.to_all_shards(|| ShardMessage::Settle(Arc::clone(&group)));
                    // Before the ids: whoever finds a record by its id may ask for the balance at it.
                    self.status.last_lsn.store(group.last_lsn, Ordering::Release);
                    self.journal.settled(&group, &mut self.outputs);
                    self.status.groups.fetch_add(1, Ordering::Relaxed);
                    let shard = group.answering_shard(self.wires.shard_count());
                    self.wires.to_shard(shard, ShardMessage::Answer(group));
                }
                JournalOutput::Mark { lsn, cut } => {
                    self.wires.to_all_shards(|| ShardMessage::Mark { lsn, cut: cut.clone() });
                }
                JournalOutput::Index(message) => drop(self.wires.indexer.send(message)),
            }
        }
    }
}

/// A panic in the journal means that the log's own invariants are broken.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        error!("the journal has failed; the process stops, and a restart recovers from the log");
        std::process::abort();
    }
}
