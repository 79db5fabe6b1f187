//! What can go wrong with a log, each with what to do about it.

use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },

    #[error("the log in {} is in use by another process; stop that one first, or use another data folder", path.display())]
    Locked { path: PathBuf },

    #[error(
        "the log is damaged: {} at byte {offset}, where record {expected_lsn} should be: {what}. \
         Restore this segment from a copy or from the archive, then start again; going on would lose records that were \
         acknowledged",
        segment.display()
    )]
    Corrupt { segment: PathBuf, offset: u64, expected_lsn: u64, what: String },

    #[error("{} has format version {found}, and this program reads versions up to {known}", segment.display())]
    Version { segment: PathBuf, found: u32, known: u32 },

    /// The source is there in the first such error only. Whether the group that failed lasts is not known before the
    /// log is opened again.
    #[error("the log takes no more records since a write to it failed; records that are durable can still be read")]
    Poisoned { source: Option<Box<Error>> },

    #[error("an empty group cannot be appended")]
    EmptyGroup,

    #[error(
        "record {lsn} is before the first one here, {first_lsn}; it was moved out of the log and out of the archive"
    )]
    BeforeFirst { lsn: u64, first_lsn: u64 },

    #[error("{} is encrypted, and its key is not to be had", segment.display())]
    Key { segment: PathBuf, source: vault::Error },

    #[error("bad option: {0}")]
    Options(&'static str),
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io { action, path: path.to_owned(), source }
    }
}
