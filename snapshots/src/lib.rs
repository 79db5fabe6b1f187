//! Snapshots: checked blocks of opaque rows, exact at one log position (LSN).
//!
//! Blocks are encrypted where that is asked for.
//! Nothing here knows what a row means, and nothing here decides when a
//! snapshot is taken. A [`Store`] is one of two places: [`disk`] keeps snapshots
//! as files, [`postgres`] as rows of a database. The types of this page say
//! nothing of either beyond where an entry lies.

mod store;

pub mod disk;
pub mod postgres;

mod encryption;
mod error;
mod layout;

pub use error::Error;
pub use store::{Reader, Store, Writer};

use std::path::PathBuf;

pub type Result<T> = std::result::Result<T, Error>;

/// The largest block that is written or believed. Callers cut their rows into
/// blocks of 64 KiB to 1 MiB; a length above this is damage or a mistake, and
/// is refused before memory is taken for it.
pub const BLOCK_BYTES_MAX: usize = 4 << 20;

/// The largest `state` that a snapshot carries in its trailer.
pub const STATE_BYTES_MAX: usize = 4096;

/// Where in the log a snapshot belongs, and to which log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Everything up to and including this position is in the snapshot.
    pub lsn: u64,
    /// When the snapshot was begun, in microseconds since 1970, UTC.
    pub time_micros: u64,
    /// The log's running hash at `lsn`, so that a snapshot of another history
    /// is told from one of this.
    pub chain_hash: [u8; 32],
    pub log_id: [u8; 16],
}

/// Some rows of one kind, as the writer was given them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    pub kind: u8,
    pub rows: u32,
    pub bytes: &'a [u8],
}

/// How many rows of one kind a snapshot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindRows {
    pub kind: u8,
    pub rows: u64,
}

/// What a finished snapshot came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    pub lsn: u64,
    /// The size of the whole snapshot.
    pub bytes: u64,
    pub block_count: u64,
    /// In ascending order of kind; kinds without a block are absent.
    pub rows: Vec<KindRows>,
    /// BLAKE3 of everything before the hash itself.
    pub hash: [u8; 32],
}

/// A snapshot that is there by its name; whether it is whole, opening it tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub lsn: u64,
    pub bytes: u64,
    /// A file, or a database and what is in it: for people to read.
    pub path: PathBuf,
}
