//! One at a time for each account: whoever brings the ledger to what an account's row says reads the row when it is his turn,
//! so that of two orders the later one is what stays.

use tokio::sync::{Mutex, MutexGuard};
use uuid::Uuid;

/// Accounts that share a turn wait for each other now and then, and for nothing else.
const STRIPES: usize = 64;

#[derive(Debug)]
pub struct Turns(Vec<Mutex<()>>);

impl Default for Turns {
    fn default() -> Turns {
        Turns((0..STRIPES).map(|_| Mutex::new(())).collect())
    }
}

impl Turns {
    pub(super) async fn of(&self, account: Uuid) -> MutexGuard<'_, ()> {
        // The last digits of an id are random.
        let last = usize::from(account.as_bytes()[15]);
        self.0[last % STRIPES].lock().await
    }
}
