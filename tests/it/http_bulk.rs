//! Bulk transfers in their three forms: each item has its own outcome, or all stand together.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use serde_json::{Value, json};

use crate::http_api::{Api, Reply};

const PATH: &str = "/v1/transfers/bulk";

fn item(number: u128, from: &str, to: &str, amount: &str) -> Value {
    json!({"id": id(number), "from": from, "to": to, "amount": {"amount": amount, "currency": "INR"}})
}

fn id(number: u128) -> String {
    uuid::Uuid::from_u128(0x0189_0a5d_ac99_7c1f_8a55_0000_0000_0000 + number).to_string()
}

async fn send(api: &Api, query: &str, kind: &str, body: &[u8]) -> Reply {
    api.send("POST", &format!("{PATH}{query}"), &[("content-type", kind)], body).await
}

fn codes(outcomes: &[Value]) -> Vec<&str> {
    outcomes.iter().map(|outcome| outcome["code"].as_str().unwrap_or("accepted")).collect()
}

#[tokio::test]
async fn each_item_of_an_array_has_its_own_outcome() {
    let api = Api::start().await;
    let (ann, bob) = (api.wallet("ann", "10").await, api.wallet("bob", "0").await);
    let items = json!([
        item(1, &ann, &bob, "4.00"),
        item(2, &ann, &bob, "400.00"),
        {"id": id(3), "from": ann, "to": bob, "amount": 5},
        {"id": id(4), "from": ann, "to": bob, "amount": {"amount": "1", "currency": "INR"}, "note": "x"},
        7,
        item(1, &ann, &bob, "4.00"),
        item(1, &ann, &bob, "4.01"),
        {"from": ann, "to": bob, "amount": {"amount": "1", "currency": "INR"}},
        item(5, &ann, &ann, "1.00"),
    ]);
    let reply = send(&api, "", "application/json", items.to_string().as_bytes()).await;
    assert_eq!(reply.status, 200);
    let outcomes = reply.json()["outcomes"].as_array().unwrap().clone();
    let [refused, invalid] = ["INSUFFICIENT_FUNDS", "INVALID_REQUEST"];
    let seen = codes(&outcomes);
    assert_eq!(seen[..5], ["accepted", refused, "INVALID_AMOUNT", invalid, invalid]);
    // The second with the same id and content is a repeat, or comes while the first is under way.
    assert!(["accepted", "REQUEST_IN_PROGRESS"].contains(&seen[5]), "{seen:?}");
    assert!(["IDEMPOTENCY_KEY_REUSED", "REQUEST_IN_PROGRESS"].contains(&seen[6]), "{seen:?}");
    assert_eq!(seen[7..], ["IDEMPOTENCY_KEY_REQUIRED", "SAME_WALLET"]);
    assert_eq!(outcomes[2]["id"], id(3).as_str());
    assert!(outcomes[4]["id"].is_null());
    assert_eq!(api.posted(&ann).await, "6.00");
    let again = send(&api, "", "application/json", items.to_string().as_bytes()).await.json();
    assert_eq!(again["outcomes"][0]["replayed"], true);
    assert_eq!(again["outcomes"][0]["lsn"], outcomes[0]["lsn"]);
    assert_eq!(api.posted(&ann).await, "6.00");
    api.stop().await;
}

#[tokio::test]
async fn a_broken_line_spoils_itself_only() {
    let api = Api::start().await;
    let (ann, bob) = (api.wallet("ann", "10").await, api.wallet("bob", "0").await);
    let body = format!("{}\n{{\"id\":\n\n{}\r\n", item(1, &ann, &bob, "1.00"), item(2, &ann, &bob, "1.00"));
    let reply = send(&api, "", "application/x-ndjson", body.as_bytes()).await;
    assert_eq!(reply.header("content-type"), Some("application/x-ndjson"));
    let text = String::from_utf8(reply.body).unwrap();
    let outcomes: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(codes(&outcomes), ["accepted", "INVALID_JSON", "accepted"]);
    assert_eq!(api.posted(&bob).await, "2.00");
    api.stop().await;
}

#[tokio::test]
async fn an_atomic_bulk_moves_all_or_nothing() {
    let api = Api::start().await;
    let (ann, bob) = (api.wallet("ann", "10").await, api.wallet("bob", "0").await);
    let bad = json!([item(1, &ann, &bob, "1.00"), item(2, &ann, &bob, "400.00")]).to_string();
    let reply = send(&api, "?atomic=true", "application/json", bad.as_bytes()).await;
    assert_eq!((reply.status, reply.code().as_str()), (422, "INSUFFICIENT_FUNDS"));
    assert_eq!(reply.json()["index"], 1);
    assert_eq!(api.posted(&bob).await, "0.00");
    let good = json!([item(3, &ann, &bob, "1.00"), item(4, &ann, &bob, "2.00")]).to_string();
    let reply = send(&api, "?atomic=true", "application/json", good.as_bytes()).await.json();
    assert_eq!(codes(reply["outcomes"].as_array().unwrap()), ["accepted", "accepted"]);
    assert_eq!(api.posted(&bob).await, "3.00");
    let wrong = json!([item(5, &ann, &bob, "1.00"), item(6, &ann, &bob, "1.000")]).to_string();
    let reply = send(&api, "?atomic=true", "application/json", wrong.as_bytes()).await;
    assert_eq!((reply.status, reply.code().as_str(), &reply.json()["index"]), (400, "INVALID_AMOUNT", &json!(1)));
    assert_eq!(api.posted(&bob).await, "3.00");
    api.stop().await;
}

#[tokio::test]
async fn ids_come_from_the_key_and_the_position() {
    let api = Api::start().await;
    let (ann, bob) = (api.wallet("ann", "10").await, api.wallet("bob", "0").await);
    let one = json!({"from": ann, "to": bob, "amount": {"amount": "1.00", "currency": "INR"}});
    let body = json!([one, one]).to_string();
    let first = api.post(PATH, "batch-1", &body).await.json();
    let again = api.post(PATH, "batch-1", &body).await.json();
    assert_eq!(codes(first["outcomes"].as_array().unwrap()), ["accepted", "accepted"]);
    assert_eq!(first["outcomes"][1]["lsn"], again["outcomes"][1]["lsn"]);
    assert_eq!(api.posted(&bob).await, "2.00");
    api.stop().await;
}

#[tokio::test]
async fn the_binary_form_does_the_same() {
    let api = Api::start().await;
    let (ann, bob) = (api.wallet("ann", "10").await, api.wallet("bob", "0").await);
    let bytes = |text: &str| uuid::Uuid::parse_str(text).unwrap().into_bytes();
    let mut body = Vec::new();
    for (number, minor) in [(1, 250u64), (2, 100_000), (3, 0)] {
        for part in [bytes(&id(number)), bytes(&ann), bytes(&bob)] {
            body.extend_from_slice(&part);
        }
        body.extend_from_slice(&minor.to_le_bytes());
        body.extend_from_slice(&356u16.to_le_bytes());
        body.extend_from_slice(&[0; 6]);
    }
    let reply = send(&api, "", "application/vnd.florin.transfers", &body).await;
    assert_eq!(reply.header("content-type"), Some("application/vnd.florin.outcomes"));
    let codes: Vec<u8> = reply.body.chunks(16).map(|outcome| outcome[0]).collect();
    assert_eq!(codes, [0, 9, 0xea], "accepted, INSUFFICIENT_FUNDS (9), INVALID_AMOUNT (1002)");
    assert_eq!(api.posted(&bob).await, "2.50");
    // The same transfer as JSON is the same request.
    let repeat = json!([item(1, &ann, &bob, "2.50")]).to_string();
    let reply = send(&api, "", "application/json", repeat.as_bytes()).await.json();
    assert_eq!(reply["outcomes"][0]["replayed"], true);
    api.stop().await;
}

#[tokio::test]
async fn a_bulk_has_its_limits() {
    let api = Api::start().await;
    let (ann, bob) = (api.wallet("ann", "8190").await, api.wallet("bob", "0").await);
    let items: Vec<Value> = (0..8191).map(|number| item(number + 1, &ann, &bob, "1.00")).collect();
    let reply = send(&api, "", "application/json", json!(items).to_string().as_bytes()).await;
    assert_eq!((reply.status, reply.code().as_str()), (413, "BODY_TOO_LARGE"));
    assert_eq!(api.posted(&bob).await, "0.00");
    let reply = send(&api, "", "application/json", json!(items[..8190]).to_string().as_bytes()).await;
    assert_eq!(reply.status, 200);
    assert_eq!(api.posted(&bob).await, "8190.00");
    assert_eq!(send(&api, "", "application/json", b"[]").await.json(), json!({"outcomes": []}));
    assert_eq!(send(&api, "", "text/csv", b"").await.code(), "UNSUPPORTED_MEDIA_TYPE");
    api.stop().await;
}
