//! The audit log: dense and chained however many write at once, and whatever is changed in it afterwards is seen.

use std::sync::Arc;

use florin::services::{Fault, Services, audit};
use florin::store::Role;
use serde_json::json;

use crate::people_rig::People;

async fn record(services: &Services, object: &str) -> Result<(), Fault> {
    let mut tx = services.store.begin().await?;
    let detail = json!({ "reason": "asked \u{1f4de} by phone" });
    audit::record(services, &mut tx, "operator", "test.act", object, &detail).await?;
    Ok(tx.commit().await?)
}

async fn change(people: &People, sql: &'static str) {
    let mut tx = people.services.store.begin().await.expect("the store is there");
    sqlx::query(sql).execute(&mut *tx).await.expect("it is SQL");
    tx.commit().await.expect("it is written");
}

#[tokio::test]
async fn acts_stand_in_a_chain() {
    let people = People::start().await;
    let tasks: Vec<_> = (0..20)
        .map(|number| {
            let services = Arc::clone(&people.services);
            tokio::spawn(async move { record(&services, &format!("thing {number}")).await })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic").expect("recorded");
    }
    let first = people.get("/v1/audit?limit=15").await.json();
    assert_eq!((first["data"][0]["seq"].as_i64(), first["has_more"].as_bool()), (Some(20), Some(true)), "{first}");
    assert_eq!(first["data"][0]["detail"]["reason"], "asked \u{1f4de} by phone");
    let cursor = first["next_cursor"].as_str().expect("there is more");
    let rest = people.get(&format!("/v1/audit?cursor={cursor}")).await.json();
    let seqs: Vec<_> = rest["data"].as_array().expect("rows").iter().map(|row| row["seq"].as_i64()).collect();
    assert_eq!(seqs, (1..=5).rev().map(Some).collect::<Vec<_>>());
    let one = people.get("/v1/audit?object=thing%207&actor=operator").await.json();
    assert_eq!((one["data"].as_array().map(Vec::len), one["data"][0]["object"].as_str()), (Some(1), Some("thing 7")));

    let verified = people.get("/v1/audit/verify").await.json();
    assert_eq!((verified["intact"].as_bool(), verified["rows"].as_i64()), (Some(true), Some(20)), "{verified}");
    assert_eq!(verified["head_hash"], first["data"][0]["hash"]);

    let risk = people.person("ravi", Role::Risk).await;
    assert_eq!(people.get_as(&risk, "/v1/audit").await.status, 403);
    people.stop().await;
}

/// The ledger's own record of a freeze does not say who it was.
#[tokio::test]
async fn whoever_freezes_a_wallet_is_known() {
    let people = People::start().await;
    let (asha, risk) = (people.person("asha", Role::User).await, people.person("risk", Role::Risk).await);
    let path = format!("/v1/wallets/{}", asha.account.wallet);
    assert_eq!(people.post_as(&risk, &format!("{path}/freeze"), "-", "").await.status, 200);
    assert_eq!(people.post_as(&risk, &format!("{path}/freeze"), "-", "").await.status, 200);
    assert_eq!(people.post(&format!("{path}/unfreeze"), "-", "").await.status, 200);
    let rows = people.get(&format!("/v1/audit?object=wallet%20{}", asha.account.wallet)).await.json();
    let rows: Vec<_> =
        rows["data"].as_array().expect("rows").iter().map(|row| (&row["actor"], &row["detail"])).collect();
    let risk = json!(format!("account {}", risk.account.id));
    let (thawed, frozen) = (json!({ "to": "active" }), json!({ "to": "frozen" }));
    assert_eq!(rows, [(&json!("operator"), &thawed), (&risk, &frozen)], "the same again is no act");
    people.stop().await;
}

#[tokio::test]
async fn what_is_changed_afterwards_is_seen() {
    for (sql, broken_at) in [
        ("UPDATE audit SET actor = 'somebody' WHERE seq = 3", 3),
        ("UPDATE audit SET recorded_at = recorded_at + 1 WHERE seq = 2", 2),
        ("UPDATE audit SET detail_sealed = (SELECT detail_sealed FROM audit WHERE seq = 5) WHERE seq = 4", 4),
        ("DELETE FROM audit WHERE seq = 2", 2),
        ("DELETE FROM audit WHERE seq = 5", 5),
    ] {
        let people = People::start().await;
        for number in 0..5 {
            let mut tx = people.services.store.begin().await.expect("the store is there");
            let detail = json!({ "number": number });
            let services = &people.services;
            audit::record(services, &mut tx, "operator", "test.act", "thing", &detail).await.expect("recorded");
            tx.commit().await.expect("it is written");
        }
        change(&people, sql).await;
        let verified = people.get("/v1/audit/verify").await.json();
        assert_eq!(
            (verified["intact"].as_bool(), verified["broken_at"].as_i64()),
            (Some(false), Some(broken_at)),
            "{sql}"
        );
        people.stop().await;
    }
}
