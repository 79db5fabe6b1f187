//! Passwords: checked at the same price for everybody, ever more slowly for whoever guesses, changed by who may.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use florin::services::clock::{MINUTE, SECOND};
use florin::store::Role;

use crate::http_api::Reply;
use crate::people_rig::{People, Person};

const GOOD: &str = "lorry-quince-tabla-moss";
const BETTER: &str = "kettle;ORBIT;sixty;vowel";

async fn sign_in(people: &People, email: &str, password: &str) -> Reply {
    people.post_open("/v1/auth/password", &format!(r#"{{"email":"{email}","password":"{password}"}}"#)).await
}

async fn change(people: &People, person: &Person, body: &str) -> Reply {
    people.post_as(person, "/v1/me/password", "-", body).await
}

async fn with_password(people: &People, name: &str) -> Person {
    let person = people.person(name, Role::User).await;
    let reply = change(people, &person, &format!(r#"{{"new":"{GOOD}"}}"#)).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    person
}

#[tokio::test]
async fn a_password_signs_in() {
    let people = People::start().await;
    let asha = with_password(&people, "asha").await;
    let reply = sign_in(&people, "ASHA@example.in", GOOD).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.json()["account"], asha.account.id.to_string());
    let reply = sign_in(&people, "asha@example.in", "lorry-quince-tabla-mosS").await;
    assert_eq!((reply.status, reply.code().as_str()), (401, "INVALID_CREDENTIALS"));
    assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    people.stop().await;
}

#[tokio::test]
async fn known_and_unknown_cost_the_same() {
    let people = People::start().await;
    with_password(&people, "asha").await;
    people.person("without", Role::User).await;
    for email in ["asha@example.in", "without@example.in", "nobody@example.in"] {
        let runs = people.services.hashing.runs();
        let reply = sign_in(&people, email, "something else entirely").await;
        assert_eq!((reply.status, reply.code().as_str()), (401, "INVALID_CREDENTIALS"), "{email}");
        assert_eq!(people.services.hashing.runs() - runs, 1, "{email}");
    }
    // The answers to guesses say nothing either: all of them have to wait after the third.
    for email in ["asha@example.in", "without@example.in", "nobody@example.in"] {
        let statuses = [
            sign_in(&people, email, "a second guess").await.status,
            sign_in(&people, email, "a third guess").await.status,
            sign_in(&people, email, GOOD).await.status,
        ];
        assert_eq!(statuses, [401, 401, 429], "{email}");
    }
    people.services.clock.advance(SECOND);
    assert_eq!(sign_in(&people, "asha@example.in", GOOD).await.status, 200);
    assert_eq!(sign_in(&people, "asha@example.in", GOOD).await.status, 200, "a right one begins anew");
    people.stop().await;
}

#[tokio::test]
async fn many_guesses_at_once_are_few() {
    let people = std::sync::Arc::new(People::start().await);
    with_password(&people, "asha").await;
    let runs = people.services.hashing.runs();
    let mut all = tokio::task::JoinSet::new();
    for guess in 0..50 {
        let people = std::sync::Arc::clone(&people);
        all.spawn(async move { sign_in(&people, "asha@example.in", &format!("a guess {guess}")).await.status });
    }
    let statuses = all.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 3, "{statuses:?}");
    assert_eq!(people.services.hashing.runs() - runs, 3);
    std::sync::Arc::into_inner(people).unwrap().stop().await;
}

#[tokio::test]
async fn guesses_from_one_place_are_slowed_over_all_accounts() {
    let people = People::start().await;
    let mut refused = None;
    for guess in 0..60 {
        let reply = sign_in(&people, &format!("nobody{guess}@example.in"), "the same guess").await;
        if reply.status == 429 {
            refused = Some(guess);
            break;
        }
    }
    assert_eq!(refused, Some(50));
    people.stop().await;
}

#[tokio::test]
async fn weak_passwords_are_not_taken() {
    let people = People::start().await;
    let asha = people.person("ashavenkataraman", Role::User).await;
    let long = "long and good ".repeat(10);
    for bad in ["short-1!", "password1234", "ashavenkataraman", "ashavenkataraman@example.in", &long] {
        let reply = change(&people, &asha, &format!(r#"{{"new":"{bad}"}}"#)).await;
        assert_eq!((reply.status, reply.code().as_str()), (422, "WEAK_PASSWORD"), "{bad}");
        let said = String::from_utf8(reply.body).unwrap();
        assert!(!said.contains(bad), "what was sent is not sent back: {said}");
    }
    people.stop().await;
}

#[tokio::test]
async fn a_change_ends_what_others_have() {
    let people = People::start().await;
    let asha = with_password(&people, "asha").await;
    let other = sign_in(&people, &asha.email, GOOD).await.json();
    let other_token = other["access_token"].as_str().unwrap();
    people.services.clock.advance(11 * MINUTE);
    let asha = people.sign_in_again(asha).await;
    let other = sign_in(&people, &asha.email, GOOD).await.json();
    let (new_token, refresh) = (other["access_token"].as_str().unwrap(), other["refresh_token"].as_str().unwrap());
    // In the session that was begun by a password only whoever knows it may.
    let body = format!(r#"{{"new":"{BETTER}"}}"#);
    let reply = people.send_as(new_token, "POST", "/v1/me/password", &[], &body).await;
    assert_eq!((reply.status, reply.code().as_str()), (403, "RECENT_SIGN_IN_REQUIRED"));
    let body = format!(r#"{{"current":"not the one","new":"{BETTER}"}}"#);
    let reply = change(&people, &asha, &body).await;
    assert_eq!((reply.status, reply.code().as_str()), (401, "INVALID_CREDENTIALS"));
    let reply = change(&people, &asha, &format!(r#"{{"current":"{GOOD}","new":"{BETTER}"}}"#)).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(people.get_as(&asha, "/v1/me").await.status, 200, "this session goes on");
    for token in [other_token, new_token] {
        assert_eq!(people.send_as(token, "GET", "/v1/me", &[], "").await.status, 401);
    }
    let reply = people.post_open("/v1/auth/refresh", &format!(r#"{{"refresh_token":"{refresh}"}}"#)).await;
    assert_eq!((reply.status, reply.code().as_str()), (401, "INVALID_TOKEN"));
    assert_eq!(sign_in(&people, &asha.email, GOOD).await.status, 401);
    assert_eq!(sign_in(&people, &asha.email, BETTER).await.status, 200);
    let told = people.told(asha.account.id, "security_changed").await;
    assert_eq!(told.iter().map(|notice| notice["what"].as_str().unwrap()).collect::<Vec<_>>(), ["password_changed"; 2]);
    people.stop().await;
}

#[tokio::test]
async fn without_the_old_one_a_code_is_needed_and_of_late() {
    let people = People::start().await;
    let asha = with_password(&people, "asha").await;
    let (challenge, code) = people.code_to(&asha.email).await;
    let body = format!(r#"{{"challenge":"{challenge}","code":"{code}"}}"#);
    let grant = people.post_open("/v1/auth/verify", &body).await.json();
    people.services.clock.advance(9 * MINUTE);
    let token = grant["access_token"].as_str().unwrap();
    let reset = format!(r#"{{"new":"{BETTER}"}}"#);
    assert_eq!(people.send_as(token, "POST", "/v1/me/password", &[], &reset).await.status, 200);
    people.services.clock.advance(MINUTE);
    let refresh = grant["refresh_token"].as_str().unwrap();
    let grant = people.post_open("/v1/auth/refresh", &format!(r#"{{"refresh_token":"{refresh}"}}"#)).await.json();
    let token = grant["access_token"].as_str().unwrap();
    let reply = people.send_as(token, "POST", "/v1/me/password", &[], &reset).await;
    assert_eq!((reply.status, reply.code().as_str()), (403, "RECENT_SIGN_IN_REQUIRED"), "{reply:?}");
    people.stop().await;
}

#[tokio::test]
async fn it_is_kept_as_a_hash_under_a_seal() {
    let people = People::start().await;
    let asha = with_password(&people, "asha").await;
    let mut c = people.services.store.read().await.unwrap();
    let sql = "SELECT hash_sealed FROM passwords WHERE account = $1";
    let sealed: String = sqlx::query_scalar(sql).bind(asha.account.id.to_string()).fetch_one(&mut *c).await.unwrap();
    drop(c);
    assert!(!sealed.contains("argon2"));
    let hash = people.services.seal.open("passwords.hash", &sealed).unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    people.stop().await;
}
