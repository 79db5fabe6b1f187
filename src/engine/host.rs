//! The thin shell around the engine's state machines: ractor actors host the shards, a thread each runs
//! the journal and the indexer, and messages go between them. No rule of the ledger is in here.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tracing::{error, info, warn};

use super::clock::now_micros;
use super::conversation::Answer;
use super::indexer::{Indexer, Indexes};
use super::journal::{Journal, JournalOutput};
use super::messages::{IndexerMessage, JournalMessage, ReadOnly, ShardMessage};
use super::shard::{Outbox, Shard};
use super::status::{Status, with_causes};

/// How often the shards look for holds that have expired.
const TICK: Duration = Duration::from_secs(1);

/// The ways between the parts.
#[derive(Debug)]
pub struct Wires {
    shards: OnceLock<Vec<ActorRef<ShardMessage>>>,
    pub journal: Sender<JournalMessage>,
    pub indexer: Sender<IndexerMessage>,
}

impl Wires {
    pub fn new(journal: Sender<JournalMessage>, indexer: Sender<IndexerMessage>) -> Wires {
        Wires { shards: OnceLock::new(), journal, indexer }
    }

    pub fn connect(&self, shards: Vec<ActorRef<ShardMessage>>) {
        self.shards.set(shards).expect("connected once, at the start");
    }

    pub fn shards(&self) -> &[ActorRef<ShardMessage>] {
        self.shards.get().map_or(&[], Vec::as_slice)
    }

    /// False when the engine has stopped.
    pub fn to_shard(&self, shard: usize, message: ShardMessage) -> bool {
        self.shards().get(shard).is_some_and(|shard| shard.send_message(message).is_ok())
    }

    fn to_all_shards(&self, mut message: impl FnMut() -> ShardMessage) {
        for shard in 0..self.shards().len() {
            self.to_shard(shard, message());
        }
    }

    fn deliver(&self, out: &mut Outbox) {
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

/// Hosts one shard.
pub struct ShardActor;

/// What a shard's actor owns.
pub struct ShardState {
    shard: Shard,
    wires: Arc<Wires>,
    out: Outbox,
}

impl Actor for ShardActor {
    type Msg = ShardMessage;
    type State = ShardState;
    type Arguments = (Shard, Arc<Wires>);

    async fn pre_start(
        &self,
        myself: ActorRef<ShardMessage>,
        (shard, wires): Self::Arguments,
    ) -> Result<ShardState, ActorProcessingErr> {
        myself.send_interval(TICK, || ShardMessage::Tick { now_micros: now_micros() });
        Ok(ShardState { shard, wires, out: Outbox::default() })
    }

    async fn handle(
        &self,
        _myself: ActorRef<ShardMessage>,
        message: ShardMessage,
        state: &mut ShardState,
    ) -> Result<(), ActorProcessingErr> {
        state.shard.handle(message, &mut state.out);
        state.wires.deliver(&mut state.out);
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
        for () in merge_due {
            for runs in [&indexes.ids, &indexes.entries] {
                while runs.merge_if_due().unwrap_or_else(|error| {
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
                    group.answer();
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
