//! Whatever staff and the operator do stands in the audit log, the ledger's acts before the ledger is asked; and a wallet opens
//! for no account that may not move money.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::BTreeSet;

use florin::http::route::{Route, Verb};
use florin::store::Role;
use serde_json::Value;

use crate::people_rig::{People, Person};
use crate::people_routes::{Caller, Cast, OBJECTS, TABLE, ask, normal};

/// What each route writes down, as rows of the walk's TABLE name it; or why it writes nothing.
const ACTS: &[(&str, Result<&str, &str>)] = &[
    ("POST /v1/deposits", Err("a record of the ledger")),
    ("POST /v1/withdrawals", Err("a record of the ledger")),
    ("POST /v1/wallets", Err("a record of the ledger")),
    ("POST /v1/wallets/{wallet}/limits", Ok("wallet.limits")),
    ("POST /v1/wallets/{wallet}/freeze", Ok("wallet.freeze")),
    ("POST /v1/wallets/{wallet}/unfreeze", Ok("wallet.unfreeze")),
    ("POST /v1/wallets/{wallet}/close", Ok("wallet.close")),
    ("POST /v1/snapshots", Ok("snapshot.take")),
    ("POST /v1/accounts/{account}/approve", Ok("account.approve")),
    ("POST /v1/accounts/{account}/block", Ok("account.block")),
    ("POST /v1/accounts/{account}/unblock", Ok("account.unblock")),
    ("POST /v1/accounts/{account}/close", Ok("account.close")),
    ("POST /v1/accounts/{account}/role", Ok("account.role")),
    ("POST /v1/api-keys/{api_key}/rotate", Ok("api_key.rotate")),
    ("POST /v1/api-keys/{api_key}/revoke", Ok("api_key.revoke")),
    ("POST /v1/api-keys", Ok("api_key.create")),
    ("POST /v1/promotions", Ok("promotion.create")),
    ("POST /v1/promotions/{promotion}/end", Ok("promotion.end")),
    ("POST /v1/adjustments", Ok("adjustment.ask")),
    ("POST /v1/adjustments/{adjustment}/approve", Ok("adjustment.approve")),
    ("POST /v1/adjustments/{adjustment}/reject", Ok("adjustment.reject")),
    ("POST /v1/keys/rotate", Ok("keys.rotate")),
    ("POST /v1/dead-letters/{dead_letter}/send", Ok("dead_letter.send")),
    ("POST /v1/dead-letters/{dead_letter}/discard", Ok("dead_letter.discard")),
];

#[test]
fn every_route_of_staff_is_among_them() {
    let is_of_staff = |route: &&Route| {
        let access = route.access();
        route.verb() == Verb::Post && !access.open && !access.roles.contains(&Role::User)
    };
    let routes: BTreeSet<String> =
        Route::ALL.iter().filter(is_of_staff).map(|r| format!("POST {}", r.path())).collect();
    let known: BTreeSet<String> = ACTS.iter().map(|(route, _)| normal(route)).collect();
    assert_eq!(known, routes, "left: ACTS; right: the server's routes that are not people's own");
}

#[tokio::test]
async fn whatever_staff_does_is_written_down() {
    let people = People::start().await;
    for (index, &(route, expected)) in ACTS.iter().enumerate() {
        let cast = Cast::new(&people, index).await;
        let admin = cast.people.iter().find(|person| person.account.role == Role::Administrator).unwrap();
        let merchant = cast.people.iter().find(|person| person.account.role == Role::Merchant).unwrap();
        // Without money, so that it can be closed.
        let asha = people.person(&format!("asha{index}"), Role::User).await;
        let id = match OBJECTS.iter().find(|object| route.contains(&format!("{{{object}}}"))) {
            Some(&"wallet") => asha.account.wallet.to_string(),
            Some(&"account") => asha.account.id.to_string(),
            Some(object) => cast.object(&people, object, merchant).await,
            None => merchant.account.wallet.to_string(),
        };
        prepare(&people, route, &asha).await;
        let is_staffs = TABLE.iter().any(|row| row.0 == route && row.1.contains("administrator"));
        let (caller, actor) = if is_staffs {
            (Caller::Person(admin), format!("account {}", admin.account.id))
        } else {
            (Caller::Operator, "operator".to_owned())
        };
        let mut body = TABLE.iter().find(|row| row.0 == route).unwrap().3.to_owned();
        if route.ends_with("/limits") {
            // The same limits again are no act.
            body = r#"{"per_day":{"amount":"1.00","currency":"INR"}}"#.to_owned();
        }
        if route == "POST /v1/api-keys" {
            body = body.replacen('{', &format!(r#"{{"account":"{}","#, merchant.account.id), 1);
        }
        let before = newest(&people).await;
        let reply = ask(&people, &cast, route, &body, &caller, &id).await;
        assert_eq!(reply.status / 100, 2, "{route}: {reply:?}");
        let after = newest(&people).await;
        match expected {
            Ok(action) => {
                assert_eq!(
                    after["seq"].as_i64(),
                    before["seq"].as_i64().or(Some(0)).map(|seq| seq + 1),
                    "{route}: {after}"
                );
                let what = (after["action"].as_str().unwrap(), after["actor"].as_str().unwrap());
                assert_eq!(what, (action, &*actor), "{route}");
                let object = after["object"].as_str().unwrap();
                // A rotation is told of the new key.
                let is_other = object.starts_with("delivery ") || route.ends_with("/rotate");
                let names_it = !route.contains('{') || object.ends_with(&id) || is_other;
                assert!(names_it, "{route}: {object}");
            }
            Err(why) => assert_eq!(before, after, "{route} is {why}"),
        }
    }
    assert_eq!(people.get("/v1/audit/verify").await.json()["intact"], true);
    people.stop().await;
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_done() {
    let people = People::start().await;
    let asha = people.person("asha", Role::User).await;
    let wallet = format!("/v1/wallets/{}", asha.account.wallet);
    let lsn = people.last_lsn().await;
    change(&people, "ALTER TABLE audit RENAME TO audit_gone").await;
    for (path, body) in [
        (format!("{wallet}/freeze"), ""),
        (format!("{wallet}/close"), ""),
        (format!("{wallet}/limits"), r#"{"per_day":{"amount":"1.00","currency":"INR"}}"#),
        ("/v1/snapshots".to_owned(), ""),
        ("/v1/keys/rotate".to_owned(), r#"{"purpose":"tokens"}"#),
    ] {
        assert_eq!(people.post(&path, "k", body).await.code(), "DATABASE_FAILED", "{path}");
    }
    assert_eq!(people.last_lsn().await, lsn, "the ledger was not asked");
    let keys = people.get("/v1/keys").await.json();
    assert!(keys["data"].as_array().unwrap().iter().all(|key| key["current"] == true), "{keys}");
    change(&people, "ALTER TABLE audit_gone RENAME TO audit").await;
    assert_eq!(people.post(&format!("{wallet}/freeze"), "k", "").await.json()["status"], "frozen");
    people.stop().await;
}

#[tokio::test]
async fn no_wallet_opens_for_who_may_not_move_money() {
    let people = People::start().await;
    let asha = people.person("asha", Role::User).await;
    let id = asha.account.id;
    let body = format!(r#"{{"owner":"{id}","currency":"INR"}}"#);
    let first = people.post("/v1/wallets", "first", &body).await;
    assert_eq!(first.status, 201, "{first:?}");
    for (sql, code) in [
        ("UPDATE accounts SET state = 'pending'", "ACCOUNT_PENDING"),
        ("UPDATE accounts SET state = 'blocked'", "ACCOUNT_BLOCKED"),
        ("UPDATE accounts SET state = 'active', wallet_status_wanted = 'closed'", "INVALID_STATE"),
        ("UPDATE accounts SET state = 'closed', wallet_status_wanted = NULL", "ACCOUNT_CLOSED"),
    ] {
        change(&people, sql).await;
        let reply = people.post("/v1/wallets", code, &body).await;
        // A sweep may have called the closing off, or carried it out, in between.
        let is_swept = code == "INVALID_STATE" && reply.code() == "ACCOUNT_CLOSED";
        assert!(reply.code() == code || is_swept, "{code}: {reply:?}");
    }
    let again = people.post("/v1/wallets", "first", &body).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (201, Some("true")), "it was opened before");
    people.stop().await;
}

/// Whichever of them is first, no wallet of somebody blocked is left open.
#[tokio::test]
async fn a_wallet_opened_while_its_account_is_blocked_is_frozen_or_refused() {
    let people = People::start().await;
    let (mut opened, mut refused) = (0, 0);
    for round in 0..12 {
        let asha = people.person(&format!("asha{round}"), Role::User).await;
        let block = format!("/v1/accounts/{}/block", asha.account.id);
        let body = format!(r#"{{"owner":"{}","currency":"INR"}}"#, asha.account.id);
        let opening = async {
            // By turns before and after.
            for _ in 0..round {
                tokio::task::yield_now().await;
            }
            people.post("/v1/wallets", &format!("w{round}"), &body).await
        };
        let (blocked, reply) = tokio::join!(people.post(&block, "b", r#"{"reason":"a try"}"#), opening);
        assert_eq!(blocked.status, 200, "{blocked:?}");
        match reply.status {
            201 => opened += 1,
            _ => {
                assert_eq!(reply.code(), "ACCOUNT_BLOCKED");
                refused += 1;
            }
        }
        let wallets = people.get(&format!("/v1/wallets?owner={}", asha.account.id)).await.json();
        let is_frozen = |wallet: &Value| wallet["status"] == "frozen";
        assert!(wallets["data"].as_array().unwrap().iter().all(is_frozen), "round {round}: {wallets}");
    }
    assert_eq!(opened + refused, 12);
    people.stop().await;
}

/// Brings the account to where the act is possible.
async fn prepare(people: &People, route: &str, asha: &Person) {
    if route.ends_with("/approve") && route.contains("{account}") {
        let mut tx = people.services.store.begin().await.unwrap();
        let sql = "UPDATE accounts SET state = 'pending' WHERE id = $1";
        sqlx::query(sql).bind(asha.account.id.to_string()).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }
    if route.ends_with("/unfreeze") {
        let path = format!("/v1/wallets/{}/freeze", asha.account.wallet);
        assert_eq!(people.post(&path, "f", "").await.status, 200);
    }
    if route.ends_with("/unblock") {
        let path = format!("/v1/accounts/{}/block", asha.account.id);
        assert_eq!(people.post(&path, "b", r#"{"reason":"a try"}"#).await.status, 200);
    }
}

async fn newest(people: &People) -> Value {
    people.get("/v1/audit?limit=1").await.json()["data"][0].clone()
}

async fn change(people: &People, sql: &'static str) {
    let mut tx = people.services.store.begin().await.unwrap();
    sqlx::query(sql).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
}
