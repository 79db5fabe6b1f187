//! Open loop: the times at which requests are due, whatever the server does. A thread of its own keeps
//! the clock, because the runtime's timers have a grain of a millisecond and would add it to each latency.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::client::Halt;

/// Shortest sleep of the clock's thread: what comes due meanwhile is released together.
const SLEEP_MIN: Duration = Duration::from_micros(50);
/// Longest, so that the end of the run is noticed.
const SLEEP_MAX: Duration = Duration::from_millis(50);

/// The due times of one thread's requests. Any connection of the thread that is free takes the next one.
#[derive(Debug)]
pub struct Slots {
    due: Arc<Semaphore>,
    taken: Cell<u64>,
    start: Instant,
    rate: f64,
}

impl Slots {
    /// Starts the clock: `rate` requests a second from `start` on, until the halt.
    pub fn start(rate: f64, start: Instant, halt: Arc<Halt>) -> Self {
        let due = Arc::new(Semaphore::new(0));
        let released = Arc::clone(&due);
        std::thread::spawn(move || keep_time(rate, start, &released, &halt));
        Self { due, taken: Cell::new(0), start, rate }
    }

    /// The intended start of the next request, if it is due.
    pub fn take(&self) -> Option<Instant> {
        self.due.try_acquire().ok()?.forget();
        Some(self.claim())
    }

    /// Waits until a request is due; [`Self::claim`] then gives its intended start.
    pub async fn wait(&self) {
        if let Ok(permit) = self.due.acquire().await {
            permit.forget();
        }
    }

    pub fn claim(&self) -> Instant {
        let index = self.taken.get();
        self.taken.set(index + 1);
        self.start + due_after(index, self.rate)
    }

    /// The intended starts before `end` that nobody has taken.
    pub fn left_before(&self, end: Instant) -> impl Iterator<Item = Instant> {
        (self.taken.get()..).map(|index| self.start + due_after(index, self.rate)).take_while(move |due| *due < end)
    }
}

fn due_after(index: u64, rate: f64) -> Duration {
    Duration::from_secs_f64(index as f64 / rate)
}

fn keep_time(rate: f64, start: Instant, due: &Semaphore, halt: &Halt) {
    let mut released = 0_u64;
    while !halt.stopped() {
        let now = Instant::now();
        let next = start + due_after(released, rate);
        if next > now {
            std::thread::sleep((next - now).clamp(SLEEP_MIN, SLEEP_MAX));
            continue;
        }
        let passed = (now - start).as_secs_f64();
        let until = ((passed * rate).floor() as u64 + 1).max(released + 1);
        due.add_permits(usize::try_from(until - released).unwrap_or(1));
        released = until;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Stop;

    #[test]
    fn due_times_do_not_drift_and_none_is_lost() {
        let halt = Arc::new(Halt::default());
        let start = Instant::now();
        let slots = Slots::start(1000.0, start, Arc::clone(&halt));
        let mut taken = Vec::new();
        while taken.len() < 20 {
            match slots.take() {
                Some(due) => taken.push(due),
                None => std::thread::yield_now(),
            }
            assert!(start.elapsed() < Duration::from_secs(5));
        }
        halt.stop(Stop::TimeUp);
        for (index, due) in taken.iter().enumerate() {
            assert_eq!(*due - start, Duration::from_secs_f64(index as f64 / 1000.0));
        }
        let left = slots.left_before(start + Duration::from_millis(50)).count();
        assert!((30..=31).contains(&left), "{left}");
    }
}
