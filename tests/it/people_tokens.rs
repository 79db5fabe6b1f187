//! Access tokens that were forged, bent or kept too long open nothing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use aws_lc_rs::hmac::{self, HMAC_SHA256, HMAC_SHA384, HMAC_SHA512};
use florin::services::clock::{MINUTE, SECOND};
use florin::services::tokens::Tokens;
use florin::store::Role;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use vault::{Keyring, Purpose};

use crate::people_rig::{People, Person};

/// Base64url without padding (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..=group.len() {
            text.push(char::from(LETTERS[(bits >> (18 - 6 * place) & 63) as usize]));
        }
    }
    text
}

fn token(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", base64(header.to_string().as_bytes()), base64(claims.to_string().as_bytes()));
    let signature = base64(&sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

struct Forge {
    people: People,
    asha: Person,
    key: [u8; 32],
    kid: String,
}

impl Forge {
    async fn new() -> Forge {
        let people = People::start().await;
        let asha = people.person("asha", Role::User).await;
        let key = people.services.seal.keyring().current(Purpose::Tokens).unwrap();
        let kid = key.id().to_string();
        Forge { people, asha, key: key.mac(&[b"florin access tokens"]), kid }
    }

    fn claims(&self) -> Value {
        let session = self.people.services.tokens.check(&self.asha.token, self.people.services.now()).unwrap().session;
        let now = self.people.services.now() / SECOND;
        json!({
            "iss": "florin", "aud": "florin-api", "sub": self.asha.account.id, "sid": session, "role": "user",
            "iat": now, "exp": now + 300, "jti": uuid::Uuid::now_v7(),
        })
    }

    /// Signed as the server signs.
    fn signed(&self, header: &Value, claims: &Value) -> String {
        let key = hmac::Key::new(HMAC_SHA256, &self.key);
        token(header, claims, |bytes| hmac::sign(&key, bytes).as_ref().to_vec())
    }

    fn good_header(&self) -> Value {
        json!({ "typ": "at+jwt", "alg": "HS256", "kid": self.kid })
    }

    async fn status(&self, token: &str) -> u16 {
        self.people.send_as(token, "GET", "/v1/me", &[], "").await.status
    }
}

fn with(mut base: Value, name: &str, value: Value) -> Value {
    base[name] = value;
    base
}

#[tokio::test]
async fn headers_that_bend_the_check_are_refused() {
    let forge = Forge::new().await;
    let claims = forge.claims();
    // What follows differs from this one, which is good, in one thing each.
    assert_eq!(forge.status(&forge.signed(&forge.good_header(), &claims)).await, 200);
    for algorithm in ["none", "None", "NONE", "", "HS384", "HS512", "RS256", "PS256", "ES256", "EdDSA"] {
        let header = with(forge.good_header(), "alg", json!(algorithm));
        let unsigned = token(&header, &claims, |_| Vec::new());
        assert_eq!(forge.status(&unsigned).await, 401, "{algorithm} without a signature");
        assert_eq!(forge.status(&forge.signed(&header, &claims)).await, 401, "{algorithm} signed as HS256");
    }
    for (name, algorithm) in [("HS384", HMAC_SHA384), ("HS512", HMAC_SHA512)] {
        let header = with(forge.good_header(), "alg", json!(name));
        let key = hmac::Key::new(algorithm, &forge.key);
        let forged = token(&header, &claims, |bytes| hmac::sign(&key, bytes).as_ref().to_vec());
        assert_eq!(forge.status(&forged).await, 401, "{name} of the same key");
    }
    // Keys that a token brings along, or names, with a signature by them and with a good one.
    let own = [1; 32];
    let of_the_store = forge.people.services.seal.keyring().current(Purpose::Store).unwrap().id();
    for (name, value) in [
        ("jwk", json!({ "kty": "oct", "k": base64(&own), "alg": "HS256" })),
        ("jku", json!("https://attacker.example/keys.json")),
        ("x5u", json!("https://attacker.example/key.pem")),
        ("x5c", json!(["MIIB"])),
        ("kid", json!("../../../../dev/null")),
        ("kid", json!("' UNION SELECT 'key' --")),
        ("kid", json!("00000000000000000000000000000000")),
        ("kid", json!(of_the_store.to_string())),
        ("kid", Value::Null),
    ] {
        let header = with(forge.good_header(), name, value);
        let key = hmac::Key::new(HMAC_SHA256, &own);
        let forged = token(&header, &claims, |bytes| hmac::sign(&key, bytes).as_ref().to_vec());
        assert_eq!(forge.status(&forged).await, 401, "{name}");
        assert_eq!(forge.status(&forge.signed(&header, &claims)).await, 401, "{name}");
    }
    for kind in [json!("JWT"), json!("jwt"), json!("application/at+jwt;x"), json!("refresh"), Value::Null] {
        let header = with(forge.good_header(), "typ", kind.clone());
        assert_eq!(forge.status(&forge.signed(&header, &claims)).await, 401, "{kind}");
    }
    assert_eq!(
        forge.status(&forge.signed(&json!({ "alg": "HS256", "kid": forge.kid }), &claims)).await,
        401,
        "no type"
    );
    forge.people.stop().await;
}

#[tokio::test]
async fn claims_that_are_not_this_servers_are_refused() {
    let forge = Forge::new().await;
    let (claims, now) = (forge.claims(), forge.people.services.now() / SECOND);
    for (name, value) in [
        ("iss", json!("other")),
        ("iss", Value::Null),
        ("aud", json!("other-api")),
        ("aud", json!([])),
        ("exp", json!(now)),
        ("exp", json!(now - 1)),
        ("exp", json!(i64::MAX)),
        ("exp", json!("2030-01-01")),
        ("iat", json!(now + 3600)),
        ("nbf", json!(now + 60)),
        ("sub", json!("asha")),
        ("role", json!("root")),
        ("sid", Value::Null),
    ] {
        let changed = with(claims.clone(), name, value.clone());
        assert_eq!(forge.status(&forge.signed(&forge.good_header(), &changed)).await, 401, "{name} {value}");
        let mut without = claims.clone();
        without.as_object_mut().unwrap().remove(name);
        let status = forge.status(&forge.signed(&forge.good_header(), &without)).await;
        // Only not-before is never there.
        assert_eq!(status, if name == "nbf" { 200 } else { 401 }, "without {name}");
    }
    forge.people.stop().await;
}

#[tokio::test]
async fn what_was_changed_or_cut_is_refused() {
    let forge = Forge::new().await;
    let good = forge.asha.token.clone();
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (header, body) = signed.split_once('.').unwrap();
    let lifted = base64(with(forge.claims(), "role", json!("administrator")).to_string().as_bytes());
    let another = Tokens::new(Keyring::for_simulation(9).unwrap()).access(
        forge.asha.account.id,
        uuid::Uuid::now_v7(),
        Role::User,
        forge.people.services.now(),
    );
    for bad in [
        String::new(),
        "x".to_owned(),
        signed.to_owned(),
        format!("{signed}."),
        format!("{signed}.{}", &signature[..signature.len() - 1]),
        format!("{signed}.{}", &signature[1..]),
        format!("{signed}.{signature}."),
        format!("{signed}.{signature}AA"),
        format!("{header}.{lifted}.{signature}"),
        format!("{body}.{header}.{signature}"),
        format!("{}.{body}.{signature}", base64(b"{\"alg\":\"none\"}")),
        another.0.expose_secret().to_owned(),
        forge.asha.refresh_token.clone(),
        forge.key.iter().map(|byte| format!("{byte:02x}")).collect(),
    ] {
        assert_eq!(forge.status(&bad).await, 401, "{bad}");
    }
    assert_eq!(forge.status(&good).await, 200);
    forge.people.services.clock.advance(10 * MINUTE);
    assert_eq!(forge.status(&good).await, 401, "it has expired");
    forge.people.stop().await;
}

#[tokio::test]
async fn tokens_open_only_what_they_are_for() {
    let forge = Forge::new().await;
    let people = &forge.people;
    let access = &forge.asha.token;
    let reply = people.post_open("/v1/auth/refresh", &format!(r#"{{"refresh_token":"{access}"}}"#)).await;
    assert_eq!((reply.status, reply.code().as_str()), (401, "INVALID_TOKEN"), "an access token refreshes nothing");
    // A token for registration is none for anything else.
    let (challenge, code) = people.code_to("new@example.in").await;
    let body = format!(r#"{{"challenge":"{challenge}","code":"{code}"}}"#);
    let reply = people.post_open("/v1/auth/verify", &body).await.json();
    let registration = reply["registration_token"].as_str().unwrap();
    assert_eq!(forge.status(registration).await, 401);
    let body = format!(r#"{{"second_factor_token":"{registration}","code":"123456"}}"#);
    assert_eq!(people.post_open("/v1/auth/second-factor", &body).await.code(), "INVALID_CODE");
    forge.people.stop().await;
}
