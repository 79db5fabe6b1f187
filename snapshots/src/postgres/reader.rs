//! Reading one snapshot from its row and its blocks, checking on the way. The
//! hash is that of the same snapshot as a file, whose header and trailer are
//! made again from the columns.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use vault::{KeyId, SEAL_BYTES};

use super::session::{LONG_SECONDS, SHORT_SECONDS, Session};
use super::{Database, signed};
use crate::encryption::{self, Cipher, SnapshotKey, forged, no_key};
use crate::layout::{self, BLOCK_HEADER_BYTES, TAIL_BYTES};
use crate::{BLOCK_BYTES_MAX, Block, Error, Header, KindRows, Result};

/// Blocks that are asked for at once; they are in memory together.
const FETCH_BLOCKS: i64 = 8;

/// A snapshot whose row is right. Its blocks are right one by one, and all
/// together only when `next_block` has answered `None`.
#[derive(Debug)]
pub struct Reader {
    session: Session,
    place: PathBuf,
    id: i64,
    contents: Contents,
    cipher: Option<Cipher>,
    state: Vec<u8>,
    fetched: VecDeque<Fetched>,
    next_no: i64,
    offset: u64,
    hasher: blake3::Hasher,
    rows: BTreeMap<u8, u64>,
    current: Vec<u8>,
}

impl Reader {
    pub fn open(database: &Database, lsn: u64) -> Result<Reader> {
        let mut session = Session::connect(&database.address)?;
        let found = Found::one(&mut session, database, lsn)?;
        let contents = found.check(database)?;
        let place = database.place_of(lsn);
        let key = contents.key.as_ref();
        let cipher = Cipher::new(key, &contents.header, &database.encryption).map_err(no_key(&place))?;
        let state = match &cipher {
            None => contents.state.clone(),
            Some(cipher) => cipher.decrypt_state(&contents.state).map_err(forged(&place, 0))?,
        };
        let beginning = layout::encode_beginning(&contents.header, key);
        let mut hasher = blake3::Hasher::new();
        hasher.update(&beginning);
        Ok(Reader {
            session,
            place,
            id: found.id,
            contents,
            cipher,
            state,
            fetched: VecDeque::new(),
            next_no: 0,
            offset: beginning.len() as u64,
            hasher,
            rows: BTreeMap::new(),
            current: Vec::new(),
        })
    }

    pub fn header(&self) -> &Header {
        &self.contents.header
    }

    pub fn state(&self) -> &[u8] {
        &self.state
    }

    pub fn rows(&self) -> &[KindRows] {
        &self.contents.rows
    }

    pub fn hash(&self) -> &[u8; 32] {
        &self.contents.hash
    }

    pub fn bytes(&self) -> u64 {
        self.contents.bytes
    }

    pub fn bytes_read(&self) -> u64 {
        self.offset
    }

    pub fn next_block(&mut self) -> Result<Option<Block<'_>>> {
        if self.next_no == self.contents.block_count {
            self.check_whole()?;
            return Ok(None);
        }
        if self.fetched.is_empty() {
            self.fetch()?;
        }
        let missing = || damaged(&self.place, self.offset, "a block is missing or above the largest length");
        let block = self.fetched.front().filter(|block| block.block_no == self.next_no).ok_or_else(missing)?;
        let kind = u8::try_from(block.kind).map_err(|_| damaged(&self.place, self.offset, "kind of the block"))?;
        let rows = u32::try_from(block.rows).map_err(|_| damaged(&self.place, self.offset, "rows of the block"))?;
        let length = u32::try_from(block.bytes.len()).expect("no block above the limit was asked for");
        let header = layout::encode_block_header(kind, rows, length, &block.bytes);
        if i64::from(layout::block_crc(kind, rows, length, &block.bytes)) != block.crc {
            return Err(damaged(&self.place, self.offset, "checksum of the block"));
        }
        self.hasher.update(&header);
        self.hasher.update(&block.bytes);
        *self.rows.entry(kind).or_default() += u64::from(rows);
        let offset = self.offset;
        self.offset += (BLOCK_HEADER_BYTES + block.bytes.len()) as u64;
        self.next_no += 1;
        self.current = self.fetched.pop_front().expect("it was at the front").bytes;
        let block = Block { kind, rows, bytes: &self.current };
        encryption::opened(&mut self.cipher, block, &self.place, offset).map(Some)
    }

    fn fetch(&mut self) -> Result<()> {
        let (id, next_no) = (self.id, self.next_no);
        let blocks = self.session.run("read a snapshot from", LONG_SECONDS, async |connection| {
            let sql = "SELECT block_no, kind, rows, bytes, crc FROM florin_snapshot_blocks \
                       WHERE snapshot = $1 AND block_no >= $2 AND block_no < $3 AND octet_length(bytes) <= $4 \
                       ORDER BY block_no";
            let rows = sqlx::query(sql)
                .bind(id)
                .bind(next_no)
                .bind(next_no + FETCH_BLOCKS)
                .bind((BLOCK_BYTES_MAX + SEAL_BYTES) as i64)
                .fetch_all(connection)
                .await?;
            rows.iter().map(Fetched::new).collect::<sqlx::Result<VecDeque<Fetched>>>()
        })?;
        self.fetched = blocks;
        Ok(())
    }

    fn check_whole(&self) -> Result<()> {
        let Contents { rows, state, hash, bytes, .. } = &self.contents;
        let body = layout::encode_trailer_body(rows, state);
        let mut hasher = self.hasher.clone();
        hasher.update(&body);
        if hasher.finalize() != *hash {
            return Err(damaged(&self.place, self.offset, "hash of the whole snapshot"));
        }
        let counted = self.rows.iter().map(|(&kind, &rows)| KindRows { kind, rows });
        if !counted.eq(rows.iter().copied()) {
            return Err(damaged(&self.place, self.offset, "number of rows differs from the snapshot's"));
        }
        if self.offset + (body.len() + TAIL_BYTES) as u64 != *bytes {
            return Err(damaged(&self.place, self.offset, "size of the whole snapshot"));
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Fetched {
    block_no: i64,
    kind: i16,
    rows: i64,
    bytes: Vec<u8>,
    crc: i64,
}

impl Fetched {
    fn new(row: &PgRow) -> sqlx::Result<Fetched> {
        Ok(Fetched {
            block_no: row.try_get(0)?,
            kind: row.try_get(1)?,
            rows: row.try_get(2)?,
            bytes: row.try_get(3)?,
            crc: row.try_get(4)?,
        })
    }
}

/// What the row of a snapshot says, once it is believed.
#[derive(Debug)]
pub(super) struct Contents {
    header: Header,
    key: Option<SnapshotKey>,
    /// As it is stored.
    state: Vec<u8>,
    rows: Vec<KindRows>,
    block_count: i64,
    bytes: u64,
    hash: [u8; 32],
}

/// The row of a snapshot as it was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) id: i64,
    pub(super) lsn: i64,
    time_micros: i64,
    chain_hash: Vec<u8>,
    version: i32,
    state: Vec<u8>,
    kinds: Vec<i16>,
    kind_rows: Vec<i64>,
    block_count: i64,
    bytes: i64,
    hash: Vec<u8>,
    crc: i64,
    data_key: Option<Vec<u8>>,
    salt: Option<Vec<u8>>,
}

const COLUMNS: &str = "SELECT id, lsn, time_micros, chain_hash, version, state, kinds, kind_rows, block_count, bytes, \
                       hash, crc, data_key, salt FROM florin_snapshots WHERE log_id = $1 AND complete AND ($2 < 0 OR lsn = $2) \
                       ORDER BY lsn DESC";

impl Found {
    /// Newest first.
    pub(super) fn all(session: &mut Session, database: &Database) -> Result<Vec<Found>> {
        Found::select(session, database, -1)
    }

    fn one(session: &mut Session, database: &Database, lsn: u64) -> Result<Found> {
        let found = Found::select(session, database, signed("position", lsn)?)?;
        found.into_iter().next().ok_or_else(|| Error::Database {
            doing: "find the snapshot in",
            place: database.place_of(lsn).display().to_string(),
            source: sqlx::Error::RowNotFound.into(),
        })
    }

    fn select(session: &mut Session, database: &Database, lsn: i64) -> Result<Vec<Found>> {
        let log_id = database.log_id;
        session.run("look for snapshots in", SHORT_SECONDS, async |connection| {
            let rows = sqlx::query(COLUMNS).bind(&log_id[..]).bind(lsn).fetch_all(connection).await?;
            rows.iter().map(Found::new).collect()
        })
    }

    fn new(row: &PgRow) -> sqlx::Result<Found> {
        Ok(Found {
            id: row.try_get(0)?,
            lsn: row.try_get(1)?,
            time_micros: row.try_get(2)?,
            chain_hash: row.try_get(3)?,
            version: row.try_get(4)?,
            state: row.try_get(5)?,
            kinds: row.try_get(6)?,
            kind_rows: row.try_get(7)?,
            block_count: row.try_get(8)?,
            bytes: row.try_get(9)?,
            hash: row.try_get(10)?,
            crc: row.try_get(11)?,
            data_key: row.try_get(12)?,
            salt: row.try_get(13)?,
        })
    }

    pub(super) fn check(&self, database: &Database) -> Result<Contents> {
        let place = database.place_of(self.lsn.unsigned_abs());
        let version = self.version.cast_unsigned();
        if !(1..=layout::VERSION).contains(&version) {
            return Err(Error::Version { path: place, version, known: layout::VERSION });
        }
        self.contents(database.log_id).ok_or_else(|| damaged(&place, 0, "row of the snapshot"))
    }

    fn contents(&self, log_id: [u8; 16]) -> Option<Contents> {
        let header = Header {
            lsn: u64::try_from(self.lsn).ok()?,
            time_micros: u64::try_from(self.time_micros).ok()?,
            chain_hash: self.chain_hash.as_slice().try_into().ok()?,
            log_id,
        };
        let hash: [u8; 32] = self.hash.as_slice().try_into().ok()?;
        if self.kinds.len() != self.kind_rows.len() || self.kinds.len() > 256 {
            return None;
        }
        let key = match (&self.data_key, &self.salt) {
            (None, None) => None,
            (data_key, salt) => Some(SnapshotKey {
                data_key: KeyId(data_key.as_deref()?.try_into().ok()?),
                salt: salt.as_deref()?.try_into().ok()?,
            }),
        };
        let kind_rows = self.kinds.iter().zip(&self.kind_rows);
        let rows: Option<Vec<KindRows>> = kind_rows
            .map(|(&kind, &rows)| Some(KindRows { kind: u8::try_from(kind).ok()?, rows: u64::try_from(rows).ok()? }))
            .collect();
        let rows = rows?;
        let is_right = self.state.len() <= crate::STATE_BYTES_MAX + layout::extra_bytes(key.as_ref())
            && self.version.cast_unsigned() == layout::version(key.as_ref())
            && self.block_count >= 0
            && i64::from(layout::row_crc(&header, key.as_ref(), &rows, &self.state, &hash)) == self.crc;
        is_right.then(|| Contents {
            header,
            key,
            state: self.state.clone(),
            rows,
            block_count: self.block_count,
            bytes: self.bytes.unsigned_abs(),
            hash,
        })
    }
}

fn damaged(place: &Path, offset: u64, what: &'static str) -> Error {
    Error::Damaged { path: place.to_owned(), offset, what }
}
