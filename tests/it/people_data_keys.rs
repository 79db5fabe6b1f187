//! Data keys rotated by the API, without a stop: what was sealed and signed before goes on being good for as long as it should.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use florin::store::Role;
use serde_json::Value;

use crate::people_rig::{People, Person};

async fn rotate(people: &People, admin: &Person, purpose: &str) -> String {
    let reply = people.post_as(admin, "/v1/keys/rotate", "k", &format!(r#"{{"purpose":"{purpose}"}}"#)).await;
    let key = reply.json();
    assert_eq!((reply.status, &key["purpose"], &key["current"]), (201, &purpose.into(), &true.into()), "{reply:?}");
    key["id"].as_str().unwrap().to_owned()
}

/// Id and whether it is the current one, oldest first.
async fn keys_for(people: &People, purpose: &str) -> Vec<(String, bool)> {
    let list = people.get("/v1/keys").await.json();
    let keys = list["data"].as_array().unwrap().iter().filter(|key| key["purpose"] == purpose);
    keys.map(|key| (key["id"].as_str().unwrap().to_owned(), key["current"].as_bool().unwrap())).collect()
}

/// A sealed value begins with its version and the id of its key.
fn key_of(sealed: &str) -> &str {
    &sealed[2..34]
}

#[tokio::test]
async fn names_open_after_a_rotation_and_new_ones_have_the_new_key() {
    let people = People::start().await;
    let (admin, asha) = (people.person("adam", Role::Administrator).await, people.person("asha", Role::User).await);
    let old = keys_for(&people, "store").await;
    assert_eq!((old.len(), old[0].1), (1, true));
    let new = rotate(&people, &admin, "store").await;
    assert_eq!(keys_for(&people, "store").await, [(old[0].0.clone(), false), (new.clone(), true)]);
    let ravi = people.person("ravi", Role::User).await;
    assert_eq!((key_of(&asha.account.name_sealed), key_of(&ravi.account.name_sealed)), (&*old[0].0, &*new));
    let people = people.restart().await;
    for name in ["asha", "ravi"] {
        let found = people.get_as(&admin, &format!("/v1/accounts?email={name}@example.in")).await.json();
        assert_eq!(found["data"][0]["name"], name, "{found}");
    }
    let audit = people.get("/v1/audit?object=keys%20store").await.json();
    let row = &audit["data"][0];
    let by = format!("account {}", admin.account.id);
    assert_eq!((row["action"].as_str(), row["actor"].as_str()), (Some("keys.rotate"), Some(&*by)));
    people.stop().await;
}

#[tokio::test]
async fn a_token_of_a_rotated_key_is_good_for_its_time() {
    let people = People::start().await;
    let (admin, asha) = (people.person("adam", Role::Administrator).await, people.person("asha", Role::User).await);
    rotate(&people, &admin, "tokens").await;
    rotate(&people, &admin, "tokens").await;
    assert_eq!(people.get_as(&asha, "/v1/me").await.status, 200);
    let later = people.another_session(&asha).await;
    assert_eq!(people.get_as(&later, "/v1/me").await.status, 200);
    assert_ne!(later.token.split('.').next(), asha.token.split('.').next(), "the header names the key");
    let people = people.restart().await;
    assert_eq!(people.get_as(&asha, "/v1/me").await.status, 200);
    people.services.clock.advance(florin::services::tokens::ACCESS_MICROS);
    assert_eq!(people.get_as(&asha, "/v1/me").await.status, 401);
    people.stop().await;
}

#[tokio::test]
async fn each_purpose_is_listed_and_all_but_one_rotate() {
    let people = People::start().await;
    let admin = people.person("adam", Role::Administrator).await;
    for purpose in ["log", "snapshots", "indexes", "store", "tokens"] {
        let new = rotate(&people, &admin, purpose).await;
        let keys = keys_for(&people, purpose).await;
        assert_eq!((keys.len(), keys.last().unwrap()), (2, &(new, true)), "{purpose}");
    }
    assert_eq!(keys_for(&people, "lookup").await.len(), 1);
    let list = people.get("/v1/keys").await.json();
    for key in list["data"].as_array().unwrap() {
        let fields: Vec<&String> = key.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["created_at", "current", "id", "purpose"], "nothing of what it is");
    }
    for body in [r#"{"purpose":"lookup"}"#, r#"{"purpose":"everything"}"#, r#"{"purpose":null}"#, "{}"] {
        let reply = people.post_as(&admin, "/v1/keys/rotate", "k", body).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "INVALID_REQUEST"), "{body}");
    }
    people.stop().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_changed_leaves_the_keys_that_are_known() {
    let people = People::start().await;
    let (admin, asha) = (people.person("adam", Role::Administrator).await, people.person("asha", Role::User).await);
    let path = people.folder().join(vault::KEYS_FILE_NAME);
    let good = std::fs::read(&path).unwrap();
    std::fs::write(&path, "no keys").unwrap();
    let reply = people.post_as(&admin, "/v1/keys/rotate", "k", r#"{"purpose":"store"}"#).await;
    assert_eq!(reply.code(), "STORAGE_FAILED", "{reply:?}");
    assert_eq!(people.get_as(&asha, "/v1/me").await.json()["name"], "asha");
    assert_eq!(keys_for(&people, "store").await.len(), 1);
    let audit: Value = people.get("/v1/audit?object=keys%20store").await.json();
    assert_eq!(audit["data"].as_array().unwrap().len(), 1, "what was asked for is written down all the same");
    std::fs::write(&path, good).unwrap();
    rotate(&people, &admin, "store").await;
    people.stop().await;
}
