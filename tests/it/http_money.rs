//! The main job over a real socket: wallets, deposits, transfers, balances, history, holds, and
//! that a repeat gets the first answer byte for byte.

use crate::http_api::Api;

const OWNER: &str = "01890a5d-0000-7000-8000-000000000001";

#[tokio::test]
async fn money_moves_and_a_repeat_gets_the_first_answer() {
    let api = Api::start().await;
    let (ann, bob) = (api.wallet("ann", "500.00").await, api.wallet("bob", "0").await);
    let body = format!(
        r#"{{"from":"{ann}","to":"{bob}","amount":{{"amount":"120.50","currency":"INR"}},"reference":"caf\u00e9 \"x\""}}"#
    );
    let first = api.post("/v1/transfers", "order-1", &body).await;
    assert_eq!(first.status, 201);
    assert_eq!(first.header("idempotent-replayed"), None);
    let transfer = first.json();
    assert_eq!(transfer["reference"], "café \"x\"");
    assert_eq!(transfer["status"], "accepted");
    let again = api.post("/v1/transfers", "order-1", &body).await;
    assert_eq!((again.status, &again.body), (201, &first.body));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let other = api.post("/v1/transfers", "order-1", &body.replace("120.50", "120.51")).await;
    assert_eq!((other.status, other.code().as_str()), (422, "IDEMPOTENCY_KEY_REUSED"));
    let read = api.get(&format!("/v1/transfers/{}", transfer["id"].as_str().unwrap())).await;
    assert_eq!(read.body, first.body);
    assert_eq!(api.posted(&ann).await, "379.50");
    assert_eq!(api.posted(&bob).await, "120.50");

    let body = format!(r#"{{"wallet":"{bob}","amount":{{"amount":"20.50","currency":"INR"}}}}"#);
    assert_eq!(api.post("/v1/withdrawals", "out-1", &body).await.json()["kind"], "withdrawal");
    assert_eq!(api.posted(&bob).await, "100.00");
    api.stop().await;
}

#[tokio::test]
async fn a_refusal_is_remembered() {
    let api = Api::start().await;
    let (ann, bob) = (api.wallet("ann", "1.00").await, api.wallet("bob", "0").await);
    let key = "01890a5d-ac99-7c1f-8a55-3f5b8f3a9d02";
    let body = format!(r#"{{"from":"{ann}","to":"{bob}","amount":{{"amount":"2","currency":"INR"}}}}"#);
    let refused = api.post("/v1/transfers", key, &body).await;
    assert_eq!((refused.status, refused.code().as_str()), (422, "INSUFFICIENT_FUNDS"));
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    let more = format!(r#"{{"wallet":"{ann}","amount":{{"amount":"5","currency":"INR"}}}}"#);
    assert_eq!(api.post("/v1/deposits", "more", &more).await.status, 201);
    let again = api.post("/v1/transfers", key, &body).await;
    assert_eq!((again.code().as_str(), again.header("idempotent-replayed")), ("INSUFFICIENT_FUNDS", Some("true")));
    let read = api.get(&format!("/v1/transfers/{}", key.to_uppercase())).await;
    assert_eq!((read.status, read.json()["status"].as_str()), (200, Some("refused")));
    assert_eq!(read.json()["id"], key);
    api.stop().await;
}

#[tokio::test]
async fn several_legs_move_together() {
    let api = Api::start().await;
    let (payer, shop) = (api.wallet("payer", "100").await, api.wallet("shop", "0").await);
    let fees = api.wallet("fees", "0").await;
    let leg = |wallet: &str, amount: &str| {
        format!(r#"{{"wallet":"{wallet}","amount":{{"amount":"{amount}","currency":"INR"}}}}"#)
    };
    let legs = [leg(&payer, "-100.00"), leg(&shop, "97.50"), leg(&fees, "2.50")].join(",");
    let reply = api.post("/v1/transfers", "split", &format!(r#"{{"legs":[{legs}]}}"#)).await;
    assert_eq!(reply.json()["legs"].as_array().unwrap().len(), 3);
    assert_eq!((api.posted(&shop).await, api.posted(&fees).await), ("97.50".into(), "2.50".into()));
    api.stop().await;
}

#[tokio::test]
async fn a_wallet_from_opening_to_closing() {
    let api = Api::start().await;
    let body = format!(
        r#"{{"owner":"{OWNER}","currency":"KWD","kind":"merchant","overdraft_limit":"1.500","balance_ceiling":"10"}}"#
    );
    let opened = api.post("/v1/wallets", "w", &body).await;
    let wallet = opened.json();
    assert_eq!(wallet["overdraft_limit"]["amount"], "1.500");
    assert_eq!(wallet["status"], "active");
    let id = wallet["id"].as_str().unwrap();
    assert_eq!(api.get(&format!("/v1/wallets/{id}")).await.body, opened.body);
    let freeze = api.post(&format!("/v1/wallets/{id}/freeze"), "-", "").await;
    assert_eq!((freeze.status, freeze.json()["status"].as_str()), (200, Some("frozen")));
    let again = api.post("/v1/wallets", "w", &body).await;
    assert_eq!((again.status, &again.body), (201, &opened.body), "the first answer, though it is frozen now");
    let other = api.post("/v1/wallets", "w", &body.replace("KWD", "JPY").replace("1.500", "1")).await;
    assert_eq!((other.status, other.code().as_str()), (422, "WALLET_EXISTS"));
    assert_eq!(api.post(&format!("/v1/wallets/{id}/unfreeze"), "-", "").await.json()["status"], "active");
    assert_eq!(api.post(&format!("/v1/wallets/{id}/close"), "-", "").await.json()["status"], "closed");
    let closed = api.post(&format!("/v1/wallets/{id}/freeze"), "-", "").await;
    assert_eq!((closed.status, closed.code().as_str()), (422, "WALLET_CLOSED"));
    api.stop().await;
}

#[tokio::test]
async fn holds_are_captured_in_parts_and_voided() {
    let api = Api::start().await;
    let (ann, shop) = (api.wallet("ann", "100").await, api.wallet("shop", "0").await);
    let body = format!(r#"{{"wallet":"{ann}","to":"{shop}","amount":{{"amount":"80","currency":"INR"}}}}"#);
    let opened = api.post("/v1/holds", "hold", &body).await;
    let hold = opened.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/holds/{hold}");
    assert_eq!(api.get(&path).await.body, opened.body);
    let capture = r#"{"amount":{"amount":"30","currency":"INR"}}"#;
    let captured = api.post(&format!("{path}/capture"), "c1", capture).await;
    assert_eq!((captured.status, captured.json()["kind"].as_str()), (201, Some("capture")));
    assert_eq!(captured.json()["hold"], hold.as_str());
    assert_eq!(api.post(&format!("{path}/capture"), "c1", capture).await.body, captured.body);
    let other = api.post(&format!("{path}/capture"), "c2", &capture.replace("INR", "USD")).await;
    assert_eq!((other.status, other.code().as_str()), (422, "CURRENCY_MISMATCH"));
    let above = api.post(&format!("{path}/capture"), "c3", &capture.replace("30", "50.01")).await;
    assert_eq!(above.code(), "HOLD_EXCEEDED");
    let balance = api.get(&format!("/v1/wallets/{ann}/balance")).await.json();
    assert_eq!((&balance["posted"]["amount"], &balance["available"]["amount"]), (&"70.00".into(), &"20.00".into()));
    let voided = api.post(&format!("{path}/void"), "-", "").await.json();
    assert_eq!((voided["status"].as_str(), voided["captured"]["amount"].as_str()), (Some("voided"), Some("30.00")));
    let late = api.post(&format!("{path}/capture"), "c4", "").await;
    assert_eq!((late.status, late.code().as_str()), (422, "HOLD_CLOSED"));
    let repeated = api.post("/v1/holds", "hold", &body).await;
    assert_eq!((repeated.status, repeated.body), (201, opened.body), "the first answer, with the first expiry");
    api.stop().await;
}

#[tokio::test]
async fn history_comes_in_pages_and_as_it_was() {
    let api = Api::start().await;
    let (ann, bob) = (api.wallet("ann", "10").await, api.wallet("bob", "0").await);
    for number in 1..=5 {
        let body = format!(r#"{{"from":"{ann}","to":"{bob}","amount":{{"amount":"{number}.00","currency":"INR"}}}}"#);
        let status = api.post("/v1/transfers", &format!("t{number}"), &body).await.status;
        assert_eq!(status, if number < 5 { 201 } else { 422 });
    }
    let path = format!("/v1/wallets/{ann}/entries");
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = api.get(&format!("{path}?limit=2{cursor}")).await.json();
        let entries = page["data"].as_array().unwrap();
        seen.extend(entries.iter().map(|entry| entry["balance_after"]["amount"].as_str().unwrap().to_owned()));
        assert_eq!(page["has_more"], !page["next_cursor"].is_null());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["0.00", "4.00", "7.00", "9.00", "10.00"]);
    let count = async |query: &str| {
        let reply = api.get(&format!("{path}?{query}")).await;
        assert_eq!(reply.status, 200, "{query}: {reply:?}");
        reply.json()["data"].as_array().unwrap().len()
    };
    assert_eq!(count("direction=in").await, 1);
    assert_eq!(count("kind=transfer&direction=out").await, 4);
    assert_eq!(count(&format!("counterparty={bob}")).await, 4);
    assert_eq!(count("to=2020-01-01T00:00:00Z").await, 0);
    assert_eq!(count("from=2020-01-01T00:00:00Z").await, 5);
    let entries = api.get(&path).await.json();
    let lsn = entries["data"][1]["lsn"].as_u64().unwrap();
    assert_eq!(count(&format!("as_of_lsn={lsn}")).await, 4);
    let then = api.get(&format!("/v1/wallets/{ann}/balance?as_of_lsn={lsn}")).await.json();
    assert_eq!(then["posted"]["amount"], "4.00");
    assert!(then.get("held").is_none());
    api.stop().await;
}

#[tokio::test]
async fn an_owners_wallets_come_in_pages_and_the_books_are_zero() {
    let api = Api::start().await;
    let mut opened = Vec::new();
    for number in 0..5 {
        opened.push(api.wallet(&format!("w{number}"), "7.00").await);
    }
    let first = api.get(&format!("/v1/wallets?owner={OWNER}&limit=3")).await.json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = api.get(&format!("/v1/wallets?owner={OWNER}&limit=3&cursor={cursor}")).await.json();
    assert!(second["next_cursor"].is_null());
    let both = [first["data"].as_array().unwrap().as_slice(), second["data"].as_array().unwrap()].concat();
    let listed: Vec<&str> = both.iter().map(|wallet| wallet["id"].as_str().unwrap()).collect();
    assert_eq!(listed, opened);
    let summary = api.get("/v1/ledger/summary").await.json();
    assert_eq!(summary["currencies"][0]["sum"]["amount"], "0.00");
    assert_eq!(summary["state_hash"].as_str().unwrap().len(), 64);
    let snapshot = api.post("/v1/snapshots", "-", "").await;
    assert_eq!(snapshot.status, 201, "{snapshot:?}");
    assert_eq!(snapshot.json()["state_hash"], summary["state_hash"]);
    api.stop().await;
}
