//! Top-ups and withdrawals against a bank that fails, repeats and loses answers, and across crashes at each step: the wallet,
//! the wallets in between and the bank's own books always agree in the end.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use florin::gateways::bank_http::BankOverHttp;
use florin::ledger::{Currency, Status, WalletId};
use florin::services::Principal;
use florin::services::bank_moves::{self, settlement_wallet, transit_wallet};
use florin::services::clock::{MINUTE, SECOND};
use florin::store::Role;
use florin::store::bank_moves::{self as bank_store, BankMove, Kind, State, Step};
use secrecy::SecretString;
use serde_json::Value;
use simulators::bank::{Bank, Faults};
use tempfile::TempDir;

use crate::people_program::Program;
use crate::people_rig::{People, Person, settings};
use crate::people_wallet::join_all;

const KEY: &str = "the bank's key";
const GOOD: &str = "IN00112233";
/// The simulator's accounts that end like this always fail.
const BAD: &str = "IN11220000";

async fn bank(folder: &TempDir, faults: Faults) -> Bank {
    Bank::open("127.0.0.1:0".parse().unwrap(), &folder.path().join("books"), KEY, faults).await.unwrap()
}

async fn people_with(bank: &Bank) -> People {
    let mut settings = settings();
    settings.bank = Some(Arc::new(BankOverHttp::new(&bank.url(), SecretString::from(KEY)).unwrap()));
    People::start_with(settings).await
}

fn body(rupees: &str, account: &str) -> String {
    format!(r#"{{"amount":{{"amount":"{rupees}","currency":"INR"}},"bank_account":"{account}"}}"#)
}

fn inr() -> Currency {
    Currency::by_code("INR").unwrap()
}

impl People {
    /// One that is in the books, without a bank.
    pub async fn bank_move(&self, of: &Person, id: &str, kind: &str) {
        let kind = if kind == "top_up" { Kind::TopUp } else { Kind::Withdrawal };
        let row = BankMove {
            id: id.parse().unwrap(),
            kind,
            account: of.account.id,
            wallet: of.account.wallet,
            amount: 100,
            currency: "INR".to_owned(),
            bank_account_sealed: self.services.seal.seal("bank_moves.bank_account", GOOD),
            bank_account_digest: String::new(),
            state: State::Pending,
            step: Step::Ask,
            refusals: 0,
            attempts: 0,
            next_attempt_at: None,
            bank_reference: None,
            failure: None,
            created_at: self.services.now(),
            taken_at: None,
            bank_ended_at: None,
            ended_at: None,
        };
        let mut tx = self.services.store.begin().await.unwrap();
        bank_store::insert(&mut tx, &row).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn minor(&self, wallet: WalletId) -> i64 {
        self.services.engine.wallet(wallet).await.unwrap().map_or(0, |view| view.wallet.posted())
    }

    /// What the bank has of ours is what the settlement wallet is below zero, and nothing is on its way.
    async fn agrees_with(&self, bank: &Bank) {
        assert_eq!(self.minor(transit_wallet(inr())).await, 0);
        assert_eq!(-self.minor(settlement_wallet(inr())).await, net_minor(bank));
    }

    async fn ended(&self, person: &Person, path: &str, id: &str) -> Value {
        let began = Instant::now();
        loop {
            let seen = self.get_as(person, &format!("{path}/{id}")).await.json();
            if seen["state"] != "pending" {
                return seen;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "it never ends: {seen}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn net_minor(bank: &Bank) -> i64 {
    let books = bank.books();
    let sum = books["sums"].as_array().unwrap().first().map_or("0", |sum| sum["net"].as_str().unwrap()).to_owned();
    florin::ledger::money::parse_minor(&sum, inr()).unwrap()
}

#[tokio::test]
async fn money_comes_from_the_bank_and_goes_back() {
    let folder = TempDir::new().unwrap();
    let bank = bank(&folder, Faults::default()).await;
    let people = people_with(&bank).await;
    let asha = people.person("asha", Role::User).await;
    let ravi = people.person("ravi", Role::User).await;
    let begun = people.post_as(&asha, "/v1/me/top-ups", "t1", &body("500.00", GOOD)).await;
    assert_eq!(begun.status, 202, "{begun:?}");
    let id = begun.json()["id"].as_str().unwrap().to_owned();
    let ended = people.ended(&asha, "/v1/me/top-ups", &id).await;
    assert_eq!((ended["state"].as_str(), ended["bank_account"].as_str()), (Some("completed"), Some("••••2233")));
    let changes: Vec<&str> = ended["changes"].as_array().unwrap().iter().map(|c| c["what"].as_str().unwrap()).collect();
    assert_eq!(changes, ["begun", "bank_settled", "completed"]);
    assert_eq!(people.posted_of(&asha).await, "500.00");
    let again = people.post_as(&asha, "/v1/me/top-ups", "t1", &body("500.00", GOOD)).await;
    assert_eq!((again.header("idempotent-replayed"), again.json()), (Some("true"), ended));
    for (rupees, account) in [("501.00", GOOD), ("500.00", "IN00112234")] {
        let other = people.post_as(&asha, "/v1/me/top-ups", "t1", &body(rupees, account)).await;
        assert_eq!(other.code(), "IDEMPOTENCY_KEY_REUSED");
    }
    let stolen = people.post_as(&ravi, "/v1/me/top-ups", &id, &body("500.00", GOOD)).await;
    assert_eq!(stolen.code(), "IDEMPOTENCY_KEY_REUSED", "an id of somebody else's");
    assert_eq!(people.get_as(&ravi, &format!("/v1/me/top-ups/{id}")).await.status, 404);
    assert_eq!(people.get_as(&asha, &format!("/v1/me/withdrawals/{id}")).await.status, 404);

    let poor = people.post_as(&asha, "/v1/me/withdrawals", "w0", &body("500.01", GOOD)).await;
    assert_eq!((poor.status, poor.code().as_str()), (422, "INSUFFICIENT_FUNDS"));
    let poor = people.post_as(&asha, "/v1/me/withdrawals", "w0", &body("500.01", GOOD)).await;
    assert_eq!((poor.status, poor.header("idempotent-replayed")), (422, Some("true")));
    let out = people.post_as(&asha, "/v1/me/withdrawals", "w1", &body("120.00", GOOD)).await;
    assert_eq!(out.status, 202);
    assert_eq!(people.posted_of(&asha).await, "380.00", "it leaves the wallet at once");
    let ended = people.ended(&asha, "/v1/me/withdrawals", out.json()["id"].as_str().unwrap()).await;
    assert_eq!(ended["state"], "completed");
    people.agrees_with(&bank).await;

    // What the bank will not do comes back; what it will not collect never comes.
    let out = people.post_as(&asha, "/v1/me/withdrawals", "w2", &body("80.00", BAD)).await;
    let ended = people.ended(&asha, "/v1/me/withdrawals", out.json()["id"].as_str().unwrap()).await;
    assert_eq!(
        (ended["state"].as_str(), ended["failure"].as_str()),
        (Some("failed"), Some("there is no such account"))
    );
    let top_up = people.post_as(&asha, "/v1/me/top-ups", "t2", &body("80.00", BAD)).await;
    assert_eq!(people.ended(&asha, "/v1/me/top-ups", top_up.json()["id"].as_str().unwrap()).await["state"], "failed");
    assert_eq!(people.posted_of(&asha).await, "380.00");
    people.agrees_with(&bank).await;
    let listed = people.get_as(&asha, "/v1/me/withdrawals").await.json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 3, "the refused one is there as well");
    people.stop().await;
}

#[tokio::test]
async fn an_account_is_not_closed_while_money_is_on_its_way() {
    let folder = TempDir::new().unwrap();
    let bank = bank(&folder, Faults::default()).await;
    let people = people_with(&bank).await;
    for (name, kind) in [("asha", "top_up"), ("ravi", "pay_out")] {
        let person = people.person(name, Role::User).await;
        let id = uuid::Uuid::now_v7().to_string();
        people.bank_move(&person, &id, kind).await;
        let by_staff = people.post(&format!("/v1/accounts/{}/close", person.account.id), "c", "").await;
        assert_eq!((by_staff.status, by_staff.code().as_str()), (409, "INVALID_STATE"), "{name}");
        assert_eq!(people.post_as(&person, "/v1/me/close", "c", "").await.code(), "INVALID_STATE", "{name}");
        let mut tx = people.services.store.begin().await.unwrap();
        let (id, left) = (id.parse().unwrap(), bank_store::Left::default());
        bank_store::end(&mut tx, id, Step::Ask, State::Failed, left, people.services.now()).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(people.post_as(&person, "/v1/me/close", "c", "").await.json()["state"], "closed", "{name}");
    }
    people.stop().await;
}

/// Either the top-up is first, and the account stays; or the close is, and nothing is collected for it.
#[tokio::test]
async fn a_top_up_and_a_close_at_the_same_moment() {
    let folder = TempDir::new().unwrap();
    let bank = bank(&folder, Faults { delay: Duration::from_millis(300), ..Faults::default() }).await;
    let people = people_with(&bank).await;
    let mut closed = 0;
    for round in 0..12 {
        let asha = people.person(&format!("asha{round}"), Role::User).await;
        let (key, content) = (format!("t{round}"), body("5.00", GOOD));
        let closing = format!("/v1/accounts/{}/close", asha.account.id);
        let (top_up, close) =
            tokio::join!(people.post_as(&asha, "/v1/me/top-ups", &key, &content), people.post(&closing, "c", ""),);
        let state = people.get(&format!("/v1/accounts/{}", asha.account.id)).await.json()["state"].clone();
        if close.status == 200 {
            closed += 1;
            // A session that has ended in between is 401.
            let codes = ["ACCOUNT_CLOSED", "UNAUTHORIZED"];
            assert!(codes.contains(&top_up.code().as_str()), "{top_up:?}");
            assert_eq!(state, "closed");
        } else {
            assert_eq!((top_up.status, close.code().as_str()), (202, "INVALID_STATE"), "{top_up:?} {close:?}");
            assert_eq!(state, "active");
        }
    }
    // As a close leaves it that has begun: the row says so, and the state not yet.
    let ravi = people.person("ravi", Role::User).await;
    people.services.engine.set_status(WalletId(ravi.account.wallet.as_u128()), Status::Frozen).await;
    let mut tx = people.services.store.begin().await.unwrap();
    let now = people.services.now();
    assert!(florin::store::standing::begin_close(&mut tx, ravi.account.id, now).await.unwrap());
    tx.commit().await.unwrap();
    let late = people.post_as(&ravi, "/v1/me/top-ups", "late", &body("5.00", GOOD)).await;
    assert!(["ACCOUNT_CLOSED", "UNAUTHORIZED"].contains(&late.code().as_str()), "{late:?} after {closed} closes");
    people.stop().await;
}

#[tokio::test]
async fn a_bank_that_misbehaves_in_every_way_moves_each_sum_once() {
    let folder = TempDir::new().unwrap();
    let faults = Faults {
        seed: 20_261_120,
        delay: Duration::from_millis(100),
        failing: 200,
        losing: 300,
        doubling: 300,
        refusing: 300,
    };
    let bank = bank(&folder, faults).await;
    let people = people_with(&bank).await;
    let asha = people.person("asha", Role::User).await;
    people.fund(&asha, "10000.00").await;
    let all = (0..40).map(|number| {
        let (people, asha) = (&people, &asha);
        async move {
            let path = if number % 2 == 0 { "/v1/me/top-ups" } else { "/v1/me/withdrawals" };
            let begun =
                people.post_as(asha, path, &format!("k{number}"), &body(&format!("{}.00", number + 1), GOOD)).await;
            assert_eq!(begun.status, 202, "{begun:?}");
            (path, begun.json()["id"].as_str().unwrap().to_owned())
        }
    });
    let me = Principal::person(asha.account.id, uuid::Uuid::nil(), Role::User);
    let (mut completed, mut failed) = (0, 0);
    for (path, id) in join_all(all).await {
        let kind = if path == "/v1/me/top-ups" { Kind::TopUp } else { Kind::Withdrawal };
        let began = Instant::now();
        loop {
            let seen = bank_moves::show(&people.services, &me, kind, id.parse().unwrap()).await.unwrap();
            match seen.row.state {
                State::Completed => break completed += 1,
                State::Failed => break failed += 1,
                State::Pending => {}
            }
            assert!(began.elapsed() < Duration::from_secs(60), "it never ends: {seen:?}");
            // Waits between two tries grow; nobody here has the time.
            people.services.background.wake(bank_moves::JOB);
            people.services.clock.advance(2 * SECOND);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    assert!(completed > 20 && failed > 2, "{completed} completed, {failed} failed");
    people.agrees_with(&bank).await;
    let balance = people.minor(WalletId(asha.account.wallet.as_u128())).await;
    assert_eq!(balance, 1_000_000 + net_minor(&bank));
    people.stop().await;
}

#[tokio::test]
async fn money_waits_for_a_wallet_that_is_frozen() {
    let folder = TempDir::new().unwrap();
    let bank = bank(&folder, Faults::default()).await;
    let people = people_with(&bank).await;
    let asha = people.person("asha", Role::User).await;
    let wallet = WalletId(asha.account.wallet.as_u128());
    people.services.engine.set_status(wallet, Status::Frozen).await;
    let begun = people.post_as(&asha, "/v1/me/top-ups", "t", &body("5.00", GOOD)).await;
    let path = format!("/v1/me/top-ups/{}", begun.json()["id"].as_str().unwrap());
    let began = Instant::now();
    while people.get_as(&asha, &path).await.json()["changes"].as_array().unwrap().len() < 2 {
        assert!(began.elapsed() < Duration::from_secs(30), "the bank never settles");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(people.get_as(&asha, &path).await.json()["state"], "pending");
    people.services.engine.set_status(wallet, Status::Active).await;
    people.services.clock.advance(MINUTE);
    people.services.background.wake("bank");
    people.ended(&asha, "/v1/me/top-ups", begun.json()["id"].as_str().unwrap()).await;
    assert_eq!(people.posted_of(&asha).await, "5.00");
    people.agrees_with(&bank).await;
    people.stop().await;
}

/// Each named step once: the process ends there, another one is started on the same folder, and finishes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_step_leaves_nothing_half_done() {
    let folder = TempDir::new().unwrap();
    let bank = bank(&folder, Faults::default()).await;
    let mut people = people_with(&bank).await;
    let asha = people.person("asha", Role::User).await;
    people.fund(&asha, "1000.00").await;
    let mut expected = 100_000;
    let url = bank.url();
    let with_bank = [("FLORIN_BANK_URL", url.as_str()), ("FLORIN_BANK_KEY", KEY)];
    let steps = [
        ("top_up.after_row", GOOD, 10_00),
        ("top_up.after_ask", GOOD, 10_00),
        ("top_up.after_answer", GOOD, 10_00),
        ("top_up.after_book", GOOD, 10_00),
        ("withdrawal.after_row", GOOD, -10_00),
        ("withdrawal.after_take", GOOD, -10_00),
        ("withdrawal.after_ask", GOOD, -10_00),
        ("withdrawal.after_answer", GOOD, -10_00),
        ("withdrawal.after_settle", GOOD, -10_00),
        ("withdrawal.after_answer", BAD, 0),
        ("withdrawal.after_give_back", BAD, 0),
    ];
    for (number, (step, account, change)) in steps.into_iter().enumerate() {
        let down = people.down().await;
        let path = if step.starts_with("top_up") { "/v1/me/top-ups" } else { "/v1/me/withdrawals" };
        let (key, body) = (format!("crash-{number}"), body("10.00", account));
        let mut first = Program::start(&down, &with_bank, Some(step));
        let answered = first.ask(&asha, "POST", path, &key, &body).await;
        first.died().await;
        drop(first);
        let second = Program::start(&down, &with_bank, None);
        // Whoever was not answered asks again under the same key.
        let again = second.ask(&asha, "POST", path, &key, &body).await.unwrap();
        assert_eq!(again.status, 202, "{step}: {again:?}");
        let id = again.json()["id"].as_str().unwrap().to_owned();
        if let Some(answered) = answered {
            assert_eq!(answered.json()["id"].as_str(), Some(id.as_str()), "{step}");
        }
        let began = Instant::now();
        loop {
            let seen = second.ask(&asha, "GET", &format!("{path}/{id}"), "x", "").await.unwrap().json();
            if seen["state"] != "pending" {
                assert_eq!(seen["state"], if account == GOOD { "completed" } else { "failed" }, "{step}");
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{step}: it never ends: {seen}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        drop(second);
        people = down.up().await;
        expected += change;
        assert_eq!(people.minor(WalletId(asha.account.wallet.as_u128())).await, expected, "{step}");
        people.agrees_with(&bank).await;
    }
    people.stop().await;
}
