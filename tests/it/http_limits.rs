//! Spending limits over HTTP: set, read with what is left, changed, taken away, and what is wrong with them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use serde_json::{Value, json};

use crate::http_api::{Api, Reply};
use crate::rig::clear_of_midnight;

fn inr(amount: &str) -> Value {
    json!({"amount": amount, "currency": "INR"})
}

async fn set(api: &Api, wallet: &str, limits: &Value) -> Reply {
    api.post(&format!("/v1/wallets/{wallet}/limits"), "-", &limits.to_string()).await
}

async fn pay(api: &Api, key: &str, from: &str, to: &str, amount: &str) -> Reply {
    let body = json!({"from": from, "to": to, "amount": inr(amount)});
    api.post("/v1/transfers", key, &body.to_string()).await
}

#[tokio::test]
async fn limits_are_set_read_kept_and_taken_away() {
    clear_of_midnight().await;
    let api = Api::start().await;
    let (ann, bob) = (api.wallet("ann", "1000").await, api.wallet("bob", "0").await);
    let path = format!("/v1/wallets/{ann}/limits");
    let none = api.get(&path).await;
    assert_eq!((none.status, &none.json()["today"]), (200, &Value::Null));

    let limits = json!({
        "per_payment": inr("100.00"), "per_day": inr("150.00"), "per_month": inr("200"), "utc_offset": "+00:00",
    });
    let set_to = set(&api, &ann, &limits).await;
    assert_eq!(set_to.status, 200, "{set_to:?}");
    assert_eq!(set_to.json()["per_month"], inr("200.00"));
    assert_eq!(set_to.json()["today"], json!({"spent": inr("0.00"), "left": inr("150.00")}));
    assert_eq!(api.get(&path).await.body, set_to.body);
    let last_lsn = api.last_lsn().await;
    assert_eq!(set(&api, &ann, &limits).await.body, set_to.body);
    assert_eq!(api.last_lsn().await, last_lsn, "the same again is not recorded");

    let refused = pay(&api, "a", &ann, &bob, "100.01").await;
    assert_eq!((refused.status, refused.code().as_str()), (422, "PAYMENT_LIMIT_EXCEEDED"));
    assert_eq!(pay(&api, "b", &ann, &bob, "90").await.status, 201);
    let hold = json!({"wallet": ann, "to": bob, "amount": inr("40")});
    assert_eq!(api.post("/v1/holds", "hold", &hold.to_string()).await.status, 201);
    let refused = pay(&api, "c", &ann, &bob, "20.01").await;
    assert_eq!((refused.status, refused.code().as_str()), (422, "DAY_LIMIT_EXCEEDED"));
    let again = pay(&api, "c", &ann, &bob, "20.01").await;
    assert_eq!((again.code().as_str(), again.header("idempotent-replayed")), ("DAY_LIMIT_EXCEEDED", Some("true")));
    let known = api.get(&path).await.json();
    assert_eq!(known["today"], json!({"spent": inr("90.00"), "left": inr("20.00")}));
    assert_eq!(known["this_month"], json!({"spent": inr("90.00"), "left": inr("70.00")}));

    // What is not named is not limited any more; what was spent stays spent.
    let known = set(&api, &ann, &json!({"per_month": inr("135"), "per_day": null})).await.json();
    assert_eq!((&known["per_payment"], &known["per_day"]), (&Value::Null, &Value::Null));
    assert_eq!(known["today"], json!({"spent": inr("90.00"), "left": null}));
    assert_eq!(pay(&api, "d", &ann, &bob, "5.01").await.code(), "MONTH_LIMIT_EXCEEDED");
    let api = api.restart().await;
    assert_eq!(pay(&api, "e", &ann, &bob, "5.01").await.code(), "MONTH_LIMIT_EXCEEDED");
    assert_eq!(pay(&api, "f", &ann, &bob, "5").await.status, 201);
    // What comes in does not count.
    let more = json!({"wallet": ann, "amount": inr("50")}).to_string();
    assert_eq!(api.post("/v1/deposits", "more", &more).await.status, 201);
    assert_eq!(api.get(&path).await.json()["this_month"]["left"], inr("0.00"));

    let known = set(&api, &ann, &json!({})).await.json();
    assert_eq!((&known["today"], &known["this_month"]), (&Value::Null, &Value::Null));
    assert_eq!(pay(&api, "g", &ann, &bob, "500").await.status, 201);
    api.stop().await;
}

#[tokio::test]
async fn wrong_limits_are_told_and_change_nothing() {
    let api = Api::start().await;
    let ann = api.wallet("ann", "0").await;
    let last_lsn = api.last_lsn().await;
    let usd = json!({"amount": "1", "currency": "USD"});
    for (limits, status, code) in [
        (json!({"per_day": inr("0")}), 400, "INVALID_AMOUNT"),
        (json!({"per_day": inr("-1")}), 400, "INVALID_AMOUNT"),
        (json!({"per_day": inr("1.001")}), 400, "INVALID_AMOUNT"),
        (json!({"per_payment": {"amount": 5, "currency": "INR"}}), 400, "INVALID_AMOUNT"),
        (json!({"per_payment": 5}), 400, "INVALID_AMOUNT"),
        (json!({"per_payment": "5"}), 400, "INVALID_REQUEST"),
        (json!({"per_month": {"amount": "5", "currency": "XXY"}}), 400, "INVALID_CURRENCY"),
        (json!({"per_month": usd}), 422, "CURRENCY_MISMATCH"),
        (json!({"per_week": inr("1")}), 400, "INVALID_REQUEST"),
        (json!({"utc_offset": "India"}), 400, "INVALID_REQUEST"),
        (json!({"utc_offset": 330}), 400, "INVALID_REQUEST"),
        (json!([]), 400, "INVALID_REQUEST"),
    ] {
        let reply = set(&api, &ann, &limits).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{limits}: {reply:?}");
    }
    let nobody = "01890a5d-ac99-7c1f-8a55-3f5b8f3a9d02";
    let limits = json!({"per_day": inr("1")});
    let reply = set(&api, nobody, &limits).await;
    assert_eq!((reply.status, reply.code().as_str()), (404, "WALLET_NOT_FOUND"));
    assert_eq!(api.get(&format!("/v1/wallets/{nobody}/limits")).await.status, 404);
    assert_eq!(api.last_lsn().await, last_lsn);
    api.post(&format!("/v1/wallets/{ann}/close"), "-", "").await;
    let reply = set(&api, &ann, &limits).await;
    assert_eq!((reply.status, reply.code().as_str()), (422, "WALLET_CLOSED"));
    api.stop().await;
}
