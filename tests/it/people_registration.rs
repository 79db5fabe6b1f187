//! Opening an account: once with one token, whoever asks how often, and with what a promotion promises.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::BTreeSet;
use std::sync::Arc;

use florin::services::clock::MINUTE;
use florin::store::Role;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::http_api::Reply;
use crate::people_rig::{People, Person};
use crate::people_wallet::join_all;

impl People {
    /// A registration token for an email that is nobody's.
    pub async fn registration_token(&self, email: &str) -> String {
        let (challenge, code) = self.code_to(email).await;
        let body = format!(r#"{{"challenge":"{challenge}","code":"{code}"}}"#);
        let reply = self.post_open("/v1/auth/verify", &body).await;
        reply.json()["registration_token"].as_str().unwrap_or_else(|| panic!("{reply:?}")).to_owned()
    }

    pub async fn register(&self, key: &str, body: &str) -> Reply {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        self.send_bare("POST", "/v1/accounts", &headers, body.as_bytes()).await
    }

    pub async fn balance_of_new(&self, account: &Value) -> String {
        self.posted(account["wallet"].as_str().unwrap()).await
    }
}

async fn rows(people: &People, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(&mut *people.services.store.read().await.unwrap()).await.unwrap()
}

#[tokio::test]
async fn from_nothing_to_a_wallet() {
    let people = People::start().await;
    let token = people.registration_token("asha@example.in").await;
    let body = format!(
        r#"{{"registration_token":"{token}","name":" Asha Rao ","handle":"@Asha","locale":"hi",
            "password":"lantern-quarry-velvet-91"}}"#
    );
    let reply = people.register("r1", &body).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    let answer = reply.json();
    let account = &answer["account"];
    assert_eq!((account["name"].as_str(), account["state"].as_str()), (Some("Asha Rao"), Some("active")));
    assert_eq!(
        (account["emails"][0].as_str(), account["handles"][0].as_str()),
        (Some("asha@example.in"), Some("asha"))
    );
    let access = answer["session"]["access_token"].as_str().unwrap();
    assert_eq!(people.send_as(access, "GET", "/v1/me", &[], "").await.json()["id"], account["id"]);
    assert_eq!(people.balance_of_new(account).await, "0.00");

    // The same request is answered as before; with another key, or without one, the token was used.
    let again = people.register("r1", &body).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (201, Some("true")), "{again:?}");
    assert_eq!(again.json()["account"]["id"], account["id"]);
    for reply in [people.register("r2", &body).await, people.post_open("/v1/accounts", &body).await] {
        assert_eq!((reply.status, reply.code().as_str()), (401, "INVALID_TOKEN"));
    }
    people.services.clock.advance(11 * MINUTE);
    assert_eq!(people.register("r1", &body).await.code(), "INVALID_TOKEN");

    let sign_in = r#"{"email":"asha@example.in","password":"lantern-quarry-velvet-91"}"#;
    assert_eq!(people.post_open("/v1/auth/password", sign_in).await.status, 200);
    people.stop().await;
}

#[tokio::test]
async fn what_is_wrong_leaves_the_token_good() {
    let people = People::start().await;
    people.person("ravi", Role::User).await;
    let token = people.registration_token("asha@example.in").await;
    let with = |more: &str| format!(r#"{{"registration_token":"{token}"{more}}}"#);
    for (more, status, code) in [
        ("", 400, "INVALID_REQUEST"),
        (r#","name":" ""#, 400, "INVALID_REQUEST"),
        (r#","name":"Asha\nRao""#, 400, "INVALID_REQUEST"),
        (r#","name":"Asha","locale":"fr""#, 400, "INVALID_REQUEST"),
        (r#","name":"Asha","role":"administrator""#, 400, "INVALID_REQUEST"),
        (r#","name":"Asha","handle":"a""#, 400, "INVALID_REQUEST"),
        (r#","name":"Asha","handle":"s.upport""#, 400, "INVALID_REQUEST"),
        (r#","name":"Asha","handle":"RAVI""#, 422, "ADDRESS_TAKEN"),
        (r#","name":"Asha","password":"password12""#, 422, "WEAK_PASSWORD"),
    ] {
        let reply = people.register("wrong", &with(more)).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{more}: {reply:?}");
    }
    assert_eq!(people.register("right", &with(r#","name":"Asha""#)).await.status, 201);
    people.stop().await;
}

/// One token, fifty requests at the same moment: the client that repeats with its key and those who try with others.
#[tokio::test(flavor = "multi_thread")]
async fn one_token_opens_one_account() {
    let people = Arc::new(People::start().await);
    let token = people.registration_token("asha@example.in").await;
    let body = format!(r#"{{"registration_token":"{token}","name":"Asha","handle":"asha"}}"#);
    let mut all = JoinSet::new();
    for index in 0..50 {
        let (people, body) = (Arc::clone(&people), body.clone());
        let key = if index % 2 == 0 { "mine".to_owned() } else { format!("other-{index}") };
        all.spawn(async move { people.register(&key, &body).await });
    }
    let replies = all.join_all().await;
    let mut ids: Vec<String> = replies
        .iter()
        .filter(|reply| reply.status == 201)
        .map(|reply| reply.json()["account"]["id"].as_str().unwrap().to_owned())
        .collect();
    let first = replies.iter().filter(|reply| reply.status == 201 && reply.header("idempotent-replayed").is_none());
    assert_eq!(first.count(), 1);
    assert!(replies.iter().all(|reply| reply.status == 201 || reply.code() == "INVALID_TOKEN"), "{replies:?}");
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(rows(&people, "SELECT COUNT(*) FROM accounts").await, 1);
    let owner = &ids[0];
    let wallets = people.get(&format!("/v1/wallets?owner={owner}")).await.json();
    assert_eq!(wallets["data"].as_array().unwrap().len(), 1);
    Arc::into_inner(people).expect("nobody else has it").stop().await;
}

async fn promotion(people: &People, finance: &Person, name: &str, budget: &str) -> Value {
    let ends_at = "2100-01-01T00:00:00Z";
    let body = format!(r#"{{"name":"{name}","amount":{{"amount":"50.00","currency":"INR"}},"ends_at":"{ends_at}"}}"#);
    let reply = people.post_as(finance, "/v1/promotions", "p", &body).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    let promotion = reply.json();
    if budget != "0" {
        let wallet = promotion["budget_wallet"].as_str().unwrap();
        let body = format!(r#"{{"wallet":"{wallet}","amount":{{"amount":"{budget}","currency":"INR"}}}}"#);
        assert_eq!(people.post("/v1/deposits", &format!("budget-{name}"), &body).await.status, 201);
    }
    promotion
}

#[tokio::test]
async fn a_promotion_pays_new_accounts_until_its_budget_is_empty() {
    let people = People::start().await;
    let finance = people.person("fina", Role::Finance).await;
    let running = promotion(&people, &finance, "Diwali", "100.00").await;
    assert_eq!(running["state"], "running");
    for (name, paid) in [("a1", "50.00"), ("a2", "50.00"), ("a3", "0.00")] {
        let token = people.registration_token(&format!("{name}@example.in")).await;
        let body = format!(r#"{{"registration_token":"{token}","name":"{name}"}}"#);
        let account = people.register(name, &body).await.json()["account"].clone();
        assert_eq!(people.balance_of_new(&account).await, paid, "{account}");
        let expected = if paid == "0.00" { Some("INSUFFICIENT_FUNDS") } else { None };
        assert_eq!(account["promotion_refused"].as_str(), expected);
        assert_eq!(account["promotion_paid_at"].is_string(), expected.is_none());
        if paid != "0.00" {
            let entries = people.get(&format!("/v1/wallets/{}/entries", account["wallet"].as_str().unwrap())).await;
            assert_eq!(entries.json()["data"][0]["reference"], "promotion Diwali");
        }
    }
    // Nobody is paid twice, or later after all.
    let people = people.restart().await;
    let budget = running["budget_wallet"].as_str().unwrap();
    assert_eq!(people.posted(budget).await, "0.00");

    let path = format!("/v1/promotions/{}/end", running["id"].as_str().unwrap());
    assert_eq!(people.post(&path, "e", "").await.json()["state"], "ended");
    assert_eq!(people.post(&path, "e", "").await.code(), "INVALID_STATE");
    let ravi = people.person("ravi", Role::User).await;
    assert_eq!(ravi.account.promotion, None);
    let list = people.get("/v1/promotions").await.json();
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    let audit = people.get("/v1/audit").await.json();
    let acts: Vec<_> = audit["data"].as_array().unwrap().iter().map(|row| row["action"].as_str().unwrap()).collect();
    assert_eq!(acts, ["promotion.end", "promotion.create"]);
    people.stop().await;
}

#[tokio::test]
async fn a_promotion_asked_for_twice_begins_once() {
    let people = People::start().await;
    let (fina, dina) = (people.person("fina", Role::Finance).await, people.person("dina", Role::Finance).await);
    let body = r#"{"name":"Diwali","amount":{"amount":"50.00","currency":"INR"},"ends_at":"2100-01-01T00:00:00Z"}"#;
    let headless = people.send_as(&fina.token, "POST", "/v1/promotions", &[], body).await;
    assert_eq!(headless.code(), "IDEMPOTENCY_KEY_REQUIRED");
    let all = (0..8).map(|_| people.post_as(&fina, "/v1/promotions", "diwali", body));
    let (done, busy): (Vec<_>, Vec<_>) = join_all(all).await.into_iter().partition(|reply| reply.status == 201);
    assert!(busy.iter().all(|reply| reply.code() == "REQUEST_IN_PROGRESS"), "{busy:?}");
    let again = people.post_as(&fina, "/v1/promotions", "diwali", body).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (201, Some("true")));
    let replies: Vec<_> = done.into_iter().chain([again]).collect();
    let ids: BTreeSet<_> = replies.iter().map(|reply| reply.json()["id"].to_string()).collect();
    let wallets: BTreeSet<_> = replies.iter().map(|reply| reply.json()["budget_wallet"].to_string()).collect();
    assert_eq!((ids.len(), wallets.len()), (1, 1), "{ids:?} {wallets:?}");
    let fresh = replies.iter().filter(|reply| reply.header("idempotent-replayed").is_none()).count();
    assert!(fresh <= 1, "{fresh} began it");
    let other = body.replace("50.00", "60.00");
    assert_eq!(people.post_as(&fina, "/v1/promotions", "diwali", &other).await.code(), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(people.post_as(&dina, "/v1/promotions", "diwali", &other).await.status, 201, "a key of her own");

    // An id that is somebody's account makes the budget nobody's of them.
    let own = dina.account.id.to_string();
    let reply = people.post_as(&dina, "/v1/promotions", &own, body).await.json();
    assert_eq!(reply["id"], own);
    let wallet = people.get(&format!("/v1/wallets/{}", reply["budget_wallet"].as_str().unwrap())).await.json();
    assert_ne!(wallet["owner"], own);

    let mut listed = Vec::new();
    let mut path = "/v1/promotions?limit=1".to_owned();
    loop {
        let page = people.get(&path).await.json();
        listed.extend(page["data"].as_array().unwrap().iter().map(|row| row["created_at"].to_string()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/promotions?limit=1&cursor={cursor}");
    }
    assert_eq!(listed.len(), 3);
    assert!(listed.is_sorted_by(|one, next| one > next), "newest first: {listed:?}");
    people.stop().await;
}
