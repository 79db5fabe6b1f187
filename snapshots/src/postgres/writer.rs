//! Writing one snapshot: it is gathered in a file of this machine, and goes
//! out when it is whole, in one transaction. Blocks are copied some megabytes
//! at a time, each COPY with its own limit of time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::{query, query_scalar, raw_sql};

use super::session::{LONG_SECONDS, SHORT_SECONDS, Session};
use super::{Database, signed};
use crate::{Block, Error, Header, Result, Summary, disk, layout};

/// What one COPY takes, and what is held in memory for it.
const COPY_BYTES: usize = 8 << 20;

/// The longest that all of it may take. A database that crawls is given up,
/// so that a server which wants to stop is not held up for ever.
const SEND_SECONDS_MAX: u64 = 900;

/// A snapshot under way. Dropping it removes what was gathered.
#[derive(Debug)]
pub struct Writer {
    database: Database,
    lsn: u64,
    gathered: disk::Writer,
}

impl Writer {
    /// The database is not asked for anything yet.
    pub fn create(database: &Database, header: Header) -> Result<Writer> {
        assert_eq!(header.log_id, database.log_id, "a snapshot goes to the place of its own log");
        let (disk, dir) = (Arc::clone(&database.disk), &database.outgoing_dir);
        let gathered = disk::Writer::create_with_keys(disk, dir, header, &database.encryption)?;
        Ok(Writer { database: database.clone(), lsn: header.lsn, gathered })
    }

    pub fn block(&mut self, kind: u8, rows: u32, bytes: &[u8]) -> Result<()> {
        self.gathered.block(kind, rows, bytes)
    }

    /// Sends everything. A snapshot at the same LSN is replaced, and seen
    /// until the moment in which the new one is.
    pub fn finish(self, state: &[u8]) -> Result<Summary> {
        let Writer { database, lsn, gathered } = self;
        let summary = gathered.finish(state)?;
        let sent = send(&database, &summary);
        let path = disk::file_path(&database.outgoing_dir, lsn);
        if let Err(error) = database.disk.remove(&path) {
            tracing::warn!(path = %path.display(), %error, "gathered snapshot not removed");
        }
        sent.map(|()| summary)
    }
}

fn send(database: &Database, summary: &Summary) -> Result<()> {
    let began = Instant::now();
    let mut reader = disk::Stored::open(&*database.disk, &database.outgoing_dir, summary.lsn)?;
    let mut session = Session::connect(&database.address)?;
    let snapshot = insert_header(&mut session, &reader, summary)?;
    let mut batch = Batch::new(snapshot);
    // The reader checks each block as it comes and the whole at the end, so
    // what is made complete is what was gathered.
    while let Some((_, block)) = reader.next_block()? {
        batch.add(block)?;
        if batch.bytes.len() >= COPY_BYTES {
            batch.copy(&mut session)?;
            if began.elapsed() > Duration::from_secs(SEND_SECONDS_MAX) {
                let place = database.address.to_string();
                return Err(Error::Database { doing: "send a snapshot to", place, source: TooSlow.into() });
            }
        }
    }
    batch.copy(&mut session)?;
    let (log_id, lsn) = (database.log_id, signed("position", summary.lsn)?);
    session.run("complete a snapshot in", LONG_SECONDS, async |connection| {
        let sql = "DELETE FROM florin_snapshots WHERE log_id = $1 AND lsn = $2 AND complete";
        query(sql).bind(&log_id[..]).bind(lsn).execute(&mut *connection).await?;
        let sql = "UPDATE florin_snapshots SET complete = true WHERE id = $1";
        query(sql).bind(snapshot).execute(&mut *connection).await?;
        raw_sql("COMMIT").execute(&mut *connection).await
    })?;
    Ok(())
}

/// Begins the transaction with the row of the snapshot, not complete yet.
fn insert_header(session: &mut Session, reader: &disk::Stored, summary: &Summary) -> Result<i64> {
    let Header { lsn, time_micros, chain_hash, log_id } = *reader.header();
    let (lsn, time_micros) = (signed("position", lsn)?, signed("time", time_micros)?);
    let (block_count, bytes) = (signed("count", summary.block_count)?, signed("size", summary.bytes)?);
    let kinds: Vec<i16> = reader.rows().iter().map(|kind| i16::from(kind.kind)).collect();
    let kind_rows: Result<Vec<i64>> = reader.rows().iter().map(|kind| signed("count", kind.rows)).collect();
    let kind_rows = kind_rows?;
    let key = reader.key();
    let crc = layout::row_crc(reader.header(), key, reader.rows(), reader.state(), reader.hash());
    session.run("begin a snapshot in", SHORT_SECONDS, async |connection| {
        raw_sql("BEGIN").execute(&mut *connection).await?;
        let sql = "INSERT INTO florin_snapshots (log_id, lsn, time_micros, chain_hash, version, state, kinds, \
                   kind_rows, block_count, bytes, hash, crc, data_key, salt, complete) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, false) RETURNING id";
        query_scalar(sql)
            .bind(&log_id[..])
            .bind(lsn)
            .bind(time_micros)
            .bind(&chain_hash[..])
            .bind(layout::version(key).cast_signed())
            .bind(reader.state())
            .bind(&kinds)
            .bind(&kind_rows)
            .bind(block_count)
            .bind(bytes)
            .bind(&reader.hash()[..])
            .bind(i64::from(crc))
            .bind(key.map(|key| &key.data_key.0[..]))
            .bind(key.map(|key| &key.salt[..]))
            .fetch_one(connection)
            .await
    })
}

/// Blocks in the binary format of COPY: signature, flags and an empty
/// extension; for each row the number of fields, and for each field its length
/// and bytes, all big endian; at the end -1.
struct Batch {
    snapshot: i64,
    block_no: i64,
    bytes: Vec<u8>,
}

const COPY_HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const COPY_END: [u8; 2] = (-1i16).to_be_bytes();
const COPY_SQL: &str =
    "COPY florin_snapshot_blocks (snapshot, block_no, kind, rows, bytes, crc) FROM STDIN WITH (FORMAT binary)";

impl Batch {
    fn new(snapshot: i64) -> Batch {
        Batch { snapshot, block_no: 0, bytes: COPY_HEADER.to_vec() }
    }

    fn add(&mut self, block: Block<'_>) -> Result<()> {
        let length = u32::try_from(block.bytes.len()).expect("a block was read, so it is below its limit");
        let crc = layout::block_crc(block.kind, block.rows, length, block.bytes);
        self.bytes.extend_from_slice(&6i16.to_be_bytes());
        self.field(&self.snapshot.to_be_bytes());
        self.field(&self.block_no.to_be_bytes());
        self.field(&i16::from(block.kind).to_be_bytes());
        self.field(&i64::from(block.rows).to_be_bytes());
        self.field(block.bytes);
        self.field(&i64::from(crc).to_be_bytes());
        self.block_no += 1;
        Ok(())
    }

    fn field(&mut self, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).expect("a field is a block at most");
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(bytes);
    }

    fn copy(&mut self, session: &mut Session) -> Result<()> {
        self.bytes.extend_from_slice(&COPY_END);
        session.run("copy a snapshot to", LONG_SECONDS, async |connection| {
            let mut copy = connection.copy_in_raw(COPY_SQL).await?;
            copy.send(&self.bytes[..]).await?;
            copy.finish().await
        })?;
        self.bytes.clear();
        self.bytes.extend_from_slice(COPY_HEADER);
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("it takes longer than {SEND_SECONDS_MAX} seconds")]
struct TooSlow;
