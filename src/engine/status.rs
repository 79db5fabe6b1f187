//! How the engine is, for everybody to look at: what is under way, how far the log is, and whether it still can be
//! written.

use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use tracing::error;

/// What everybody may look at.
#[derive(Debug, Default)]
pub struct Status {
    pub in_flight: Arc<AtomicUsize>,
    pub last_lsn: AtomicU64,
    pub groups: AtomicU64,
    pub is_stopping: AtomicBool,
    /// Those who wait for totals, which cannot be made before a snapshot that is being copied has been.
    totals_awaited: Arc<AtomicUsize>,
    read_only: OnceLock<String>,
}

/// Somebody waits for totals as long as this lives.
#[derive(Debug)]
pub struct TotalsAwaited(Arc<AtomicUsize>);

impl Drop for TotalsAwaited {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Status {
    pub fn await_totals(&self) -> TotalsAwaited {
        self.totals_awaited.fetch_add(1, Ordering::Relaxed);
        TotalsAwaited(Arc::clone(&self.totals_awaited))
    }

    /// Whether a copy has no reason to make way: nobody is served, or somebody waits for its end.
    pub fn is_copy_urgent(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) == 0
            || self.totals_awaited.load(Ordering::Relaxed) > 0
            || self.is_stopping.load(Ordering::Acquire)
    }

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
