//! How fast the snapshotter may work while others do. It runs on a thread of its own that gets a small part of a busy core,
//! and rests after each part, so that those who transfer money meanwhile notice little of it. What it copies is not known here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tracing::warn;

use super::snapshot::SnapshotError;
use super::status::Status;

/// How many times as long as the work the rest after it is, at most: a fifth of a core goes into a snapshot.
const RESTS_PER_WORK: u32 = 4;
/// The rests are cut so that a copy takes about so long at most, even where it has no period.
const BUDGET_MAX: Duration = Duration::from_secs(150);
/// Weight 110 to everybody else's 1024: a tenth of a core that others want, and all of one that nobody wants.
const NICENESS: i32 = 10;
/// A rest that would be shorter waits until it has added up to this: a thread that sleeps is woken about as late.
const REST_MIN: Duration = Duration::from_micros(200);

/// One copy's pace.
#[derive(Debug)]
pub struct Pace {
    status: Arc<Status>,
    began: Instant,
    budget: Duration,
    worked: Duration,
    work_items: u64,
    owed: Duration,
}

impl Pace {
    /// A copy that is to be over when half of the time until the next one has gone by.
    pub fn new(status: Arc<Status>, period: Option<Duration>) -> Pace {
        let budget = period.map_or(BUDGET_MAX, |period| BUDGET_MAX.min(period / 2));
        Pace { status, began: Instant::now(), budget, worked: Duration::ZERO, work_items: 0, owed: Duration::ZERO }
    }

    /// Rests after a piece of work, unless it is urgent, or there is no time. `left` items are still to be done.
    pub fn rest(&mut self, took: Duration, items: u64, left: u64) {
        self.worked += took;
        self.work_items += items;
        if self.status.is_copy_urgent() {
            self.owed = Duration::ZERO;
            return;
        }
        let to_work = self.worked.mul_f64(left as f64 / self.work_items.max(1) as f64);
        let time_left = self.budget.saturating_sub(self.began.elapsed());
        self.owed += took.mul_f64(rests_per_work(to_work, time_left));
        if self.owed >= REST_MIN {
            std::thread::sleep(self.owed);
            self.owed = Duration::ZERO;
        }
    }
}

/// As many as there is time for beside what is still to be worked.
fn rests_per_work(to_work: Duration, time_left: Duration) -> f64 {
    let to_rest = time_left.saturating_sub(to_work);
    (to_rest.as_secs_f64() / to_work.as_secs_f64().max(1e-6)).min(f64::from(RESTS_PER_WORK))
}

/// Does `work` on a thread that makes way for all others; an error if there was none, or if it ended badly.
pub async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SnapshotError> + Send + 'static,
) -> Result<T, SnapshotError> {
    let (reply, done) = oneshot::channel();
    let work = move || {
        // Of this thread only; where it is not allowed, the rests alone have to do.
        if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
            warn!(%error, "the snapshotter has the same priority as everybody else");
        }
        // Whoever asked may have gone away.
        reply.send(work()).unwrap_or_default();
    };
    let thread = std::thread::Builder::new().name("snapshot".to_owned()).spawn(work);
    thread.map_err(SnapshotError::NoThread)?;
    done.await.unwrap_or(Err(SnapshotError::EndedBadly))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_are_cut_where_they_would_take_too_long() {
        let check = |work_seconds, seconds_left, expected: f64| {
            let found = rests_per_work(Duration::from_secs(work_seconds), Duration::from_secs(seconds_left));
            assert!((found - expected).abs() < 1e-9, "{work_seconds} of {seconds_left}: {found}, not {expected}");
        };
        check(10, 150, f64::from(RESTS_PER_WORK));
        check(10, 50, f64::from(RESTS_PER_WORK));
        check(10, 30, 2.0);
        check(10, 10, 0.0);
        check(10, 0, 0.0);
        check(0, 1, f64::from(RESTS_PER_WORK));
    }
}
