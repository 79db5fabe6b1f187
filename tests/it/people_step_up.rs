//! Payments above the threshold: confirmed one by one, by a code that names them, and for nothing else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use florin::ledger::Amount;
use florin::services::Settings;
use florin::services::clock::MINUTE;
use florin::store::Role;

use crate::http_api::Reply;
use crate::people_rig::{People, Person, settings};
use crate::people_second_factor::enrol;

struct Shop {
    people: People,
    asha: Person,
    ravi: Person,
}

impl Shop {
    /// Asha has 90,000.00; above 10,000.00 she confirms.
    async fn open() -> Shop {
        let people = People::start_with(Settings { step_up_above: Amount::new(1_000_000), ..settings() }).await;
        let (asha, ravi) = (people.person("asha", Role::User).await, people.person("ravi", Role::User).await);
        people.fund(&asha, "90000.00").await;
        Shop { people, asha, ravi }
    }

    async fn confirmation(&self, rupees: &str, payee: &str) -> Reply {
        let body = format!(r#"{{"amount":{{"amount":"{rupees}","currency":"INR"}},"payee":"{payee}"}}"#);
        self.people.send_as(&self.asha.token, "POST", "/v1/me/confirmations", &[], &body).await
    }

    async fn verify(&self, confirmation: &str, code: &str) -> Reply {
        let path = format!("/v1/me/confirmations/{confirmation}/verify");
        self.people.send_as(&self.asha.token, "POST", &path, &[], &format!(r#"{{"code":"{code}"}}"#)).await
    }

    /// The token for a payment to this payee.
    async fn token(&self, rupees: &str, payee: &str) -> String {
        let asked = self.confirmation(rupees, payee).await;
        assert_eq!(asked.status, 202, "{asked:?}");
        let id = asked.json()["confirmation"].as_str().unwrap().to_owned();
        let code = self.people.code_of(&id).await;
        self.verify(&id, &code).await.json()["confirmation_token"].as_str().unwrap().to_owned()
    }

    async fn pay(&self, key: &str, rupees: &str, token: Option<&str>) -> Reply {
        self.send("/v1/transfers", key, &self.transfer(rupees), token).await
    }

    fn transfer(&self, rupees: &str) -> String {
        let (from, to) = (self.asha.account.wallet, self.ravi.account.wallet);
        format!(r#"{{"from":"{from}","to":"{to}","amount":{{"amount":"{rupees}","currency":"INR"}}}}"#)
    }

    async fn send(&self, path: &str, key: &str, body: &str, token: Option<&str>) -> Reply {
        let mut headers = vec![("idempotency-key", key)];
        headers.extend(token.map(|token| ("confirmation", token)));
        self.people.send_as(&self.asha.token, "POST", path, &headers, body).await
    }
}

fn refused(reply: &Reply) {
    assert_eq!((reply.status, reply.code().as_str()), (403, "STEP_UP_REQUIRED"), "{reply:?}");
}

#[tokio::test]
async fn above_the_threshold_a_payment_is_confirmed() {
    let shop = Shop::open().await;
    assert_eq!(shop.pay("a", "10000.00", None).await.status, 201, "not above it");
    refused(&shop.pay("b", "10000.01", None).await);
    refused(&shop.pay("b", "10000.01", Some("fct_made-up")).await);
    let asked = shop.confirmation("10000.01", "@Ravi").await.json();
    assert_eq!(
        (asked["by"].as_str(), &asked["payee_wallet"]),
        (Some("code"), &shop.ravi.account.wallet.to_string().into())
    );
    let id = asked["confirmation"].as_str().unwrap();
    let told = shop.people.notice(id).await;
    assert_eq!((told["amount"]["amount"].as_str(), told["payee"].as_str()), (Some("10000.01"), Some("@Ravi")));
    let code = told["code"].as_str().unwrap();
    // It is there for nobody else, who does not even use up a try.
    let path = format!("/v1/me/confirmations/{id}/verify");
    let body = format!(r#"{{"code":"{code}"}}"#);
    assert_eq!(shop.people.send_as(&shop.ravi.token, "POST", &path, &[], &body).await.code(), "NOT_FOUND");
    let reply = shop.verify(id, code).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let token = reply.json()["confirmation_token"].as_str().unwrap().to_owned();
    assert_eq!(shop.verify(id, code).await.code(), "INVALID_CODE", "once");
    let paid = shop.pay("b", "10000.01", Some(&token)).await;
    assert_eq!(paid.status, 201, "{paid:?}");
    // A repeat is the same payment, however late; another payment is another.
    shop.people.services.clock.advance(9 * MINUTE);
    let again = shop.pay("b", "10000.01", Some(&token)).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (201, Some("true")));
    refused(&shop.pay("c", "10000.01", Some(&token)).await);
    shop.people.stop().await;
}

#[tokio::test]
async fn a_token_is_for_one_payment_only() {
    let shop = Shop::open().await;
    let wallet = shop.ravi.account.wallet.to_string();
    let token = shop.token("20000.00", &wallet).await;
    refused(&shop.pay("a", "20000.01", Some(&token)).await);
    refused(&shop.pay("a", "19999.99", Some(&token)).await);
    let other = shop.people.person("mallory", Role::User).await;
    let body = shop.transfer("20000.00").replace(&wallet, &other.account.wallet.to_string());
    refused(&shop.send("/v1/transfers", "a", &body, Some(&token)).await);
    // Of another account with the same payee and amount.
    shop.people.fund(&other, "50000.00").await;
    let (from, to) = (other.account.wallet, shop.ravi.account.wallet);
    let body = format!(r#"{{"from":"{from}","to":"{to}","amount":{{"amount":"20000.00","currency":"INR"}}}}"#);
    let headers = [("idempotency-key", "a"), ("confirmation", token.as_str())];
    refused(&shop.people.send_as(&other.token, "POST", "/v1/transfers", &headers, &body).await);
    assert_eq!(shop.pay("a", "20000.00", Some(&token)).await.status, 201, "and none of these used it up");
    let late = shop.token("30000.00", &shop.ravi.email).await;
    shop.people.services.clock.advance(5 * MINUTE);
    refused(&shop.pay("b", "30000.00", Some(&late)).await);
    shop.people.stop().await;
}

#[tokio::test]
async fn there_is_no_way_around() {
    let shop = Shop::open().await;
    let (from, to) = (shop.asha.account.wallet, shop.ravi.account.wallet);
    let money = |rupees: &str| format!(r#"{{"amount":"{rupees}","currency":"INR"}}"#);
    // A hold, which the payee can take at any time.
    let hold = format!(r#"{{"wallet":"{from}","to":"{to}","amount":{},"expires_in_seconds":60}}"#, money("20000.00"));
    refused(&shop.send("/v1/holds", "hold", &hold, None).await);
    let token = shop.token("20000.00", "ravi").await;
    let held = shop.send("/v1/holds", "hold", &hold, Some(&token)).await;
    assert_eq!(held.status, 201, "{held:?}");
    // Legs, alone and together.
    let third = shop.people.person("third", Role::User).await.account.wallet;
    let legs = format!(
        r#"{{"legs":[{{"wallet":"{from}","amount":{}}},{{"wallet":"{to}","amount":{}}},{{"wallet":"{third}","amount":{}}}]}}"#,
        money("-12000.00"),
        money("6000.00"),
        money("6000.00")
    );
    refused(&shop.send("/v1/transfers", "legs", &legs, None).await);
    // Many small ones at once.
    let small = shop.transfer("6000.00");
    refused(&shop.send("/v1/transfers/bulk", "bulk", &format!("[{small},{small}]"), None).await);
    let reply = shop.send("/v1/transfers/bulk", "bulk", &format!("[{small}]"), None).await;
    assert_eq!(reply.json()["outcomes"][0]["status"], "accepted", "{reply:?}");
    shop.people.stop().await;
}

#[tokio::test]
async fn a_device_confirms_too() {
    let shop = Shop::open().await;
    let (device, recovery) = enrol(&shop.people, &shop.asha).await;
    let asked = shop.confirmation("20000.00", "+91 98765 43210").await;
    assert_eq!((asked.status, asked.code().as_str()), (404, "PAYEE_NOT_FOUND"));
    let asked = shop.confirmation("20000.00", "ravi").await.json();
    assert_eq!(asked["by"], "totp");
    let id = asked["confirmation"].as_str().unwrap();
    let body = format!(r#"{{"recovery_code":"{}"}}"#, recovery[0]);
    let path = format!("/v1/me/confirmations/{id}/verify");
    let reply = shop.people.send_as(&shop.asha.token, "POST", &path, &[], &body).await;
    assert_eq!(reply.code(), "INVALID_REQUEST", "a recovery code pays nothing");
    let code = device.next_code(&shop.people);
    let reply = shop.verify(id, &code).await.json();
    let token = reply["confirmation_token"].as_str().unwrap();
    assert_eq!(shop.pay("a", "20000.00", Some(token)).await.status, 201);
    let asked = shop.confirmation("20000.00", "ravi").await.json();
    let reply = shop.verify(asked["confirmation"].as_str().unwrap(), &code).await;
    assert_eq!(reply.code(), "INVALID_CODE", "the device's code was used");
    shop.people.stop().await;
}

#[tokio::test]
async fn who_moves_money_for_others_is_not_asked() {
    let shop = Shop::open().await;
    let paid = shop.people.api.post("/v1/transfers", "operator", &shop.transfer("20000.00")).await;
    assert_eq!(paid.status, 201, "{paid:?}");
    let merchant = shop.people.person("merchant", Role::Merchant).await;
    shop.people.fund(&merchant, "50000.00").await;
    let body =
        shop.transfer("20000.00").replace(&shop.asha.account.wallet.to_string(), &merchant.account.wallet.to_string());
    assert_eq!(shop.people.post_as(&merchant, "/v1/transfers", "a", &body).await.status, 201);
    shop.people.stop().await;
}
