//! What may be chosen about the engine, each with its default and its limit.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use vault::Encryption;
use wal::disk::Disk;

/// Settings of one engine.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Everything is kept below this folder; two servers cannot share it.
    pub data_dir: PathBuf,
    /// Shards that host the wallets. It may change from one start to the next.
    pub shards: usize,
    /// Bytes of one segment of the log.
    pub segment_bytes: u64,
    /// Threads make segments before they are needed, and read the log before it is replayed. The simulator has no threads.
    pub work_ahead: bool,
    /// What a new log is called; random if not given. The simulator needs the same name each time.
    pub log_identity: Option<wal::Identity>,
    /// Conversations under way at most; what comes on top is refused as overload.
    pub in_flight_max: usize,
    /// Ids and entries that are collected in memory before they go to the index on disk.
    pub recent_rows_max: usize,
    /// How often a snapshot is taken; `None`: on request only.
    pub snapshot_period: Option<Duration>,
    /// Snapshots that are kept; segments of the log older than all of them go to the archive.
    pub snapshots_kept: usize,
    /// The database that snapshots are kept in; `None`: they are files of the data folder.
    pub snapshots_in: Option<snapshots::postgres::Address>,
    /// The keys for what is encrypted on disk, and whether what is new is.
    pub encryption: Encryption,
}

pub const SHARDS_MAX: usize = 256;

impl EngineConfig {
    pub fn new(data_dir: impl Into<PathBuf>) -> EngineConfig {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        EngineConfig {
            data_dir: data_dir.into(),
            shards: cores.min(SHARDS_MAX),
            segment_bytes: wal::SEGMENT_BYTES_DEFAULT,
            work_ahead: true,
            log_identity: None,
            in_flight_max: 262_144,
            recent_rows_max: 800_000,
            snapshot_period: Some(Duration::from_secs(300)),
            snapshots_kept: 2,
            snapshots_in: None,
            encryption: Encryption::Without,
        }
    }

    pub fn log_dir(&self) -> PathBuf {
        self.data_dir.join("log")
    }

    pub fn archive_dir(&self) -> PathBuf {
        self.data_dir.join("archive")
    }

    pub fn snapshots_dir(&self) -> PathBuf {
        self.data_dir.join("snapshots")
    }

    /// Where the snapshots of this log are written to and recovered from.
    pub fn snapshot_store(&self, disk: &Arc<dyn Disk>, log_id: [u8; 16]) -> snapshots::Store {
        let (disk, dir, encryption) = (Arc::clone(disk), self.snapshots_dir(), self.encryption.clone());
        match &self.snapshots_in {
            None => snapshots::Store::Disk { disk, dir, encryption },
            Some(address) => snapshots::Store::Postgres(snapshots::postgres::Database {
                address: address.clone(),
                log_id,
                disk,
                outgoing_dir: dir.join("outgoing"),
                encryption,
            }),
        }
    }

    pub fn ids_dir(&self) -> PathBuf {
        self.data_dir.join("index").join("ids")
    }

    pub fn entries_dir(&self) -> PathBuf {
        self.data_dir.join("index").join("entries")
    }
}
