//! The snapshotter: an actor that takes snapshots on a period and on request, one at a time, while the shards
//! go on. It also makes the ledger's totals, which are a snapshot that is not written down; they need not wait
//! until a snapshot that has been copied is written, since where it goes may be slow.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::RecvTimeoutError;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::{info, warn};
use wal::disk::Disk;

use crate::ledger::StateHash;

use super::config::EngineConfig;
use super::host::Wires;
use super::indexer::Indexes;
use super::messages::{JournalMessage, Marked, ShardMessage};
use super::pace::{Pace, aside};
use super::snapshot::{self, Collector, SnapshotError, Totals};
use super::status::{Status, with_causes};

/// Longest silence of the shards while they copy.
const COPY_SECONDS_MAX: u64 = 60;

/// A part with so many wallets, most of them saved because they were about to change, is followed by the next at once.
const EARLY_WALLETS_MAX: usize = 65_536;

/// Longest wait for the indexes to reach the mark.
const INDEX_SECONDS_MAX: u64 = 300;

type TakeReply = oneshot::Sender<Result<SnapshotSummary, SnapshotError>>;

/// What the snapshotter is asked for.
pub enum SnapshotterMessage {
    Periodic,
    Take(TakeReply),
    Totals(oneshot::Sender<Result<(Marked, Totals), SnapshotError>>),
    /// What was copied has been written, up to this position, or has not.
    Written(Option<u64>),
}

/// A snapshot that has been taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SnapshotSummary {
    pub lsn: u64,
    pub bytes: u64,
    pub wallets: u64,
    pub state_hash: StateHash,
    pub duration_micros: u64,
}

/// What it takes to take one.
#[derive(Clone)]
pub struct Camera {
    pub disk: Arc<dyn Disk>,
    pub config: EngineConfig,
    pub wires: Arc<Wires>,
    pub indexes: Indexes,
    pub status: Arc<Status>,
    pub log_id: [u8; 16],
}

/// The actor.
pub struct Snapshotter;

/// What the actor owns.
pub struct SnapshotterState {
    camera: Camera,
    last_lsn: u64,
    writing: Option<JoinHandle<()>>,
    waiting: VecDeque<TakeReply>,
}

impl Actor for Snapshotter {
    type Msg = SnapshotterMessage;
    type State = SnapshotterState;
    type Arguments = (Camera, u64);

    async fn pre_start(
        &self,
        myself: ActorRef<SnapshotterMessage>,
        (camera, last_lsn): Self::Arguments,
    ) -> Result<SnapshotterState, ActorProcessingErr> {
        if let Some(period) = camera.config.snapshot_period {
            myself.send_interval(period, || SnapshotterMessage::Periodic);
        }
        Ok(SnapshotterState { camera, last_lsn, writing: None, waiting: VecDeque::new() })
    }

    async fn handle(
        &self,
        myself: ActorRef<SnapshotterMessage>,
        message: SnapshotterMessage,
        state: &mut SnapshotterState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SnapshotterMessage::Periodic if state.writing.is_some() => {
                warn!("the last snapshot is still being written; the next one is taken after the next period");
            }
            SnapshotterMessage::Periodic => state.begin(myself, None).await,
            SnapshotterMessage::Take(reply) if state.writing.is_some() => state.waiting.push_back(reply),
            SnapshotterMessage::Take(reply) => state.begin(myself, Some(reply)).await,
            SnapshotterMessage::Totals(reply) => {
                let camera = state.camera.clone();
                drop(reply.send(aside(move || camera.totals()).await));
            }
            SnapshotterMessage::Written(lsn) => {
                state.last_lsn = lsn.unwrap_or(state.last_lsn);
                state.writing = None;
                if let Some(reply) = state.waiting.pop_front() {
                    state.begin(myself, Some(reply)).await;
                }
            }
        }
        Ok(())
    }

    /// The data folder may be taken by another server only when nothing is written there any more.
    async fn post_stop(
        &self,
        _myself: ActorRef<SnapshotterMessage>,
        state: &mut SnapshotterState,
    ) -> Result<(), ActorProcessingErr> {
        if let Some(writing) = state.writing.take() {
            drop(writing.await);
        }
        Ok(())
    }
}

impl SnapshotterState {
    /// Copies the ledger here, and leaves it to a task to write down what was copied. Whoever asks gets a snapshot
    /// in any case; the period only takes one if something has happened since the last.
    async fn begin(&mut self, myself: ActorRef<SnapshotterMessage>, reply: Option<TakeReply>) {
        let last_lsn = if reply.is_some() { u64::MAX } else { self.last_lsn };
        let camera = self.camera.clone();
        match aside(move || camera.cut(last_lsn)).await {
            Ok(Cut::Copied(copied)) => {
                let camera = self.camera.clone();
                self.writing = Some(tokio::spawn(async move {
                    let lsn = tell(reply, aside(move || camera.write(copied)).await);
                    // If the actor has stopped meanwhile, it needs to know nothing more.
                    drop(myself.send_message(SnapshotterMessage::Written(lsn)));
                }));
            }
            Ok(Cut::Nothing(summary)) => self.last_lsn = tell(reply, Ok(summary)).unwrap_or(self.last_lsn),
            Err(error) => drop(tell(reply, Err(error))),
        }
    }
}

/// Tells whoever has asked, or the log; answers how far the ledger is written down now.
fn tell(reply: Option<TakeReply>, taken: Result<SnapshotSummary, SnapshotError>) -> Option<u64> {
    let lsn = taken.as_ref().ok().map(|summary| summary.lsn);
    match (reply, taken) {
        (Some(reply), taken) => drop(reply.send(taken)),
        (None, Err(error)) => {
            warn!(error = with_causes(&error), "no snapshot was taken; it is tried again after the next period")
        }
        (None, Ok(_)) => {}
    }
    lsn
}

/// What a cut came to.
enum Cut {
    /// Nothing has happened that a snapshot would have to hold.
    Nothing(SnapshotSummary),
    Copied(Copied),
}

/// Copied out of the shards, and not yet written to its end.
struct Copied {
    marked: Marked,
    collector: Collector,
    began: Instant,
}

impl Camera {
    /// Copies the ledger at a mark, unless nothing has happened since `last_lsn`.
    fn cut(&self, last_lsn: u64) -> Result<Cut, SnapshotError> {
        let began = Instant::now();
        let (cut, marked) = self.mark()?;
        if marked.lsn == last_lsn || marked.lsn == 0 {
            let (totals, _) = self.collect(&cut, Collector::new(None))?;
            return Ok(Cut::Nothing(summary(marked, &totals, 0, began)));
        }
        let writer = snapshot::begin(&self.store(), marked, self.log_id)?;
        let mut collector = Collector::new(Some(writer));
        self.copy(&cut, &mut collector, Some(Pace::new(Arc::clone(&self.status), self.config.snapshot_period)))?;
        Ok(Cut::Copied(Copied { marked, collector, began }))
    }

    fn write(&self, Copied { marked, collector, began }: Copied) -> Result<SnapshotSummary, SnapshotError> {
        // A snapshot without the entries before it would be useless: they cannot be made from balances.
        self.wait_for_indexes(marked.lsn)?;
        let (totals, written) = collector.finish()?;
        let bytes = written.map_or(0, |written| written.bytes);
        if let Err(error) = self.tidy() {
            warn!(error = with_causes(&error), "old snapshots were not put away; it is tried again after the next one");
        }
        let summary = summary(marked, &totals, bytes, began);
        info!(lsn = summary.lsn, bytes, wallets = summary.wallets, micros = summary.duration_micros, "snapshot taken");
        Ok(summary)
    }

    fn store(&self) -> snapshots::Store {
        self.config.snapshot_store(&self.disk, self.log_id)
    }

    /// The shards have all that is durable, so this needs no disk and works while the ledger is read-only.
    fn totals(&self) -> Result<(Marked, Totals), SnapshotError> {
        let (sink, cut) = crossbeam::channel::unbounded();
        let (reply, marked) = oneshot::channel();
        let asked = self.wires.journal.send(JournalMessage::Cut { cut: sink, reply });
        asked.map_err(|_| SnapshotError::Stopping)?;
        let marked = marked.blocking_recv().map_err(|_| SnapshotError::Stopping)?;
        let (totals, _) = self.collect(&cut, Collector::new(None))?;
        Ok((marked, totals))
    }

    fn mark(&self) -> Result<(crossbeam::channel::Receiver<super::messages::Chunk>, Marked), SnapshotError> {
        let (sink, cut) = crossbeam::channel::unbounded();
        let (reply, marked) = oneshot::channel();
        let asked = self.wires.journal.send(JournalMessage::Mark { cut: Some(sink), reply });
        asked.map_err(|_| SnapshotError::Stopping)?;
        let marked = marked.blocking_recv().map_err(|_| SnapshotError::Stopping)?;
        Ok((cut, marked.map_err(|_| SnapshotError::ReadOnly)?))
    }

    fn collect(
        &self,
        cut: &crossbeam::channel::Receiver<super::messages::Chunk>,
        mut collector: Collector,
    ) -> Result<(Totals, Option<snapshots::Summary>), SnapshotError> {
        self.copy(cut, &mut collector, None)?;
        collector.finish()
    }

    /// Asks the shards for one part after another: never more than one part of each is in memory. Whoever waits for
    /// totals waits in person, so those are made without rests.
    fn copy(
        &self,
        cut: &crossbeam::channel::Receiver<super::messages::Chunk>,
        collector: &mut Collector,
        mut pace: Option<Pace>,
    ) -> Result<(), SnapshotError> {
        let mut left = vec![0; self.wires.shard_count()];
        let mut copying = left.len();
        for shard in 0..copying {
            self.wires.to_shard(shard, ShardMessage::CopyMore);
        }
        while copying > 0 {
            let chunk = cut.recv_timeout(Duration::from_secs(COPY_SECONDS_MAX)).map_err(|error| match error {
                RecvTimeoutError::Timeout => SnapshotError::TimedOut(COPY_SECONDS_MAX),
                RecvTimeoutError::Disconnected => SnapshotError::Stopping,
            })?;
            let began = Instant::now();
            collector.add(&chunk)?;
            left[chunk.shard] = u64::from(chunk.left);
            // Where many wallets change, what is saved of them early would pile up in a rest.
            if let Some(pace) = &mut pace
                && chunk.wallets.len() < EARLY_WALLETS_MAX
            {
                pace.rest(began.elapsed(), chunk.wallets.len() as u64, left.iter().sum());
            }
            if chunk.is_last {
                copying -= 1;
            } else {
                self.wires.to_shard(chunk.shard, ShardMessage::CopyMore);
            }
        }
        Ok(())
    }

    fn wait_for_indexes(&self, lsn: u64) -> Result<(), SnapshotError> {
        let began = Instant::now();
        while self.indexes.durable_lsn() < lsn {
            if self.status.read_only().is_some() {
                return Err(SnapshotError::ReadOnly);
            }
            if began.elapsed() > Duration::from_secs(INDEX_SECONDS_MAX) {
                return Err(SnapshotError::IndexesBehind(INDEX_SECONDS_MAX));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Puts old snapshots away, and tells the journal which segments nobody recovers from any more.
    fn tidy(&self) -> Result<(), SnapshotError> {
        let store = self.store();
        store.prune(self.config.snapshots_kept)?;
        let kept = store.list()?;
        if let Some(oldest) = kept.last()
            && kept.len() >= self.config.snapshots_kept
        {
            drop(self.wires.journal.send(JournalMessage::Archive { before_lsn: oldest.lsn }));
        }
        Ok(())
    }
}

fn summary(marked: Marked, totals: &Totals, bytes: u64, began: Instant) -> SnapshotSummary {
    SnapshotSummary {
        lsn: marked.lsn,
        bytes,
        wallets: totals.wallets,
        state_hash: totals.state_hash,
        duration_micros: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
    }
}
