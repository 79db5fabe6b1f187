//! Mail to people, against a real mail server: it arrives once and whole, whatever the server does meanwhile, and no payment
//! waits for it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::time::Duration;

use florin::services::Settings;
use florin::services::clock::{DAY, HOUR};
use florin::services::notices::Kind;
use florin::store::Role;
use florin::store::deliveries::DeliveryState;
use serde_json::{Value, json};

use crate::people_notify_rig::{MailServer, Manner, SOON, by_mail, count, silent_port, tell, until};
use crate::people_rig::{People, settings};

async fn people(port: u16) -> People {
    People::start_with(Settings { messengers: by_mail(port), ..settings() }).await
}

fn header<'m>(mail: &'m Value, name: &str) -> &'m str {
    let headers = mail["headers"].as_array().unwrap();
    let found: Vec<&Value> = headers.iter().filter(|pair| pair[0] == name).collect();
    assert_eq!(found.len(), 1, "{name} in {headers:?}");
    found[0][1].as_str().unwrap()
}

fn request(amount: &str) -> Value {
    json!({ "amount": { "amount": amount, "currency": "INR" }, "counterparty": "Ravi K." })
}

#[tokio::test]
async fn payments_are_told_once_to_both_with_both_parts() {
    let Some(mut server) = MailServer::start(0, Manner::Accept).await else { return };
    let people = people(server.port).await;
    let (asha, ravi) = (people.person("asha", Role::User).await, people.person("ravi", Role::User).await);
    people.fund(&asha, "100000.00").await;
    let mail = server.mail().await;
    assert_eq!(mail["to"][0], "asha@example.in");
    assert_eq!(header(&mail, "Subject"), "You received ₹1,00,000.00");
    assert_eq!(header(&mail, "From"), "Florin <wallet@florin.example>");
    assert_eq!(header(&mail, "Auto-Submitted"), "auto-generated");
    assert!(header(&mail, "Message-ID").ends_with("@florin.example>"));
    let (text, html) = (mail["parts"]["text/plain"].as_str().unwrap(), mail["parts"]["text/html"].as_str().unwrap());
    assert!(text.contains("You received ₹1,00,000.00.") && html.contains("<p style"), "{mail:?}");
    let body = format!(
        r#"{{"from":"{}","to":"{}","amount":{{"amount":"50.00","currency":"INR"}},"reference":"<b>tea</b>"}}"#,
        asha.account.wallet, ravi.account.wallet
    );
    for _ in 0..2 {
        let reply = people.post_as(&asha, "/v1/transfers", "tea", &body).await;
        assert_eq!(reply.status, 201, "{reply:?}");
    }
    let mails = [server.mail().await, server.mail().await];
    let to = |address: &str| mails.iter().find(|mail| mail["to"][0] == address).unwrap();
    assert_eq!(header(to("asha@example.in"), "Subject"), "You paid ₹50.00");
    let paid = to("ravi@example.in");
    assert_eq!(header(paid, "Subject"), "You received ₹50.00");
    assert!(paid["parts"]["text/plain"].as_str().unwrap().contains("from asha"), "{paid:?}");
    assert!(paid["parts"]["text/html"].as_str().unwrap().contains("&lt;b&gt;tea"), "{paid:?}");
    until(&people.services, asha.account.id, DeliveryState::Sent, 2).await;
    until(&people.services, ravi.account.id, DeliveryState::Sent, 1).await;
    // Whatever the log says is told once, also after a start.
    let people = people.restart().await;
    tell(&people.services, ravi.account.id, Kind::MoneyRequested, request("1.00")).await;
    assert_eq!(header(&server.mail().await, "Subject"), "Ravi K. asks you for ₹1.00");
    until(&people.services, ravi.account.id, DeliveryState::Sent, 2).await;
    assert_eq!(count(&people.services, asha.account.id, DeliveryState::Sent).await, 2);
    assert!(!server.has_mail());
    people.stop().await;
}

#[tokio::test]
async fn mail_arrives_when_its_server_is_back() {
    let port = silent_port();
    let people = people(port).await;
    let asha = people.person("asha", Role::User).await;
    tell(&people.services, asha.account.id, Kind::MoneyRequested, request("7.00")).await;
    until(&people.services, asha.account.id, DeliveryState::Queued, 1).await;
    let failed = async {
        while attempts(&people).await == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, failed).await.expect("it was tried");
    let Some(mut server) = MailServer::start(port, Manner::Accept).await else { return people.stop().await };
    people.services.clock.advance(HOUR);
    assert_eq!(header(&server.mail().await, "Subject"), "Ravi K. asks you for ₹7.00");
    until(&people.services, asha.account.id, DeliveryState::Sent, 1).await;
    people.stop().await;
}

async fn attempts(people: &People) -> i64 {
    use sqlx::Row as _;
    let mut c = people.services.store.read().await.unwrap();
    let sql = "SELECT COUNT(*) AS count FROM deliveries WHERE attempts > 0 AND last_error IS NOT NULL";
    sqlx::query(sql).fetch_one(&mut *c).await.unwrap().try_get("count").unwrap()
}

#[tokio::test]
async fn what_is_refused_is_a_dead_letter_until_somebody_sends_it_again() {
    let Some(server) = MailServer::start(0, Manner::Refuse).await else { return };
    let people = people(server.port).await;
    let (asha, sara) = (people.person("asha", Role::User).await, people.person("sara", Role::Support).await);
    for amount in ["1.00", "2.00"] {
        tell(&people.services, asha.account.id, Kind::MoneyRequested, request(amount)).await;
    }
    until(&people.services, asha.account.id, DeliveryState::Dead, 2).await;
    let reply = people.get_as(&asha, "/v1/dead-letters").await;
    assert_eq!((reply.status, reply.code().as_str()), (403, "FORBIDDEN"));
    let first = people.get_as(&sara, "/v1/dead-letters?limit=1").await.json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = people.get_as(&sara, &format!("/v1/dead-letters?limit=1&cursor={cursor}")).await.json();
    assert_eq!((&first["has_more"], &second["has_more"]), (&json!(true), &json!(false)));
    let (first, second) = (&first["data"][0], &second["data"][0]);
    assert_ne!(first["id"], second["id"]);
    assert_eq!((first["address"].as_str(), first["attempts"].as_i64()), (Some("a***@example.in"), Some(1)));
    let error = first["last_error"].as_str().unwrap();
    assert!(error.contains("550") && !error.contains("asha@"), "{error}");
    let port = server.port;
    drop(server);
    let mut server = MailServer::start(port, Manner::Accept).await.unwrap();
    let again = format!("/v1/dead-letters/{}/send", first["id"].as_str().unwrap());
    let reply = people.post_as(&sara, &again, "k", "").await;
    assert_eq!((reply.status, reply.json()["state"].as_str()), (200, Some("queued")), "{reply:?}");
    assert!(header(&server.mail().await, "Subject").starts_with("Ravi K. asks you"));
    until(&people.services, asha.account.id, DeliveryState::Sent, 1).await;
    let reply = people.post_as(&sara, &again, "k", "").await;
    assert_eq!((reply.status, reply.code().as_str()), (404, "NOT_FOUND"));
    let away = format!("/v1/dead-letters/{}/discard", second["id"].as_str().unwrap());
    assert_eq!(people.post_as(&sara, &away, "k", "").await.json()["state"], "discarded");
    assert_eq!(people.get_as(&sara, "/v1/dead-letters").await.json()["data"], json!([]));
    let acts = people.get("/v1/audit").await.json();
    let acts: Vec<&str> = acts["data"].as_array().unwrap().iter().map(|act| act["action"].as_str().unwrap()).collect();
    assert_eq!(acts.iter().filter(|act| act.starts_with("dead_letter.")).count(), 2, "{acts:?}");
    people.stop().await;
}

#[tokio::test]
async fn a_mail_server_that_hangs_holds_up_no_payment() {
    let Some(mut server) = MailServer::start(0, Manner::Hang).await else { return };
    let people = people(server.port).await;
    let (asha, ravi) = (people.person("asha", Role::User).await, people.person("ravi", Role::User).await);
    people.fund(&asha, "1000.00").await;
    for _ in 0..20 {
        tell(&people.services, asha.account.id, Kind::MoneyRequested, request("1.00")).await;
    }
    until(&people.services, asha.account.id, DeliveryState::Queued, 21).await;
    let pay = async {
        for number in 0..50 {
            let body = format!(
                r#"{{"from":"{}","to":"{}","amount":{{"amount":"1.00","currency":"INR"}}}}"#,
                asha.account.wallet, ravi.account.wallet
            );
            let reply = people.post_as(&asha, "/v1/transfers", &format!("pay-{number}"), &body).await;
            assert_eq!(reply.status, 201, "{reply:?}");
        }
    };
    // The server gives up a send that hangs after twenty seconds, so nothing here can have waited for one.
    tokio::time::timeout(Duration::from_secs(15), pay).await.expect("payments are not slowed");
    until(&people.services, ravi.account.id, DeliveryState::Queued, 50).await;
    assert!(!server.has_mail());
    let stopping = tokio::time::timeout(Duration::from_secs(15), people.stop()).await;
    assert!(stopping.is_ok(), "a send that hangs holds up the stop");
}

#[tokio::test]
async fn what_nobody_takes_for_a_day_is_given_up() {
    let people = people(silent_port()).await;
    let asha = people.person("asha", Role::User).await;
    tell(&people.services, asha.account.id, Kind::MoneyRequested, request("7.00")).await;
    let given_up = async {
        while count(&people.services, asha.account.id, DeliveryState::Dead).await == 0 {
            people.services.clock.advance(DAY);
            people.services.background.wake("email");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, given_up).await.expect("it is given up");
    people.stop().await;
}
