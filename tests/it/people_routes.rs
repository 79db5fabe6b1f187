//! The walk: every route, asked by everybody, for what is his own, what is somebody else's, and what is not there. Who may do
//! what is written down here a second time, by hand, so that a slip in the server's table is not its own proof.
//! Whoever adds a route adds its row to TABLE, and has docs/access.md written again (`people_access`); an object of a new kind
//! is named in OBJECTS and made in `Cast::object`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::BTreeSet;

use florin::http::route::{Route, Verb};
use florin::services::api_keys::{self, NewKey};
use florin::services::{Principal, Scope, new_id};
use florin::store::Role;
use secrecy::ExposeSecret as _;
use serde_json::Value;

use crate::http_api::Reply;
use crate::people_notify_rig::dead_letter;
use crate::people_rig::{People, Person};

/// Route, who may, whose, and a body that is right.
/// In the path and the body `{wallet}`, `{transfer}` and so on are objects; `{payee}` is always there.
/// Who: roles, `everybody` for all of them, `operator`, scopes of API keys, `anybody` without credentials.
pub type Row = (&'static str, &'static str, Whose, &'static str);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    /// It is about nobody's in particular.
    Nobodys,
    /// Users and merchants see their own only; staff and the operator see everybody's.
    OwnOfCustomers,
    /// Everybody sees his own only.
    Own,
}
use Whose::{Nobodys, Own, OwnOfCustomers};

const TRANSFER: &str = r#"{"from":"{wallet}","to":"{payee}","amount":{"amount":"1.00","currency":"INR"}}"#;
const BULK: &str = r#"[{"id":"{new}","from":"{wallet}","to":"{payee}","amount":{"amount":"1.00","currency":"INR"}}]"#;
const FUNDING: &str = r#"{"wallet":"{wallet}","amount":{"amount":"1.00","currency":"INR"}}"#;
const HOLD: &str = r#"{"wallet":"{wallet}","to":"{payee}","amount":{"amount":"1.00","currency":"INR"}}"#;
const CHOICE: &str = r#"{"preferences":[{"kind":"money_in","channel":"email","on":false}]}"#;
const CONFIRMATION: &str = r#"{"amount":{"amount":"20000.00","currency":"INR"},"payee":"{payee}"}"#;
const MY_LIMITS: &str = r#"{"per_day":{"amount":"1.00","currency":"INR"}}"#;
const PAYMENT: &str = r#"{"to":{"wallet":"{payee}"},"amount":{"amount":"1.00","currency":"INR"}}"#;
const REQUEST: &str = r#"{"from":{"wallet":"{payee}"},"amount":{"amount":"1.00","currency":"INR"}}"#;
const BANK_MOVE: &str = r#"{"amount":{"amount":"1.00","currency":"INR"},"bank_account":"IN12345678"}"#;

const PROMOTION: &str =
    r#"{"name":"a try","amount":{"amount":"1.00","currency":"INR"},"ends_at":"2100-01-01T00:00:00Z"}"#;
const ADJUSTMENT: &str =
    r#"{"wallet":"{payee}","amount":{"amount":"2000.00","currency":"INR"},"direction":"in","reason":"a try"}"#;

pub const TABLE: &[Row] = &[
    // The ledger.
    ("POST /v1/transfers", "operator user merchant transfers:write", OwnOfCustomers, TRANSFER),
    ("POST /v1/transfers/bulk", "operator user merchant transfers:write", OwnOfCustomers, BULK),
    ("GET /v1/transfers/{transfer}", "operator everybody transfers:read", OwnOfCustomers, ""),
    ("POST /v1/deposits", "operator", Nobodys, FUNDING),
    ("POST /v1/withdrawals", "operator", Nobodys, FUNDING),
    ("POST /v1/wallets", "operator", Nobodys, r#"{"owner":"{new}","currency":"INR"}"#),
    ("GET /v1/wallets?owner={account}", "operator everybody wallets:read", OwnOfCustomers, ""),
    ("GET /v1/wallets/{wallet}", "operator everybody wallets:read", OwnOfCustomers, ""),
    ("GET /v1/wallets/{wallet}/balance", "operator everybody wallets:read", OwnOfCustomers, ""),
    ("GET /v1/wallets/{wallet}/entries", "operator everybody wallets:read", OwnOfCustomers, ""),
    ("GET /v1/wallets/{wallet}/limits", "operator everybody wallets:read", OwnOfCustomers, ""),
    ("POST /v1/wallets/{wallet}/limits", "operator risk administrator", OwnOfCustomers, "{}"),
    ("POST /v1/wallets/{wallet}/freeze", "operator risk administrator", OwnOfCustomers, ""),
    ("POST /v1/wallets/{wallet}/unfreeze", "operator risk administrator", OwnOfCustomers, ""),
    ("POST /v1/wallets/{wallet}/close", "operator administrator", OwnOfCustomers, ""),
    ("POST /v1/holds", "operator user merchant holds:write", OwnOfCustomers, HOLD),
    ("GET /v1/holds/{hold}", "operator everybody holds:read", OwnOfCustomers, ""),
    ("POST /v1/holds/{hold}/capture", "operator user merchant holds:write", OwnOfCustomers, "{}"),
    ("POST /v1/holds/{hold}/void", "operator user merchant holds:write", OwnOfCustomers, ""),
    ("GET /v1/ledger/summary", "operator finance administrator", Nobodys, ""),
    ("POST /v1/snapshots", "operator administrator", Nobodys, ""),
    // Signing in.
    ("POST /v1/auth/codes", "anybody", Nobodys, r#"{"email":"{new}@example.in"}"#),
    ("POST /v1/auth/verify", "anybody", Nobodys, r#"{"challenge":"{new}","code":"123456"}"#),
    ("POST /v1/auth/password", "anybody", Nobodys, r#"{"email":"{new}@example.in","password":"not the one"}"#),
    ("POST /v1/auth/second-factor", "anybody", Nobodys, r#"{"second_factor_token":"x","code":"123456"}"#),
    ("POST /v1/auth/refresh", "anybody", Nobodys, r#"{"refresh_token":"frt_0"}"#),
    ("POST /v1/auth/logout", "everybody", Nobodys, ""),
    ("POST /v1/auth/logout-everywhere", "everybody", Nobodys, ""),
    // The caller's own account.
    ("GET /v1/me", "everybody", Nobodys, ""),
    ("GET /v1/me/sessions", "everybody", Nobodys, ""),
    ("POST /v1/me/sessions/{session}/end", "everybody", Own, ""),
    ("GET /v1/me/credentials", "everybody", Nobodys, ""),
    ("POST /v1/me/password", "everybody", Nobodys, r#"{"new":"correct horse battery"}"#),
    ("POST /v1/me/totp", "everybody", Nobodys, ""),
    ("POST /v1/me/totp/confirm", "everybody", Nobodys, r#"{"code":"123456"}"#),
    ("POST /v1/me/totp/remove", "everybody", Nobodys, r#"{"code":"123456"}"#),
    ("POST /v1/me/recovery-codes", "everybody", Nobodys, r#"{"code":"123456"}"#),
    ("POST /v1/me/confirmations", "everybody", Nobodys, CONFIRMATION),
    ("POST /v1/me/confirmations/{confirmation}/verify", "everybody", Own, r#"{"code":"123456"}"#),
    // The caller's own money.
    ("GET /v1/me/balance?wallet={wallet}", "everybody wallets:read", Own, ""),
    ("GET /v1/me/wallets", "everybody wallets:read", Nobodys, ""),
    ("GET /v1/me/history?wallet={wallet}", "everybody wallets:read", Own, ""),
    ("GET /v1/me/statements?month=2026-10&wallet={wallet}", "everybody wallets:read", Own, ""),
    ("GET /v1/me/limits?wallet={wallet}", "everybody wallets:read", Own, ""),
    ("POST /v1/me/limits?wallet={wallet}", "user merchant", Own, MY_LIMITS),
    ("POST /v1/me/payments", "user merchant payments:write", Nobodys, PAYMENT),
    ("POST /v1/me/requests", "user merchant", Nobodys, REQUEST),
    ("GET /v1/me/requests?direction=in", "user merchant", Nobodys, ""),
    ("GET /v1/me/requests/{request_in}", "user merchant", Own, ""),
    ("POST /v1/me/requests/{request_in}/pay", "user merchant", Own, ""),
    ("POST /v1/me/requests/{request_in}/decline", "user merchant", Own, ""),
    ("POST /v1/me/requests/{request_out}/cancel", "user merchant", Own, ""),
    ("POST /v1/me/top-ups", "user merchant", Nobodys, BANK_MOVE),
    ("GET /v1/me/top-ups", "user merchant", Nobodys, ""),
    ("GET /v1/me/top-ups/{top_up}", "user merchant", Own, ""),
    ("POST /v1/me/withdrawals", "user merchant", Nobodys, BANK_MOVE),
    ("GET /v1/me/withdrawals", "user merchant", Nobodys, ""),
    ("GET /v1/me/withdrawals/{pay_out}", "user merchant", Own, ""),
    // What people are told.
    ("GET /v1/me/events", "everybody", Nobodys, ""),
    ("GET /v1/me/notifications", "everybody", Nobodys, ""),
    ("POST /v1/me/notifications", "everybody", Nobodys, CHOICE),
    ("GET /v1/me/devices", "everybody", Nobodys, ""),
    ("POST /v1/me/devices", "everybody", Nobodys, r#"{"push_token":"{new}","platform":"ios"}"#),
    ("POST /v1/me/devices/{device}/remove", "everybody", Own, ""),
    ("GET /v1/dead-letters", "operator support administrator", Nobodys, ""),
    ("POST /v1/dead-letters/{dead_letter}/send", "operator support administrator", Nobodys, ""),
    ("POST /v1/dead-letters/{dead_letter}/discard", "operator support administrator", Nobodys, ""),
    ("POST /v1/me", "everybody", Nobodys, r#"{"locale":"hi"}"#),
    ("POST /v1/me/handle", "everybody", Nobodys, r#"{"handle":"x{short}"}"#),
    ("POST /v1/me/addresses", "everybody", Nobodys, r#"{"registration_token":"frg_0"}"#),
    ("POST /v1/me/addresses/remove", "everybody", Nobodys, r#"{"email":"{new}@example.in"}"#),
    ("POST /v1/me/close", "everybody", Nobodys, ""),
    // Accounts, API keys, and what staff does.
    ("POST /v1/accounts", "anybody", Nobodys, r#"{"registration_token":"frg_0","name":"Asha"}"#),
    ("GET /v1/accounts", "operator support risk finance administrator", Nobodys, ""),
    ("GET /v1/accounts/{account}", "operator support risk finance administrator", Nobodys, ""),
    ("POST /v1/accounts/{account}/approve", "operator administrator", Nobodys, ""),
    ("POST /v1/accounts/{account}/block", "operator risk administrator", Nobodys, r#"{"reason":"a try"}"#),
    ("POST /v1/accounts/{account}/unblock", "operator administrator", Nobodys, ""),
    ("POST /v1/accounts/{account}/close", "operator administrator", Nobodys, ""),
    ("POST /v1/accounts/{account}/role", "operator administrator", Nobodys, r#"{"role":"merchant"}"#),
    ("POST /v1/api-keys", "operator merchant administrator", Nobodys, r#"{"name":"till","scopes":["wallets:read"]}"#),
    ("GET /v1/api-keys", "operator merchant administrator", Nobodys, ""),
    (
        "POST /v1/api-keys/{api_key}/rotate",
        "operator merchant administrator",
        OwnOfCustomers,
        r#"{"overlap_seconds":60}"#,
    ),
    ("POST /v1/api-keys/{api_key}/revoke", "operator merchant administrator", OwnOfCustomers, ""),
    ("POST /v1/promotions", "operator finance administrator", Nobodys, PROMOTION),
    ("GET /v1/promotions", "operator finance administrator", Nobodys, ""),
    ("POST /v1/promotions/{promotion}/end", "operator finance administrator", Nobodys, ""),
    ("POST /v1/adjustments", "finance administrator", Nobodys, ADJUSTMENT),
    ("GET /v1/adjustments", "operator finance administrator", Nobodys, ""),
    ("GET /v1/adjustments/{adjustment}", "operator finance administrator", Nobodys, ""),
    ("POST /v1/adjustments/{adjustment}/approve", "finance administrator", Nobodys, ""),
    ("POST /v1/adjustments/{adjustment}/reject", "finance administrator", Nobodys, ""),
    ("GET /v1/keys", "operator administrator", Nobodys, ""),
    ("POST /v1/keys/rotate", "operator administrator", Nobodys, r#"{"purpose":"store"}"#),
    ("GET /v1/audit", "operator administrator", Nobodys, ""),
    ("GET /v1/audit/verify", "operator administrator", Nobodys, ""),
    // Open to all, and without an account.
    ("GET /healthz", "anybody", Nobodys, ""),
    ("GET /readyz", "anybody", Nobodys, ""),
    ("GET /metrics", "anybody", Nobodys, ""),
    ("GET /openapi.json", "anybody", Nobodys, ""),
    ("GET /docs", "anybody", Nobodys, ""),
];

/// Those who ask.
pub enum Caller<'c> {
    Nobody,
    /// Credentials that are not good, and what is wrong with them.
    Bad(&'static str, String),
    Operator,
    Person(&'c Person),
    Key(Scope, String),
}

/// Somebody of each role, and two strangers; new ones for each route, since routes freeze, block and close.
pub struct Cast {
    pub people: Vec<Person>,
    stranger: Person,
    payee: Person,
}

pub const OBJECTS: &[&str] = &[
    "wallet",
    "account",
    "transfer",
    "hold",
    "session",
    "confirmation",
    "request_in",
    "request_out",
    "top_up",
    "pay_out",
    "device",
    "dead_letter",
    "api_key",
    "promotion",
    "adjustment",
];

#[tokio::test]
async fn every_route_is_there_for_those_it_is_for() {
    let people = People::start().await;
    let mut bad = vec![
        Caller::Nobody,
        Caller::Bad("no key", "flk_0123456789abcdef0123456789abcdef".to_owned()),
        Caller::Bad("no merchant's key", format!("fmk_{}", "0".repeat(64))),
        Caller::Bad("no token", "eyJhbGciOiJub25lIn0.e30.".to_owned()),
    ];
    let gone = people.person("gone", Role::Administrator).await;
    assert_eq!(people.post_as(&gone, "/v1/auth/logout", "gone", "").await.status / 100, 2);
    bad.push(Caller::Bad("an ended session", gone.token));
    let blocked = people.person("blocked", Role::Administrator).await;
    let path = format!("/v1/accounts/{}/block", blocked.account.id);
    assert_eq!(people.post(&path, "block", r#"{"reason":"a test"}"#).await.status / 100, 2);
    bad.push(Caller::Bad("a blocked account", blocked.token));
    let mut wrong = Vec::new();
    for (index, row) in TABLE.iter().enumerate() {
        let cast = Cast::new(&people, index).await;
        let keys = cast.keys(&people).await;
        let persons = cast.people.iter().map(Caller::Person);
        for caller in bad.iter().chain([&Caller::Operator]).chain(&persons.chain(keys).collect::<Vec<_>>()) {
            if let Err(what) = walk(&people, &cast, *row, caller).await {
                wrong.push(format!("{} by {}: {what}", row.0, caller.name()));
            }
        }
    }
    people.stop().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_route_has_its_row() {
    let rows: Vec<String> = TABLE.iter().map(|(route, ..)| normal(route)).collect();
    let known: BTreeSet<String> = rows.iter().cloned().collect();
    assert_eq!(known.len(), rows.len(), "a route has two rows");
    let verb = |route: &Route| if route.verb() == Verb::Get { "GET" } else { "POST" };
    let routes = Route::ALL.iter().map(|route| format!("{} {}", verb(route), route.path())).collect();
    assert_eq!(known, routes, "left: rows of TABLE; right: the server's routes");
}

/// `GET /v1/wallets/{wallet}?x=y` as the server's table has it.
pub fn normal(route: &str) -> String {
    let path = route.split('?').next().unwrap();
    OBJECTS.iter().fold(path.to_owned(), |path, object| path.replace(&format!("{{{object}}}"), "{id}"))
}

async fn walk(people: &People, cast: &Cast, row: Row, caller: &Caller<'_>) -> Result<(), String> {
    let (route, who, whose, body) = row;
    let may = caller.is_among(who);
    let is_open = who == "anybody";
    let object = OBJECTS.iter().find(|object| format!("{route}{body}").contains(&format!("{{{object}}}")));
    let Some(object) = object.filter(|_| may && !is_open) else {
        let reply = ask(people, cast, route, body, caller, &new_id().to_string()).await;
        return check(&reply, caller, may || is_open);
    };
    let absent = new_id().to_string();
    let of_absent = ask(people, cast, route, body, caller, &absent).await;
    let foreign = cast.object(people, object, &cast.stranger).await;
    let of_foreign = ask(people, cast, route, body, caller, &foreign).await;
    check(&of_foreign, caller, true)?;
    if whose == Own || whose == OwnOfCustomers && caller.is_customer() {
        let is_alike = comparable(&of_foreign, &foreign) == comparable(&of_absent, &absent);
        ensure(is_alike, || format!("foreign: {}; absent: {}", shown(&of_foreign), shown(&of_absent)))?;
        ensure(says_nothing(&of_foreign), || format!("foreign: {}", shown(&of_foreign)))?;
    } else {
        ensure(!says_nothing(&of_foreign), || format!("foreign: {}", shown(&of_foreign)))?;
    }
    if let Some(person) = caller.person(cast) {
        let own = cast.object(people, object, person).await;
        let of_own = ask(people, cast, route, body, caller, &own).await;
        check(&of_own, caller, true)?;
        ensure(!says_nothing(&of_own), || format!("his own: {}", shown(&of_own)))?;
    }
    Ok(())
}

/// Let in or not; what comes of it is other tests' business.
fn check(reply: &Reply, caller: &Caller<'_>, may: bool) -> Result<(), String> {
    let code = if reply.status < 400 { String::new() } else { reply.code() };
    let is_right = if may {
        let is_out = ["UNAUTHORIZED", "FORBIDDEN", "METHOD_NOT_ALLOWED"].contains(&&*code);
        let is_nowhere = code == "NOT_FOUND" && reply.json()["detail"] == "There is nothing at this path.";
        !is_out && !is_nowhere && reply.status < 500 && reply.status != 429
    } else if matches!(caller, Caller::Nobody | Caller::Bad(..)) {
        (reply.status, &*code) == (401, "UNAUTHORIZED")
    } else {
        (reply.status, &*code) == (403, "FORBIDDEN")
    };
    ensure(is_right, || shown(reply))
}

fn ensure(is_so: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(otherwise()) }
}

fn shown(reply: &Reply) -> String {
    format!("{} {}", reply.status, String::from_utf8_lossy(&reply.body))
}

/// Whether it is an answer for what is not there.
fn says_nothing(reply: &Reply) -> bool {
    let json = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
    let refused = |item: &Value| item["status"] == "refused" && item["code"] == "WALLET_NOT_FOUND";
    let is_refused_bulk = json["outcomes"].as_array().is_some_and(|items| items.iter().all(refused));
    reply.status == 404 || is_refused_bulk || json["data"].as_array().is_some_and(Vec::is_empty)
}

/// Everything but what must differ between two requests.
fn comparable(reply: &Reply, id: &str) -> (u16, String, Vec<(String, String)>) {
    let mut json: Value = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
    for name in ["request_id", "key", "id", "created_at", "lsn"] {
        let hide = |object: &mut Value| object.as_object_mut().map(|object| object.remove(name));
        hide(&mut json);
        json["outcomes"].as_array_mut().into_iter().flatten().for_each(|item| drop(hide(item)));
    }
    let differs = ["x-request-id", "date", "content-length"];
    let headers = reply.headers.iter().filter(|(name, _)| !differs.contains(&&*name.to_lowercase())).cloned().collect();
    (reply.status, json.to_string().replace(id, "ID"), headers)
}

pub async fn ask(people: &People, cast: &Cast, route: &str, body: &str, caller: &Caller<'_>, id: &str) -> Reply {
    let (method, path) = route.split_once(' ').unwrap();
    let payee = cast.payee.account.wallet.to_string();
    let fill = |text: &str| {
        let new = new_id();
        let text = text.replace("{payee}", &payee).replace("{new}", &new.to_string());
        let text = text.replace("{short}", &new.simple().to_string()[20..]);
        OBJECTS.iter().fold(text, |text, object| text.replace(&format!("{{{object}}}"), id))
    };
    let key = new_id().to_string();
    let headers = if method == "POST" { vec![("idempotency-key", key.as_str())] } else { Vec::new() };
    let token = match caller {
        Caller::Nobody => {
            let headers = [&headers[..], &[("content-type", "application/json")]].concat();
            return people.send_bare(method, &fill(path), &headers, fill(body).as_bytes()).await;
        }
        Caller::Bad(_, token) | Caller::Key(_, token) => token,
        Caller::Operator => &people.key,
        Caller::Person(person) => &person.token,
    };
    people.send_as(token, method, &fill(path), &headers, &fill(body)).await
}

impl Cast {
    pub async fn new(people: &People, index: usize) -> Cast {
        let mut all = Vec::new();
        for &role in Role::ALL {
            all.push(people.person(&format!("{}{index}", role.name()), role).await);
        }
        let stranger = people.person(&format!("stranger{index}"), Role::Merchant).await;
        let payee = people.person(&format!("payee{index}"), Role::User).await;
        for person in all.iter().chain([&stranger, &payee]) {
            people.fund(person, "100.00").await;
        }
        Cast { people: all, stranger, payee }
    }

    fn of(&self, role: Role) -> &Person {
        self.people.iter().find(|person| person.account.role == role).unwrap()
    }

    /// A key of the merchant's for each scope alone.
    async fn keys(&self, people: &People) -> Vec<Caller<'_>> {
        let mut keys = Vec::new();
        for &scope in Scope::ALL {
            keys.push(Caller::Key(scope, make_key(people, self.of(Role::Merchant), scope).await.1));
        }
        keys
    }

    /// Makes something of somebody's.
    pub async fn object(&self, people: &People, kind: &str, of: &Person) -> String {
        let (id, wallet, payer) = (new_id().to_string(), of.account.wallet, self.payee.account.wallet);
        match kind {
            "wallet" => wallet.to_string(),
            "account" => of.account.id.to_string(),
            "transfer" => {
                let body = FUNDING.replace("{wallet}", &wallet.to_string());
                assert_eq!(people.post("/v1/deposits", &id, &body).await.status, 201);
                id
            }
            "hold" => {
                let body = HOLD.replace("{wallet}", &payer.to_string()).replace("{payee}", &wallet.to_string());
                assert_eq!(people.post("/v1/holds", &id, &body).await.status, 201);
                id
            }
            "session" => {
                let other = people.another_session(of).await;
                let sessions = people.get_as(&other, "/v1/me/sessions").await.json();
                let all = sessions["data"].as_array().or(sessions["sessions"].as_array()).unwrap();
                let current = all.iter().find(|session| session["current"] == true).unwrap();
                current["id"].as_str().unwrap().to_owned()
            }
            "confirmation" => {
                // Each may ask for few of them, so the stranger is another one each time.
                let is_stranger = of.account.id == self.stranger.account.id;
                let other = people.person(&format!("s{}", new_id().simple()), Role::User).await;
                let body = CONFIRMATION.replace("{payee}", &payer.to_string());
                let of = if is_stranger { &other } else { of };
                let reply = people.post_as(of, "/v1/me/confirmations", &id, &body).await;
                reply.json()["confirmation"].as_str().unwrap().to_owned()
            }
            "request_in" | "request_out" => {
                let (from, to) = if kind == "request_in" { (&self.payee, of) } else { (of, &self.payee) };
                let body = REQUEST.replace("{payee}", &to.account.wallet.to_string());
                let reply = people.post_as(from, "/v1/me/requests", &id, &body).await;
                assert_eq!(reply.status, 201, "{reply:?}");
                id
            }
            "api_key" => {
                // Staff has none of its own.
                let of = if of.account.role == Role::Merchant { of } else { &self.stranger };
                make_key(people, of, Scope::WalletsRead).await.0
            }
            "promotion" => {
                let reply = people.post("/v1/promotions", &id, PROMOTION).await;
                reply.json()["id"].as_str().unwrap().to_owned()
            }
            "adjustment" => {
                let is_staff = matches!(of.account.role, Role::Finance | Role::Administrator);
                let by = if is_staff { of } else { self.of(Role::Finance) };
                let body = ADJUSTMENT.replace("{payee}", &payer.to_string());
                assert_eq!(people.post_as(by, "/v1/adjustments", &id, &body).await.status, 201);
                id
            }
            "top_up" | "pay_out" => {
                people.bank_move(of, &id, kind).await;
                id
            }
            "device" => {
                let body = format!(r#"{{"push_token":"{id}","platform":"ios"}}"#);
                let reply = people.post_as(of, "/v1/me/devices", &id, &body).await;
                reply.json()["id"].as_str().unwrap().to_owned()
            }
            "dead_letter" => dead_letter(people, of).await.to_string(),
            _ => unreachable!("nobody knows how to make this: {kind}"),
        }
    }
}

/// The id of a new API key, and the key.
async fn make_key(people: &People, of: &Person, scope: Scope) -> (String, String) {
    let new = NewKey { name: "a try".to_owned(), scopes: vec![scope], expires_in_days: None };
    let made = api_keys::create(&people.services, &Principal::operator(), of.account.id, &new).await.unwrap();
    (made.0.id.to_string(), made.1.expose_secret().to_owned())
}

impl Caller<'_> {
    fn name(&self) -> String {
        match self {
            Caller::Nobody => "nobody".to_owned(),
            Caller::Bad(what, _) => format!("somebody with {what}"),
            Caller::Operator => "the operator".to_owned(),
            Caller::Person(person) => person.account.role.name().to_owned(),
            Caller::Key(scope, _) => format!("a key for {}", scope.name()),
        }
    }

    fn is_among(&self, who: &str) -> bool {
        who.split(' ').any(|word| match self {
            Caller::Nobody | Caller::Bad(..) => false,
            Caller::Operator => word == "operator",
            Caller::Person(person) => word == "everybody" || word == person.account.role.name(),
            Caller::Key(scope, _) => word == scope.name(),
        })
    }

    fn is_customer(&self) -> bool {
        match self {
            Caller::Person(person) => matches!(person.account.role, Role::User | Role::Merchant),
            Caller::Key(..) => true,
            Caller::Nobody | Caller::Bad(..) | Caller::Operator => false,
        }
    }

    /// Whose objects are his own.
    fn person<'p>(&'p self, cast: &'p Cast) -> Option<&'p Person> {
        match self {
            Caller::Person(person) => Some(person),
            Caller::Key(..) => Some(cast.of(Role::Merchant)),
            Caller::Nobody | Caller::Bad(..) | Caller::Operator => None,
        }
    }
}
