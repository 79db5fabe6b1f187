//! What can go wrong with a snapshot: which file or database, where in it, and what.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk refused. Nothing is known of the bytes.
    #[error("cannot {doing} {}", .path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },

    /// The bytes are not those that a writer of a known version has written:
    /// this is not a snapshot, or no longer one.
    #[error("{} is damaged at byte {offset}: {what}", .path.display())]
    Damaged { path: PathBuf, offset: u64, what: &'static str },

    /// The file says of itself, under a valid checksum, that it is of a
    /// version which this program does not know.
    #[error("{} is of format version {version}, this program reads versions up to {known}", .path.display())]
    Version { path: PathBuf, version: u32, known: u32 },

    /// The database could not be reached, refused, or did not answer in time. Nothing is known of the bytes.
    #[error("cannot {doing} {place}: {source}")]
    Database { doing: &'static str, place: String, source: Box<dyn std::error::Error + Send + Sync> },

    /// What was given as the address of a database is none. The address itself is not told: it may hold a password.
    #[error("this is not the address of a database: {0}")]
    Address(String),

    #[error("{} is encrypted, and its key is not to be had", .path.display())]
    Key { path: PathBuf, source: vault::Error },

    /// The caller gave more than the format holds.
    #[error("{what} of {given} bytes is above the limit of {limit}")]
    TooLarge { what: &'static str, given: usize, limit: usize },
}
