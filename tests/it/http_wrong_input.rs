//! Wrong input of every kind gets its documented problem and changes nothing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use crate::http_api::{Api, Headers};

const UNKNOWN: &str = "01890a5d-ac99-7c1f-8a55-3f5b8f3a9d02";
const OWNER: &str = "01890a5d-0000-7000-8000-000000000001";
const NIL: &str = "00000000-0000-0000-0000-000000000000";
const JSON: Headers<'static> = &[("content-type", "application/json"), ("idempotency-key", "k")];

struct Case {
    /// The method and the path, with `{ann}` and `{bob}` for their wallets and `{hold}` for a hold of ann's.
    target: &'static str,
    body: &'static str,
    status: u16,
    code: &'static str,
}

const fn case(target: &'static str, body: &'static str, status: u16, code: &'static str) -> Case {
    Case { target, body, status, code }
}

const TRANSFER: &str = "POST /v1/transfers";

/// Requests that never come to the ledger's rules, and so write nothing at all to the log.
const MALFORMED: &[Case] = &[
    // Not JSON.
    case(TRANSFER, "", 400, "INVALID_JSON"),
    case(TRANSFER, "{", 400, "INVALID_JSON"),
    case(TRANSFER, "{}x", 400, "INVALID_JSON"),
    case(TRANSFER, r#"{"from":"{ann}",}"#, 400, "INVALID_JSON"),
    case(TRANSFER, "\u{7f}\u{0}", 400, "INVALID_JSON"),
    // Wrong types and unknown, missing or doubled fields.
    case(TRANSFER, "[]", 400, "INVALID_REQUEST"),
    case(TRANSFER, "null", 400, "INVALID_REQUEST"),
    case(TRANSFER, "7", 400, "INVALID_REQUEST"),
    case(TRANSFER, "-7", 400, "INVALID_REQUEST"),
    case(TRANSFER, "7.5", 400, "INVALID_REQUEST"),
    case(TRANSFER, "true", 400, "INVALID_REQUEST"),
    case(TRANSFER, r#""{ann}""#, 400, "INVALID_REQUEST"),
    // A list of an object's values in their order is no object, on the outside and inside.
    case(TRANSFER, r#"["{ann}","{bob}",{M},null,null]"#, 400, "INVALID_REQUEST"),
    case(TRANSFER, r#"{"from":"{ann}","to":"{bob}","amount":["1.00","INR"]}"#, 400, "INVALID_REQUEST"),
    case(TRANSFER, r#"{"legs":[["{ann}",{M:-1}],["{bob}",{M:1}]]}"#, 400, "INVALID_REQUEST"),
    case(TRANSFER, r#"{"legs":[{"wallet":"{ann}","amount":["-1","INR"]}]}"#, 400, "INVALID_REQUEST"),
    case(TRANSFER, r#"{"legs":"{ann}"}"#, 400, "INVALID_REQUEST"),
    case(TRANSFER, r#"{"legs":[null]}"#, 400, "INVALID_REQUEST"),
    case("POST /v1/deposits", r#"["{ann}",{M},null,null]"#, 400, "INVALID_REQUEST"),
    case("POST /v1/withdrawals", r#"["{ann}",{M},null,null]"#, 400, "INVALID_REQUEST"),
    case("POST /v1/holds", r#"["{ann}","{bob}",{M},null,null]"#, 400, "INVALID_REQUEST"),
    case("POST /v1/holds/{hold}/capture", r#"[{M},true]"#, 400, "INVALID_REQUEST"),
    case("POST /v1/holds/{hold}/capture", "[]", 400, "INVALID_REQUEST"),
    case("POST /v1/wallets", r#"[null,"{owner}","INR",null,null,null,null,null]"#, 400, "INVALID_REQUEST"),
    case(
        "POST /v1/transfers/bulk?atomic=true",
        r#"[["{unknown}","{ann}","{bob}",{M},null,null]]"#,
        400,
        "INVALID_REQUEST",
    ),
    case(TRANSFER, "{}", 400, "INVALID_REQUEST"),
    case(TRANSFER, r#"{"from":"{ann}","to":"{bob}"}"#, 400, "INVALID_REQUEST"),
    case(TRANSFER, r#"{"from":7,"to":"{bob}","amount":{M}}"#, 400, "INVALID_REQUEST"),
    case(TRANSFER, r#"{"from":"{ann}","to":"{bob}","amount":{M},"overdraft":1}"#, 400, "INVALID_REQUEST"),
    case(TRANSFER, r#"{"from":"{ann}","from":"{ann}","to":"{bob}","amount":{M}}"#, 400, "INVALID_REQUEST"),
    case(TRANSFER, r#"{"from":"{ann}","to":"{bob}","amount":{M},"reference":5}"#, 400, "INVALID_REQUEST"),
    case(TRANSFER, r#"{"from":"{ann}","to":"{bob}","amount":{M},"reference":"{141}"}"#, 400, "INVALID_REQUEST"),
    case(TRANSFER, r#"{"from":"{ann}","to":"{bob}","amount":{M},"legs":[]}"#, 400, "INVALID_REQUEST"),
    case(TRANSFER, r#"{"legs":{}}"#, 400, "INVALID_REQUEST"),
    case(TRANSFER, r#"{"from":"{ann}","to":"{bob}","amount":"1"}"#, 400, "INVALID_REQUEST"),
    // Amounts: numbers, negative, zero, three digits of paise, 2^63, and texts that some parsers take.
    case(TRANSFER, r#"{"from":"{ann}","to":"{bob}","amount":{"amount":1,"currency":"INR"}}"#, 400, "INVALID_AMOUNT"),
    case(TRANSFER, r#"{"from":"{ann}","to":"{bob}","amount":{"amount":1.5,"currency":"INR"}}"#, 400, "INVALID_AMOUNT"),
    case(TRANSFER, r#"{"from":"{ann}","to":"{bob}","amount":500}"#, 400, "INVALID_AMOUNT"),
    case(TRANSFER, r#"{"from":"{ann}","to":"{bob}","amount":{M:-1}}"#, 400, "INVALID_AMOUNT"),
    case(TRANSFER, r#"{"from":"{ann}","to":"{bob}","amount":{M:0}}"#, 400, "INVALID_AMOUNT"),
    case(TRANSFER, r#"{"from":"{ann}","to":"{bob}","amount":{M:0.00}}"#, 400, "INVALID_AMOUNT"),
    case(TRANSFER, r#"{"from":"{ann}","to":"{bob}","amount":{M:1.000}}"#, 400, "INVALID_AMOUNT"),
    case(TRANSFER, r#"{"from":"{ann}","to":"{bob}","amount":{M:92233720368547758.08}}"#, 400, "INVALID_AMOUNT"),
    case(TRANSFER, r#"{"from":"{ann}","to":"{bob}","amount":{M:9223372036854775808}}"#, 400, "INVALID_AMOUNT"),
    case(TRANSFER, r#"{"from":"{ann}","to":"{bob}","amount":{M:1e2}}"#, 400, "INVALID_AMOUNT"),
    case(TRANSFER, r#"{"from":"{ann}","to":"{bob}","amount":{M:NaN}}"#, 400, "INVALID_AMOUNT"),
    case(TRANSFER, r#"{"from":"{ann}","to":"{bob}","amount":{M:1,000}}"#, 400, "INVALID_AMOUNT"),
    // Currencies.
    case(
        TRANSFER,
        r#"{"from":"{ann}","to":"{bob}","amount":{"amount":"1","currency":"inr"}}"#,
        400,
        "INVALID_CURRENCY",
    ),
    case(
        TRANSFER,
        r#"{"from":"{ann}","to":"{bob}","amount":{"amount":"1","currency":"XYZ"}}"#,
        400,
        "INVALID_CURRENCY",
    ),
    case(TRANSFER, r#"{"from":"{ann}","to":"{bob}","amount":{"amount":"1","currency":356}}"#, 400, "INVALID_CURRENCY"),
    case(TRANSFER, r#"{"from":"{ann}","to":"{bob}","amount":{"amount":"1"}}"#, 400, "INVALID_REQUEST"),
    case(
        TRANSFER,
        r#"{"from":"{ann}","to":"{bob}","amount":{"amount":"1","currency":"INR","x":1}}"#,
        400,
        "INVALID_REQUEST",
    ),
    // Ids.
    case(TRANSFER, r#"{"from":"ann","to":"{bob}","amount":{M}}"#, 400, "INVALID_ID"),
    case(TRANSFER, r#"{"from":"{nil}","to":"{bob}","amount":{M}}"#, 400, "INVALID_ID"),
    case("GET /v1/wallets/ann", "", 400, "INVALID_ID"),
    case("GET /v1/transfers/1", "", 400, "INVALID_ID"),
    case("GET /v1/holds/{nil}", "", 400, "INVALID_ID"),
    // The ledger's rules that need no ledger.
    case(TRANSFER, r#"{"from":"{ann}","to":"{ann}","amount":{M}}"#, 422, "SAME_WALLET"),
    case(TRANSFER, r#"{"legs":[]}"#, 422, "LEGS_NOT_BALANCED"),
    case(
        TRANSFER,
        r#"{"legs":[{"wallet":"{ann}","amount":{M:-1}},{"wallet":"{bob}","amount":{M:2}}]}"#,
        422,
        "LEGS_NOT_BALANCED",
    ),
    case(
        TRANSFER,
        r#"{"legs":[{"wallet":"{ann}","amount":{M:-1}},{"wallet":"{bob}","amount":{"amount":"1","currency":"USD"}}]}"#,
        422,
        "CURRENCY_MISMATCH",
    ),
    // Unknown things.
    case("GET /v1/wallets/{unknown}", "", 404, "WALLET_NOT_FOUND"),
    case("GET /v1/wallets/{unknown}/balance", "", 404, "WALLET_NOT_FOUND"),
    case("GET /v1/wallets/{unknown}/entries", "", 404, "WALLET_NOT_FOUND"),
    case("POST /v1/wallets/{unknown}/freeze", "", 404, "WALLET_NOT_FOUND"),
    case("GET /v1/transfers/{unknown}", "", 404, "TRANSFER_NOT_FOUND"),
    case("GET /v1/transfers/{ann}", "", 404, "TRANSFER_NOT_FOUND"),
    case("GET /v1/holds/{unknown}", "", 404, "HOLD_NOT_FOUND"),
    case("POST /v1/holds/{unknown}/void", "", 404, "HOLD_NOT_FOUND"),
    case("GET /v1/nothing", "", 404, "NOT_FOUND"),
    case("GET /nothing", "", 404, "NOT_FOUND"),
    case("DELETE /v1/wallets", "", 405, "METHOD_NOT_ALLOWED"),
    case("GET /v1/transfers", "", 405, "METHOD_NOT_ALLOWED"),
    // Queries.
    case("GET /v1/wallets", "", 400, "INVALID_REQUEST"),
    case("GET /v1/wallets?owner=me", "", 400, "INVALID_ID"),
    case("GET /v1/wallets?owner={unknown}&cursor=e1", "", 400, "INVALID_CURSOR"),
    case("GET /v1/wallets/{ann}?verbose=1", "", 400, "INVALID_REQUEST"),
    case("GET /v1/wallets/{ann}/entries?limit=0", "", 400, "INVALID_REQUEST"),
    case("GET /v1/wallets/{ann}/entries?limit=201", "", 400, "INVALID_REQUEST"),
    case("GET /v1/wallets/{ann}/entries?cursor=w1", "", 400, "INVALID_CURSOR"),
    case("GET /v1/wallets/{ann}/entries?direction=up", "", 400, "INVALID_REQUEST"),
    case("GET /v1/wallets/{ann}/entries?kind=gift", "", 400, "INVALID_REQUEST"),
    case("GET /v1/wallets/{ann}/entries?from=yesterday", "", 400, "INVALID_REQUEST"),
    case("GET /v1/wallets/{ann}/entries?as_of_lsn=1&to=2026-01-01T00:00:00Z", "", 400, "INVALID_REQUEST"),
    case("GET /v1/wallets/{ann}/balance?as_of_lsn=x", "", 400, "INVALID_REQUEST"),
    case("GET /v1/wallets/{ann}/balance?as_of_lsn=1&as_of_time=2026-01-01T00:00:00Z", "", 400, "INVALID_REQUEST"),
    case("GET /v1/wallets/{ann}/balance?as_of_time=2020-01-01T00:00:00Z", "", 404, "WALLET_NOT_FOUND"),
    // Wallets.
    case("POST /v1/wallets", r#"{"currency":"INR"}"#, 400, "INVALID_REQUEST"),
    case("POST /v1/wallets", r#"{"owner":"{owner}"}"#, 400, "INVALID_REQUEST"),
    case("POST /v1/wallets", r#"{"owner":"{owner}","currency":"INRS"}"#, 400, "INVALID_CURRENCY"),
    case("POST /v1/wallets", r#"{"owner":"{owner}","currency":"INR","kind":"piggy"}"#, 400, "INVALID_REQUEST"),
    case("POST /v1/wallets", r#"{"owner":"{owner}","currency":"INR","may_send":"yes"}"#, 400, "INVALID_REQUEST"),
    case("POST /v1/wallets", r#"{"owner":"{owner}","currency":"INR","overdraft":"1"}"#, 400, "INVALID_REQUEST"),
    case("POST /v1/wallets", r#"{"owner":"{owner}","currency":"INR","overdraft_limit":100}"#, 400, "INVALID_AMOUNT"),
    case("POST /v1/wallets", r#"{"owner":"{owner}","currency":"INR","overdraft_limit":"-1"}"#, 400, "INVALID_AMOUNT"),
    case("POST /v1/wallets", r#"{"owner":"{owner}","currency":"JPY","balance_ceiling":"1.5"}"#, 400, "INVALID_AMOUNT"),
    case("POST /v1/wallets", r#"{"owner":"{owner}","currency":"INR","id":"{nil}"}"#, 400, "INVALID_ID"),
    case(
        "POST /v1/wallets",
        r#"{"owner":"{owner}","currency":"INR","id":"{ann}","kind":"store"}"#,
        422,
        "WALLET_EXISTS",
    ),
    case("POST /v1/wallets/{ann}/close", "", 422, "WALLET_NOT_EMPTY"),
    // Deposits and holds.
    case("POST /v1/deposits", r#"{"wallet":"{ann}"}"#, 400, "INVALID_REQUEST"),
    case("POST /v1/deposits", r#"{"wallet":"{ann}","amount":{M},"system_wallet":"{bob}"}"#, 400, "INVALID_REQUEST"),
    case(
        "POST /v1/deposits",
        r#"{"wallet":"{ann}","amount":{M},"system_wallet":"{unknown}"}"#,
        404,
        "WALLET_NOT_FOUND",
    ),
    case("POST /v1/holds", r#"{"wallet":"{ann}","amount":{M}}"#, 400, "INVALID_REQUEST"),
    case(
        "POST /v1/holds",
        r#"{"wallet":"{ann}","to":"{bob}","amount":{M},"expires_in_seconds":59}"#,
        400,
        "INVALID_REQUEST",
    ),
    case(
        "POST /v1/holds",
        r#"{"wallet":"{ann}","to":"{bob}","amount":{M},"expires_in_seconds":31536001}"#,
        400,
        "INVALID_REQUEST",
    ),
    case(
        "POST /v1/holds",
        r#"{"wallet":"{ann}","to":"{bob}","amount":{M},"expires_in_seconds":"60"}"#,
        400,
        "INVALID_REQUEST",
    ),
    case("POST /v1/holds", r#"{"wallet":"{ann}","to":"{bob}","amount":{M:0}}"#, 400, "INVALID_AMOUNT"),
    case("POST /v1/holds/{hold}/capture", r#"{"amount":{M:0}}"#, 400, "INVALID_AMOUNT"),
    case("POST /v1/holds/{hold}/capture", r#"{"amount":{M},"final":1}"#, 400, "INVALID_REQUEST"),
    case("POST /v1/holds/{hold}/capture", r#"{"amount":{"amount":"1","currency":"USD"}}"#, 422, "CURRENCY_MISMATCH"),
    // Bulk as a whole.
    case("POST /v1/transfers/bulk", "", 400, "INVALID_JSON"),
    case("POST /v1/transfers/bulk", "{}", 400, "INVALID_REQUEST"),
    case("POST /v1/transfers/bulk", r#""[]""#, 400, "INVALID_REQUEST"),
    case("POST /v1/transfers/bulk", "[{},]", 400, "INVALID_JSON"),
    case("POST /v1/transfers/bulk?atomic=maybe", "[]", 400, "INVALID_REQUEST"),
    case("POST /v1/transfers/bulk?atomic=true", r#"[{"from":1}]"#, 400, "INVALID_REQUEST"),
];

/// Requests that the ledger refuses: remembered under their id, and no balance changes.
const REFUSED: &[Case] = &[
    case(TRANSFER, r#"{"from":"{ann}","to":"{unknown}","amount":{M}}"#, 404, "WALLET_NOT_FOUND"),
    case(TRANSFER, r#"{"from":"{unknown}","to":"{ann}","amount":{M}}"#, 404, "WALLET_NOT_FOUND"),
    case(
        TRANSFER,
        r#"{"from":"{ann}","to":"{bob}","amount":{"amount":"1","currency":"USD"}}"#,
        422,
        "CURRENCY_MISMATCH",
    ),
    case(TRANSFER, r#"{"from":"{ann}","to":"{bob}","amount":{M:100.01}}"#, 422, "INSUFFICIENT_FUNDS"),
    case(TRANSFER, r#"{"from":"{ann}","to":"{bob}","amount":{M:92233720368547758.07}}"#, 422, "INSUFFICIENT_FUNDS"),
    case(TRANSFER, r#"{"from":"{ann}","to":"{closed}","amount":{M}}"#, 422, "WALLET_CLOSED"),
    case(TRANSFER, r#"{"from":"{ann}","to":"{frozen}","amount":{M}}"#, 422, "WALLET_FROZEN"),
    case("POST /v1/deposits", r#"{"wallet":"{unknown}","amount":{M}}"#, 404, "WALLET_NOT_FOUND"),
    case("POST /v1/withdrawals", r#"{"wallet":"{ann}","amount":{M:100.01}}"#, 422, "INSUFFICIENT_FUNDS"),
    case("POST /v1/holds", r#"{"wallet":"{ann}","to":"{bob}","amount":{M:100.01}}"#, 422, "INSUFFICIENT_FUNDS"),
    case("POST /v1/holds", r#"{"wallet":"{ann}","to":"{closed}","amount":{M}}"#, 422, "WALLET_CLOSED"),
    case("POST /v1/holds/{unknown}/capture", "", 404, "HOLD_NOT_FOUND"),
];

/// What the parsers beneath say to programmers; clients are told in the API's own words.
const PROGRAMMERS_WORDS: [&str; 10] = [
    "struct",
    "sequence",
    "elements",
    "invalid type",
    "invalid value",
    "invalid length",
    "expected value",
    "EOF",
    "trailing",
    "Error",
];

struct World {
    api: Api,
    names: Vec<(&'static str, String)>,
}

impl World {
    /// ann has 100.00 of which 10.00 are held, so 90.00 are hers to spend.
    async fn new() -> World {
        let api = Api::start().await;
        let (ann, bob) = (api.wallet("ann", "100.00").await, api.wallet("bob", "0").await);
        let (closed, frozen) = (api.wallet("closed", "0").await, api.wallet("frozen", "0").await);
        for (wallet, act) in [(&closed, "close"), (&frozen, "freeze")] {
            assert_eq!(api.post(&format!("/v1/wallets/{wallet}/{act}"), "-", "").await.status, 200);
        }
        let body = format!(r#"{{"wallet":"{ann}","to":"{bob}","amount":{{"amount":"10","currency":"INR"}}}}"#);
        let hold = api.post("/v1/holds", "hold", &body).await.json()["id"].as_str().unwrap().to_owned();
        let fixed = [("unknown", UNKNOWN), ("owner", OWNER), ("nil", NIL)].map(|(name, id)| (name, id.to_owned()));
        let mut names = vec![("ann", ann), ("bob", bob), ("closed", closed), ("frozen", frozen), ("hold", hold)];
        names.extend(fixed);
        names.push(("141", "é".repeat(141)));
        World { api, names }
    }

    fn fill(&self, text: &str) -> String {
        let mut filled = text.replace("{M}", r#"{"amount":"1","currency":"INR"}"#);
        while let Some((before, rest)) = filled.split_once("{M:") {
            let (amount, after) = rest.split_once('}').unwrap();
            filled = format!(r#"{before}{{"amount":"{amount}","currency":"INR"}}{after}"#);
        }
        let fill = |text: String, (name, id): &(&str, String)| text.replace(&format!("{{{name}}}"), id);
        self.names.iter().fold(filled, fill)
    }

    async fn check(&self, case: &Case, key: &str) {
        let target = self.fill(case.target);
        let (method, path) = target.split_once(' ').unwrap();
        let body = self.fill(case.body);
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        let reply = self.api.send(method, path, &headers, body.as_bytes()).await;
        assert_eq!((reply.status, reply.code().as_str()), (case.status, case.code), "{target} {body}: {reply:?}");
        let problem = reply.json();
        assert_eq!(reply.header("content-type"), Some("application/problem+json"));
        assert_eq!(problem["status"], case.status);
        let detail = problem["detail"].as_str().unwrap();
        for word in PROGRAMMERS_WORDS {
            assert!(!detail.contains(word), "{body}: {detail}");
        }
        assert_eq!(problem["request_id"].as_str(), reply.header("x-request-id"));
    }
}

#[tokio::test]
async fn malformed_requests_get_their_problem_and_write_nothing() {
    let world = World::new().await;
    let before = world.api.last_lsn().await;
    for case in MALFORMED {
        world.check(case, "k").await;
        assert_eq!(world.api.last_lsn().await, before, "{} {}", case.target, case.body);
    }
    world.api.stop().await;
}

#[tokio::test]
async fn refused_requests_get_their_problem_and_change_no_balance() {
    let world = World::new().await;
    let names = ["ann", "bob", "closed", "frozen"];
    let wallets: Vec<_> = world.names.iter().filter(|(name, _)| names.contains(name)).collect();
    let mut before = Vec::new();
    for (_, wallet) in &wallets {
        before.push(world.api.posted(wallet).await);
    }
    for (index, case) in REFUSED.iter().enumerate() {
        world.check(case, &format!("key-{index}")).await;
    }
    for ((name, wallet), before) in wallets.iter().zip(before) {
        assert_eq!(world.api.posted(wallet).await, before, "{name}");
    }
    world.api.stop().await;
}

#[tokio::test]
async fn wrong_headers_get_their_problem() {
    let world = World::new().await;
    let (api, before) = (&world.api, world.api.last_lsn().await);
    let body = world.fill(r#"{"from":"{ann}","to":"{bob}","amount":{M}}"#);
    let long = "k".repeat(256);
    for (headers, status, code) in [
        (&[("content-type", "application/json")] as Headers<'_>, 400, "IDEMPOTENCY_KEY_REQUIRED"),
        (&[("idempotency-key", "")], 400, "INVALID_REQUEST"),
        (&[("idempotency-key", "two words")], 400, "INVALID_REQUEST"),
        (&[("idempotency-key", &long)], 400, "INVALID_REQUEST"),
        (&[("idempotency-key", "a"), ("idempotency-key", "b")], 400, "INVALID_REQUEST"),
        (&[("idempotency-key", NIL)], 400, "INVALID_ID"),
        (&[("idempotency-key", "k"), ("content-type", "text/plain")], 415, "UNSUPPORTED_MEDIA_TYPE"),
    ] {
        for path in ["/v1/transfers", "/v1/deposits", "/v1/withdrawals", "/v1/holds"] {
            let reply = api.send("POST", path, headers, body.as_bytes()).await;
            assert_eq!((reply.status, reply.code().as_str()), (status, code), "{path} {headers:?}");
        }
    }
    for key in ["", "Bearer flk_wrong", "Basic Zmxr"] {
        for path in ["/v1/transfers", "/v1/nothing"] {
            let headers = [JSON, &[("authorization", key)]].concat();
            let reply = api.send_bare("POST", path, &headers, body.as_bytes()).await;
            assert_eq!((reply.status, reply.code().as_str()), (401, "UNAUTHORIZED"), "{path} {key}");
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        }
    }
    let reply = api.get("/v1/transfers").await;
    assert_eq!(reply.header("allow"), Some("POST"));
    assert_eq!(api.last_lsn().await, before);
    world.api.stop().await;
}
