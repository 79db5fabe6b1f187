//! kill -9 at each step of what administrators do to accounts, and of API keys: the wallets, sessions and keys follow the
//! state, and each act is recorded and told once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use florin::store::Role;
use serde_json::Value;

use crate::people_crash_rig::{Home, Program};
use crate::people_rig::{People, Person};

async fn api_key(people: &People, of: &Person) -> String {
    let body = r#"{"name":"till","scopes":["wallets:read"]}"#;
    let made = people.post_as(of, "/v1/api-keys", "k", body).await;
    made.json()["key"].as_str().unwrap_or_else(|| panic!("{made:?}")).to_owned()
}

async fn opens(server: &Program, key: &str, of: &Person) -> bool {
    match server.get(key, &format!("/v1/wallets/{}", of.account.wallet)).await.status {
        200 => true,
        401 => false,
        other => panic!("{other}"),
    }
}

async fn state(server: &Program, of: &Person) -> String {
    server.read(&format!("/v1/accounts/{}", of.account.id)).await["state"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_account_and_what_it_owns_have_one_state() {
    let people = People::start().await;
    let adam = people.person("adam", Role::Administrator).await;
    let block = ("block", "blocked", "frozen", "your account was blocked");
    let unblock = ("unblock", "active", "active", "your account is active again");
    let close = ("close", "closed", "closed", "your account was closed");
    let steps = [
        ("account.after_state", "a", block),
        ("account.after_frozen_note", "b", block),
        ("account.after_wallet_status", "c", block),
        ("account.after_state", "a", unblock),
        ("account.after_wallet_status", "b", unblock),
        ("account.after_state", "d", close),
        ("account.before_wallets_closed", "e", close),
        ("account.after_wallets_closed", "f", close),
    ];
    let mut shops = Vec::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        let shop = people.person(&format!("shop-{name}"), Role::Merchant).await;
        shops.push((name, api_key(&people, &shop).await, shop));
    }
    let home = Home::of(people, &[]).await;
    for (step, name, (act, to, wallet, words)) in steps {
        let (_, key, shop) = shops.iter().find(|(known, ..)| *known == name).unwrap();
        let path = format!("/v1/accounts/{}/{act}", shop.account.id);
        let body = if act == "block" { r#"{"reason":"reported stolen"}"# } else { "" };
        let server = home.crash(step, async |first| first.lost(&adam.token, &path, "k", body).await).await;
        assert_eq!((&*state(&server, shop).await, &*server.wallet_status(shop.account.wallet).await), (to, wallet));
        let again = server.told(&adam.token, &path, "k", body).await;
        assert_eq!(again.code(), "INVALID_STATE", "{step}: {again:?}");
        assert!(!server.is_in(&shop.token).await, "{step}: blocking had ended the session");
        assert_eq!(opens(&server, key, shop).await, act == "unblock", "{step}");
        let object = format!("account {}", shop.account.id);
        assert_eq!(server.recorded(&object, &format!("account.{act}")).await, 1, "{step}");
        home.until_mails(&shop.email, words, 1).await;
        server.is_in_order().await;
    }
}

/// Registered by one server, and let in by the next.
#[tokio::test]
async fn who_waits_has_a_frozen_wallet_and_who_was_let_in_has_not() {
    let people = People::start().await;
    let adam = people.person("adam", Role::Administrator).await;
    let tokens = [people.registration_token("a@example.in").await, people.registration_token("b@example.in").await];
    let home = Home::of(people, &["--approval", "manual"]).await;
    let steps = ["account.after_wallet_status", "account.after_state"];
    for (step, token) in steps.into_iter().zip(tokens) {
        let body = format!(r#"{{"registration_token":"{token}","name":"Asha"}}"#);
        let server = match step {
            "account.after_state" => home.start(None),
            _ => {
                let open = async |first: &Program| first.lost("", "/v1/accounts", "k", &body).await;
                home.crash(step, open).await
            }
        };
        let opened = server.told("", "/v1/accounts", "k", &body).await;
        assert_eq!(opened.status, 201, "{opened:?}");
        let answer = opened.json();
        let (id, wallet) = (answer["account"]["id"].as_str().unwrap(), &answer["account"]["wallet"]);
        let wallet = wallet.as_str().unwrap().parse().unwrap();
        assert_eq!(server.wallet_status(wallet).await, "frozen", "{step}");
        server.kill();
        let path = format!("/v1/accounts/{id}/approve");
        let server = home.crash(step, async |first| first.lost(&adam.token, &path, "k", "").await).await;
        assert_eq!(server.wallet_status(wallet).await, "active", "{step}");
        assert_eq!(server.told(&adam.token, &path, "k", "").await.code(), "INVALID_STATE", "{step}");
        assert_eq!(server.recorded(&format!("account {id}"), "account.approve").await, 1, "{step}");
        assert!(server.is_in(answer["session"]["access_token"].as_str().unwrap()).await, "{step}");
    }
}

#[tokio::test]
async fn a_role_that_is_taken_away_takes_sessions_and_keys_with_it() {
    let people = People::start().await;
    let (adam, shop) = (people.person("adam", Role::Administrator).await, people.person("shop", Role::Merchant).await);
    let key = api_key(&people, &shop).await;
    let home = Home::of(people, &[]).await;
    let (path, body) = (format!("/v1/accounts/{}/role", shop.account.id), r#"{"role":"user"}"#);
    let change = async |first: &Program| first.lost(&adam.token, &path, "k", body).await;
    let server = home.crash("account.after_role", change).await;
    assert_eq!((server.is_in(&shop.token).await, opens(&server, &key, &shop).await), (false, false));
    let again = server.told(&adam.token, &path, "k", body).await;
    assert_eq!((again.status, again.json()["role"].as_str()), (200, Some("user")), "{again:?}");
    assert_eq!(server.recorded(&format!("account {}", shop.account.id), "account.role").await, 1);
    server.is_in_order().await;
}

/// Whoever was not told the new key makes another; the one that nobody knows can be seen and revoked.
#[tokio::test]
async fn an_api_key_is_there_as_a_whole_or_not() {
    let people = People::start().await;
    let shop = people.person("shop", Role::Merchant).await;
    let steps = [("api_key.before_commit", false), ("api_key.after_commit", true)];
    let keys = [api_key(&people, &shop).await, api_key(&people, &shop).await];
    let home = Home::of(people, &[]).await;
    let list = async |server: &Program| {
        server.get(&shop.token, "/v1/api-keys").await.json()["data"].as_array().unwrap().clone()
    };
    let mut count = keys.len();
    for ((step, is_done), key) in steps.into_iter().zip(&keys) {
        let path = "/v1/api-keys";
        let body = r#"{"name":"till","scopes":["wallets:read"]}"#;
        let make = async |first: &Program| first.lost(&shop.token, path, "k", body).await;
        let server = home.crash(step, make).await;
        count += usize::from(is_done);
        let all = list(&server).await;
        assert_eq!(all.len(), count, "{step}");
        let has_prefix = |row: &&Value| row["prefix"].as_str().is_some_and(|prefix| key.starts_with(prefix));
        let id = all.iter().find(has_prefix).unwrap()["id"].as_str().unwrap().to_owned();
        server.kill();

        let (path, body) = (format!("/v1/api-keys/{id}/rotate"), r#"{"overlap_seconds":3600}"#);
        let rotate = async |first: &Program| first.lost(&shop.token, &path, "k", body).await;
        let server = home.crash(step, rotate).await;
        count += usize::from(is_done);
        let all = list(&server).await;
        assert_eq!((all.len(), opens(&server, key, &shop).await), (count, true), "{step}");
        let old = all.iter().find(|key| key["id"] == *id).unwrap();
        assert_eq!(old.get("replaced_by").is_some_and(Value::is_string), is_done, "{step}: {old}");
        server.kill();

        let path = format!("/v1/api-keys/{id}/revoke");
        let revoke = async |first: &Program| first.lost(&shop.token, &path, "k", "").await;
        let server = home.crash(step, revoke).await;
        assert_eq!(opens(&server, key, &shop).await, !is_done, "{step}");
        let again = server.told(&shop.token, &path, "k", "").await;
        assert_eq!((again.status, again.json()["state"].as_str()), (200, Some("revoked")), "{step}: {again:?}");
        assert!(!opens(&server, key, &shop).await, "{step}");
        assert_eq!(server.recorded(&format!("key {id}"), "api_key.revoke").await, 1, "{step}");
        server.is_in_order().await;
    }
}
