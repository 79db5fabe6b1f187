//! kill -9 at each step of what moves money by a row of its own: adjustments, requests for money, promotions, and payments that
//! were confirmed. It moves once, and the row says so.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::time::{Duration, Instant};

use florin::store::Role;

use crate::people_crash_rig::{Home, Program};
use crate::people_rig::{People, Person};

/// One that was asked for or decided is made by the next server, whether or not anybody asks again.
#[tokio::test]
async fn an_adjustment_is_made_once() {
    let people = People::start().await;
    let (fina, adam) = (people.person("fina", Role::Finance).await, people.person("adam", Role::Administrator).await);
    let asha = people.person("asha", Role::User).await;
    let body = |rupees: &str| {
        let wallet = asha.account.wallet;
        let amount = format!(r#"{{"amount":"{rupees}","currency":"INR"}}"#);
        format!(r#"{{"wallet":"{wallet}","amount":{amount},"direction":"in","reason":"booked twice"}}"#)
    };
    let steps = [
        ("adjustment.after_row", "10.00", "10.00"),
        ("adjustment.after_transfer", "10.00", "20.00"),
        ("adjustment.after_decision", "5000.00", "5020.00"),
        ("adjustment.after_transfer", "5000.00", "10020.00"),
    ];
    let mut large = Vec::new();
    for (number, (_, rupees, _)) in steps.iter().enumerate().skip(2) {
        let asked = people.post_as(&fina, "/v1/adjustments", &format!("a{number}"), &body(rupees)).await;
        assert_eq!(asked.json()["state"], "waiting", "{asked:?}");
        large.push(asked.json()["id"].as_str().unwrap().to_owned());
    }
    let home = Home::of(people, &[]).await;
    for (number, (step, rupees, balance)) in steps.into_iter().enumerate() {
        let (key, body) = (format!("a{number}"), body(rupees));
        let act = async |first: &Program| match number.checked_sub(2) {
            None => first.post(&fina.token, "/v1/adjustments", &key, &body).await,
            Some(index) => {
                let path = format!("/v1/adjustments/{}/approve", large[index]);
                first.post(&adam.token, &path, "d", "").await
            }
        };
        let server = home.crash(step, async |first| assert!(act(first).await.is_none(), "{step}")).await;
        // Nobody has asked yet.
        let (wallet, began) = (asha.account.wallet.to_string(), Instant::now());
        while server.posted(&wallet).await != balance {
            assert!(began.elapsed() < Duration::from_secs(5), "{step}: it is not swept at the start");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let again = act(&server).await.unwrap();
        match number.checked_sub(2) {
            None => assert_eq!((again.status, again.json()["state"].as_str()), (201, Some("done")), "{again:?}"),
            Some(_) => assert_eq!(again.code(), "INVALID_STATE", "{again:?}"),
        }
        let known = server.told(&fina.token, "/v1/adjustments", &key, &body).await.json();
        assert_eq!(known["state"], "done", "{step}");
        assert_eq!(server.posted(&wallet).await, balance, "{step}");
        let object = format!("adjustment {}", known["id"].as_str().unwrap());
        assert_eq!(server.recorded(&object, "adjustment.ask").await, 1, "{step}");
        assert_eq!(server.recorded(&object, "adjustment.approve").await, usize::from(number >= 2), "{step}");
        server.is_in_order().await;
    }
}

#[tokio::test]
async fn a_request_for_money_is_made_once_and_paid_once() {
    let people = People::start().await;
    let (asha, ravi) = (people.person("asha", Role::User).await, people.person("ravi", Role::User).await);
    people.fund(&ravi, "100.00").await;
    let home = Home::of(people, &[]).await;
    let body = r#"{"from":{"handle":"ravi"},"amount":{"amount":"10.00","currency":"INR"}}"#;
    let ask = async |server: &Program, key: &str| server.post(&asha.token, "/v1/me/requests", key, body).await;
    let server = home.crash("request.after_row", async |first| assert!(ask(first, "r0").await.is_none())).await;
    let again = ask(&server, "r0").await.unwrap();
    assert_eq!((again.status, again.header("idempotent-replayed")), (201, Some("true")), "{again:?}");
    let listed = server.get(&ravi.token, "/v1/me/requests?direction=in").await.json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1, "{listed}");
    home.until_mails(&ravi.email, "asks you for", 1).await;
    let mut ids = vec![again.json()["id"].as_str().unwrap().to_owned()];
    ids.push(ask(&server, "r1").await.unwrap().json()["id"].as_str().unwrap().to_owned());
    server.kill();
    let steps = [("request.before_transfer", "90.00"), ("request.after_transfer", "80.00")];
    for ((step, left), id) in steps.into_iter().zip(ids) {
        let path = format!("/v1/me/requests/{id}/pay");
        let pay = async |server: &Program, key: &str| server.post(&ravi.token, &path, key, "").await;
        let server = home.crash(step, async |first| assert!(pay(first, "p").await.is_none(), "{step}")).await;
        // Under another key it would be another payment.
        let other = pay(&server, "q").await.unwrap();
        assert!(other.status == 409 || other.status == 503, "{step}: {other:?}");
        for _ in 0..2 {
            let again = pay(&server, "p").await.unwrap();
            assert_eq!(again.status, 201, "{step}: {again:?}");
        }
        assert_eq!(server.posted(&ravi.account.wallet.to_string()).await, left, "{step}");
        let seen = server.get(&asha.token, &format!("/v1/me/requests/{id}")).await.json();
        assert_eq!(seen["state"], "paid", "{step}");
        server.is_in_order().await;
    }
}

#[tokio::test]
async fn a_promotion_has_its_wallet() {
    let people = People::start().await;
    let fina = people.person("fina", Role::Finance).await;
    let home = Home::of(people, &[]).await;
    for (count, step) in (1..).zip(["promotion.after_row", "promotion.after_wallet"]) {
        let body = r#"{"name":"Diwali","amount":{"amount":"50.00","currency":"INR"},"ends_at":"2100-01-01T00:00:00Z"}"#;
        let begin = async |first: &Program| first.post(&fina.token, "/v1/promotions", step, body).await;
        let server = home.crash(step, async |first| assert!(begin(first).await.is_none(), "{step}")).await;
        let all = server.read("/v1/promotions").await["data"].as_array().unwrap().clone();
        assert_eq!(all.len(), count, "{step}");
        let path = format!("/v1/wallets/{}", all[0]["budget_wallet"].as_str().unwrap());
        let began = Instant::now();
        while server.get(&fina.token, &path).await.status != 200 {
            assert!(began.elapsed() < Duration::from_secs(5), "{step}: it is not swept at the start");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let again = begin(&server).await.unwrap();
        assert_eq!((again.status, again.header("idempotent-replayed")), (201, Some("true")), "{step}: {again:?}");
        assert_eq!(again.json()["id"], all[0]["id"], "{step}: the client asks again, and there is no second one");
        assert_eq!(
            server.recorded(&format!("promotion {}", all[0]["id"].as_str().unwrap()), "promotion.create").await,
            1
        );
        server.is_in_order().await;
    }
}

fn payment(of: &Person, to: &Person) -> String {
    let (from, to) = (of.account.wallet, to.account.wallet);
    format!(r#"{{"from":"{from}","to":"{to}","amount":{{"amount":"20000.00","currency":"INR"}}}}"#)
}

#[tokio::test]
async fn a_confirmation_is_good_for_one_payment() {
    let people = People::start().await;
    let (asha, ravi) = (people.person("asha", Role::User).await, people.person("ravi", Role::User).await);
    people.fund(&asha, "90000.00").await;
    let home = Home::of(people, &[]).await;
    let ask = async |server: &Program| {
        let body = r#"{"amount":{"amount":"20000.00","currency":"INR"},"payee":"@ravi"}"#;
        let asked = server.told(&asha.token, "/v1/me/confirmations", "-", body).await;
        assert_eq!(asked.status, 202, "{asked:?}");
        asked.json()["confirmation"].as_str().unwrap().to_owned()
    };
    let verify = async |server: &Program, id: &str, code: &str| {
        let path = format!("/v1/me/confirmations/{id}/verify");
        server.post(&asha.token, &path, "-", &format!(r#"{{"code":"{code}"}}"#)).await
    };
    let words = " is the code that confirms your payment";
    let mut asked = None;
    let lose_token = async |first: &Program| {
        let id = ask(first).await;
        let code = home.code(&asha.email, words, None).await;
        assert!(verify(first, &id, &code).await.is_none());
        asked = Some((id, code));
    };
    let server = home.crash("confirmation.after_token", lose_token).await;
    let (id, code) = asked.unwrap();
    assert_eq!(verify(&server, &id, &code).await.unwrap().code(), "INVALID_CODE", "it was used, and its token is lost");
    let id = ask(&server).await;
    let code = home.code(&asha.email, words, Some(&code)).await;
    let confirmed = verify(&server, &id, &code).await.unwrap().json();
    let token = confirmed["confirmation_token"].as_str().unwrap();
    server.kill();

    let body = payment(&asha, &ravi);
    let pay = async |server: &Program, key: &str| {
        let headers = [("idempotency-key", key), ("confirmation", token)];
        server.ask(&asha.token, "POST", "/v1/transfers", &headers, &body).await
    };
    let pay_once = async |first: &Program| assert!(pay(first, "p").await.is_none());
    let server = home.crash("confirmation.after_use", pay_once).await;
    assert_eq!(server.posted(&asha.account.wallet.to_string()).await, "90000.00");
    assert_eq!(pay(&server, "q").await.unwrap().code(), "STEP_UP_REQUIRED", "it belongs to the request that used it");
    for replayed in [None, Some("true")] {
        let paid = pay(&server, "p").await.unwrap();
        assert_eq!((paid.status, paid.header("idempotent-replayed")), (201, replayed), "{paid:?}");
    }
    assert_eq!(server.posted(&asha.account.wallet.to_string()).await, "70000.00");
    server.is_in_order().await;
}
