//! Snapshots as rows of a Postgres database, many logs' beside each other. The
//! tables are described in docs/formats.md and made by `schema`; a snapshot is
//! put there in one transaction, so it is there as a whole or not at all.
//! Every call connects anew, and none waits without a limit.

mod address;
mod reader;
mod schema;
mod session;
mod writer;

pub use address::Address;
pub use reader::Reader;
pub use writer::Writer;

use std::path::PathBuf;
use std::sync::Arc;

use sqlx::Row as _;
use tracing::warn;
use vault::Encryption;
use wal::disk::Disk;

use crate::{Entry, Error, Result, disk};
use reader::Found;
use session::{LONG_SECONDS, SHORT_SECONDS, Session};

/// The snapshots of one log in a database.
#[derive(Clone, Debug)]
pub struct Database {
    pub address: Address,
    /// Snapshots of other logs are neither seen nor touched.
    pub log_id: [u8; 16],
    pub disk: Arc<dyn Disk>,
    /// A folder of this machine where a snapshot is gathered before it goes
    /// out, so that a slow database keeps nobody waiting who gives the rows.
    pub outgoing_dir: PathBuf,
    pub encryption: Encryption,
}

impl Database {
    fn place_of(&self, lsn: u64) -> PathBuf {
        PathBuf::from(format!("{} (snapshot at {lsn})", self.address))
    }
}

/// The snapshots of this log, newest first.
pub fn list(database: &Database) -> Result<Vec<Entry>> {
    let mut session = Session::connect(&database.address)?;
    let log_id = database.log_id;
    let rows = session.run("list the snapshots in", SHORT_SECONDS, async |connection| {
        let sql = "SELECT lsn, bytes FROM florin_snapshots WHERE log_id = $1 AND complete ORDER BY lsn DESC";
        let rows = sqlx::query(sql).bind(&log_id[..]).fetch_all(connection).await?;
        rows.iter()
            .map(|row| Ok((row.try_get::<i64, _>(0)?, row.try_get::<i64, _>(1)?)))
            .collect::<sqlx::Result<Vec<_>>>()
    })?;
    let entry = |(lsn, bytes): (i64, i64)| {
        // The tables hold nothing below zero.
        let (lsn, bytes) = (lsn.unsigned_abs(), bytes.unsigned_abs());
        Entry { lsn, bytes, path: database.place_of(lsn) }
    };
    Ok(rows.into_iter().map(entry).collect())
}

/// Removes what is older than the newest `keep` snapshots of this log, and
/// what was gathered and never went out. One whose header is damaged does not
/// count, and at least one is kept, for the reasons that `disk::prune` gives.
pub fn prune(database: &Database, keep: usize) -> Result<()> {
    sweep_outgoing(database)?;
    let mut session = Session::connect(&database.address)?;
    let mut kept = 0;
    let mut doomed = Vec::new();
    for found in Found::all(&mut session, database)? {
        if kept >= keep.max(1) {
            doomed.push(found.id);
            continue;
        }
        match found.check(database) {
            Ok(_) => kept += 1,
            Err(error) => warn!(lsn = found.lsn, %error, "snapshot does not count"),
        }
    }
    let log_id = database.log_id;
    session.run("remove old snapshots from", LONG_SECONDS, async |connection| {
        let sql = "DELETE FROM florin_snapshots WHERE log_id = $1 AND (id = ANY($2) OR NOT complete)";
        sqlx::query(sql).bind(&log_id[..]).bind(&doomed).execute(connection).await
    })?;
    Ok(())
}

fn sweep_outgoing(database: &Database) -> Result<()> {
    let (disk, dir) = (&*database.disk, &*database.outgoing_dir);
    for name in disk.list(dir).map_err(disk::io_error("list", dir))? {
        let path = dir.join(name);
        disk.remove(&path).map_err(disk::io_error("remove", &path))?;
    }
    Ok(())
}

fn signed(what: &'static str, number: u64) -> Result<i64> {
    let limit = i64::MAX as usize;
    i64::try_from(number).map_err(|_| Error::TooLarge { what, given: usize::try_from(number).unwrap_or(limit), limit })
}
