//! One-time codes: the same for known and unknown addresses, a few tries, once however many come at the same moment.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::BTreeSet;
use std::sync::Arc;

use florin::services::clock::{HOUR, MINUTE, SECOND};
use florin::services::{Why, codes};
use florin::store::{AddressKind, Role};
use secrecy::SecretString;
use tokio::task::JoinSet;

use crate::http_api::Reply;
use crate::people_rig::People;

fn answer(challenge: &str, code: &str) -> String {
    format!(r#"{{"challenge":"{challenge}","code":"{code}"}}"#)
}

fn other_than(code: &str) -> String {
    format!("{:06}", (code.parse::<u32>().unwrap() + 1) % 1_000_000)
}

async fn verify(people: &People, challenge: &str, code: &str) -> Reply {
    people.post_open("/v1/auth/verify", &answer(challenge, code)).await
}

/// The same request a hundred times at the same moment.
async fn at_once(people: &Arc<People>, path: &'static str, body: impl Fn(usize) -> String) -> Vec<Reply> {
    let mut all = JoinSet::new();
    for index in 0..100 {
        let (people, body) = (Arc::clone(people), body(index));
        all.spawn(async move { people.post_open(path, &body).await });
    }
    all.join_all().await
}

#[tokio::test]
async fn a_known_address_comes_to_a_session() {
    let people = People::start().await;
    let asha = people.person("asha", Role::User).await;
    let (challenge, code) = people.code_to(" Asha@Example.in ").await;
    let reply = verify(&people, &challenge, &code).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let grant = reply.json();
    assert_eq!((grant["token_type"].as_str(), grant["expires_in"].as_i64().unwrap() > 590), (Some("Bearer"), true));
    assert_eq!(grant["account"], asha.account.id.to_string());
    let me = people.send_as(grant["access_token"].as_str().unwrap(), "GET", "/v1/me", &[], "").await;
    assert_eq!(me.json()["name"], "asha");
    let again = verify(&people, &challenge, &code).await;
    assert_eq!((again.status, again.code().as_str()), (422, "INVALID_CODE"), "it is good once");
    assert_eq!(people.told(asha.account.id, "signed_in").await.len(), 1);
    people.stop().await;
}

#[tokio::test]
async fn an_unknown_address_comes_to_registration_once() {
    let people = People::start().await;
    let (challenge, code) = people.code_to("new@example.in").await;
    let reply = verify(&people, &challenge, &code).await.json();
    assert!(reply.get("access_token").is_none(), "{reply}");
    let token = SecretString::from(reply["registration_token"].as_str().unwrap());
    let services = &people.services;
    for _ in 0..2 {
        // Not committed, not used.
        let mut tx = services.store.begin().await.unwrap();
        let redeemed = codes::redeem_registration(services, &mut tx, &token).await.unwrap();
        assert_eq!(redeemed, (AddressKind::Email, "new@example.in".to_owned()));
        tx.rollback().await.unwrap();
    }
    let mut tx = services.store.begin().await.unwrap();
    codes::redeem_registration(services, &mut tx, &token).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = services.store.begin().await.unwrap();
    let again = codes::redeem_registration(services, &mut tx, &token).await;
    assert_eq!(again.unwrap_err().why(), Some(Why::InvalidToken));
    drop(tx);
    people.stop().await;
}

#[tokio::test]
async fn nobody_learns_who_is_known() {
    let people = People::start().await;
    people.person("asha", Role::User).await;
    let mut shapes = BTreeSet::new();
    for email in ["asha@example.in", "nobody@example.in"] {
        let runs = people.services.hashing.runs();
        let reply = people.post_open("/v1/auth/codes", &format!(r#"{{"email":"{email}"}}"#)).await;
        let members: Vec<String> = reply.json().as_object().unwrap().keys().cloned().collect();
        let headers: Vec<String> = reply.headers.iter().map(|(name, _)| name.clone()).collect();
        let lengths: Vec<usize> = reply.json().as_object().unwrap().values().map(|v| v.to_string().len()).collect();
        let notice = people.notice(reply.json()["challenge"].as_str().unwrap()).await;
        assert_eq!(notice["code"].as_str().unwrap().len(), 6, "a code goes to either");
        let hashed = people.services.hashing.runs() - runs;
        shapes.insert((reply.status, members, headers, lengths, notice.as_object().unwrap().len(), hashed));
        // The second time there is to wait, for either.
        let soon = people.post_open("/v1/auth/codes", &format!(r#"{{"email":"{email}"}}"#)).await;
        assert_eq!((soon.status, soon.header("retry-after")), (429, Some("30")));
    }
    assert_eq!(shapes.len(), 1, "{shapes:?}");
    people.stop().await;
}

#[tokio::test]
async fn of_a_hundred_right_tries_at_once_one_wins() {
    let people = Arc::new(People::start().await);
    people.person("asha", Role::User).await;
    let (challenge, code) = people.code_to("asha@example.in").await;
    let replies = at_once(&people, "/v1/auth/verify", |_| answer(&challenge, &code)).await;
    let won = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(won, 1);
    assert!(replies.iter().all(|reply| matches!(reply.status, 200 | 422 | 429)), "{replies:?}");
    Arc::into_inner(people).unwrap().stop().await;
}

#[tokio::test]
async fn wrong_tries_are_counted_however_they_come() {
    let people = Arc::new(People::start().await);
    people.person("asha", Role::User).await;
    let (challenge, code) = people.code_to("asha@example.in").await;
    let wrong = other_than(&code);
    let mut counted = 0;
    for _ in 0..6 {
        let replies = at_once(&people, "/v1/auth/verify", |_| answer(&challenge, &wrong)).await;
        counted += replies.iter().filter(|reply| reply.json()["detail"] == "The code is not right.").count();
        assert!(replies.iter().all(|reply| matches!(reply.status, 422 | 429)), "{replies:?}");
        people.services.clock.advance(8 * SECOND);
    }
    assert_eq!(counted, 5);
    people.services.clock.advance(MINUTE);
    let mut c = people.services.store.read().await.unwrap();
    let tries: i64 = sqlx::query_scalar("SELECT tries FROM challenges WHERE id = $1")
        .bind(&challenge)
        .fetch_one(&mut *c)
        .await
        .unwrap();
    drop(c);
    assert_eq!(tries, 5);
    let late = verify(&people, &challenge, &code).await;
    assert_eq!((late.status, late.code().as_str()), (422, "INVALID_CODE"), "the right one comes too late: {late:?}");
    Arc::into_inner(people).unwrap().stop().await;
}

#[tokio::test]
async fn after_each_wrong_try_the_next_has_to_wait_longer() {
    let people = People::start().await;
    people.person("asha", Role::User).await;
    let (challenge, code) = people.code_to("asha@example.in").await;
    for seconds in [1, 2, 4, 8] {
        let wrong = verify(&people, &challenge, &other_than(&code)).await;
        assert_eq!((wrong.status, wrong.code().as_str()), (422, "INVALID_CODE"));
        people.services.clock.advance((seconds - 1) * SECOND);
        let early = verify(&people, &challenge, &code).await;
        assert_eq!((early.status, early.header("retry-after")), (429, Some("1")), "the right one too: {early:?}");
        people.services.clock.advance(SECOND);
    }
    assert_eq!(verify(&people, &challenge, &code).await.status, 200, "the fifth was right");
    people.stop().await;
}

#[tokio::test]
async fn a_code_expires() {
    let people = People::start().await;
    people.person("asha", Role::User).await;
    let (challenge, code) = people.code_to("asha@example.in").await;
    people.services.clock.advance(10 * MINUTE);
    let late = verify(&people, &challenge, &code).await;
    assert_eq!((late.status, late.code().as_str()), (422, "INVALID_CODE"));
    // A challenge of another kind, or of nobody.
    let nobody = verify(&people, "01890a5d-ac96-774b-bcce-b302099a8057", &code).await;
    assert_eq!((nobody.status, nobody.code().as_str()), (422, "INVALID_CODE"));
    people.services.clock.advance(48 * HOUR);
    codes::forget(&people.services).await.unwrap();
    let mut c = people.services.store.read().await.unwrap();
    let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM challenges").fetch_one(&mut *c).await.unwrap();
    drop(c);
    assert_eq!(left, 0, "what nobody can use is forgotten");
    people.stop().await;
}

#[tokio::test]
async fn codes_to_one_address_come_ever_more_slowly() {
    let people = Arc::new(People::start().await);
    let body = r#"{"phone":"+91 98765 43210","locale":"hi"}"#;
    let replies = at_once(&people, "/v1/auth/codes", |_| body.to_owned()).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 202).count(), 1, "one of a hundred at once");
    let mut sent = 1;
    // As soon as it may be, for an hour.
    let ends_at = people.services.now() + HOUR;
    loop {
        let reply = people.post_open("/v1/auth/codes", body).await;
        match reply.header("retry-after") {
            Some(seconds) => people.services.clock.advance(seconds.parse::<i64>().unwrap() * SECOND),
            None => sent += 1,
        }
        if people.services.now() >= ends_at {
            break;
        }
    }
    assert_eq!(sent, 7);
    Arc::into_inner(people).unwrap().stop().await;
}

#[tokio::test]
async fn wrong_requests_are_told_so() {
    let people = People::start().await;
    for (path, body, code) in [
        ("/v1/auth/codes", r"{}", "INVALID_REQUEST"),
        ("/v1/auth/codes", r#"{"email":"a@b.in","phone":"+919876543210"}"#, "INVALID_REQUEST"),
        ("/v1/auth/codes", r#"{"email":"asha"}"#, "INVALID_REQUEST"),
        ("/v1/auth/codes", r#"{"phone":"98765"}"#, "INVALID_REQUEST"),
        ("/v1/auth/codes", r#"{"email":"a@b.in","locale":"tlh"}"#, "INVALID_REQUEST"),
        ("/v1/auth/codes", r#"{"email":"a@b.in","more":1}"#, "INVALID_REQUEST"),
        ("/v1/auth/verify", r#"{"challenge":"x","code":"1"}"#, "INVALID_ID"),
        ("/v1/auth/password", r#"{"email":"a@b.in"}"#, "INVALID_REQUEST"),
        ("/v1/auth/refresh", r#"{"refresh_token":7}"#, "INVALID_REQUEST"),
        ("/v1/auth/refresh", r#"{"refresh_token":"frt_00"}"#, "INVALID_TOKEN"),
        ("/v1/auth/second-factor", r#"{"second_factor_token":"fsf_00","code":"123456"}"#, "INVALID_CODE"),
        ("/v1/auth/second-factor", r#"{"second_factor_token":"fsf_00"}"#, "INVALID_REQUEST"),
    ] {
        let reply = people.post_open(path, body).await;
        assert_eq!(reply.code(), code, "{path} {body}: {reply:?}");
    }
    people.stop().await;
}
