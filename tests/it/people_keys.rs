//! API keys: made by a merchant, good for what they are made for and his own wallets, until they are replaced, revoked, expire,
//! or their owner is blocked.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use florin::services::api_keys;
use florin::services::clock::{DAY, MINUTE};
use florin::store::Role;

use crate::people_rig::{People, Person};

async fn make(people: &People, merchant: &Person, body: &str) -> (String, String) {
    let reply = people.post_as(merchant, "/v1/api-keys", "k", body).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    let made = reply.json();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    (text(&made["api_key"]["id"]), text(&made["key"]))
}

async fn reads(people: &People, key: &str, of: &Person) -> u16 {
    people.send_as(key, "GET", &format!("/v1/wallets/{}", of.account.wallet), &[], "").await.status
}

const READING: &str = r#"{"name":"till","scopes":["wallets:read"]}"#;

#[tokio::test]
async fn a_key_is_good_for_its_scopes_and_its_owner() {
    let people = People::start().await;
    let (shop, other) = (people.person("shop", Role::Merchant).await, people.person("other", Role::Merchant).await);
    let (id, key) = make(&people, &shop, READING).await;
    assert!(key.starts_with("fmk_") && key.len() == 68);
    assert_eq!((reads(&people, &key, &shop).await, reads(&people, &key, &other).await), (200, 404));
    let pay = format!(
        r#"{{"from":"{}","to":"{}","amount":{{"amount":"1.00","currency":"INR"}}}}"#,
        shop.account.wallet, other.account.wallet
    );
    let headers = [("idempotency-key", "pay")];
    assert_eq!(people.send_as(&key, "POST", "/v1/transfers", &headers, &pay).await.status, 403);
    assert_eq!(people.send_as(&key, "GET", "/v1/api-keys", &[], "").await.status, 403, "keys make no keys");

    let list = people.get_as(&shop, "/v1/api-keys").await.json();
    assert_eq!((list["data"][0]["id"].as_str(), list["data"][0]["prefix"].as_str()), (Some(&*id), Some(&key[..12])));
    assert!(!list.to_string().contains(&key[12..]), "the key is never shown again");
    assert!(people.get_as(&other, "/v1/api-keys").await.json()["data"].as_array().unwrap().is_empty());
    let foreign = format!("/v1/api-keys?account={}", shop.account.id);
    assert!(people.get_as(&other, &foreign).await.json()["data"].as_array().unwrap().is_empty());
    assert_eq!(people.post_as(&other, &format!("/v1/api-keys/{id}/revoke"), "r", "").await.status, 404);

    api_keys::note_use(&people.services).await.unwrap();
    let used = people.get_as(&shop, "/v1/api-keys").await.json()["data"][0]["last_used_day"].clone();
    assert!(used.as_str().is_some_and(|day| day.ends_with("T00:00:00.000000Z")), "{used}");

    let people = people.restart().await;
    assert_eq!(reads(&people, &key, &shop).await, 200);
    assert_eq!(people.post_as(&shop, &format!("/v1/api-keys/{id}/revoke"), "r", "").await.json()["state"], "revoked");
    assert_eq!(reads(&people, &key, &shop).await, 401);
    let people = people.restart().await;
    assert_eq!(reads(&people, &key, &shop).await, 401);
    people.stop().await;
}

#[tokio::test]
async fn rotation_overlaps_and_keys_expire() {
    let people = People::start().await;
    let shop = people.person("shop", Role::Merchant).await;
    let (id, old) = make(&people, &shop, r#"{"name":"till","scopes":["wallets:read"],"expires_in_days":10}"#).await;
    let path = format!("/v1/api-keys/{id}/rotate");
    assert_eq!(people.post_as(&shop, &path, "r", r#"{"overlap_seconds":99999999}"#).await.code(), "INVALID_REQUEST");
    let reply = people.post_as(&shop, &path, "r", r#"{"overlap_seconds":300}"#).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    let new = reply.json()["key"].as_str().unwrap().to_owned();
    assert_eq!((reads(&people, &old, &shop).await, reads(&people, &new, &shop).await), (200, 200));
    assert_eq!(people.post_as(&shop, &path, "r", r#"{"overlap_seconds":300}"#).await.code(), "INVALID_STATE");
    people.services.clock.advance(6 * MINUTE);
    assert_eq!((reads(&people, &old, &shop).await, reads(&people, &new, &shop).await), (401, 200));
    people.services.clock.advance(10 * DAY);
    assert_eq!(reads(&people, &new, &shop).await, 401);
    people.stop().await;
}

#[tokio::test]
async fn keys_stop_with_their_owner() {
    let people = People::start().await;
    let (admin, shop) = (people.person("adam", Role::Administrator).await, people.person("shop", Role::Merchant).await);
    let (_, key) = make(&people, &shop, READING).await;
    let account = format!("/v1/accounts/{}", shop.account.id);
    let act =
        async |what: &str, body: &str| people.post_as(&admin, &format!("{account}/{what}"), "a", body).await.status;
    assert_eq!(act("block", r#"{"reason":"complaints"}"#).await, 200);
    assert_eq!(reads(&people, &key, &shop).await, 401);
    assert_eq!(act("unblock", "").await, 200);
    assert_eq!(reads(&people, &key, &shop).await, 200);
    assert_eq!(act("role", r#"{"role":"user"}"#).await, 200);
    assert_eq!(reads(&people, &key, &shop).await, 401, "only merchants have keys");

    let other = people.person("other", Role::Merchant).await;
    let body = format!(r#"{{"name":"till","scopes":["wallets:read"],"account":"{}"}}"#, other.account.id);
    let (_, key) = make(&people, &admin, &body).await;
    assert_eq!(reads(&people, &key, &other).await, 200);
    assert_eq!(people.told(other.account.id, "security_changed").await.len(), 1);
    let close = format!("/v1/accounts/{}/close", other.account.id);
    assert_eq!(people.post_as(&admin, &close, "c", "").await.status, 200);
    assert_eq!(reads(&people, &key, &other).await, 401);
    for body in [
        r#"{"name":"x","scopes":[]}"#,
        r#"{"name":"x","scopes":["all"]}"#,
        r#"{"name":"","scopes":["wallets:read"]}"#,
        r#"{"name":"x","scopes":["wallets:read"],"expires_in_days":0}"#,
        r#"{"name":"x"}"#,
    ] {
        assert_eq!(people.post_as(&admin, "/v1/api-keys", "k", body).await.code(), "INVALID_REQUEST", "{body}");
    }
    people.stop().await;
}
