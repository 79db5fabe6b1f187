//! Limits on use: how often somebody may ask. Each caller has a bucket that fills up evenly; a request takes from it, and whoever
//! finds it empty is told when to come back. Which bucket a request takes from is decided in `exchange`.

use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use dashmap::DashMap;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

use super::problem::{Code, Problem};
use super::route::{Route, Verb, is_versioned};
use crate::config::{RATE_ROWS_MAX, Rate, RateLimits};
use crate::services::{Principal, Who};

/// What is limited, each by itself. The names are those of the answers' headers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Policy {
    /// A merchant's API key.
    Key,
    /// A person, in all his sessions together.
    Person,
    /// What a person should need now and then only: passwords, codes, second factors, looking others up.
    Sensitive,
    /// Signing in and registering, by network address.
    SignIn,
    /// Refreshing, by network address: not `SignIn`, so that a flood there ends nobody's session.
    Refresh,
    /// Requests whose credentials are not good, by network address.
    Refused,
}

/// The server's limits, and everybody's buckets.
pub(super) struct Rates {
    began: Instant,
    policies: [Option<Terms>; Policy::ALL.len()],
    rows: DashMap<(Policy, u128), Arc<Bucket>>,
    /// For those who come when there are too many rows: each is shared by some.
    strays: Vec<Arc<Bucket>>,
    by_route: Vec<Use>,
}

/// One policy in numbers, and as answers name it.
struct Terms {
    /// Of the bucket, as the time in which it fills up.
    window_nanos: u64,
    each_nanos: u64,
    policy: Policy,
    header: HeaderValue,
}

/// When the bucket is full again, in nanoseconds since the server began (GCRA's theoretical arrival time).
#[derive(Default, Debug)]
pub(super) struct Bucket(AtomicU64);

/// What a route takes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Use {
    /// What operators and their machines look at; it costs nothing.
    Free,
    Normal,
    Sensitive,
    SignIn,
    Refresh,
}

/// How a caller stands after a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Standing {
    policy: Policy,
    remaining: u64,
    reset_seconds: u64,
    /// The request was one too many; there is room for it after so many seconds.
    wait_seconds: Option<u32>,
}

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STRAYS: usize = 1024;
const SECOND_NANOS: u64 = 1_000_000_000;
/// What is posted with a session and sensitive all the same: that, and all below it. Paying and asking for money are, since
/// whoever does either learns who can be found at an address; so are limits, since each change is told by all ways.
const SENSITIVE_PATHS: &[&str] = &[
    "/v1/me/password",
    "/v1/me/totp",
    "/v1/me/recovery-codes",
    "/v1/me/confirmations",
    "/v1/me/addresses",
    "/v1/me/handle",
    "/v1/me/limits",
    "/v1/me/payments",
    "/v1/me/requests",
];

impl Policy {
    const ALL: [Policy; 6] =
        [Policy::Key, Policy::Person, Policy::Sensitive, Policy::SignIn, Policy::Refresh, Policy::Refused];

    fn name(self) -> &'static str {
        match self {
            Policy::Key => "key",
            Policy::Person => "person",
            Policy::Sensitive => "sensitive",
            Policy::SignIn => "sign-in",
            Policy::Refresh => "refresh",
            Policy::Refused => "refused",
        }
    }

    fn rate(self, limits: &RateLimits) -> Option<Rate> {
        match self {
            Policy::Key => limits.per_key,
            Policy::Person => limits.per_person,
            Policy::Sensitive => limits.sensitive_per_person,
            Policy::SignIn | Policy::Refresh | Policy::Refused => limits.per_address,
        }
    }
}

impl Use {
    pub(super) fn of(route: Route) -> Use {
        let path = route.path();
        let is_below =
            |above: &&str| path.strip_prefix(*above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        match route.is_open() {
            _ if !is_versioned(path) => Use::Free,
            true if path == "/v1/auth/refresh" => Use::Refresh,
            true => Use::SignIn,
            false if route.verb() == Verb::Post && SENSITIVE_PATHS.iter().any(is_below) => Use::Sensitive,
            false => Use::Normal,
        }
    }
}

impl Rates {
    pub(super) fn new(limits: &RateLimits) -> Rates {
        Rates {
            began: Instant::now(),
            policies: Policy::ALL.map(|policy| policy.rate(limits).map(|rate| Terms::new(policy, rate))),
            rows: DashMap::new(),
            strays: (0..STRAYS).map(|_| Arc::default()).collect(),
            by_route: Route::ALL.iter().map(|&route| Use::of(route)).collect(),
        }
    }

    pub(super) fn use_of(&self, route: Route) -> Use {
        self.by_route[route as usize]
    }

    /// The bucket that a caller's normal requests take from; the operator's key has none.
    pub(super) fn of_caller(&self, principal: &Principal) -> Option<(Policy, Arc<Bucket>)> {
        let (policy, id) = match principal.who {
            Who::Nobody | Who::Operator => return None,
            Who::Person { .. } => (Policy::Person, principal.account),
            Who::Key { key } => (Policy::Key, key),
        };
        self.terms(policy)?;
        Some((policy, self.bucket(policy, id.as_u128())))
    }

    /// Takes from a person's bucket for what is sensitive.
    pub(super) fn take_sensitive(&self, principal: &Principal, now: Instant) -> Option<Standing> {
        match principal.who {
            Who::Nobody | Who::Operator => None,
            Who::Person { .. } | Who::Key { .. } => self.take_by(Policy::Sensitive, principal.account.as_u128(), now),
        }
    }

    pub(super) fn take_address(&self, policy: Policy, of: IpAddr, now: Instant) -> Option<Standing> {
        self.take_by(policy, network(of), now)
    }

    fn take_by(&self, policy: Policy, id: u128, now: Instant) -> Option<Standing> {
        self.terms(policy)?;
        self.take(policy, &self.bucket(policy, id), 1, now)
    }

    /// Takes so much, or says when it can be had. Who asks for more than a bucket holds gets it from a full one. Nothing where
    /// there is no such limit.
    pub(super) fn take(&self, policy: Policy, bucket: &Bucket, cost: u64, now: Instant) -> Option<Standing> {
        let terms = self.terms(policy)?;
        let now = self.nanos(now);
        let cost_nanos = terms.each_nanos.saturating_mul(cost).min(terms.window_nanos);
        let taken = bucket.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
            let full_at = full_at.max(now) + cost_nanos;
            (full_at - now <= terms.window_nanos).then_some(full_at)
        });
        Some(match taken {
            Ok(before) => terms.standing(before.max(now) + cost_nanos - now),
            Err(full_at) => {
                let wait = (full_at + cost_nanos - terms.window_nanos - now).div_ceil(SECOND_NANOS);
                let wait_seconds = Some(u32::try_from(wait).unwrap_or(u32::MAX));
                Standing { wait_seconds, ..terms.standing(full_at - now) }
            }
        })
    }

    /// Writes how the caller stands into an answer (draft-ietf-httpapi-ratelimit-headers-10).
    pub(super) fn write(&self, standing: Standing, headers: &mut HeaderMap) {
        let Some(terms) = self.terms(standing.policy) else { return };
        headers.insert(RATE_LIMIT_POLICY, terms.header.clone());
        // The same time as Retry-After where both are there.
        let seconds = standing.wait_seconds.map_or(standing.reset_seconds, u64::from);
        let text = format!("\"{}\";r={};t={seconds}", standing.policy.name(), standing.remaining);
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(RATE_LIMIT, value);
        }
    }

    /// Forgets whoever has a full bucket, since a new one is as good.
    pub(super) fn sweep(&self) {
        let now = self.nanos(Instant::now());
        self.rows.retain(|_, bucket| bucket.0.load(Ordering::Relaxed) > now || Arc::strong_count(bucket) > 1);
    }

    fn bucket(&self, policy: Policy, id: u128) -> Arc<Bucket> {
        if let Some(bucket) = self.rows.get(&(policy, id)) {
            return Arc::clone(&bucket);
        }
        // Not exact under a rush, and need not be.
        if self.rows.len() >= RATE_ROWS_MAX {
            // Hashed with a key of this process's own, so that nobody chooses whom to share with.
            let index = self.rows.hasher().hash_one((policy, id)) % STRAYS as u64;
            return Arc::clone(&self.strays[usize::try_from(index).unwrap_or_default()]);
        }
        Arc::clone(&self.rows.entry((policy, id)).or_default())
    }

    fn terms(&self, policy: Policy) -> Option<&Terms> {
        self.policies[policy as usize].as_ref()
    }

    fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.began).as_nanos()).unwrap_or(u64::MAX / 4)
    }
}

impl Terms {
    fn new(policy: Policy, rate: Rate) -> Terms {
        let window_nanos = u64::try_from(rate.window.as_nanos()).unwrap_or(u64::MAX / 4).min(u64::MAX / 4);
        let each_nanos = (window_nanos / u64::from(rate.requests.max(1))).max(1);
        let seconds = rate.window.as_secs().max(1);
        let text = format!("\"{}\";q={};w={seconds}", policy.name(), rate.requests);
        let header = HeaderValue::try_from(text).expect("names and numbers are visible ASCII");
        Terms { window_nanos, each_nanos, policy, header }
    }

    /// Of a bucket that needs so long until it is full.
    fn standing(&self, missing_nanos: u64) -> Standing {
        let remaining = self.window_nanos.saturating_sub(missing_nanos) / self.each_nanos;
        Standing {
            policy: self.policy,
            remaining,
            reset_seconds: missing_nanos.div_ceil(SECOND_NANOS),
            wait_seconds: None,
        }
    }
}

impl Standing {
    /// Refuses the request that was one too many.
    pub(super) fn check(self) -> Result<(), Problem> {
        if self.wait_seconds.is_none() {
            return Ok(());
        }
        Err(Problem { retry_after: self.wait_seconds, ..Problem::new(Code::RateLimited, self.policy.says()) })
    }
}

impl Policy {
    fn says(self) -> &'static str {
        match self {
            Policy::Key => "This API key asks more often than it may; Retry-After says when there is room again.",
            Policy::Person => {
                "This person asks more often than anybody may; Retry-After says when there is room again."
            }
            Policy::Sensitive => {
                "This was asked for too often lately; Retry-After says when it can be asked for again."
            }
            Policy::SignIn | Policy::Refresh | Policy::Refused => {
                "Too much is asked for from this network address; Retry-After says when there is room again."
            }
        }
    }
}

/// Whom an address stands for: of IPv6 the network of 64 bits, since whoever has one address there has them all.
fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_ipv6_mapped()),
        IpAddr::V6(address) => u128::from(address) >> 64 << 64,
    }
}

/// What a body costs beside the request itself.
pub(super) fn cost_of_body(bytes: usize) -> u64 {
    (bytes / crate::config::RATE_BODY_BYTES_EACH) as u64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: RateLimits = RateLimits {
        per_key: None,
        per_person: Some(Rate { requests: 3, window: Duration::from_secs(30) }),
        sensitive_per_person: Some(Rate { requests: 1, window: Duration::from_secs(30) }),
        per_address: Some(Rate { requests: 2, window: Duration::from_secs(10) }),
    };

    /// Remaining, reset and wait after taking `cost` so many milliseconds after the start.
    #[track_caller]
    fn check(rates: &Rates, bucket: &Bucket, at_millis: u64, cost: u64, expected: (u64, u64, Option<u32>)) {
        let at = rates.began + Duration::from_millis(at_millis);
        let standing = rates.take(Policy::Person, bucket, cost, at).unwrap();
        assert_eq!((standing.remaining, standing.reset_seconds, standing.wait_seconds), expected);
        assert_eq!(standing.check().is_err(), standing.wait_seconds.is_some());
    }

    #[test]
    fn a_bucket_fills_up_evenly() {
        let rates = Rates::new(&LIMITS);
        let bucket = Bucket::default();
        check(&rates, &bucket, 0, 1, (2, 10, None));
        check(&rates, &bucket, 0, 1, (1, 20, None));
        check(&rates, &bucket, 0, 1, (0, 30, None));
        check(&rates, &bucket, 0, 1, (0, 30, Some(10)));
        // Being refused costs nothing.
        check(&rates, &bucket, 9_001, 1, (0, 21, Some(1)));
        check(&rates, &bucket, 10_000, 1, (0, 30, None));
        check(&rates, &bucket, 30_000, 2, (0, 30, None));
        check(&rates, &bucket, 50_000, 2, (0, 30, None));
        // An hour later there is no more than a full bucket.
        check(&rates, &bucket, 3_600_000, 1, (2, 10, None));
        check(&rates, &bucket, 3_600_000, 3, (2, 10, Some(10)));
        // Whatever costs more than all there is costs all there is.
        check(&rates, &bucket, 3_700_000, 100, (0, 30, None));
        check(&rates, &bucket, 3_729_000, 100, (2, 1, Some(1)));
    }

    #[test]
    fn many_at_once_get_no_more_than_there_is() {
        let limits = RateLimits { per_person: Some(Rate { requests: 500, window: Duration::from_secs(60) }), ..LIMITS };
        let rates = Rates::new(&limits);
        let now = rates.began;
        let given: usize = std::thread::scope(|scope| {
            let taking = || (0..200).filter(|_| rates.take_by(Policy::Person, 7, now).unwrap().check().is_ok()).count();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(taking)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(given, 500);
    }

    #[test]
    fn whom_an_address_stands_for() {
        let same = |one: &str, other: &str| network(one.parse().unwrap()) == network(other.parse().unwrap());
        assert!(same("192.0.2.1", "::ffff:192.0.2.1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
        assert!(same("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(!same("::1", "0.0.0.1"));
    }

    #[test]
    fn rows_are_forgotten_when_they_say_nothing_and_never_too_many() {
        let rates = Rates::new(&LIMITS);
        let long_ago = rates.began;
        let person = Principal::person(uuid::Uuid::from_u128(1), uuid::Uuid::nil(), crate::store::Role::User);
        let held = rates.of_caller(&person).unwrap();
        for id in 0..RATE_ROWS_MAX as u128 + 5_000 {
            rates.take_by(Policy::SignIn, id, long_ago);
        }
        assert_eq!(rates.rows.len(), RATE_ROWS_MAX);
        // A bucket that is held is kept, however full; those that are not full are kept too.
        for row in &rates.rows {
            row.0.store(if row.key().1 == 5 { u64::MAX / 2 } else { 0 }, Ordering::Relaxed);
        }
        rates.sweep();
        assert_eq!(rates.rows.len(), 2);
        assert!(Arc::ptr_eq(&held.1, &rates.of_caller(&person).unwrap().1));
    }

    #[test]
    fn every_route_has_its_use() {
        for &route in Route::ALL {
            let path = route.path();
            let expected = match path {
                "/v1/auth/refresh" => Use::Refresh,
                _ if !path.starts_with("/v1/") => Use::Free,
                _ if route.is_open() => Use::SignIn,
                _ if path.starts_with("/v1/me/password") || path.starts_with("/v1/me/totp") => Use::Sensitive,
                _ if path.starts_with("/v1/me/confirmations") => Use::Sensitive,
                "/v1/transfers" | "/v1/me" => Use::Normal,
                _ => continue,
            };
            assert_eq!(Use::of(route), expected, "{path}");
        }
    }
}
