//! kill -9 at each step of signing in and out: a code, a refresh token and a second factor are used or not, never twice, and
//! who lost an answer has a way on.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use florin::store::Role;
use serde_json::Value;

use crate::http_api::Reply;
use crate::people_crash_rig::{Home, Program};
use crate::people_rig::{People, Person};
use crate::people_second_factor::Device;

const WORDS: &str = " is your code for Florin";

async fn challenge(server: &Program, email: &str) -> String {
    let reply = server.told("", "/v1/auth/codes", "-", &format!(r#"{{"email":"{email}"}}"#)).await;
    reply.json()["challenge"].as_str().unwrap_or_else(|| panic!("{reply:?}")).to_owned()
}

async fn verify(server: &Program, challenge: &str, code: &str) -> Option<Reply> {
    let body = format!(r#"{{"challenge":"{challenge}","code":"{code}"}}"#);
    server.post("", "/v1/auth/verify", "-", &body).await
}

async fn refresh(server: &Program, token: &str) -> Option<Reply> {
    server.post("", "/v1/auth/refresh", "-", &format!(r#"{{"refresh_token":"{token}"}}"#)).await
}

fn access(reply: &Reply) -> String {
    reply.json()["access_token"].as_str().unwrap_or_else(|| panic!("{reply:?}")).to_owned()
}

#[tokio::test]
async fn a_code_signs_in_once() {
    let people = People::start().await;
    let known = [people.person("asha", Role::User).await, people.person("ravi", Role::User).await];
    let steps = [("sign_in.before_commit", false), ("sign_in.after_commit", true)];
    let home = Home::of(people, &[]).await;
    for ((step, is_used), person) in steps.into_iter().zip(&known) {
        let mut sent = None;
        let act = async |first: &Program| {
            let challenge = challenge(first, &person.email).await;
            let code = home.code(&person.email, WORDS, None).await;
            assert!(verify(first, &challenge, &code).await.is_none());
            sent = Some((challenge, code));
        };
        let server = home.crash(step, act).await;
        let (first_challenge, code) = sent.unwrap();
        let again = verify(&server, &first_challenge, &code).await.unwrap();
        let signed_in = if is_used {
            assert_eq!(again.code(), "INVALID_CODE", "{again:?}");
            let challenge = challenge(&server, &person.email).await;
            let code = home.code(&person.email, WORDS, Some(&code)).await;
            verify(&server, &challenge, &code).await.unwrap()
        } else {
            again
        };
        assert!(server.is_in(&access(&signed_in)).await, "{step}");
        // The session whose answer was lost can be seen, and ended.
        let sessions = server.get(&person.token, "/v1/me/sessions").await.json();
        assert_eq!(sessions["data"].as_array().unwrap().len(), 2 + usize::from(is_used), "{step}: {sessions}");
        home.until_mails(&person.email, "Subject: New sign-in", 1 + usize::from(is_used)).await;
    }
}

#[tokio::test]
async fn a_refresh_token_is_good_once() {
    let people = People::start().await;
    let known = [people.person("asha", Role::User).await, people.person("ravi", Role::User).await];
    let steps = [("refresh.before_commit", false), ("refresh.after_commit", true)];
    let home = Home::of(people, &[]).await;
    for ((step, is_used), person) in steps.into_iter().zip(&known) {
        let token = &person.refresh_token;
        let act = async |first: &Program| assert!(refresh(first, token).await.is_none(), "{step}");
        let server = home.crash(step, act).await;
        assert!(server.is_in(&person.token).await, "{step}");
        let again = refresh(&server, token).await.unwrap();
        if is_used {
            // Nobody can tell this from a stolen one: sign in again.
            assert_eq!(again.code(), "INVALID_TOKEN", "{again:?}");
            assert!(!server.is_in(&person.token).await);
            home.until_mails(&person.email, "Subject: The security of your account changed", 1).await;
        } else {
            assert!(server.is_in(&access(&again)).await);
        }
    }
}

#[tokio::test]
async fn a_session_that_was_ended_stays_so() {
    let people = People::start().await;
    let known = [people.person("asha", Role::User).await, people.person("ravi", Role::User).await];
    let steps = [("session_end.before_commit", false), ("session_end.after_commit", true)];
    let home = Home::of(people, &[]).await;
    for ((step, is_ended), person) in steps.into_iter().zip(&known) {
        let log_out = async |server: &Program| server.post(&person.token, "/v1/auth/logout", "-", "").await;
        let act = async |first: &Program| assert!(log_out(first).await.is_none(), "{step}");
        let server = home.crash(step, act).await;
        assert_eq!(server.is_in(&person.token).await, !is_ended, "{step}");
        let again = log_out(&server).await.unwrap();
        assert_eq!(again.status, if is_ended { 401 } else { 200 }, "{step}: {again:?}");
        assert!(!server.is_in(&person.token).await, "{step}");
        assert_eq!(refresh(&server, &person.refresh_token).await.unwrap().code(), "INVALID_TOKEN", "{step}");
    }
}

#[tokio::test]
async fn a_second_factor_is_there_with_its_recovery_codes_or_not() {
    let people = People::start().await;
    let known = [people.person("asha", Role::User).await, people.person("ravi", Role::User).await];
    let steps = [("second_factor.before_commit", false), ("second_factor.after_commit", true)];
    let home = Home::of(people, &[]).await;
    for ((step, is_there), person) in steps.into_iter().zip(&known) {
        let with = |code: &str| format!(r#"{{"code":"{code}"}}"#);
        let confirm = async |server: &Program, code: &str| {
            server.post(&person.token, "/v1/me/totp/confirm", "-", &with(code)).await
        };
        let mut added = None;
        let act = async |first: &Program| {
            let begun = first.told(&person.token, "/v1/me/totp", "-", "").await;
            let device = Device::new(begun.json()["secret"].as_str().unwrap());
            let code = device.code_in(0);
            assert!(confirm(first, &code).await.is_none(), "{step}");
            added = Some((device, code));
        };
        let server = home.crash(step, act).await;
        let (device, code) = added.unwrap();
        assert_eq!(credentials(&server, person).await, (is_there, if is_there { 10 } else { 0 }), "{step}");
        let again = confirm(&server, &code).await.unwrap();
        assert_eq!(again.status, if is_there { 409 } else { 200 }, "{step}: {again:?}");
        assert_eq!(credentials(&server, person).await, (true, 10), "{step}");
        // A code that was used is good for nothing else; by the next one, recovery codes that nobody saw are made anew.
        let renew = async |code: &str| server.told(&person.token, "/v1/me/recovery-codes", "-", &with(code)).await;
        assert_eq!(renew(&code).await.code(), "INVALID_CODE", "{step}");
        let renewed = renew(&device.code_in(30)).await;
        assert_eq!(renewed.json()["recovery_codes"].as_array().map(Vec::len), Some(10), "{step}: {renewed:?}");
        home.until_mails(&person.email, "Subject: The security of your account changed", 2).await;
    }
}

async fn credentials(server: &Program, person: &Person) -> (bool, i64) {
    let seen: Value = server.get(&person.token, "/v1/me/credentials").await.json();
    (seen["totp"].as_bool().unwrap_or_else(|| panic!("{seen}")), seen["recovery_codes_left"].as_i64().unwrap())
}
