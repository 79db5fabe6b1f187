//! Limits on use, from the outside: who is limited together, who is not held back by whom, and what answers say of it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::time::Duration;

use florin::config::{Rate, RateLimits};
use florin::http::{ProxyHeader, ServerConfig, TrustedProxies};
use florin::services::doors::ApiKey;
use florin::services::{Scope, new_id};
use florin::store::Role;
use sha2::{Digest as _, Sha256};

use crate::http_api::Reply;
use crate::people_rig::{People, settings};

/// Slow enough that nothing comes back while a test runs.
fn an_hour(requests: u32) -> Option<Rate> {
    Some(Rate { requests, window: Duration::from_secs(3600) })
}

async fn limited(rates: RateLimits) -> People {
    let proxies = TrustedProxies { networks: vec!["127.0.0.0/8".parse().unwrap()], header: ProxyHeader::XForwardedFor };
    People::start_at(ServerConfig { rates, proxies, ..ServerConfig::default() }, settings()).await
}

/// Status and `RateLimit`; a refusal says when to come back, and twice the same.
#[track_caller]
fn check(reply: &Reply, status: u16, limit: Option<&str>) {
    assert_eq!(
        (reply.status, reply.header("ratelimit").map(|text| text.split(";t=").next().unwrap())),
        (status, limit)
    );
    let seconds = reply.header("ratelimit").map(|text| text.rsplit_once(";t=").unwrap().1.parse::<u32>().unwrap());
    if status == 429 {
        assert_eq!(reply.json()["code"], "RATE_LIMITED");
        let wait: u32 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!(wait > 0 && wait <= 3600, "{wait}");
        assert_eq!(seconds, Some(wait));
    } else {
        assert_eq!(reply.header("retry-after"), None);
        assert!(seconds.is_none_or(|seconds| seconds <= 3600));
    }
}

#[tokio::test]
async fn a_person_is_limited_in_all_sessions_together() {
    let people = limited(RateLimits { per_person: an_hour(4), ..RateLimits::default() }).await;
    let (asha, ravi) = (people.person("asha", Role::User).await, people.person("ravi", Role::Support).await);
    let first = people.get_as(&asha, "/v1/me").await;
    check(&first, 200, Some("\"person\";r=3"));
    assert_eq!(first.header("ratelimit-policy"), Some("\"person\";q=4;w=3600"));
    check(&people.get_as(&asha, "/v1/nothing").await, 404, Some("\"person\";r=2"));
    check(&people.get_as(&asha, "/v1/ledger/summary").await, 403, Some("\"person\";r=1"));
    let elsewhere = people.another_session(&asha).await;
    check(&people.get_as(&elsewhere, "/v1/me").await, 200, Some("\"person\";r=0"));
    for person in [&asha, &elsewhere] {
        check(&people.get_as(person, "/v1/me").await, 429, Some("\"person\";r=0"));
    }
    // Others are not held back, nor is the operator limited.
    check(&people.get_as(&ravi, "/v1/me").await, 200, Some("\"person\";r=3"));
    for _ in 0..10 {
        check(&people.get("/v1/ledger/summary").await, 200, None);
    }
    // What operators look at costs nobody anything.
    for path in ["/healthz", "/readyz", "/metrics", "/docs"] {
        check(&people.send_bare("GET", path, &[], b"").await, 200, None);
    }
    let metrics = people.send_bare("GET", "/metrics", &[], b"").await;
    assert!(String::from_utf8(metrics.body).unwrap().contains("florin_http_problems_total{code=\"RATE_LIMITED\"}"));
    people.stop().await;
}

#[tokio::test]
async fn a_key_is_limited_by_itself_and_by_what_it_sends() {
    let people = limited(RateLimits { per_key: an_hour(100), per_person: an_hour(2), ..RateLimits::default() }).await;
    let shop = people.person("shop", Role::Merchant).await;
    let keys = ["fmk_one", "fmk_two"];
    for key in keys {
        let scopes = vec![Scope::WalletsRead, Scope::TransfersWrite];
        let row = ApiKey { id: new_id(), account: shop.account.id, scopes, expires_at: None };
        people.services.doors.add_key(Sha256::digest(key).into(), row);
    }
    let path = format!("/v1/wallets/{}", shop.account.wallet);
    check(&people.send_as(keys[0], "GET", &path, &[], "").await, 200, Some("\"key\";r=99"));
    check(&people.send_as(keys[1], "GET", &path, &[], "").await, 200, Some("\"key\";r=99"));
    check(&people.get_as(&shop, &path).await, 200, Some("\"person\";r=1"));
    // A bulk request of 160 KiB costs 1, and 1 for each 16 KiB.
    let body = format!("[{}]", " ".repeat(160 * 1024));
    let bulk = people.send_as(keys[0], "POST", "/v1/transfers/bulk", &[], &body).await;
    assert_eq!(bulk.header("ratelimit").unwrap().split(";t=").next(), Some("\"key\";r=88"), "{bulk:?}");
    let body = format!("[{}]", " ".repeat(1600 * 1024));
    for remaining in ["\"key\";r=87", "\"key\";r=86"] {
        check(&people.send_as(keys[0], "POST", "/v1/transfers/bulk", &[], &body).await, 429, Some(remaining));
    }
    check(&people.send_as(keys[1], "GET", &path, &[], "").await, 200, Some("\"key\";r=98"));
    people.stop().await;
}

#[tokio::test]
async fn guesses_count_against_their_address_and_hold_nobody_else_back() {
    let people = limited(RateLimits { per_address: an_hour(3), ..RateLimits::default() }).await;
    let asha = people.person("asha", Role::User).await;
    let from = |address: &'static str, token: &'static str| {
        let people = &people;
        async move { people.send_as(token, "GET", "/v1/me", &[("x-forwarded-for", address)], "").await }
    };
    for (token, remaining) in [("flk_0", "\"refused\";r=2"), ("fmk_0", "\"refused\";r=1"), ("e.y.j", "\"refused\";r=0")]
    {
        check(&from("1.1.1.1, 203.0.113.7", token).await, 401, Some(remaining));
    }
    check(&from("203.0.113.7", "flk_1").await, 429, Some("\"refused\";r=0"));
    // Writing another address in front does not help.
    check(&from("198.51.100.1, 203.0.113.7", "flk_1").await, 429, Some("\"refused\";r=0"));
    let headers = [("x-forwarded-for", "203.0.113.7")];
    check(&people.send_as(&asha.token, "GET", "/v1/me", &headers, "").await, 200, None);
    check(&people.send("GET", "/v1/ledger/summary", &headers, b"").await, 200, None);
    check(&from("203.0.113.8", "flk_1").await, 401, Some("\"refused\";r=2"));
    // Whoever has one IPv6 address has all of its network.
    check(&from("2001:db8::1", "flk_1").await, 401, Some("\"refused\";r=2"));
    check(&from("2001:db8::2:1", "flk_1").await, 401, Some("\"refused\";r=1"));
    check(&from("2001:db8:0:1::1", "flk_1").await, 401, Some("\"refused\";r=2"));
    people.stop().await;
}

#[tokio::test]
async fn a_flood_of_sign_ins_holds_back_no_session() {
    let rates = RateLimits { per_address: an_hour(3), sensitive_per_person: an_hour(2), ..RateLimits::default() };
    let people = limited(rates).await;
    let asha = people.person("asha", Role::User).await;
    for remaining in ["\"sign-in\";r=2", "\"sign-in\";r=1", "\"sign-in\";r=0"] {
        let reply = people.post_open("/v1/auth/second-factor", "{}").await;
        assert_eq!((reply.status, reply.header("ratelimit").unwrap().split(";t=").next()), (400, Some(remaining)));
    }
    // All ways to sign in have one limit together.
    check(&people.post_open("/v1/auth/codes", "{}").await, 429, Some("\"sign-in\";r=0"));
    check(&people.post_open("/v1/auth/password", "{}").await, 429, Some("\"sign-in\";r=0"));
    // Those who are in stay in, and what they may do rarely is counted for each by himself.
    let refresh = format!(r#"{{"refresh_token":"{}"}}"#, asha.refresh_token);
    check(&people.post_open("/v1/auth/refresh", &refresh).await, 200, Some("\"refresh\";r=2"));
    check(&people.get_as(&asha, "/v1/me").await, 200, None);
    for _ in 0..2 {
        let reply = people.post_as(&asha, "/v1/me/totp/confirm", "k", r#"{"code":"123456"}"#).await;
        assert!(reply.header("ratelimit").unwrap().starts_with("\"sensitive\""), "{reply:?}");
    }
    check(&people.post_as(&asha, "/v1/me/password", "k", "{}").await, 429, Some("\"sensitive\";r=0"));
    let ravi = people.person("ravi", Role::User).await;
    assert_ne!(people.post_as(&ravi, "/v1/me/password", "k", "{}").await.status, 429);
    people.stop().await;
}
