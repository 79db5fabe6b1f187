//! What a caller may choose about a log, each with a default and a limit.

use std::path::PathBuf;

use vault::Encryption;

use crate::error::Error;
use crate::format::{SEGMENT_BYTES_DEFAULT, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};

#[derive(Debug, Clone)]
pub struct Options {
    /// Size of new segments. A group that does not fit gets a larger segment of its own.
    pub segment_bytes: u64,
    /// Where sealed segments may have been moved to by `Log::archive_before`; they are read from there.
    pub archive_dir: Option<PathBuf>,
    /// A helper thread makes the next segment before it is needed. Without it the appender does, so that nothing runs
    /// beside the caller: what a simulation wants.
    pub prepare_ahead: bool,
    /// What a new log is called and when it began; random and the system's clock if not given. Ignored by a log that
    /// exists.
    pub identity: Option<Identity>,
    /// The keys for encrypted segments, and whether new ones are encrypted.
    pub encryption: Encryption,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    pub log_id: [u8; 16],
    pub created_micros: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            archive_dir: None,
            prepare_ahead: true,
            identity: None,
            encryption: Encryption::Without,
        }
    }
}

impl Options {
    pub(crate) fn check(&self) -> Result<(), Error> {
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes)
            || !self.segment_bytes.is_multiple_of(512)
        {
            return Err(Error::Options("segment_bytes must be a multiple of 512 between 1 MiB and 4 GiB"));
        }
        Ok(())
    }
}
