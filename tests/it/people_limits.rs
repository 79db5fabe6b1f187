//! A person's own spending limits: lowered at once, raised after a day, never above the operator's, kept by the wallet under
//! any number of payments at once, and finished after a crash.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::time::{Duration, Instant};

use florin::ledger::WalletId;
use florin::services::clock::{DAY, MINUTE};
use florin::services::spending_limits;
use florin::store::spending_limits::by_wallet;
use florin::store::{Role, Store};
use serde_json::{Value, json};

use crate::http_api::Reply;
use crate::people_program::Program;
use crate::people_rig::{People, Person};
use crate::people_wallet::join_all;
use crate::rig::clear_of_midnight;

const PATH: &str = "/v1/me/limits";

fn inr(amount: &str) -> Value {
    json!({"amount": amount, "currency": "INR"})
}

impl People {
    async fn limit_own(&self, person: &Person, limits: &Value) -> Reply {
        self.send_as(&person.token, "POST", PATH, &[], &limits.to_string()).await
    }

    async fn limit_by_operator(&self, person: &Person, limits: &Value) -> Reply {
        self.post(&format!("/v1/wallets/{}/limits", person.account.wallet), "-", &limits.to_string()).await
    }

    async fn limits_of(&self, person: &Person) -> Value {
        let reply = self.get_as(person, PATH).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()
    }

    async fn pay_to(&self, person: &Person, key: &str, handle: &str, rupees: &str) -> Reply {
        let body = json!({"to": {"handle": handle}, "amount": inr(rupees)});
        self.post_as(person, "/v1/me/payments", key, &body.to_string()).await
    }

    async fn told_of_limits(&self, person: &Person) -> Vec<String> {
        let told = self.told(person.account.id, "security_changed").await;
        told.iter().map(|params| params["what"].as_str().unwrap().to_owned()).collect()
    }

    /// What the wallet itself keeps for a day, in minor units.
    async fn day_in_ledger(&self, person: &Person) -> Option<i64> {
        let wallet = WalletId(person.account.wallet.as_u128());
        let kept = self.services.engine.spending(wallet).await.unwrap();
        kept.and_then(|(limits, _)| limits.per_day).map(|amount| amount.minor())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_is_never_overspent_by_payments_at_once() {
    clear_of_midnight().await;
    let people = People::start().await;
    let (asha, _) = (people.person("asha", Role::User).await, people.person("ravi", Role::User).await);
    people.fund(&asha, "1000.00").await;
    let none = people.limits_of(&asha).await;
    assert_eq!((&none["per_day"], &none["today"], &none["raises"]), (&Value::Null, &Value::Null, &json!([])));
    let set = people.limit_own(&asha, &json!({"per_day": inr("100.00"), "per_payment": inr("60.00")})).await;
    assert_eq!((set.status, &set.json()["per_day"]), (200, &inr("100.00")), "{set:?}");
    assert_eq!(people.pay_to(&asha, "large", "ravi", "60.01").await.code(), "PAYMENT_LIMIT_EXCEEDED");

    let all = (0..20).map(|number| {
        let (people, asha) = (&people, &asha);
        async move { people.pay_to(asha, &format!("p{number}"), "ravi", "9.00").await }
    });
    let (mut paid, mut refused) = (0, 0);
    for reply in join_all(all).await {
        match reply.status {
            201 => paid += 1,
            _ => {
                assert_eq!(reply.code(), "DAY_LIMIT_EXCEEDED", "{reply:?}");
                refused += 1;
            }
        }
    }
    assert_eq!((paid, refused), (11, 9));
    let known = people.limits_of(&asha).await;
    assert_eq!(known["today"], json!({"spent": inr("99.00"), "left": inr("1.00")}));
    assert_eq!(known["this_month"], json!({"spent": inr("99.00"), "left": null}));
    assert_eq!(known["own"]["per_day"], inr("100.00"));
    assert_eq!(people.told_of_limits(&asha).await, ["limits_lowered"]);
    people.stop().await;
}

#[tokio::test]
async fn raising_waits_a_day_and_lowering_does_not() {
    let people = People::start().await;
    let asha = people.person("asha", Role::User).await;
    people.limit_own(&asha, &json!({"per_day": inr("100"), "per_month": inr("500")})).await;
    let before = people.services.now();
    let asked = people.limit_own(&asha, &json!({"per_day": inr("300"), "per_month": null})).await.json();
    assert_eq!((&asked["per_day"], &asked["per_month"]), (&inr("100.00"), &inr("500.00")));
    let raises = asked["raises"].as_array().unwrap();
    assert_eq!((raises[0]["limit"].as_str(), &raises[0]["to"]), (Some("per_day"), &inr("300.00")));
    assert_eq!((raises[1]["limit"].as_str(), &raises[1]["to"]), (Some("per_month"), &Value::Null));
    let at: jiff::Timestamp = raises[0]["in_force_at"].as_str().unwrap().parse().unwrap();
    assert!((before + DAY..before + DAY + MINUTE).contains(&at.as_microsecond()), "{at}");

    // The same again changes nothing, its time neither. What is not asked for stays.
    let again = people.limit_own(&asha, &json!({"per_day": inr("300")})).await.json();
    assert_eq!(again["raises"], asked["raises"]);
    let lower = people.limit_own(&asha, &json!({"per_month": inr("400")})).await.json();
    assert_eq!((&lower["per_month"], lower["raises"].as_array().unwrap().len()), (&inr("400.00"), 1));
    assert_eq!(people.day_in_ledger(&asha).await, Some(10_000));

    people.services.clock.advance(DAY - MINUTE);
    spending_limits::sweep(&people.services).await.unwrap();
    assert_eq!(people.day_in_ledger(&asha).await, Some(10_000), "it has not waited long enough");
    people.services.clock.advance(2 * MINUTE);
    people.services.background.wake(spending_limits::JOB);
    let began = Instant::now();
    while people.day_in_ledger(&asha).await != Some(30_000) {
        assert!(began.elapsed() < Duration::from_secs(30), "it is never raised");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let asha = people.sign_in_again(asha).await;
    let known = people.limits_of(&asha).await;
    assert_eq!((&known["per_day"], &known["raises"]), (&inr("300.00"), &json!([])));

    // Taken back by asking for what is in force, and by asking for less.
    people.limit_own(&asha, &json!({"per_day": inr("400")})).await;
    let back = people.limit_own(&asha, &json!({"per_day": inr("300")})).await.json();
    assert_eq!(back["raises"], json!([]));
    people.limit_own(&asha, &json!({"per_day": null, "utc_offset": "+05:30"})).await;
    let less = people.limit_own(&asha, &json!({"per_day": inr("200")})).await.json();
    assert_eq!((&less["per_day"], less["raises"].as_array().unwrap().len()), (&inr("200.00"), 1));
    assert_eq!((&less["raises"][0]["utc_offset"], &less["utc_offset"]), (&json!("+05:30"), &json!("+00:00")));
    people.services.clock.advance(DAY);
    spending_limits::sweep(&people.services).await.unwrap();
    assert_eq!(people.day_in_ledger(&asha).await, Some(20_000));
    let asha = people.sign_in_again(asha).await;
    assert_eq!(people.limits_of(&asha).await["utc_offset"], "+05:30");
    let told = people.told_of_limits(&asha).await;
    let (lowered, waits, raised, back) =
        ("limits_lowered", "limits_raise_waits", "limits_raised", "limits_raise_taken_back");
    assert_eq!(told, [lowered, waits, lowered, raised, waits, back, waits, lowered, raised]);
    people.stop().await;
}

#[tokio::test]
async fn the_operators_limit_is_a_ceiling() {
    let people = People::start().await;
    let asha = people.person("asha", Role::User).await;
    let risk = people.person("risk", Role::Risk).await;
    // What the ledger knew before anybody had written a row.
    let wallet = WalletId(asha.account.wallet.as_u128());
    let known = florin::ledger::SpendingLimits {
        per_day: florin::ledger::Amount::new(90_000),
        ..florin::ledger::SpendingLimits::default()
    };
    people.services.engine.limit_spending(wallet, known).await;
    let above = people.limit_own(&asha, &json!({"per_day": inr("900.01")})).await;
    assert_eq!((above.status, above.code().as_str()), (422, "LIMIT_ABOVE_CEILING"));
    let own = people.limit_own(&asha, &json!({"per_day": inr("500")})).await.json();
    assert_eq!((&own["per_day"], &own["operator"]["per_day"]), (&inr("500.00"), &inr("900.00")));

    // Whoever may, sets the ceiling; the lesser of the two is kept.
    let path = format!("/v1/wallets/{}/limits", asha.account.wallet);
    let body = json!({"per_day": inr("300"), "per_month": inr("2000"), "utc_offset": "+05:30"});
    let set = people.send_as(&risk.token, "POST", &path, &[], &body.to_string()).await;
    assert_eq!((set.status, &set.json()["per_day"]), (200, &inr("300.00")), "{set:?}");
    let known = people.limits_of(&asha).await;
    assert_eq!((&known["own"]["per_day"], &known["per_day"]), (&inr("500.00"), &inr("300.00")));
    assert_eq!((&known["per_month"], &known["utc_offset"]), (&inr("2000.00"), &json!("+05:30")));
    let raised = people.limit_by_operator(&asha, &json!({"per_day": inr("800")})).await.json();
    assert_eq!((&raised["per_day"], &raised["per_month"]), (&inr("500.00"), &Value::Null));
    let none = people.limit_by_operator(&asha, &json!({})).await.json();
    assert_eq!(none["per_day"], inr("500.00"), "the person's own stays");

    let audit = people.get("/v1/audit").await.json();
    let of_limits: Vec<&Value> =
        audit["data"].as_array().unwrap().iter().filter(|row| row["action"] == "wallet.limits").collect();
    assert_eq!(of_limits.len(), 3);
    assert_eq!(of_limits[2]["actor"], format!("account {}", risk.account.id));
    assert_eq!(of_limits[2]["detail"]["per_day_minor"], 30_000);
    let told = people.told_of_limits(&asha).await;
    assert_eq!(told.iter().filter(|what| *what == "limits_set_by_operator").count(), 3);
    assert_eq!(people.limit_by_operator(&asha, &json!({})).await.status, 200);
    assert_eq!(people.told_of_limits(&asha).await, told, "the same again is nothing to tell");
    people.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_told_and_changes_nothing() {
    let people = People::start().await;
    let asha = people.person("asha", Role::User).await;
    for (limits, status, code) in [
        (json!({"per_day": inr("0")}), 400, "INVALID_AMOUNT"),
        (json!({"per_day": inr("1.001")}), 400, "INVALID_AMOUNT"),
        (json!({"per_day": "5"}), 400, "INVALID_REQUEST"),
        (json!({"per_day": {"amount": "5", "currency": "USD"}}), 422, "CURRENCY_MISMATCH"),
        (json!({"per_week": inr("5")}), 400, "INVALID_REQUEST"),
        (json!({"utc_offset": null, "per_day": 5}), 400, "INVALID_AMOUNT"),
        (json!({"utc_offset": "India"}), 400, "INVALID_REQUEST"),
        (json!([]), 400, "INVALID_REQUEST"),
    ] {
        let reply = people.limit_own(&asha, &limits).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{limits}: {reply:?}");
    }
    assert_eq!(people.limit_own(&asha, &json!({})).await.status, 200);
    assert_eq!(people.limit_own(&asha, &json!({"per_day": null})).await.status, 200, "there is none already");
    assert!(people.told_of_limits(&asha).await.is_empty());
    let mut c = people.services.store.read().await.unwrap();
    assert_eq!(by_wallet(&mut c, asha.account.wallet).await.unwrap(), None);
    drop(c);
    let wallet = WalletId(asha.account.wallet.as_u128());
    people.services.engine.set_status(wallet, florin::ledger::Status::Closed).await;
    assert_eq!(people.limit_own(&asha, &json!({"per_day": inr("1")})).await.code(), "WALLET_CLOSED");
    assert_eq!(people.limit_by_operator(&asha, &json!({"per_day": inr("1")})).await.code(), "WALLET_CLOSED");
    people.stop().await;
}

/// Whatever order the requests come in, the wallet keeps in the end what the row says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_changes_at_once_the_last_is_kept() {
    let people = People::start().await;
    let asha = people.person("asha", Role::User).await;
    let all = (1..=20).map(|number| {
        let (people, asha) = (&people, &asha);
        async move {
            let limits = json!({"per_day": inr(&format!("{}.00", 500 - number))});
            match number % 2 {
                0 => people.limit_own(asha, &limits).await,
                _ => people.limit_by_operator(asha, &limits).await,
            }
        }
    });
    for reply in join_all(all).await {
        assert!(reply.status == 200 || reply.code() == "LIMIT_ABOVE_CEILING", "{reply:?}");
    }
    let mut c = people.services.store.read().await.unwrap();
    let row = by_wallet(&mut c, asha.account.wallet).await.unwrap().unwrap();
    drop(c);
    assert_eq!(row.unapplied_since, None);
    let kept = people.services.engine.spending(WalletId(asha.account.wallet.as_u128())).await.unwrap();
    assert_eq!(kept.map(|(limits, _)| limits), Some(spending_limits::in_force(&row)));
    people.stop().await;
}

/// Each named step once: the process ends there, another one is started on the same folder, and its sweep finishes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_between_row_and_wallet_is_finished() {
    let mut people = People::start().await;
    let asha = people.person("asha", Role::User).await;
    people.limit_own(&asha, &json!({"per_day": inr("100")})).await;
    for (step, wanted) in [("limits.after_row", 90), ("limits.after_ledger", 80), ("limits.after_raise", 200)] {
        if step == "limits.after_raise" {
            let raise = json!({"per_day": inr("200")});
            assert_eq!(people.limit_own(&asha, &raise).await.status, 200);
        }
        let down = people.down().await;
        if step == "limits.after_raise" {
            // As if a day had gone by while nobody was there to raise it.
            let store = Store::open(down.folder(), down.database_url()).await.unwrap();
            let mut tx = store.begin().await.unwrap();
            let sql = "UPDATE spending_limits SET raise_per_day_at = 1, next_raise_at = 1";
            sqlx::query(sql).execute(&mut *tx).await.unwrap();
            tx.commit().await.unwrap();
            store.close().await;
        }
        let mut first = Program::start(&down, &[], Some(step));
        if step != "limits.after_raise" {
            let body = json!({"per_day": inr(&format!("{wanted}.00"))}).to_string();
            assert!(first.ask(&asha, "POST", PATH, "-", &body).await.is_none(), "{step}: it was answered");
        }
        first.died().await;
        drop(first);
        let second = Program::start(&down, &[], None);
        let began = Instant::now();
        loop {
            let seen = second.ask(&asha, "GET", PATH, "-", "").await.unwrap().json();
            if seen["per_day"] == inr(&format!("{wanted}.00")) {
                assert_eq!(seen["raises"], json!([]), "{step}");
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{step}: it is never finished: {seen}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        drop(second);
        people = down.up().await;
        assert_eq!(people.day_in_ledger(&asha).await, Some(wanted * 100), "{step}");
        let mut told = people.told_of_limits(&asha).await;
        let last = if step == "limits.after_raise" { "limits_raised" } else { "limits_lowered" };
        assert_eq!(told.pop().as_deref(), Some(last), "{step}: once");
        assert_eq!(told.iter().filter(|what| *what == "limits_raised").count(), 0);
    }
    people.stop().await;
}
