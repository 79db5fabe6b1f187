//! SMS and push by gateways, what people choose to be told, their devices, and what a crash leaves of a message that was being
//! sent.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use florin::gateways::messages::{Connector, HttpGateway};
use florin::services::Settings;
use florin::services::clock::{HOUR, MINUTE};
use florin::services::notices::{self, Kind, Notice, To};
use florin::services::notify::Messengers;
use florin::store::deliveries::DeliveryState;
use florin::store::seal::Seal;
use florin::store::{AddressKind, Role, Store, deliveries};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::people_notify_rig::{Gateway, SOON, count, tell, until, welcome};
use crate::people_rig::{People, database, settings};

fn by_gateway(url: &str, channel: &'static str) -> Arc<dyn Connector> {
    let key = Some(SecretString::from("gateway-key"));
    Arc::new(HttpGateway::new(url, key, channel).unwrap())
}

fn request(amount: &str) -> Value {
    json!({ "amount": { "amount": amount, "currency": "INR" }, "counterparty": "Ravi K." })
}

#[tokio::test]
async fn a_code_comes_by_sms_and_is_tried_again_until_it_expires() {
    let mut gateway = Gateway::start(&[503, 429]).await;
    let messengers = Messengers { sms: Some(by_gateway(&gateway.url, "sms")), ..Messengers::default() };
    let people = People::start_with(Settings { messengers, ..settings() }).await;
    let services = &people.services;
    let code = |id: u128, expires_at| Notice {
        id: Uuid::from_u128(id),
        to: To::Address { kind: AddressKind::Phone, address: "+919812344711".to_owned() },
        locale: "hi".to_owned(),
        kind: Kind::Code,
        params: json!({ "code": "123456", "minutes": 10 }),
        expires_at: Some(expires_at),
    };
    let mut tx = services.store.begin().await.unwrap();
    for notice in [code(1, services.now() + HOUR), code(1, services.now() + HOUR), code(2, services.now() - MINUTE)] {
        notices::enqueue(services, &mut tx, &notice).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let (head, body) = gateway.request().await;
        assert!(head.contains("authorization: bearer gateway-key"), "{head}");
        assert!(head.contains(&format!("idempotency-key: {}", body["id"].as_str().unwrap())), "{head}");
        assert_eq!((&body["to"], &body["channel"]), (&json!("+919812344711"), &json!("sms")));
        assert!(body["text"].as_str().unwrap().contains("123456"));
        assert!(!body["title"].as_str().unwrap().contains("123456"), "no code in a title");
        ids.push(body["id"].clone());
        services.clock.advance(MINUTE);
    }
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "one message keeps its id: {ids:?}");
    let ended = async {
        let sql = "SELECT state, params_sealed FROM deliveries ORDER BY state";
        loop {
            let mut c = services.store.read().await.unwrap();
            let rows: Vec<(String, String)> = sqlx::query_as(sql).fetch_all(&mut *c).await.unwrap();
            if rows.iter().all(|(state, _)| state != "queued") {
                return rows;
            }
            drop(c);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let rows = tokio::time::timeout(SOON, ended).await.unwrap();
    let wanted = [("expired", ""), ("sent", "")].map(|(state, params)| (state.to_owned(), params.to_owned()));
    assert_eq!(rows, wanted, "codes are forgotten when nobody needs them");
    people.stop().await;
}

#[tokio::test]
async fn push_messages_go_to_devices_until_they_are_removed() {
    let mut gateway = Gateway::start(&[410]).await;
    let messengers = Messengers { push: Some(by_gateway(&gateway.url, "push")), ..Messengers::default() };
    let people = People::start_with(Settings { messengers, ..settings() }).await;
    let (asha, ravi) = (people.person("asha", Role::User).await, people.person("ravi", Role::User).await);
    let add = r#"{"push_token":"token-1","platform":"android"}"#;
    for (person, status) in [(&ravi, 201), (&asha, 201)] {
        assert_eq!(people.post_as(person, "/v1/me/devices", "k", add).await.status, status);
    }
    let none = people.get_as(&ravi, "/v1/me/devices").await.json();
    assert_eq!(none["data"], json!([]), "a device that changed hands tells nothing to whom it was before");
    for wrong in
        [r#"{"push_token":"","platform":"ios"}"#, r#"{"push_token":"t","platform":"fax"}"#, r#"{"platform":"ios"}"#]
    {
        assert_eq!(people.post_as(&asha, "/v1/me/devices", "k", wrong).await.code(), "INVALID_REQUEST", "{wrong}");
    }
    let devices = people.get_as(&asha, "/v1/me/devices").await;
    assert!(!String::from_utf8(devices.body.clone()).unwrap().contains("token-1"), "{devices:?}");
    tell(&people.services, asha.account.id, Kind::MoneyRequested, request("1.00")).await;
    assert_eq!(gateway.request().await.1["to"], "token-1");
    until(&people.services, asha.account.id, DeliveryState::Dead, 1).await;
    tell(&people.services, asha.account.id, Kind::MoneyRequested, request("2.00")).await;
    let (_, body) = gateway.request().await;
    assert_eq!(body["title"], "Ravi K. asks you for ₹2.00");
    until(&people.services, asha.account.id, DeliveryState::Sent, 1).await;
    let device = devices.json()["data"][0]["id"].as_str().unwrap().to_owned();
    let remove = format!("/v1/me/devices/{device}/remove");
    assert_eq!(people.post_as(&ravi, &remove, "k", "").await.code(), "NOT_FOUND");
    assert_eq!(people.post_as(&asha, &remove, "k", "").await.json()["id"], device);
    assert_eq!(people.get_as(&asha, "/v1/me/devices").await.json()["data"], json!([]));
    // Mail has no provider here, which is noted.
    assert_eq!(count(&people.services, asha.account.id, DeliveryState::Suppressed).await, 2);
    people.stop().await;
}

#[tokio::test]
async fn people_choose_what_they_are_told_but_for_their_safety() {
    let people = People::start().await;
    let (asha, id) = {
        let asha = people.person("asha", Role::User).await;
        let id = asha.account.id;
        (asha, id)
    };
    let path = "/v1/me/notifications";
    let of = |answer: &Value, kind: &str, channel: &str| -> (bool, bool) {
        let rows = answer["preferences"].as_array().unwrap();
        let row = rows.iter().find(|row| row["kind"] == kind && row["channel"] == channel).unwrap();
        (row["on"].as_bool().unwrap(), row["fixed"].as_bool().unwrap())
    };
    let before = people.get_as(&asha, path).await.json();
    assert_eq!((of(&before, "money_requested", "email"), of(&before, "code", "email")), ((true, false), (true, true)));
    let off = |kind: &str| format!(r#"{{"preferences":[{{"kind":"{kind}","channel":"email","on":false}}]}}"#);
    let after = people.post_as(&asha, path, "k", &off("money_requested")).await.json();
    assert_eq!(of(&after, "money_requested", "email"), (false, false));
    for fixed in ["code", "signed_in", "security_changed"] {
        let reply = people.post_as(&asha, path, "k", &off(fixed)).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "INVALID_REQUEST"), "{fixed}");
    }
    for wrong in ["{}", r#"{"preferences":[]}"#, r#"{"preferences":[{"kind":"x","channel":"email","on":true}]}"#] {
        assert_eq!(people.post_as(&asha, path, "k", wrong).await.code(), "INVALID_REQUEST", "{wrong}");
    }
    tell(&people.services, id, Kind::MoneyRequested, request("1.00")).await;
    let security = json!({ "what": "password_changed", "time": "2026-01-31T12:00:00Z" });
    tell(&people.services, id, Kind::SecurityChanged, security).await;
    until(&people.services, id, DeliveryState::Suppressed, 1).await;
    people.stop().await;
}

/// kill -9 after a message was claimed, and after it was handed over: the next start sends it, again if need be, as the same
/// message.
#[tokio::test]
async fn a_message_that_was_being_sent_when_the_server_was_killed_is_sent_after_the_start() {
    for step in ["notification.claimed", "notification.sent"] {
        let folder = tempfile::tempdir().unwrap();
        let database_url = database().await;
        let id = Uuid::now_v7();
        queue(folder.path(), database_url.as_ref(), id).await;
        let mut killed = serve(folder.path(), database_url.as_ref(), Some(step));
        let status = tokio::task::spawn_blocking(move || killed.wait().unwrap()).await.unwrap();
        assert!(!status.success(), "{step}: {status}");
        let mail = folder.path().join("mail").join(format!("{id}.eml"));
        assert_eq!(mail.exists(), step == "notification.sent", "{step}");
        if mail.exists() {
            std::fs::remove_file(&mail).unwrap();
        }
        let mut again = serve(folder.path(), database_url.as_ref(), None);
        let sent = async {
            while !mail.exists() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let in_time = tokio::time::timeout(SOON, sent).await;
        again.kill().unwrap();
        again.wait().unwrap();
        assert!(in_time.is_ok(), "{step}: it was not sent");
    }
}

/// One message that is due, in a data folder on which no server has run yet.
async fn queue(folder: &Path, database_url: Option<&SecretString>, id: Uuid) {
    let seal = Seal::load_or_create(folder).unwrap();
    let store = Store::open(folder, database_url).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    deliveries::insert(&mut tx, &welcome(&seal, id)).await.unwrap();
    tx.commit().await.unwrap();
    store.close().await;
}

fn serve(folder: &Path, database_url: Option<&SecretString>, crash_at: Option<&str>) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_florin"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(folder);
    command.env_remove("FLORIN_API_KEY").env_remove("FLORIN_SMTP_URL").env_remove("FLORIN_DATABASE_URL");
    if let Some(url) = database_url {
        command.env("FLORIN_DATABASE_URL", url.expose_secret());
    }
    if let Some(step) = crash_at {
        command.env("FLORIN_CRASH_AT", step);
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    // Nobody may be held up by a pipe that is full.
    std::thread::spawn(move || out.lines().for_each(drop));
    child
}
