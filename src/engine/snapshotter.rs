//! The snapshotter: an actor that takes snapshots on a period and on request, one at a time, while the shards
//! go on. It also makes the ledger's totals, which are a snapshot that is not written down.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::RecvTimeoutError;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;
use tracing::{info, warn};
use wal::disk::Disk;

use crate::ledger::StateHash;

use super::config::EngineConfig;
use super::host::Wires;
use super::indexer::Indexes;
use super::messages::{JournalMessage, Marked, ShardMessage};
use super::snapshot::{self, Collector, SnapshotError, Totals};

/// Longest silence of the shards while they copy.
const COPY_SECONDS_MAX: u64 = 60;

/// Longest wait for the indexes to reach the mark.
const INDEX_SECONDS_MAX: u64 = 300;

/// What the snapshotter is asked for.
pub enum SnapshotterMessage {
    Periodic,
    Take(oneshot::Sender<Result<SnapshotSummary, SnapshotError>>),
    Totals(oneshot::Sender<Result<(Marked, Totals), SnapshotError>>),
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
    pub log_id: [u8; 16],
}

/// The actor.
pub struct Snapshotter;

/// What the actor owns.
pub struct SnapshotterState {
    camera: Camera,
    last_lsn: u64,
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
        Ok(SnapshotterState { camera, last_lsn })
    }

    async fn handle(
        &self,
        _myself: ActorRef<SnapshotterMessage>,
        message: SnapshotterMessage,
        state: &mut SnapshotterState,
    ) -> Result<(), ActorProcessingErr> {
        let camera = state.camera.clone();
        match message {
            SnapshotterMessage::Periodic => {
                let last_lsn = state.last_lsn;
                match blocking(move || camera.take(last_lsn)).await {
                    Ok(summary) => state.last_lsn = summary.lsn,
                    Err(error) => warn!(%error, "no snapshot was taken; it is tried again after the next period"),
                }
            }
            SnapshotterMessage::Take(reply) => {
                let taken = blocking(move || camera.take(u64::MAX)).await;
                if let Ok(summary) = &taken {
                    state.last_lsn = summary.lsn;
                }
                drop(reply.send(taken));
            }
            SnapshotterMessage::Totals(reply) => {
                drop(reply.send(blocking(move || camera.totals()).await));
            }
        }
        Ok(())
    }
}

impl Camera {
    /// Takes a snapshot, unless nothing has happened since `last_lsn`.
    fn take(&self, last_lsn: u64) -> Result<SnapshotSummary, SnapshotError> {
        let began = Instant::now();
        let (cut, marked) = self.mark()?;
        if marked.lsn == last_lsn || marked.lsn == 0 {
            let (totals, _) = self.collect(&cut, Collector::new(None))?;
            return Ok(summary(marked, &totals, 0, began));
        }
        let writer = snapshot::begin(Arc::clone(&self.disk), &self.config.snapshots_dir(), marked, self.log_id)?;
        let mut collector = Collector::new(Some(writer));
        self.copy(&cut, &mut collector)?;
        // A snapshot without the entries before it would be useless: they cannot be made from balances.
        self.wait_for_indexes(marked.lsn)?;
        let (totals, written) = collector.finish()?;
        let bytes = written.map_or(0, |written| written.bytes);
        self.tidy()?;
        let summary = summary(marked, &totals, bytes, began);
        info!(lsn = summary.lsn, bytes, wallets = summary.wallets, micros = summary.duration_micros, "snapshot taken");
        Ok(summary)
    }

    fn totals(&self) -> Result<(Marked, Totals), SnapshotError> {
        let (cut, marked) = self.mark()?;
        let (totals, _) = self.collect(&cut, Collector::new(None))?;
        Ok((marked, totals))
    }

    fn mark(&self) -> Result<(crossbeam::channel::Receiver<super::messages::Chunk>, Marked), SnapshotError> {
        let (sink, cut) = crossbeam::channel::unbounded();
        let (reply, marked) = oneshot::channel();
        let asked = self.wires.journal.send(JournalMessage::Mark { cut: Some(sink), reply });
        asked.map_err(|_| SnapshotError::ReadOnly)?;
        let marked = marked.blocking_recv().map_err(|_| SnapshotError::ReadOnly)?;
        Ok((cut, marked.map_err(|_| SnapshotError::ReadOnly)?))
    }

    fn collect(
        &self,
        cut: &crossbeam::channel::Receiver<super::messages::Chunk>,
        mut collector: Collector,
    ) -> Result<(Totals, Option<snapshots::Summary>), SnapshotError> {
        self.copy(cut, &mut collector)?;
        collector.finish()
    }

    /// Asks the shards for one part after another: never more than one part of each is in memory.
    fn copy(
        &self,
        cut: &crossbeam::channel::Receiver<super::messages::Chunk>,
        collector: &mut Collector,
    ) -> Result<(), SnapshotError> {
        let mut copying = self.wires.shards().len();
        for shard in 0..copying {
            self.wires.to_shard(shard, ShardMessage::CopyMore);
        }
        while copying > 0 {
            let chunk = cut.recv_timeout(Duration::from_secs(COPY_SECONDS_MAX)).map_err(|error| match error {
                RecvTimeoutError::Timeout => SnapshotError::TimedOut(COPY_SECONDS_MAX),
                RecvTimeoutError::Disconnected => SnapshotError::ReadOnly,
            })?;
            if chunk.is_last {
                copying -= 1;
            } else {
                self.wires.to_shard(chunk.shard, ShardMessage::CopyMore);
            }
            collector.add(&chunk)?;
        }
        Ok(())
    }

    fn wait_for_indexes(&self, lsn: u64) -> Result<(), SnapshotError> {
        let began = Instant::now();
        while self.indexes.durable_lsn() < lsn {
            if began.elapsed() > Duration::from_secs(INDEX_SECONDS_MAX) {
                return Err(SnapshotError::TimedOut(INDEX_SECONDS_MAX));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Puts old snapshots away, and tells the journal which segments nobody recovers from any more.
    fn tidy(&self) -> Result<(), SnapshotError> {
        let dir = self.config.snapshots_dir();
        snapshots::disk::prune(&*self.disk, &dir, self.config.snapshots_kept)?;
        let kept = snapshots::disk::list(&*self.disk, &dir)?;
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

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SnapshotError> + Send + 'static,
) -> Result<T, SnapshotError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
