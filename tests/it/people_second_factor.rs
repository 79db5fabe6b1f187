//! The second factor: asked for once it was confirmed, each code good once, recovery codes for whoever lost the device.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::sync::Arc;

use florin::services::clock::{DAY, MINUTE, SECOND};
use florin::store::Role;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use totp_rs::{Builder, Secret};

use crate::http_api::Reply;
use crate::people_rig::{People, Person};

/// A person's authenticator.
pub struct Device(totp_rs::Totp);

impl Device {
    /// By what `POST /v1/me/totp` answered.
    pub fn new(secret: &str) -> Device {
        Device(Builder::new().with_secret(Secret::try_from_base32(secret).unwrap()).build().unwrap())
    }

    pub fn code(&self, people: &People) -> String {
        self.0.generate(u64::try_from(people.services.now() / SECOND).unwrap()).to_string()
    }

    /// What it shows by the real clock in so many seconds.
    pub fn code_in(&self, seconds: u64) -> String {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        self.0.generate(now.as_secs() + seconds).to_string()
    }

    /// The code of the next step: each is good once.
    pub fn next_code(&self, people: &People) -> String {
        people.services.clock.advance(30 * SECOND);
        self.code(people)
    }
}

async fn post(people: &People, person: &Person, path: &str, body: &str) -> Reply {
    people.send_as(&person.token, "POST", path, &[], body).await
}

fn code_body(code: &str) -> String {
    format!(r#"{{"code":"{code}"}}"#)
}

/// Adds a device; gives it and the recovery codes.
pub async fn enrol(people: &People, person: &Person) -> (Device, Vec<String>) {
    let begun = post(people, person, "/v1/me/totp", "").await;
    assert_eq!(begun.status, 200, "{begun:?}");
    let device = Device::new(begun.json()["secret"].as_str().unwrap());
    let reply = post(people, person, "/v1/me/totp/confirm", &code_body(&device.code(people))).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let codes = reply.json()["recovery_codes"].as_array().unwrap().clone();
    (device, codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect())
}

/// The first factor; gives the token for the second.
async fn first_factor(people: &People, person: &Person) -> String {
    let (challenge, code) = people.code_to(&person.email).await;
    let body = format!(r#"{{"challenge":"{challenge}","code":"{code}"}}"#);
    let reply = people.post_open("/v1/auth/verify", &body).await.json();
    assert!(reply.get("access_token").is_none(), "{reply}");
    reply["second_factor_token"].as_str().unwrap().to_owned()
}

async fn second_factor(people: &People, token: &str, what: &str, code: &str) -> Reply {
    let body = format!(r#"{{"second_factor_token":"{token}","{what}":"{code}"}}"#);
    people.post_open("/v1/auth/second-factor", &body).await
}

#[tokio::test]
async fn it_is_asked_for_once_it_was_confirmed() {
    let people = People::start().await;
    let asha = people.person("asha", Role::User).await;
    let begun = post(&people, &asha, "/v1/me/totp", "").await.json();
    let uri = begun["otpauth_uri"].as_str().unwrap();
    assert!(uri.starts_with("otpauth://totp/Florin:asha%40example.in?secret="), "{uri}");
    assert!(begun["qr"].as_str().unwrap().starts_with("data:image/png;base64,iVBORw0KGgo"));
    // Not confirmed, not asked for.
    let (challenge, code) = people.code_to(&asha.email).await;
    let body = format!(r#"{{"challenge":"{challenge}","code":"{code}"}}"#);
    assert!(people.post_open("/v1/auth/verify", &body).await.json()["access_token"].is_string());
    let wrong = post(&people, &asha, "/v1/me/totp/confirm", &code_body("000000")).await;
    assert_eq!((wrong.status, wrong.code().as_str()), (422, "INVALID_CODE"));
    // A second beginning has a new secret.
    let before = people.get_as(&asha, "/v1/me/credentials").await.json();
    let (device, recovery) = enrol(&people, &asha).await;
    assert_eq!(recovery.len(), 10);
    let after = people.get_as(&asha, "/v1/me/credentials").await.json();
    assert_eq!(before, json!({ "password": false, "totp": false, "recovery_codes_left": 0 }));
    assert_eq!(after, json!({ "password": false, "totp": true, "recovery_codes_left": 10 }));
    let again = post(&people, &asha, "/v1/me/totp", "").await;
    assert_eq!((again.status, again.code().as_str()), (409, "INVALID_STATE"));
    let token = first_factor(&people, &asha).await;
    let reply = second_factor(&people, &token, "code", &device.next_code(&people)).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(reply.json()["access_token"].is_string());
    let used = second_factor(&people, &token, "code", &device.next_code(&people)).await;
    assert_eq!(used.code(), "INVALID_CODE", "the token was used");
    people.stop().await;
}

#[tokio::test]
async fn a_code_is_good_once() {
    let people = Arc::new(People::start().await);
    let asha = people.person("asha", Role::User).await;
    let (device, _) = enrol(&people, &asha).await;
    let mut tokens = Vec::new();
    for _ in 0..5 {
        tokens.push(first_factor(&people, &asha).await);
    }
    let code = device.next_code(&people);
    let mut all = JoinSet::new();
    for token in tokens {
        let (people, code) = (Arc::clone(&people), code.clone());
        all.spawn(async move { second_factor(&people, &token, "code", &code).await.status });
    }
    let statuses = all.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    Arc::into_inner(people).unwrap().stop().await;
}

#[tokio::test]
async fn it_cannot_be_guessed() {
    let people = People::start().await;
    let asha = people.person("asha", Role::User).await;
    let (device, _) = enrol(&people, &asha).await;
    people.services.clock.advance(MINUTE);
    let token = first_factor(&people, &asha).await;
    let mut counted = 0;
    for _ in 0..10 {
        let wrong = format!("{:06}", (device.code(&people).parse::<u32>().unwrap() + 500_000) % 1_000_000);
        let reply = second_factor(&people, &token, "code", &wrong).await;
        counted += u32::from(reply.json()["detail"] == "The code is not right.");
        people.services.clock.advance(8 * SECOND);
    }
    assert_eq!(counted, 5);
    let late = second_factor(&people, &token, "code", &device.next_code(&people)).await;
    assert_eq!(late.code(), "INVALID_CODE", "five tries");
    // Another token begins anew, but the account's owner has to wait between tries ever longer.
    people.services.clock.advance(30 * MINUTE);
    let token = first_factor(&people, &asha).await;
    assert_eq!(second_factor(&people, &token, "code", "000000").await.code(), "INVALID_CODE");
    let token = first_factor(&people, &asha).await;
    let reply = second_factor(&people, &token, "code", &device.code(&people)).await;
    assert_eq!((reply.status, reply.code().as_str()), (429, "TOO_MANY_TRIES"), "{reply:?}");
    let seconds: i64 = reply.header("retry-after").unwrap().parse().unwrap();
    people.services.clock.advance(seconds * SECOND);
    assert_eq!(second_factor(&people, &token, "code", &device.code(&people)).await.status, 200);
    people.stop().await;
}

#[tokio::test]
async fn recovery_codes_are_good_once_each() {
    let people = People::start().await;
    let asha = people.person("asha", Role::User).await;
    let (device, recovery) = enrol(&people, &asha).await;
    let token = first_factor(&people, &asha).await;
    let typed = recovery[3].to_uppercase().replace('-', " ");
    assert_eq!(second_factor(&people, &token, "recovery_code", &typed).await.status, 200);
    let token = first_factor(&people, &asha).await;
    assert_eq!(second_factor(&people, &token, "recovery_code", &recovery[3]).await.code(), "INVALID_CODE");
    people.services.clock.advance(MINUTE);
    // New ones make the old ones good for nothing.
    let reply = post(&people, &asha, "/v1/me/recovery-codes", &code_body(&device.next_code(&people))).await;
    let renewed: Value = reply.json();
    people.services.clock.advance(MINUTE);
    assert_eq!(second_factor(&people, &token, "recovery_code", &recovery[4]).await.code(), "INVALID_CODE");
    people.services.clock.advance(MINUTE);
    let new = renewed["recovery_codes"][0].as_str().unwrap();
    assert_eq!(second_factor(&people, &token, "recovery_code", new).await.status, 200);
    let told = people.told(asha.account.id, "security_changed").await;
    let told: Vec<&str> = told.iter().map(|notice| notice["what"].as_str().unwrap()).collect();
    let expected = ["totp_added", "recovery_code_used", "recovery_codes_made", "recovery_code_used"];
    assert_eq!(told, expected);
    people.stop().await;
}

#[tokio::test]
async fn it_is_removed_by_whoever_has_it() {
    let people = People::start().await;
    let asha = people.person("asha", Role::User).await;
    let none = post(&people, &asha, "/v1/me/totp/remove", &code_body("123456")).await;
    assert_eq!((none.status, none.code().as_str()), (409, "INVALID_STATE"));
    let (device, _) = enrol(&people, &asha).await;
    let wrong = post(&people, &asha, "/v1/me/totp/remove", &code_body("12345x")).await;
    assert_eq!(wrong.code(), "INVALID_CODE");
    let reply = post(&people, &asha, "/v1/me/totp/remove", &code_body(&device.next_code(&people))).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let (challenge, code) = people.code_to(&asha.email).await;
    let body = format!(r#"{{"challenge":"{challenge}","code":"{code}"}}"#);
    assert!(people.post_open("/v1/auth/verify", &body).await.json()["access_token"].is_string());
    people.stop().await;
}

#[tokio::test]
async fn who_signed_in_long_ago_adds_no_device() {
    let people = People::start().await;
    let asha = people.person("asha", Role::User).await;
    people.services.clock.advance(DAY);
    let grant =
        people.post_open("/v1/auth/refresh", &format!(r#"{{"refresh_token":"{}"}}"#, asha.refresh_token)).await.json();
    let reply = people.send_as(grant["access_token"].as_str().unwrap(), "POST", "/v1/me/totp", &[], "").await;
    assert_eq!((reply.status, reply.code().as_str()), (403, "RECENT_SIGN_IN_REQUIRED"));
    people.stop().await;
}
