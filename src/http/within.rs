//! A limit of time for what nearly always ends long before it: a timer costs as much as reading a request, so none is
//! made before the work has had to wait. What happens when time is over is the caller's.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// When a timer is made for work that waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Timer {
    AtOnce,
    /// When the work is polled and has waited for so long; for what is polled from time to time, whatever happens.
    After(Duration),
}

/// What the work comes to, or nothing if it takes longer than the limit.
pub(super) async fn within<T>(limit: Duration, timer: Timer, mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    let mut began = None;
    let mut sleep = pin!(None::<Sleep>);
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        if sleep.is_none() {
            let now = Instant::now();
            let began = *began.get_or_insert(now);
            match timer {
                Timer::After(pause) if now.duration_since(began) < pause => return Poll::Pending,
                Timer::After(_) | Timer::AtOnce => sleep.set(Some(sleep_until(began + limit))),
            }
        }
        sleep.as_mut().as_pin_mut().map_or(Poll::Pending, |sleep| sleep.poll(cx).map(|()| None))
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    const LIMIT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn work_that_is_done_is_told() {
        for timer in [Timer::AtOnce, Timer::After(LIMIT)] {
            assert_eq!(within(LIMIT, timer, pin!(async { 1 })).await, Some(1));
            assert_eq!(within(LIMIT * 500, timer, pin!(tokio::task::yield_now())).await, Some(()));
        }
    }

    #[tokio::test]
    async fn work_that_is_never_done_ends_at_the_limit() {
        let began = Instant::now();
        assert_eq!(within(LIMIT, Timer::AtOnce, pin!(pending::<()>())).await, None);
        assert!(began.elapsed() >= LIMIT);
    }

    /// As on a connection that looks at itself now and then.
    #[tokio::test]
    async fn a_timer_that_is_made_late_ends_at_the_same_limit() {
        let began = Instant::now();
        let mut ticks = tokio::time::interval(LIMIT / 4);
        let work = pin!(pending::<()>());
        let mut limited = pin!(within(LIMIT * 2, Timer::After(LIMIT), work));
        loop {
            tokio::select! {
                biased;
                done = &mut limited => {
                    assert_eq!(done, None);
                    break;
                }
                _ = ticks.tick() => assert!(began.elapsed() < LIMIT * 500, "it has no end"),
            }
        }
        assert!(began.elapsed() >= LIMIT * 2);
    }
}
