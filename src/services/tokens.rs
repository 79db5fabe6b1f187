//! Access tokens: signed, short-lived, and never looked up (RFC 9068, HS256). Only this server makes and reads them, so one
//! secret key does for both, and the algorithm is never taken from the token. The key is the keyring's, and rotates.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use vault::{DataKey, KeyId, Keyring, Purpose};

use super::clock::{MINUTE, SECOND};
use crate::store::Role;

pub const ACCESS_MICROS: i64 = 10 * MINUTE;

/// By how much the clock may have been set back.
const AHEAD_SECONDS_MAX: i64 = 60;

const ISSUER: &str = "florin";
const AUDIENCE: &str = "florin-api";
const KIND: &str = "at+jwt";
const SIGNING: &[&[u8]] = &[b"florin access tokens"];

pub struct Tokens {
    keyring: Keyring,
    validation: Validation,
}

/// What an access token says, once it was found to be ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    pub account: Uuid,
    pub session: Uuid,
    pub role: Role,
    pub expires_at: i64,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: Uuid,
    sid: Uuid,
    role: String,
    iat: i64,
    exp: i64,
    jti: Uuid,
    /// Never in a token of ours; one that has it is believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
}

impl Tokens {
    pub fn new(keyring: Keyring) -> Tokens {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The time is checked below, against the server's own clock.
        validation.validate_exp = false;
        Tokens { keyring, validation }
    }

    /// A token and when it expires.
    pub fn access(&self, account: Uuid, session: Uuid, role: Role, now: i64) -> (SecretString, i64) {
        let expires_at = (now + ACCESS_MICROS) / SECOND * SECOND;
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: account,
            sid: session,
            role: role.name().to_owned(),
            iat: now / SECOND,
            exp: expires_at / SECOND,
            jti: super::new_id(),
            nbf: None,
        };
        let key = self.keyring.current(Purpose::Tokens).expect("a keyring has a key for each purpose");
        let (typ, kid) = (Some(KIND.to_owned()), Some(key.id().to_string()));
        let header = Header { typ, kid, ..Header::new(Algorithm::HS256) };
        let token = encode(&header, &claims, &EncodingKey::from_secret(&key.mac(SIGNING)))
            .expect("the claims are JSON and the key is one of HS256");
        (SecretString::from(token), expires_at)
    }

    /// Nothing for whatever is not a token of ours that is still good; why is not told.
    pub fn check(&self, token: &str, now: i64) -> Option<Access> {
        let header = decode_header(token).ok()?;
        // A token that brings its own key, or is meant for something else, is refused before anything is computed.
        let brings_key = header.jwk.is_some() || header.jku.is_some() || header.x5u.is_some() || header.x5c.is_some();
        if header.typ.as_deref() != Some(KIND) || header.alg != Algorithm::HS256 || brings_key {
            return None;
        }
        let key = self.key(&header.kid?, now)?;
        let key = DecodingKey::from_secret(&key.mac(SIGNING));
        let claims = decode::<Claims>(token, &key, &self.validation).ok()?.claims;
        let expires_at = claims.exp.checked_mul(SECOND)?;
        let role = Role::by_name(&claims.role)?;
        // What was made ahead of the clock by more than clocks differ was not made by this server.
        let begins_at =
            claims.nbf.unwrap_or(0).max(claims.iat.saturating_sub(AHEAD_SECONDS_MAX)).checked_mul(SECOND)?;
        (begins_at <= now && now < expires_at).then_some(Access {
            account: claims.sub,
            session: claims.sid,
            role,
            expires_at,
        })
    }
}

impl Tokens {
    /// After a rotation the key before it is good for as long as the last token that it signed, and no longer: that is how
    /// a key that somebody has stolen is made worthless.
    fn key(&self, kid: &str, now: i64) -> Option<DataKey> {
        let current = self.keyring.current(Purpose::Tokens).ok()?;
        let id: KeyId = kid.parse().ok()?;
        if id == current.id() {
            return Some(current);
        }
        let key = self.keyring.by_id(id).ok().filter(|key| key.purpose() == Purpose::Tokens)?;
        // By the key that came right after it: another rotation later must not lengthen its time.
        let keys = self.keyring.list().into_iter().filter(|key| key.purpose == Purpose::Tokens);
        let next = keys.skip_while(|known| known.id != id).nth(1)?;
        let rotated_at = i64::try_from(next.created_micros).ok()?;
        (now < rotated_at.saturating_add(ACCESS_MICROS)).then_some(key)
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_token_is_good_until_it_expires() {
        let keyring = Keyring::for_simulation(7).unwrap();
        let tokens = Tokens::new(keyring.clone());
        let (account, session) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let (token, expires_at) = tokens.access(account, session, Role::Risk, 5 * SECOND);
        let access = Access { account, session, role: Role::Risk, expires_at };
        assert_eq!(tokens.check(token.expose_secret(), expires_at - 1), Some(access));
        assert_eq!(tokens.check(token.expose_secret(), expires_at), None);
        let other = Tokens::new(Keyring::for_simulation(8).unwrap());
        assert_eq!(other.check(token.expose_secret(), 5 * SECOND), None);
        // Keys of a simulation are made in the first microseconds of 1970, so all of this is soon after a rotation.
        keyring.rotate(Purpose::Tokens).unwrap();
        assert_eq!(tokens.check(token.expose_secret(), ACCESS_MICROS - 1), Some(access));
        let late = tokens.access(account, session, Role::Risk, 2 * ACCESS_MICROS);
        keyring.rotate(Purpose::Tokens).unwrap();
        assert_eq!(tokens.check(late.0.expose_secret(), 2 * ACCESS_MICROS), None, "its key was rotated long ago");
    }
}
