//! kill -9 at each step of opening an account, at random moments of a whole life, and that no step is without a test.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use florin::store::Role;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

use crate::people_crash_rig::{Home, Program};
use crate::people_rig::People;
use crate::people_wallet::join_all;

const PASSWORD: &str = "lantern-quarry-velvet-91";
/// Of 1.00, by each.
const PAYMENTS: usize = 30;

/// A promotion of 50.00 for each new account, and its budget's wallet.
async fn promotion(people: &People) -> String {
    let body = r#"{"name":"Diwali","amount":{"amount":"50.00","currency":"INR"},"ends_at":"2100-01-01T00:00:00Z"}"#;
    let reply = people.post("/v1/promotions", "p", body).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    let wallet = reply.json()["budget_wallet"].as_str().unwrap().to_owned();
    let body = format!(r#"{{"wallet":"{wallet}","amount":{{"amount":"1000.00","currency":"INR"}}}}"#);
    assert_eq!(people.post("/v1/deposits", "budget", &body).await.status, 201);
    wallet
}

async fn accounts_at(server: &Program, email: &str) -> Vec<Value> {
    let found = server.read(&format!("/v1/accounts?email={email}")).await;
    found["data"].as_array().unwrap().clone()
}

/// Once by a client that repeats its request, and once by one that gives up and signs in later.
#[tokio::test]
async fn opening_an_account_is_done_whole_or_not_at_all() {
    let people = People::start().await;
    let budget = promotion(&people).await;
    let steps = [
        "registration.before_commit",
        "registration.after_commit",
        "account.after_opening",
        "account.after_wallet",
        "promotion.after_transfer",
    ];
    let mut clients = Vec::new();
    for (number, step) in steps.into_iter().enumerate() {
        for comes_back in [true, false] {
            let email = format!("new{number}{comes_back}@example.in");
            clients.push((step, comes_back, people.registration_token(&email).await, email));
        }
    }
    let home = Home::of(people, &[]).await;
    let mut left = 1000;
    for (step, comes_back, token, email) in &clients {
        let body = format!(r#"{{"registration_token":"{token}","name":"Asha","password":"{PASSWORD}"}}"#);
        let server = home
            .crash(step, async |first| assert!(first.post("", "/v1/accounts", "mine", &body).await.is_none(), "{step}"))
            .await;
        let is_there = *step != "registration.before_commit";
        assert_eq!(accounts_at(&server, email).await.len(), usize::from(is_there), "{step}");
        if *comes_back {
            let again = server.told("", "/v1/accounts", "mine", &body).await;
            let replayed = again.header("idempotent-replayed") == Some("true");
            assert_eq!((again.status, replayed), (201, is_there), "{step}: {again:?}");
            assert!(server.is_in(again.json()["session"]["access_token"].as_str().unwrap()).await);
        }
        let by_password = format!(r#"{{"email":"{email}","password":"{PASSWORD}"}}"#);
        let signed_in = server.told("", "/v1/auth/password", "p", &by_password).await;
        if !comes_back && !is_there {
            assert_eq!(signed_in.code(), "INVALID_CREDENTIALS", "{step}");
            continue;
        }
        assert_eq!(signed_in.status, 200, "{step}: {signed_in:?}");
        assert_eq!(server.told("", "/v1/accounts", "another", &body).await.code(), "INVALID_TOKEN", "{step}");
        let found = accounts_at(&server, email).await;
        assert_eq!((found.len(), found[0]["state"].as_str()), (1, Some("active")), "{step}: {found:?}");
        let (id, wallet) = (found[0]["id"].as_str().unwrap(), found[0]["wallet"].as_str().unwrap());
        let wallets = server.read(&format!("/v1/wallets?owner={id}")).await["data"].as_array().unwrap().clone();
        assert_eq!((wallets.len(), wallets[0]["id"].as_str()), (1, Some(wallet)), "{step}");
        left -= 50;
        assert_eq!(server.posted(wallet).await, "50.00", "{step}");
        assert_eq!(server.posted(&budget).await, format!("{left}.00"), "{step}");
        server.is_in_order().await;
    }
    let server = home.start(None);
    for (step, comes_back, _, email) in &clients {
        let wanted = usize::from(*comes_back || *step != "registration.before_commit");
        home.until_mails(email, "Subject: Welcome to Florin", wanted).await;
    }
    server.kill();
}

/// Some do all of this at once, and the server is killed again and again while they do: whatever was not answered is asked
/// again under the same key, and in the end each has what he has, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_at_any_moment_loses_and_doubles_nothing() {
    const PEOPLE: usize = 6;
    const ROUNDS: usize = 6;
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let people = People::start().await;
    let shop = people.person("shop", Role::User).await;
    let budget = promotion(&people).await;
    let mut lives = Vec::new();
    for number in 0..PEOPLE {
        let token = people.registration_token(&format!("life{number}@example.in")).await;
        lives.push(Life { number, token, access: None, paid: 0 });
    }
    let home = Home::of(people, &[]).await;
    for _ in 0..ROUNDS {
        let server = home.start(None);
        let moment = Duration::from_micros(random.random_range(1_000..250_000));
        let death = async {
            tokio::time::sleep(moment).await;
            server.signal_kill();
        };
        tokio::join!(join_all(lives.iter_mut().map(|life| life.go_on(&server))), death);
    }
    let server = home.start(None);
    for life in &mut lives {
        life.go_on(&server).await.expect("this server lives");
        let found = accounts_at(&server, &format!("life{}@example.in", life.number)).await;
        assert_eq!(found.len(), 1, "seed {seed}: {found:?}");
        assert_eq!(server.posted(found[0]["wallet"].as_str().unwrap()).await, "20.00", "seed {seed}");
    }
    assert_eq!(server.posted(&budget).await, format!("{}.00", 1000 - 50 * PEOPLE), "seed {seed}");
    assert_eq!(
        server.posted(&shop.account.wallet.to_string()).await,
        format!("{}.00", PAYMENTS * PEOPLE),
        "seed {seed}"
    );
    server.is_in_order().await;
    for life in &lives {
        home.until_mails(&format!("life{}@example.in", life.number), "Subject: Welcome to Florin", 1).await;
    }
    server.kill();
}

/// Somebody who opens an account and pays a shop 1.00 many times.
struct Life {
    number: usize,
    token: String,
    access: Option<String>,
    paid: usize,
}

impl Life {
    /// As far as he comes before the server dies.
    async fn go_on(&mut self, server: &Program) -> Option<()> {
        let access = match &self.access {
            Some(access) => access.clone(),
            None => {
                let body = format!(r#"{{"registration_token":"{}","name":"Life"}}"#, self.token);
                let reply = server.post("", "/v1/accounts", "mine", &body).await?;
                assert_eq!(reply.status, 201, "{reply:?}");
                let access = reply.json()["session"]["access_token"].as_str().unwrap().to_owned();
                self.access.insert(access).clone()
            }
        };
        while self.paid < PAYMENTS {
            let body = r#"{"to":{"handle":"shop"},"amount":{"amount":"1.00","currency":"INR"}}"#;
            let key = format!("pay-{}-{}", self.number, self.paid);
            let reply = server.post(&access, "/v1/me/payments", &key, body).await?;
            assert_eq!(reply.status, 201, "{reply:?}");
            self.paid += 1;
        }
        Some(())
    }
}

/// A new step without a test fails here.
#[test]
fn each_step_at_which_a_server_can_be_killed_is_tried() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut steps = BTreeSet::new();
    for path in files(&root.join("src")) {
        let text = std::fs::read_to_string(&path).unwrap();
        for call in text.split("crash::point(").skip(1) {
            let (call, _) = call.split_once(");").unwrap();
            steps.extend(call.split('"').skip(1).step_by(2).map(str::to_owned));
        }
    }
    assert!(steps.len() > 30, "{steps:?}");
    let tests: String =
        files(&root.join("tests/it")).iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let untried: Vec<_> = steps.iter().filter(|step| !tests.contains(&format!("\"{step}\""))).collect();
    assert!(untried.is_empty(), "no test kills a server at {untried:?}");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push(path);
        }
    }
    all
}
