//! The wall clock of what is not money, in microseconds since 1970. Tests set it on, instead of waiting.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

pub const SECOND: i64 = 1_000_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

/// As people read it: RFC 3339, UTC, to the second.
pub fn text(micros: i64) -> String {
    jiff::Timestamp::from_second(micros / SECOND).unwrap_or(jiff::Timestamp::MAX).to_string()
}

#[derive(Debug, Default)]
pub struct Clock {
    ahead_micros: AtomicI64,
}

impl Clock {
    pub fn now(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX) + self.ahead_micros.load(Ordering::Relaxed)
    }

    pub fn advance(&self, micros: i64) {
        self.ahead_micros.fetch_add(micros, Ordering::Relaxed);
    }
}
