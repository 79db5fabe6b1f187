//! How fast somebody may go on trying: a few times at once, then after delays that double. A try is counted before it is
//! made, so that a hundred at the same moment are a hundred tries.

use std::net::{IpAddr, Ipv6Addr};

use sqlx::AnyConnection;

use super::Services;
use super::clock::{HOUR, MINUTE, SECOND};
use super::fault::Fault;
use crate::store::paces;

/// One rule.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub purpose: &'static str,
    /// Tries after which the first delay comes.
    pub free: i64,
    pub delay_micros: i64,
    pub delay_micros_max: i64,
    /// Without a try for so long all is as at first.
    pub forgotten_after: i64,
}

/// Codes to one address: at most seven in an hour, unless one of them was used.
pub const CODES: Pace =
    Pace { purpose: "codes", free: 1, delay_micros: 30 * SECOND, delay_micros_max: HOUR, forgotten_after: HOUR };
/// Wrong passwords for one address, whoever sends them. A code is the way in for whoever was locked out by another.
pub const PASSWORDS: Pace =
    Pace { purpose: "passwords", free: 3, delay_micros: SECOND, delay_micros_max: 5 * MINUTE, forgotten_after: HOUR };
/// Wrong passwords from one network address, behind which there may be many people.
pub const PASSWORDS_FROM: Pace = Pace { purpose: "passwords_from", free: 50, ..PASSWORDS };
/// Wrong codes of an account's second factor, over all challenges.
pub const SECOND_FACTORS: Pace = Pace {
    purpose: "second_factors",
    free: 5,
    delay_micros: 10 * SECOND,
    delay_micros_max: 15 * MINUTE,
    forgotten_after: 24 * HOUR,
};
/// Payments that an account asks to confirm.
pub const CONFIRMATIONS: Pace = Pace {
    purpose: "confirmations",
    free: 5,
    delay_micros: 5 * SECOND,
    delay_micros_max: 10 * MINUTE,
    forgotten_after: HOUR,
};

/// Counts a try, or says how long to wait; gives the time of the next one.
pub(super) async fn count(
    services: &Services,
    c: &mut AnyConnection,
    pace: &Pace,
    subject: &str,
) -> Result<i64, Fault> {
    let now = services.now();
    let row = paces::lock(c, pace.purpose, subject).await?;
    if now < row.next_at {
        return Err(Fault::wait(row.next_at - now));
    }
    let is_forgotten = row.last_at < now - pace.forgotten_after;
    let tries = if is_forgotten { 1 } else { row.tries + 1 };
    let next_at = now + pace.delay_after(tries);
    paces::set(c, pace.purpose, subject, paces::Pace { tries, next_at, last_at: now }).await?;
    Ok(next_at)
}

/// It was right: all is as at first.
pub(super) async fn clear(c: &mut AnyConnection, pace: &Pace, subject: &str) -> Result<(), Fault> {
    Ok(paces::clear(c, pace.purpose, subject).await?)
}

/// It was right, which says nothing of other tries: only this one is taken back.
pub(super) async fn give_back(c: &mut AnyConnection, pace: &Pace, subject: &str) -> Result<(), Fault> {
    let row = paces::lock(c, pace.purpose, subject).await?;
    let row = paces::Pace { tries: (row.tries - 1).max(0), ..row };
    Ok(paces::set(c, pace.purpose, subject, row).await?)
}

/// Whose a network address is, about: of IPv6 everybody has 2^64 of them.
pub(super) fn network_of(address: &str) -> String {
    match address.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V6(v6)) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).to_string(),
        Ok(v4) => v4.to_string(),
        Err(_) => address.to_owned(),
    }
}

impl Pace {
    fn delay_after(&self, tries: i64) -> i64 {
        let mut delay = if tries < self.free { 0 } else { self.delay_micros };
        // A delay that has reached its limit doubles no more, however many tries there were.
        for _ in self.free..tries.min(self.free + i64::from(i64::BITS)) {
            delay = delay.saturating_mul(2).min(self.delay_micros_max);
        }
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_is_one_subject() {
        for (address, network) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2::1", "2001:db8:1:2::"),
            ("unknown", "unknown"),
        ] {
            assert_eq!(network_of(address), network);
        }
    }

    #[test]
    fn delays_double_up_to_a_limit() {
        let delays: Vec<i64> = (1..=8).map(|tries| CODES.delay_after(tries) / SECOND).collect();
        assert_eq!(delays, [30, 60, 120, 240, 480, 960, 1920, 3600]);
        let delays: Vec<i64> = [1, 2, 3, 4, 5, 11, 12, 13, 1 << 50]
            .into_iter()
            .map(|tries| PASSWORDS.delay_after(tries) / SECOND)
            .collect();
        assert_eq!(delays, [0, 0, 1, 2, 4, 256, 300, 300, 300]);
    }
}
