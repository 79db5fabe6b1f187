//! Sessions: refresh tokens that are good once, and ends that hold at once, everywhere, and after a restart.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::sync::Arc;

use florin::services::clock::{DAY, MINUTE};
use florin::services::sessions;
use florin::store::Role;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::http_api::Reply;
use crate::people_rig::{People, Person};

async fn refresh(people: &People, token: &str) -> Reply {
    people.post_open("/v1/auth/refresh", &format!(r#"{{"refresh_token":"{token}"}}"#)).await
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap()
}

async fn is_in(people: &People, token: &str) -> bool {
    match people.send_as(token, "GET", "/v1/me", &[], "").await.status {
        200 => true,
        401 => false,
        other => panic!("{other}"),
    }
}

/// Sessions and tokens in the database.
async fn kept(people: &People) -> (i64, i64) {
    let mut c = people.services.store.read().await.unwrap();
    let sessions: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM sessions").fetch_one(&mut *c).await.unwrap();
    let tokens: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM refresh_tokens").fetch_one(&mut *c).await.unwrap();
    (sessions, tokens)
}

#[tokio::test]
async fn refreshing_goes_on_for_as_long_as_it_is_done() {
    let people = People::start().await;
    let asha = people.person("asha", Role::User).await;
    let mut token = asha.refresh_token.clone();
    for _ in 0..4 {
        people.services.clock.advance(29 * DAY);
        let grant = refresh(&people, &token).await;
        assert_eq!(grant.status, 200, "{grant:?}");
        assert!(is_in(&people, text(&grant.json(), "access_token")).await);
        assert_ne!(text(&grant.json(), "refresh_token"), token);
        token = text(&grant.json(), "refresh_token").to_owned();
    }
    people.services.clock.advance(30 * DAY);
    let late = refresh(&people, &token).await;
    assert_eq!((late.status, late.code().as_str()), (401, "INVALID_TOKEN"), "nobody used it for 30 days");
    assert_eq!(kept(&people).await, (1, 5), "the newest token, and those that were used");
    people.services.clock.advance(80 * DAY);
    sessions::forget(&people.services).await.unwrap();
    let (sessions_kept, tokens_kept) = kept(&people).await;
    assert_eq!(sessions_kept, 1);
    assert!(tokens_kept < 5, "what was used long ago is forgotten: {tokens_kept}");
    people.services.clock.advance(11 * DAY);
    sessions::forget(&people.services).await.unwrap();
    assert_eq!(kept(&people).await, (0, 0));
    people.stop().await;
}

#[tokio::test]
async fn a_token_that_comes_again_ends_the_family() {
    let people = People::start().await;
    let asha = people.person("asha", Role::User).await;
    let second = refresh(&people, &asha.refresh_token).await.json();
    let third = refresh(&people, text(&second, "refresh_token")).await.json();
    assert!(is_in(&people, text(&third, "access_token")).await);
    let stolen = refresh(&people, &asha.refresh_token).await;
    assert_eq!((stolen.status, stolen.code().as_str()), (401, "INVALID_TOKEN"));
    for token in [&asha.token, text(&second, "access_token"), text(&third, "access_token")] {
        assert!(!is_in(&people, token).await, "the access tokens are good for nothing, at once");
    }
    assert_eq!(refresh(&people, text(&third, "refresh_token")).await.status, 401);
    let told = people.told(asha.account.id, "security_changed").await;
    assert_eq!(told.iter().map(|notice| text(notice, "what")).collect::<Vec<_>>(), ["refresh_token_reused"]);
    let people = people.restart().await;
    assert!(!is_in(&people, text(&third, "access_token")).await, "nor after a restart");
    people.stop().await;
}

#[tokio::test]
async fn of_many_at_once_one_gets_tokens_and_the_family_ends() {
    let people = Arc::new(People::start().await);
    let asha = people.person("asha", Role::User).await;
    let mut all = JoinSet::new();
    for _ in 0..20 {
        let (people, token) = (Arc::clone(&people), asha.refresh_token.clone());
        all.spawn(async move { refresh(&people, &token).await });
    }
    let replies = all.join_all().await;
    let won: Vec<&Reply> = replies.iter().filter(|reply| reply.status == 200).collect();
    assert_eq!(won.len(), 1, "{replies:?}");
    let grant = won[0].json();
    assert!(!is_in(&people, text(&grant, "access_token")).await);
    assert_eq!(refresh(&people, text(&grant, "refresh_token")).await.status, 401);
    assert_eq!(people.told(asha.account.id, "security_changed").await.len(), 1, "it is told once");
    Arc::into_inner(people).unwrap().stop().await;
}

#[tokio::test]
async fn sessions_are_listed_and_ended() {
    let people = People::start().await;
    let asha = people.person("asha", Role::User).await;
    let ravi = people.person("ravi", Role::User).await;
    let (challenge, code) = people.code_to(&asha.email).await;
    let body = format!(r#"{{"challenge":"{challenge}","code":"{code}"}}"#);
    let headers = [("user-agent", "Florin for phones/1.0"), ("content-type", "application/json")];
    let phone = people.api.send_bare("POST", "/v1/auth/verify", &headers, body.as_bytes()).await.json();
    let list = people.get_as(&asha, "/v1/me/sessions").await.json();
    assert_eq!((list["data"].as_array().unwrap().len(), list["has_more"].as_bool()), (2, Some(false)));
    let newest = &list["data"][0];
    assert_eq!((text(newest, "device"), text(newest, "network_address")), ("Florin for phones/1.0", "127.0.0.1"));
    assert_eq!((newest["current"].as_bool(), list["data"][1]["current"].as_bool()), (Some(false), Some(true)));
    // Page by page.
    let first = people.get_as(&asha, "/v1/me/sessions?limit=1").await.json();
    let rest = format!("/v1/me/sessions?limit=1&cursor={}", text(&first, "next_cursor"));
    let rest = people.get_as(&asha, &rest).await.json();
    assert_eq!((&first["data"][0]["id"], &rest["data"][0]["id"]), (&newest["id"], &list["data"][1]["id"]));
    assert_eq!(rest["next_cursor"], Value::Null);
    assert_eq!(people.get_as(&asha, "/v1/me/sessions?cursor=e1").await.code(), "INVALID_CURSOR");
    // Ended by its owner, and by nobody else.
    let end = format!("/v1/me/sessions/{}/end", text(newest, "id"));
    let reply = people.send_as(&ravi.token, "POST", &end, &[], "").await;
    assert_eq!((reply.status, reply.code().as_str()), (404, "NOT_FOUND"));
    assert!(is_in(&people, text(&phone, "access_token")).await);
    let reply = people.send_as(&asha.token, "POST", &end, &[], "").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(reply.json()["ended_at"].is_string());
    assert!(!is_in(&people, text(&phone, "access_token")).await);
    assert_eq!(refresh(&people, text(&phone, "refresh_token")).await.status, 401);
    assert_eq!(people.get_as(&asha, "/v1/me/sessions").await.json()["data"].as_array().unwrap().len(), 1);
    people.stop().await;
}

#[tokio::test]
async fn logging_out_here_and_everywhere() {
    let people = People::start().await;
    let first = people.person("asha", Role::User).await;
    let (token, refresh_token) = (first.token.clone(), first.refresh_token.clone());
    let second = people.sign_in_again(first).await;
    let third = second.token.clone();
    let second = people.sign_in_again(second).await;
    assert_eq!(people.send_as(&token, "POST", "/v1/auth/logout", &[], "").await.status, 200);
    assert!(!is_in(&people, &token).await && is_in(&people, &second.token).await);
    assert_eq!(refresh(&people, &refresh_token).await.status, 401);
    assert_eq!(people.send_as(&second.token, "POST", "/v1/auth/logout-everywhere", &[], "").await.status, 200);
    assert!(!is_in(&people, &second.token).await && !is_in(&people, &third).await);
    // The operator's key is nobody's session.
    let reply = people.api.post("/v1/auth/logout", "-", "").await;
    assert_eq!((reply.status, reply.code().as_str()), (403, "FORBIDDEN"));
    people.stop().await;
}

async fn set_state(people: &People, person: &Person, state: &str) {
    let mut tx = people.services.store.begin().await.unwrap();
    let sql = "UPDATE accounts SET state = $2 WHERE id = $1";
    sqlx::query(sql).bind(person.account.id.to_string()).bind(state).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn who_is_blocked_hears_so_only_after_the_code() {
    let people = People::start().await;
    let asha = people.person("asha", Role::User).await;
    for (state, expected) in [("blocked", "ACCOUNT_BLOCKED"), ("closed", "ACCOUNT_CLOSED")] {
        set_state(&people, &asha, state).await;
        let (challenge, code) = people.code_to(&asha.email).await;
        let answer = |code: &str| format!(r#"{{"challenge":"{challenge}","code":"{code}"}}"#);
        let wrong = format!("{:06}", (code.parse::<u32>().unwrap() + 1) % 1_000_000);
        assert_eq!(people.post_open("/v1/auth/verify", &answer(&wrong)).await.code(), "INVALID_CODE");
        people.services.clock.advance(MINUTE);
        let reply = people.post_open("/v1/auth/verify", &answer(&code)).await;
        assert_eq!((reply.status, reply.code().as_str()), (403, expected));
        let again = people.post_open("/v1/auth/verify", &answer(&code)).await;
        assert_eq!(again.code(), "INVALID_CODE", "it was used all the same");
        assert_eq!(refresh(&people, &asha.refresh_token).await.code(), expected);
    }
    set_state(&people, &asha, "active").await;
    assert_eq!(refresh(&people, &asha.refresh_token).await.status, 200, "what was refused used nothing up");
    people.stop().await;
}
