//! The engine's life: what it consists of while it runs, how it starts and how it stops.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorRef};
use tracing::info;
use wal::disk::{Disk, RealDisk};

use crate::ledger::WalletId;

use super::config::EngineConfig;
use super::desk::Desk;
use super::host::{self, ShardActor, Supervisor, Wires};
use super::indexer::Indexes;
use super::messages::{IndexerMessage, JournalMessage};
use super::placement::Placement;
use super::recovery::{Progress, Report, StartError, recover};
use super::snapshotter::{Camera, Snapshotter, SnapshotterMessage};
use super::status::Status;

/// How long a stop waits for what is under way.
const STOP_SECONDS_MAX: u64 = 30;

/// A running ledger. Cheap to clone; all clones are the same ledger.
#[derive(Clone)]
pub struct Engine {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub config: EngineConfig,
    pub desk: Desk,
    pub indexes: Indexes,
    pub wires: Arc<Wires>,
    pub status: Arc<Status>,
    pub snapshotter: ActorRef<SnapshotterMessage>,
    pub system_wallets: Mutex<HashSet<WalletId>>,
    report: Report,
    supervisor: ActorRef<()>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// How the engine is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Health {
    pub last_lsn: u64,
    /// Why nothing is acknowledged any more, if so.
    pub read_only: Option<String>,
    pub in_flight: usize,
    pub in_flight_max: usize,
    pub groups: u64,
    pub recent_ids: usize,
    pub indexed_lsn: u64,
    pub shards: usize,
}

impl Engine {
    /// Recovers the ledger of the data folder (blocking: seconds, for a large one) and starts its actors.
    pub async fn start(
        config: EngineConfig,
        mut progress: impl FnMut(Progress) + Send + 'static,
    ) -> Result<Engine, StartError> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let recovering = {
            let (disk, config) = (Arc::clone(&disk), config.clone());
            tokio::task::spawn_blocking(move || recover(&disk, &config, &mut progress))
        };
        let recovered = match recovering.await {
            Ok(recovered) => recovered?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        let (to_journal, journal_receiver) = crossbeam::channel::unbounded();
        let (to_indexer, indexer_receiver) = crossbeam::channel::unbounded();
        let wires = Arc::new(Wires::new(to_journal, to_indexer));
        let status = Arc::new(Status::default());
        status.last_lsn.store(recovered.report.last_lsn, Ordering::Release);

        let actors = |error: ractor::SpawnErr| StartError::Actors(error.to_string());
        let (supervisor, _) = Actor::spawn(None, Supervisor, ()).await.map_err(actors)?;
        let mut shards = Vec::new();
        for shard in recovered.shards {
            let arguments = (shard, Arc::clone(&wires));
            let (shard, _) =
                Actor::spawn_linked(None, ShardActor, arguments, supervisor.get_cell()).await.map_err(actors)?;
            shards.push(shard);
        }
        wires.connect(shards);
        let thread = |error: std::io::Error| StartError::Actors(error.to_string());
        let journal = host::spawn_journal(
            recovered.journal,
            journal_receiver,
            Arc::clone(&wires),
            Arc::clone(&status),
            config.archive_dir(),
        );
        let mut threads = vec![journal.map_err(thread)?];
        let indexes = recovered.indexes.clone();
        threads.extend(
            host::spawn_indexer(recovered.indexer, indexes, indexer_receiver, Arc::clone(&status)).map_err(thread)?,
        );
        let camera = Camera {
            disk,
            config: config.clone(),
            wires: Arc::clone(&wires),
            indexes: recovered.indexes.clone(),
            status: Arc::clone(&status),
            log_id: recovered.reader.log_id(),
        };
        let arguments = (camera, recovered.report.snapshot_lsn);
        let (snapshotter, _) = Actor::spawn(None, Snapshotter, arguments).await.map_err(actors)?;
        Ok(Engine {
            inner: Arc::new(Inner {
                desk: Desk {
                    claims: recovered.claims,
                    reader: recovered.reader,
                    placement: Placement::new(config.shards),
                    status: Arc::clone(&status),
                    in_flight_max: config.in_flight_max,
                },
                config,
                indexes: recovered.indexes,
                wires,
                status,
                snapshotter,
                system_wallets: Mutex::default(),
                report: recovered.report,
                supervisor,
                threads: Mutex::new(threads),
            }),
        })
    }

    /// What recovery found at the start.
    pub fn report(&self) -> &Report {
        &self.inner.report
    }

    pub fn health(&self) -> Health {
        let inner = &self.inner;
        Health {
            last_lsn: inner.status.last_lsn.load(Ordering::Acquire),
            read_only: inner.status.read_only().map(str::to_owned),
            in_flight: inner.status.in_flight.load(Ordering::Relaxed),
            in_flight_max: inner.config.in_flight_max,
            groups: inner.status.groups.load(Ordering::Relaxed),
            recent_ids: inner.desk.claims.recent_count(),
            indexed_lsn: inner.indexes.durable_lsn(),
            shards: inner.config.shards,
        }
    }

    /// Takes nothing new, ends what is under way, closes the log and frees the data folder.
    pub async fn stop(&self) {
        let inner = &self.inner;
        inner.status.is_stopping.store(true, Ordering::Release);
        let began = Instant::now();
        while inner.status.in_flight.load(Ordering::Acquire) > 0
            && inner.status.read_only().is_none()
            && began.elapsed() < Duration::from_secs(STOP_SECONDS_MAX)
        {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        inner.snapshotter.drain_and_wait(None).await.unwrap_or_default();
        drop(inner.wires.journal.send(JournalMessage::Stop));
        let mut threads = {
            let mut threads = inner.threads.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *threads)
        };
        if threads.is_empty() {
            return; // Another clone has stopped it.
        }
        let others = threads.split_off(1);
        join(threads).await;
        for shard in inner.wires.shards() {
            shard.drain_and_wait(None).await.unwrap_or_default();
        }
        drop(inner.wires.indexer.send(IndexerMessage::Stop));
        inner.indexes.ids.stop_merging();
        inner.indexes.entries.stop_merging();
        join(others).await;
        inner.supervisor.stop(None);
        info!("engine stopped");
    }
}

async fn join(threads: Vec<JoinHandle<()>>) {
    let joined = tokio::task::spawn_blocking(move || threads.into_iter().try_for_each(JoinHandle::join));
    if !matches!(joined.await, Ok(Ok(()))) {
        tracing::error!("a thread of the engine ended badly");
    }
}
