//! Adjustments by hand: small ones by one person, large ones by two, each once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::sync::Arc;

use florin::services::adjustments;
use florin::services::clock::DAY;
use florin::store::Role;
use tokio::task::JoinSet;

use crate::people_rig::{People, Person};

fn adjustment(of: &Person, rupees: &str, direction: &str) -> String {
    let wallet = of.account.wallet;
    format!(
        r#"{{"wallet":"{wallet}","amount":{{"amount":"{rupees}","currency":"INR"}},"direction":"{direction}","reason":"booked twice"}}"#
    )
}

#[tokio::test]
async fn small_ones_are_made_alone_up_to_a_sum() {
    let people = People::start().await;
    let (fina, asha) = (people.person("fina", Role::Finance).await, people.person("asha", Role::User).await);
    let wallet = asha.account.wallet.to_string();
    let balance = async || people.posted(&wallet).await;
    let body = adjustment(&asha, "900.00", "in");
    let reply = people.post_as(&fina, "/v1/adjustments", "a1", &body).await;
    assert_eq!((reply.status, reply.json()["state"].as_str()), (201, Some("done")), "{reply:?}");
    assert_eq!(balance().await, "900.00");
    let again = people.post_as(&fina, "/v1/adjustments", "a1", &body).await;
    assert_eq!((again.header("idempotent-replayed"), &again.json()["id"]), (Some("true"), &reply.json()["id"]));
    let other = people.post_as(&fina, "/v1/adjustments", "a1", &adjustment(&asha, "1.00", "in")).await;
    assert_eq!(other.code(), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(balance().await, "900.00");

    // In parts it would be as much as the limit is there to stop.
    let more = people.post_as(&fina, "/v1/adjustments", "a2", &adjustment(&asha, "100.01", "in")).await;
    assert_eq!(more.json()["state"], "waiting");
    let out = people.post_as(&fina, "/v1/adjustments", "a3", &adjustment(&asha, "100.00", "out")).await;
    assert_eq!((out.json()["state"].as_str(), &*balance().await), (Some("done"), "800.00"));
    people.services.clock.advance(DAY + 1);
    let (fina, asha) = (people.sign_in_again(fina).await, people.sign_in_again(asha).await);
    let next = people.post_as(&fina, "/v1/adjustments", "a4", &adjustment(&asha, "1000.00", "out")).await;
    assert_eq!(
        (next.json()["state"].as_str(), next.json()["refused"].as_str()),
        (Some("refused"), Some("INSUFFICIENT_FUNDS"))
    );

    let reply = people.post("/v1/adjustments", "a5", &body).await;
    assert_eq!(reply.code(), "FORBIDDEN", "the operator's key is nobody");
    assert_eq!(people.post_as(&asha, "/v1/adjustments", "a6", &body).await.code(), "FORBIDDEN");
    let list = people.get("/v1/adjustments?state=waiting&limit=1").await.json();
    assert_eq!((list["data"][0]["reason"].as_str(), list["has_more"].as_bool()), (Some("booked twice"), Some(false)));
    let first = people.get("/v1/adjustments?limit=3").await.json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = people.get(&format!("/v1/adjustments?cursor={cursor}")).await.json();
    assert_eq!((rest["data"].as_array().unwrap().len(), &rest["data"][0]["id"]), (1, &reply_id(&first, &rest)));
    people.stop().await;
}

/// The id of the oldest, which no page but the last has.
fn reply_id(first: &serde_json::Value, rest: &serde_json::Value) -> serde_json::Value {
    let oldest = rest["data"].as_array().unwrap().last().unwrap()["id"].clone();
    assert!(first["data"].as_array().unwrap().iter().all(|row| row["id"] != oldest));
    oldest
}

#[tokio::test(flavor = "multi_thread")]
async fn large_ones_need_another_person_and_are_made_once() {
    let people = Arc::new(People::start().await);
    let (fina, asha) = (people.person("fina", Role::Finance).await, people.person("asha", Role::User).await);
    let admin = Arc::new(people.person("adam", Role::Administrator).await);
    let reply = people.post_as(&fina, "/v1/adjustments", "big", &adjustment(&asha, "5000.00", "in")).await;
    assert_eq!((reply.status, reply.json()["state"].as_str()), (201, Some("waiting")), "{reply:?}");
    let path = format!("/v1/adjustments/{}", reply.json()["id"].as_str().unwrap());
    let approve = format!("{path}/approve");
    let own = people.post_as(&fina, &approve, "d", "").await;
    assert_eq!((own.status, own.code().as_str()), (403, "SECOND_PERSON_REQUIRED"));
    assert_eq!(people.post(&approve, "d", "").await.code(), "FORBIDDEN");
    assert_eq!(people.posted(&asha.account.wallet.to_string()).await, "0.00");

    let mut all = JoinSet::new();
    for _ in 0..20 {
        let (people, admin, approve) = (Arc::clone(&people), Arc::clone(&admin), approve.clone());
        all.spawn(async move { people.post_as(&admin, &approve, "d", "").await });
    }
    let replies = all.join_all().await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 1, "{replies:?}");
    assert!(replies.iter().all(|reply| reply.status == 200 || reply.code() == "INVALID_STATE"));
    assert_eq!(people.posted(&asha.account.wallet.to_string()).await, "5000.00");
    let done = people.get(&path).await.json();
    assert_eq!(
        (done["state"].as_str(), done["decided_by"].as_str()),
        (Some("done"), Some(&*admin.account.id.to_string()))
    );
    let transfer = people.get(&format!("/v1/transfers/{}", done["transfer"].as_str().unwrap())).await;
    assert_eq!(transfer.json()["kind"], "deposit", "{transfer:?}");
    assert_eq!(people.post_as(&admin, &format!("{path}/reject"), "d", "").await.code(), "INVALID_STATE");
    let audit = people.get("/v1/audit").await.json();
    let acts: Vec<_> = audit["data"].as_array().unwrap().iter().map(|row| row["action"].as_str().unwrap()).collect();
    assert_eq!(acts, ["adjustment.approve", "adjustment.ask"]);
    Arc::into_inner(people).expect("nobody else has it").stop().await;
}

#[tokio::test]
async fn a_crash_after_the_decision_loses_nothing_and_doubles_nothing() {
    let people = People::start().await;
    let (fina, asha) = (people.person("fina", Role::Finance).await, people.person("asha", Role::User).await);
    let ask = async |people: &People, key: &str| {
        let reply = people.post_as(&fina, "/v1/adjustments", key, &adjustment(&asha, "2000.00", "in")).await;
        reply.json()["id"].as_str().unwrap().to_owned()
    };
    let (approved, late) = (ask(&people, "k1").await, ask(&people, "k2").await);
    let decide = async |people: &People, id: &str| {
        let sql = "UPDATE adjustments SET state = 'approved', decided_by = id, settled_at = NULL WHERE id = $1";
        let mut tx = people.services.store.begin().await.unwrap();
        sqlx::query(sql).bind(id).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        adjustments::sweep(&people.services).await.unwrap();
    };
    decide(&people, &approved).await;
    assert_eq!(people.posted(&asha.account.wallet.to_string()).await, "2000.00");
    // The ledger had answered, and the process died before that was written.
    decide(&people, &approved).await;
    assert_eq!(people.posted(&asha.account.wallet.to_string()).await, "2000.00");
    people.services.clock.advance(8 * DAY);
    adjustments::sweep(&people.services).await.unwrap();
    assert_eq!(people.get(&format!("/v1/adjustments/{late}")).await.json()["state"], "expired");
    people.stop().await;
}
