//! One face for the places where snapshots are kept, so that whoever takes or
//! reads one need not know which it is. What the places do is in `disk` and
//! `postgres`. All of it waits: call it from threads that may.

use std::path::PathBuf;
use std::sync::Arc;

use vault::Encryption;
use wal::disk::Disk;

use crate::{Block, Entry, Header, KindRows, Result, Summary, disk, postgres};

/// Where the snapshots of one log are.
#[derive(Clone, Debug)]
pub enum Store {
    Disk { disk: Arc<dyn Disk>, dir: PathBuf, encryption: Encryption },
    Postgres(postgres::Database),
}

impl Store {
    /// Begins a snapshot, which nobody sees before `Writer::finish` has returned.
    pub fn create(&self, header: Header) -> Result<Writer> {
        match self {
            Store::Disk { disk, dir, encryption } => {
                let writer = disk::Writer::create_with_keys(Arc::clone(disk), dir, header, encryption);
                writer.map(|writer| Writer::Disk(Box::new(writer)))
            }
            Store::Postgres(database) => {
                postgres::Writer::create(database, header).map(|writer| Writer::Postgres(Box::new(writer)))
            }
        }
    }

    pub fn open(&self, lsn: u64) -> Result<Reader> {
        match self {
            Store::Disk { disk, dir, encryption } => {
                disk::Reader::open_with_keys(&**disk, dir, lsn, encryption).map(Reader::from)
            }
            Store::Postgres(database) => {
                postgres::Reader::open(database, lsn).map(|reader| Reader::Postgres(Box::new(reader)))
            }
        }
    }

    /// The snapshots that are there, newest first.
    pub fn list(&self) -> Result<Vec<Entry>> {
        match self {
            Store::Disk { disk, dir, .. } => disk::list(&**disk, dir),
            Store::Postgres(database) => postgres::list(database),
        }
    }

    /// Removes what is older than the newest `keep` good snapshots, and what
    /// unfinished writers have left. No writer may be at work.
    pub fn prune(&self, keep: usize) -> Result<()> {
        match self {
            Store::Disk { disk, dir, .. } => disk::prune(&**disk, dir, keep),
            Store::Postgres(database) => postgres::prune(database, keep),
        }
    }
}

/// A snapshot under way. Dropped, it leaves nothing.
#[derive(Debug)]
pub enum Writer {
    Disk(Box<disk::Writer>),
    Postgres(Box<postgres::Writer>),
}

impl Writer {
    /// Appends `rows` rows of one kind, already encoded. After an error the
    /// writer is good for nothing but to be dropped.
    pub fn block(&mut self, kind: u8, rows: u32, bytes: &[u8]) -> Result<()> {
        match self {
            Writer::Disk(writer) => writer.block(kind, rows, bytes),
            Writer::Postgres(writer) => writer.block(kind, rows, bytes),
        }
    }

    /// When this returns, the snapshot is durable and can be seen.
    pub fn finish(self, state: &[u8]) -> Result<Summary> {
        match self {
            Writer::Disk(writer) => writer.finish(state),
            Writer::Postgres(writer) => writer.finish(state),
        }
    }
}

/// A snapshot whose header and trailer are right. Its rows are right block by
/// block, and all together only when `next_block` has answered `None`.
#[derive(Debug)]
pub enum Reader {
    Disk(Box<disk::Reader>),
    Postgres(Box<postgres::Reader>),
}

impl From<disk::Reader> for Reader {
    fn from(reader: disk::Reader) -> Reader {
        Reader::Disk(Box::new(reader))
    }
}

impl Reader {
    pub fn header(&self) -> &Header {
        match self {
            Reader::Disk(reader) => reader.header(),
            Reader::Postgres(reader) => reader.header(),
        }
    }

    /// What the writer gave to `finish`.
    pub fn state(&self) -> &[u8] {
        match self {
            Reader::Disk(reader) => reader.state(),
            Reader::Postgres(reader) => reader.state(),
        }
    }

    /// How many rows of each kind there will be, ascending by kind.
    pub fn rows(&self) -> &[KindRows] {
        match self {
            Reader::Disk(reader) => reader.rows(),
            Reader::Postgres(reader) => reader.rows(),
        }
    }

    /// BLAKE3 of the snapshot; the same snapshot has the same in each store.
    pub fn hash(&self) -> &[u8; 32] {
        match self {
            Reader::Disk(reader) => reader.hash(),
            Reader::Postgres(reader) => reader.hash(),
        }
    }

    /// The size of the snapshot, as a file.
    pub fn bytes(&self) -> u64 {
        match self {
            Reader::Disk(reader) => reader.bytes(),
            Reader::Postgres(reader) => reader.bytes(),
        }
    }

    /// How far reading has come, for a progress bar.
    pub fn bytes_read(&self) -> u64 {
        match self {
            Reader::Disk(reader) => reader.bytes_read(),
            Reader::Postgres(reader) => reader.bytes_read(),
        }
    }

    /// The next block, or `None` once all of them have been read and the whole
    /// has been found to be what was written. An error is final.
    pub fn next_block(&mut self) -> Result<Option<Block<'_>>> {
        match self {
            Reader::Disk(reader) => reader.next_block(),
            Reader::Postgres(reader) => reader.next_block(),
        }
    }
}
