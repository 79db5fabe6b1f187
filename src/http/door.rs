//! The door: who sends a request, by its Authorization header. What they may do is the table of routes' business.

use std::sync::{Arc, Mutex, PoisonError};

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use sha2::{Digest as _, Sha256};

use super::auth::same_bytes;
use super::problem::{Code, Problem};
use super::rates::{Bucket, Policy, Rates};
use super::state::State;
use crate::services::sessions::API_KEY_PREFIX;
use crate::services::{Principal, Services};

/// The header that this connection was let in with last: a client sends the same one each time.
#[derive(Default)]
pub(super) struct Accepted(Mutex<Option<Arc<LetIn>>>);

/// A caller and by what he was let in.
pub(super) struct LetIn {
    header: Box<[u8]>,
    pub principal: Arc<Principal>,
    /// What his requests take from; nothing if they are not limited.
    pub bucket: Option<(Policy, Arc<Bucket>)>,
    /// Of the server's clock, in microseconds; and how many rights had been taken away until then.
    good_until: i64,
    generation: u64,
}

/// Lets a request in, or says 401.
pub(super) fn enter(
    state: &State,
    rates: &Rates,
    headers: &HeaderMap,
    accepted: &Accepted,
) -> Result<Arc<LetIn>, Problem> {
    let Some(header) = headers.get(AUTHORIZATION) else {
        return Err(unauthorized("Send `Authorization: Bearer ...` with an API key or an access token."));
    };
    let header = header.as_bytes();
    let services = state.services();
    let mut known = accepted.0.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = known.as_ref().filter(|known| same_bytes(&known.header, header)) {
        let is_good = known.principal.is_operator()
            || services.is_some_and(|s| s.doors.generation() == known.generation && s.now() < known.good_until);
        if is_good {
            return Ok(Arc::clone(known));
        }
    }
    // Read before the doors are asked, so that whoever loses a right meanwhile is asked again.
    let generation = services.map_or(0, |services| services.doors.generation());
    let bearer = header.split_at_checked(7).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
    let Some((_, token)) = bearer else {
        return Err(unauthorized("The Authorization header is not `Bearer ...` with an API key or an access token."));
    };
    let token = token.trim_ascii();
    let (principal, good_until) = if state.keys().accepts(token) {
        (Arc::clone(state.operator()), i64::MAX)
    } else {
        let Some(services) = services else {
            // Before people can be asked for, nobody but the operator is known; nor is it known that this is nobody.
            return Err(state.engine().err().unwrap_or_else(|| unauthorized("This is not an API key of this server.")));
        };
        let (principal, good_until) = known_to(services, token).ok_or_else(|| {
            unauthorized("This is not an API key or access token of this server, or it is no longer good.")
        })?;
        let own = services.doors.ownership.of(principal.account);
        (Arc::new(principal.sharing(own)), good_until)
    };
    let bucket = rates.of_caller(&principal);
    let let_in = Arc::new(LetIn { header: header.into(), principal, bucket, good_until, generation });
    *known = Some(Arc::clone(&let_in));
    Ok(let_in)
}

/// A merchant's key or a person's access token, and until when it is good.
fn known_to(services: &Services, token: &[u8]) -> Option<(Principal, i64)> {
    let now = services.now();
    if token.starts_with(API_KEY_PREFIX.as_bytes()) {
        return services.doors.by_key(&Sha256::digest(token).into(), now);
    }
    let access = services.tokens.check(std::str::from_utf8(token).ok()?, now)?;
    let principal = Principal::person(access.account, access.session, access.role);
    (!services.doors.has_ended(access.session)).then_some((principal, access.expires_at))
}

fn unauthorized(detail: &'static str) -> Problem {
    Problem::new(Code::Unauthorized, detail)
}

/// Shows nothing: the header is a secret.
impl std::fmt::Debug for Accepted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Accepted")
    }
}
