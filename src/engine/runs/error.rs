//! What can go wrong with runs: which file, where in it, and what.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk refused. Nothing is known of the bytes.
    #[error("cannot {doing} {}", .path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },

    /// The bytes are not those that were written.
    #[error("{} is damaged at byte {offset}: {what}", .path.display())]
    Damaged { path: PathBuf, offset: u64, what: &'static str },

    /// Rows lie outside of the LSNs that they were said to be of. Taken in,
    /// they would be missed by reads that look only where they belong.
    #[error("row of lsn {lsn} given for lsns {from} to {to}")]
    OutOfRange { lsn: u64, from: u64, to: u64 },

    /// A batch must cover more than what is covered already, and the last LSN
    /// there is has to stay free.
    #[error("a batch up to lsn {given} was given when {covered} is covered")]
    Coverage { given: u64, covered: u64 },
}
