//! How the engine is, for everybody to look at: what is under way, how far the log is, and whether it still can be
//! written.

use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, OnceLock};

use tracing::error;

/// What everybody may look at.
#[derive(Debug, Default)]
pub struct Status {
    pub in_flight: Arc<AtomicUsize>,
    pub last_lsn: AtomicU64,
    pub groups: AtomicU64,
    pub is_stopping: AtomicBool,
    read_only: OnceLock<String>,
}

impl Status {
    pub fn read_only(&self) -> Option<&str> {
        self.read_only.get().map(String::as_str)
    }

    /// From now on nothing is acknowledged any more. Only a restart ends this.
    pub fn set_read_only(&self, why: String) {
        error!(why, "the ledger is read-only from now on; start the server again when the cause is mended");
        // Only the first cause counts; what comes later follows from it.
        drop(self.read_only.set(why));
    }
}

/// An error and what it comes from, on one line: the last cause is the one that an operator can mend, such as a full
/// disk. A cause that is told already is left out.
pub(super) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let told = cause.to_string();
        if !text.contains(&told) {
            text = format!("{text}: {told}");
        }
        source = cause.source();
    }
    text
}
