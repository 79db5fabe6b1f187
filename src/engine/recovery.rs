//! Recovery: the newest valid snapshot, then the tail of the log. The indexes may lag behind a crash; whatever
//! they have not got is collected again on the way.

use std::path::Path;
use std::sync::Arc;

use snapshots::Store;
use tracing::{info, warn};
use wal::disk::Disk;
use wal::{Log, Reader};

use super::claims::{Claims, HoldPlace};
use super::config::EngineConfig;
use super::indexer::{Indexer, Indexes};
use super::journal::Journal;
use super::placement::Placement;
use super::record::RecordError;
use super::replay::{Tape, replay};
use super::runs::{self, Runs};
use super::shard::Shard;
use super::snapshot::{self, SnapshotError};
use super::snapshot_rows::SnapshotRow;

/// Why the engine cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Log(#[from] wal::Error),
    #[error(transparent)]
    Index(#[from] runs::Error),
    #[error("record {lsn} cannot be read: {source}")]
    Record { lsn: u64, source: RecordError },
    #[error(transparent)]
    Snapshots(#[from] snapshots::Error),
    #[error(
        "the log ends at record {last_lsn}, but {witness} knows of record {known_lsn}: records that were acknowledged \
         are missing. Restore the log (the folder `log`, and `archive` beside it) from a copy; if you mean to go back to \
         record {last_lsn} and lose what came after it, move the folders `index` and `snapshots` away first, and \
         delete snapshots in Postgres"
    )]
    RecordsMissing { last_lsn: u64, known_lsn: u64, witness: String },
    #[error("the engine's actors could not be started: {0}")]
    Actors(String),
}

/// How far recovery has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    CheckingLog { done_bytes: u64, total_bytes: u64 },
    LoadingSnapshot { lsn: u64, done_bytes: u64, total_bytes: u64 },
    Replaying { done_records: u64, total_records: u64 },
}

/// What recovery found, for a line at the start.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub snapshot_lsn: u64,
    pub snapshots_passed_over: usize,
    pub last_lsn: u64,
    pub replayed_records: u64,
    pub replay_micros: u64,
    pub wallets: u64,
    pub torn_tail_bytes: u64,
}

/// Everything that stands after recovery; plain state machines still.
#[derive(Debug)]
pub struct Recovered {
    pub journal: Journal,
    pub reader: Reader,
    pub shards: Vec<Shard>,
    pub claims: Arc<Claims>,
    pub indexes: Indexes,
    pub indexer: Indexer,
    pub report: Report,
}

/// Brings the ledger of a data folder back into memory.
pub fn recover(
    disk: &Arc<dyn Disk>,
    config: &EngineConfig,
    progress: &mut dyn FnMut(Progress),
) -> Result<Recovered, StartError> {
    let options = wal::Options {
        segment_bytes: config.segment_bytes,
        archive_dir: Some(config.archive_dir()),
        prepare_ahead: config.work_ahead,
        identity: config.log_identity,
        encryption: config.encryption.clone(),
    };
    let (log, found) = Log::open(Arc::clone(disk), &config.log_dir(), options, &mut |done_bytes, total_bytes| {
        progress(Progress::CheckingLog { done_bytes, total_bytes });
    })?;
    if let Some(torn) = &found.torn {
        warn!(
            segment = torn.segment,
            offset = torn.offset,
            bytes = torn.bytes,
            kept_as = %torn.kept_as.display(),
            "torn tail cut off: a write that a crash had interrupted and that was never acknowledged"
        );
    }
    let reader = log.reader();
    let indexes = Indexes {
        ids: open_index(disk, &config.ids_dir(), found.last_lsn)?,
        entries: open_index(disk, &config.entries_dir(), found.last_lsn)?,
    };
    let claims = Arc::new(Claims::new(Arc::clone(&indexes.ids)));
    let mut report = Report {
        last_lsn: found.last_lsn,
        torn_tail_bytes: found.torn.map_or(0, |torn| torn.bytes),
        ..Report::default()
    };
    let placement = Placement::new(config.shards);
    let empty_shards = || -> Vec<Shard> {
        let entries_lsn = indexes.entries.covered_lsn();
        (0..config.shards).map(|index| Shard::new(index, placement, Arc::clone(&claims), entries_lsn)).collect()
    };

    let mut shards = empty_shards();
    let store = config.snapshot_store(disk, reader.log_id());
    for entry in list_snapshots(&store)? {
        if let Ok(snapshot) = store.open(entry.lsn)
            && snapshot.header().log_id == reader.log_id()
        {
            check_reaches(found.last_lsn, entry.lsn, || format!("the snapshot {}", entry.path.display()))?;
        }
        // Entries of before the snapshot cannot be made again from its balances, so the index must reach it.
        if entry.lsn > indexes.durable_lsn() {
            info!(
                lsn = entry.lsn,
                indexed = indexes.durable_lsn(),
                "snapshot passed over: the index does not reach it"
            );
            report.snapshots_passed_over += 1;
            continue;
        }
        match load_snapshot(&store, entry.lsn, &reader, placement, &mut shards, &claims, progress) {
            Ok(()) => {
                report.snapshot_lsn = entry.lsn;
                break;
            }
            Err(error) => {
                warn!(lsn = entry.lsn, %error, "snapshot passed over");
                report.snapshots_passed_over += 1;
                shards = empty_shards();
            }
        }
    }

    let new_indexer = || Indexer::new(indexes.clone(), Arc::clone(&claims), config.shards);
    let began = std::time::Instant::now();
    let total_records = found.last_lsn - report.snapshot_lsn;
    let covered_lsn = indexes.ids.covered_lsn();
    let scan = reader.scan(report.snapshot_lsn + 1);
    let tape = Tape::new(scan, &claims, placement, covered_lsn, config.recent_rows_max);
    let replaying = |done_records| progress(Progress::Replaying { done_records, total_records });
    report.replayed_records = replay(tape, &mut shards, new_indexer, config.work_ahead, replaying)?;
    progress(Progress::Replaying { done_records: total_records, total_records });
    report.replay_micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    for shard in &shards {
        report.wallets += shard.wallet_count();
    }
    let marked_lsn = indexes.ids.covered_lsn();
    let journal = Journal::new(log, Arc::clone(&claims), marked_lsn, config.recent_rows_max);
    let indexer = new_indexer();
    Ok(Recovered { journal, reader, shards, claims, indexes, indexer, report })
}

/// A data folder that cannot be read is a reason not to start. A database is not: the log has everything.
fn list_snapshots(store: &Store) -> Result<Vec<snapshots::Entry>, StartError> {
    match (store.list(), store) {
        (Err(error), Store::Postgres(_)) => {
            warn!(%error, "the snapshots cannot be asked for, so the whole log is replayed instead; this takes longer");
            Ok(Vec::new())
        }
        (listed, _) => Ok(listed?),
    }
}

fn open_index(disk: &Arc<dyn Disk>, dir: &Path, last_lsn: u64) -> Result<Arc<Runs>, StartError> {
    let runs = Runs::open(Arc::clone(disk), dir)?;
    let witness = || format!("the index in {}", dir.display());
    check_reaches(last_lsn, runs.covered_lsn(), witness)?;
    Ok(Arc::new(runs))
}

/// Only durable records reach an index or a snapshot. One that knows more than the log has seen its end before the
/// end was lost: bits of the last group went bad and it was taken for a torn one, or an old copy was put back.
fn check_reaches(last_lsn: u64, known_lsn: u64, witness: impl Fn() -> String) -> Result<(), StartError> {
    if known_lsn <= last_lsn {
        return Ok(());
    }
    Err(StartError::RecordsMissing { last_lsn, known_lsn, witness: witness() })
}

#[allow(clippy::too_many_arguments)] // It is the middle of `recover`, apart only so that it can fail as one.
fn load_snapshot(
    store: &Store,
    lsn: u64,
    log: &Reader,
    placement: Placement,
    shards: &mut [Shard],
    claims: &Claims,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), SnapshotError> {
    let mut reader = store.open(lsn)?;
    let header = *reader.header();
    let group = log.chain_at(lsn).ok().flatten();
    let fits = group.is_some_and(|group| group.last_lsn == lsn && group.chain == header.chain_hash);
    if header.log_id != log.log_id() || (lsn > 0 && !fits) {
        return Err(SnapshotError::OtherHistory);
    }
    let wallets = snapshot::wallet_count(&reader) / shards.len();
    shards.iter_mut().for_each(|shard| shard.expect_wallets(wallets));
    let mut holds = Vec::new();
    let mut missing = None;
    snapshot::load(
        &mut reader,
        |row| match row {
            SnapshotRow::Wallet(row) => {
                let shard = &mut shards[placement.shard_of(row.opening.wallet)];
                shard.restore_wallet(&row.opening, row.status, row.posted, row.held);
            }
            SnapshotRow::Spending(wallet, spending) => {
                if !shards[placement.shard_of(wallet)].restore_spending(wallet, spending) {
                    missing.get_or_insert(wallet);
                }
            }
            SnapshotRow::Hold(authorization, captured) => holds.push((authorization, captured)),
        },
        |done_bytes, total_bytes| progress(Progress::LoadingSnapshot { lsn, done_bytes, total_bytes }),
    )?;
    if let Some(wallet) = missing {
        return Err(SnapshotError::NoWallet(wallet));
    }
    // Only now is the snapshot known to be whole, so only now is anything shared told of it.
    for (authorization, captured) in holds {
        let place =
            HoldPlace { payer: authorization.payer, payee: authorization.payee, currency: authorization.currency };
        claims.restore_open_hold(authorization.hold, place);
        shards[placement.shard_of(authorization.payer)].restore_hold(authorization, captured);
    }
    shards.iter_mut().for_each(|shard| shard.restore_position(lsn));
    Ok(())
}
