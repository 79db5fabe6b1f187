//! Access tokens: signed, short-lived, and never looked up (RFC 9068, HS256). Only this server makes and reads them, so one
//! secret key does for both, and the algorithm is never taken from the token.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::clock::{MINUTE, SECOND};
use crate::store::Role;

pub const ACCESS_MICROS: i64 = 10 * MINUTE;

/// By how much the clock may have been set back.
const AHEAD_SECONDS_MAX: i64 = 60;

const ISSUER: &str = "florin";
const AUDIENCE: &str = "florin-api";
const KIND: &str = "at+jwt";

pub struct Tokens {
    signing: EncodingKey,
    checking: DecodingKey,
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
    pub fn new(key: &[u8]) -> Tokens {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The time is checked below, against the server's own clock.
        validation.validate_exp = false;
        let (signing, checking) = (EncodingKey::from_secret(key), DecodingKey::from_secret(key));
        Tokens { signing, checking, validation }
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
        let header = Header { typ: Some(KIND.to_owned()), ..Header::new(Algorithm::HS256) };
        let token = encode(&header, &claims, &self.signing).expect("the claims are JSON and the key is one of HS256");
        (SecretString::from(token), expires_at)
    }

    /// Nothing for whatever is not a token of ours that is still good; why is not told.
    pub fn check(&self, token: &str, now: i64) -> Option<Access> {
        let header = decode_header(token).ok()?;
        // A token that brings or names its own key, or is meant for something else, is refused before anything is computed.
        let brings_key = header.jwk.is_some()
            || header.jku.is_some()
            || header.kid.is_some()
            || header.x5u.is_some()
            || header.x5c.is_some();
        if header.typ.as_deref() != Some(KIND) || header.alg != Algorithm::HS256 || brings_key {
            return None;
        }
        let claims = decode::<Claims>(token, &self.checking, &self.validation).ok()?.claims;
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
        let tokens = Tokens::new(&[7; 32]);
        let (account, session) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let (token, expires_at) = tokens.access(account, session, Role::Risk, 5 * SECOND);
        let access = Access { account, session, role: Role::Risk, expires_at };
        assert_eq!(tokens.check(token.expose_secret(), expires_at - 1), Some(access));
        assert_eq!(tokens.check(token.expose_secret(), expires_at), None);
        assert_eq!(Tokens::new(&[8; 32]).check(token.expose_secret(), 5 * SECOND), None);
    }
}
