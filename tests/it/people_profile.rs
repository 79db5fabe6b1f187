//! What people change about themselves: name, handle, and the addresses by which they sign in.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::sync::Arc;

use florin::services::clock::MINUTE;
use florin::store::Role;

use crate::people_rig::People;

#[tokio::test]
async fn name_language_and_handle() {
    let people = People::start().await;
    let (asha, ravi) = (people.person("asha", Role::User).await, people.person("ravi", Role::User).await);
    let me = people.post_as(&asha, "/v1/me", "n", r#"{"name":"Asha Rao","locale":"hi"}"#).await.json();
    assert_eq!((me["name"].as_str(), me["locale"].as_str()), (Some("Asha Rao"), Some("hi")));
    let handle = |name: &str| format!(r#"{{"handle":"{name}"}}"#);
    assert_eq!(people.post_as(&asha, "/v1/me/handle", "h", &handle("ravi")).await.code(), "ADDRESS_TAKEN");
    let me = people.post_as(&asha, "/v1/me/handle", "h", &handle("asha.rao")).await.json();
    assert_eq!(me["handles"].as_array().unwrap().len(), 1);
    assert_eq!(me["handles"][0], "asha.rao");
    // What she gave up is nobody else's, and hers again when she wants it.
    assert_eq!(people.post_as(&ravi, "/v1/me/handle", "h", &handle("asha")).await.code(), "ADDRESS_TAKEN");
    assert_eq!(people.post_as(&asha, "/v1/me/handle", "h", &handle("asha")).await.json()["handles"][0], "asha");
    for (name, status) in [("asha3", 200), ("asha4", 200), ("asha5", 200), ("asha6", 409)] {
        assert_eq!(people.post_as(&asha, "/v1/me/handle", "h", &handle(name)).await.status, status, "{name}");
    }
    people.stop().await;
}

#[tokio::test]
async fn addresses_are_added_by_a_code_and_the_last_one_stays() {
    let people = People::start().await;
    let asha = people.person("asha", Role::User).await;
    let token = people.registration_token("second@example.in").await;
    let add = format!(r#"{{"registration_token":"{token}"}}"#);
    let me = people.post_as(&asha, "/v1/me/addresses", "a", &add).await;
    assert_eq!((me.status, me.json()["emails"].as_array().unwrap().len()), (200, 2), "{me:?}");
    assert_eq!(people.post_as(&asha, "/v1/me/addresses", "a", &add).await.code(), "INVALID_TOKEN");
    assert_eq!(people.told(asha.account.id, "security_changed").await.len(), 1);

    // Both are taken away at the same moment: one stays.
    let (people, asha) = (Arc::new(people), Arc::new(asha));
    let both = ["second@example.in", "asha@example.in"].map(|email| {
        let (people, asha) = (Arc::clone(&people), Arc::clone(&asha));
        let body = format!(r#"{{"email":"{email}"}}"#);
        tokio::spawn(async move { people.post_as(&asha, "/v1/me/addresses/remove", "r", &body).await.status })
    });
    let mut statuses = Vec::new();
    for one in both {
        statuses.push(one.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    let left = people.get_as(&asha, "/v1/me").await.json()["emails"].as_array().unwrap().len();
    assert_eq!(left, 1);

    people.services.clock.advance(9 * MINUTE + MINUTE / 2);
    let other = people.another_session(&asha).await;
    people.services.clock.advance(MINUTE);
    let nobodys = r#"{"email":"nobody@example.in"}"#;
    assert_eq!(people.post_as(&other, "/v1/me/addresses/remove", "r", nobodys).await.code(), "NOT_FOUND");
    people.services.clock.advance(9 * MINUTE);
    let late = people.post_as(&other, "/v1/me/addresses/remove", "r", nobodys).await;
    assert!(["RECENT_SIGN_IN_REQUIRED", "UNAUTHORIZED"].contains(&&*late.code()), "{late:?}");
    Arc::into_inner(people).expect("nobody else has it").stop().await;
}
