//! The wallet as people use it: paying each other, and asking each other for money.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use florin::ledger::{Amount, Currency};
use florin::services::clock::DAY;
use florin::services::money_requests;
use florin::store::{AccountState, Role};
use serde_json::Value;

use crate::http_api::Reply;
use crate::people_rig::{People, Person, settings};

fn payment(to: &str, rupees: &str) -> String {
    format!(r#"{{"to":{to},"amount":{{"amount":"{rupees}","currency":"INR"}},"note":"Dinner"}}"#)
}

fn request(from: &str, rupees: &str) -> String {
    format!(r#"{{"from":{{"handle":"{from}"}},"amount":{{"amount":"{rupees}","currency":"INR"}},"note":"Half"}}"#)
}

impl People {
    pub async fn posted_of(&self, person: &Person) -> String {
        let reply = self.get_as(person, "/v1/me/balance").await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()["posted"]["amount"].as_str().unwrap().to_owned()
    }

    async fn put_into(&self, person: &Person, state: AccountState) {
        let mut tx = self.services.store.begin().await.unwrap();
        let query = sqlx::query("UPDATE accounts SET state = $2 WHERE id = $1").bind(person.account.id.to_string());
        query.bind(state.name()).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }
}

fn told(reply: &Reply) -> (u16, String) {
    (reply.status, reply.code())
}

#[tokio::test]
async fn people_pay_each_other_by_whatever_they_are_known() {
    let people = People::start().await;
    let asha = people.person("asha", Role::User).await;
    let ravi = people.person("ravi", Role::User).await;
    let shop = people.person("shop", Role::Merchant).await;
    people.fund(&asha, "100.00").await;
    let wallet = ravi.account.wallet;
    let to_ravi = [
        r#"{"handle":"@Ravi"}"#.to_owned(),
        r#"{"email":"Ravi@example.in"}"#.to_owned(),
        format!(r#"{{"wallet":"{wallet}"}}"#),
    ];
    for (number, to) in to_ravi.iter().enumerate() {
        let reply = people.post_as(&asha, "/v1/me/payments", &format!("p{number}"), &payment(to, "10.00")).await;
        let json = reply.json();
        assert_eq!((reply.status, json["payee"]["name"].as_str()), (201, Some("ravi")), "{reply:?}");
        assert_eq!((json["reference"].as_str(), json["kind"].as_str()), (Some("Dinner"), Some("transfer")));
        let again = people.post_as(&asha, "/v1/me/payments", &format!("p{number}"), &payment(to, "10.00")).await;
        assert_eq!((again.header("idempotent-replayed"), again.json()), (Some("true"), json));
    }
    let merchant = format!(r#"{{"merchant":"{}"}}"#, shop.account.id);
    assert_eq!(people.post_as(&asha, "/v1/me/payments", "m", &payment(&merchant, "20.00")).await.status, 201);
    let balances = (people.posted_of(&asha).await, people.posted_of(&ravi).await, people.posted_of(&shop).await);
    assert_eq!(balances, ("50.00".to_owned(), "30.00".to_owned(), "20.00".to_owned()));

    let system = people.services.engine.system_wallet(Currency::by_code("INR").unwrap()).await.unwrap();
    for (to, expected) in [
        (r#"{"handle":"nobody"}"#.to_owned(), (404, "PAYEE_NOT_FOUND")),
        (r#"{"email":"no@example.in"}"#.to_owned(), (404, "PAYEE_NOT_FOUND")),
        (r#"{"phone":"+919876543210"}"#.to_owned(), (404, "PAYEE_NOT_FOUND")),
        (format!(r#"{{"wallet":"{system}"}}"#), (404, "PAYEE_NOT_FOUND")),
        (format!(r#"{{"merchant":"{}"}}"#, ravi.account.id), (404, "PAYEE_NOT_FOUND")),
        (r#"{"handle":"asha"}"#.to_owned(), (422, "SAME_WALLET")),
        (r#"{"handle":"ravi","email":"ravi@example.in"}"#.to_owned(), (400, "INVALID_REQUEST")),
        ("{}".to_owned(), (400, "INVALID_REQUEST")),
        ("[]".to_owned(), (400, "INVALID_REQUEST")),
        (r#"{"phone":"98765"}"#.to_owned(), (400, "INVALID_REQUEST")),
    ] {
        let reply = people
            .post_as(&asha, "/v1/me/payments", &format!("w-{to}").replace([' ', '"'], ""), &payment(&to, "1.00"))
            .await;
        assert_eq!(told(&reply), (expected.0, expected.1.to_owned()), "{to}");
    }
    let poor = people.post_as(&asha, "/v1/me/payments", "poor", &payment(&to_ravi[0], "50.01")).await;
    assert_eq!(told(&poor), (422, "INSUFFICIENT_FUNDS".to_owned()));
    let operator = people.post("/v1/me/payments", "op", &payment(&to_ravi[0], "1.00")).await;
    assert_eq!(told(&operator), (403, "FORBIDDEN".to_owned()));
    people.stop().await;
}

#[tokio::test]
async fn only_active_people_pay_and_are_paid_and_a_repeat_is_answered_all_the_same() {
    let people = People::start().await;
    let (asha, ravi) = (people.person("asha", Role::User).await, people.person("ravi", Role::User).await);
    people.fund(&asha, "100.00").await;
    let body = payment(r#"{"handle":"ravi"}"#, "10.00");
    let first = people.post_as(&asha, "/v1/me/payments", "first", &body).await;
    assert_eq!(first.status, 201);
    for state in [AccountState::Pending, AccountState::Blocked, AccountState::Closed] {
        people.put_into(&ravi, state).await;
        let reply = people.post_as(&asha, "/v1/me/payments", &format!("x-{}", state.name()), &body).await;
        assert_eq!(told(&reply), (404, "PAYEE_NOT_FOUND".to_owned()), "{state:?}");
        let again = people.post_as(&asha, "/v1/me/payments", "first", &body).await;
        assert_eq!((again.status, again.json()), (201, first.json()), "it was paid while he was active");
        let other = people.post_as(&asha, "/v1/me/payments", "first", &payment(r#"{"handle":"ravi"}"#, "11.00")).await;
        assert_eq!(other.code(), "PAYEE_NOT_FOUND", "another request under the same key is no repeat");
    }
    people.put_into(&ravi, AccountState::Active).await;
    for (state, code) in [(AccountState::Pending, "ACCOUNT_PENDING"), (AccountState::Blocked, "ACCOUNT_BLOCKED")] {
        people.put_into(&asha, state).await;
        let reply = people.post_as(&asha, "/v1/me/payments", &format!("y-{}", state.name()), &body).await;
        assert_eq!(told(&reply), (403, code.to_owned()));
    }
    assert_eq!(people.posted_of(&ravi).await, "10.00");
    people.stop().await;
}

#[tokio::test]
async fn a_payment_above_the_threshold_wants_a_confirmation() {
    let mut settings = settings();
    settings.step_up_above = Amount::new(50_00);
    let people = People::start_with(settings).await;
    let asha = people.person("asha", Role::User).await;
    people.person("ravi", Role::User).await;
    people.fund(&asha, "100.00").await;
    let to = r#"{"handle":"ravi"}"#;
    assert_eq!(people.post_as(&asha, "/v1/me/payments", "small", &payment(to, "50.00")).await.status, 201);
    let large = people.post_as(&asha, "/v1/me/payments", "large", &payment(to, "50.01")).await;
    assert_eq!(told(&large), (403, "STEP_UP_REQUIRED".to_owned()));
    let out = r#"{"amount":{"amount":"50.01","currency":"INR"},"bank_account":"IN12345678"}"#;
    assert_eq!(people.post_as(&asha, "/v1/me/withdrawals", "w", out).await.code(), "NO_BANK");
    people.stop().await;
}

#[tokio::test]
async fn only_ones_own_wallets_are_shown() {
    let people = People::start().await;
    let (asha, ravi) = (people.person("asha", Role::User).await, people.person("ravi", Role::Support).await);
    let own = asha.account.wallet;
    let listed = people.get_as(&asha, "/v1/me/wallets").await.json();
    assert_eq!(listed["data"][0]["id"].as_str(), Some(own.to_string().as_str()));
    assert_eq!(people.get_as(&asha, &format!("/v1/me/balance?wallet={own}")).await.status, 200);
    for path in ["/v1/me/balance"] {
        let reply = people.get_as(&ravi, &format!("{path}?wallet={own}")).await;
        assert_eq!(told(&reply), (404, "WALLET_NOT_FOUND".to_owned()), "support looks elsewhere");
    }
    people.stop().await;
}

#[tokio::test]
async fn a_request_is_paid_once_and_only_by_whom_it_was_sent_to() {
    let people = People::start().await;
    let (asha, ravi) = (people.person("asha", Role::User).await, people.person("ravi", Role::User).await);
    let meera = people.person("meera", Role::User).await;
    let made = people.post_as(&asha, "/v1/me/requests", "r1", &request("ravi", "25.00")).await;
    assert_eq!((made.status, made.json()["state"].as_str()), (201, Some("open")), "{made:?}");
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let again = people.post_as(&asha, "/v1/me/requests", "r1", &request("ravi", "25.00")).await;
    assert_eq!((again.header("idempotent-replayed"), again.json()["id"].as_str()), (Some("true"), Some(id.as_str())));
    let other = people.post_as(&asha, "/v1/me/requests", "r1", &request("ravi", "26.00")).await;
    assert_eq!(other.code(), "IDEMPOTENCY_KEY_REUSED");

    let path = format!("/v1/me/requests/{id}");
    let seen = people.get_as(&ravi, &path).await.json();
    assert_eq!((seen["direction"].as_str(), seen["counterparty"].as_str()), (Some("in"), Some("asha")));
    assert_eq!(seen["note"], "Half");
    assert_eq!(people.get_as(&meera, &path).await.status, 404);
    let listed = people.get_as(&ravi, "/v1/me/requests?direction=in").await.json();
    assert_eq!(listed["data"][0]["id"].as_str(), Some(id.as_str()));
    assert_eq!(people.get_as(&ravi, "/v1/me/requests?direction=out").await.json()["data"].as_array().unwrap().len(), 0);

    let pay = format!("{path}/pay");
    assert_eq!(people.post_as(&ravi, &pay, "k0", "").await.code(), "INSUFFICIENT_FUNDS");
    assert_eq!(
        people.post_as(&ravi, &pay, "k0", "").await.code(),
        "INSUFFICIENT_FUNDS",
        "the same key, the same answer"
    );
    assert_eq!(people.get_as(&ravi, &path).await.json()["state"], "open");
    people.fund(&ravi, "100.00").await;
    people.fund(&asha, "100.00").await;
    assert_eq!(people.post_as(&asha, &pay, "k", "").await.status, 404, "nobody pays his own request");
    assert_eq!(people.post_as(&meera, &pay, "k", "").await.status, 404);

    // Thirty keys at the same moment: one of them pays.
    let all = (0..30).map(|number| {
        let (people, ravi, pay) = (&people, &ravi, &pay);
        async move { people.post_as(ravi, pay, &format!("k-{number}"), "").await }
    });
    let mut replies = Vec::new();
    for reply in join_all(all).await {
        match reply.status {
            201 => replies.push(reply),
            _ => assert!(["INVALID_STATE", "REQUEST_IN_PROGRESS"].contains(&reply.code().as_str()), "{reply:?}"),
        }
    }
    assert_eq!(replies.len(), 1);
    assert_eq!(replies[0].json()["payee"]["name"], "asha");
    assert_eq!(
        (people.posted_of(&asha).await, people.posted_of(&ravi).await),
        ("125.00".to_owned(), "75.00".to_owned())
    );
    assert_eq!(people.get_as(&asha, &path).await.json()["state"], "paid");
    for (person, what) in [(&asha, "cancel"), (&ravi, "decline")] {
        assert_eq!(people.post_as(person, &format!("{path}/{what}"), "k", "").await.code(), "INVALID_STATE");
    }
    people.stop().await;
}

#[tokio::test]
async fn a_request_ends_by_either_side_and_by_itself() {
    let people = People::start().await;
    let (asha, ravi) = (people.person("asha", Role::User).await, people.person("ravi", Role::User).await);
    people.fund(&ravi, "100.00").await;
    let make = async |key: &str| {
        let made = people.post_as(&asha, "/v1/me/requests", key, &request("ravi", "25.00")).await;
        made.json()["id"].as_str().unwrap().to_owned()
    };
    let (declined, cancelled, late) = (make("a").await, make("b").await, make("c").await);
    let close = async |person: &Person, id: &str, what: &str| {
        let reply = people.post_as(person, &format!("/v1/me/requests/{id}/{what}"), "k", "").await;
        (reply.status, reply.json()["state"].as_str().map(str::to_owned))
    };
    assert_eq!(close(&asha, &declined, "decline").await.0, 404);
    assert_eq!(close(&ravi, &cancelled, "cancel").await.0, 404);
    for _ in 0..2 {
        assert_eq!(close(&ravi, &declined, "decline").await, (200, Some("declined".to_owned())));
        assert_eq!(close(&asha, &cancelled, "cancel").await, (200, Some("cancelled".to_owned())));
    }
    people.services.clock.advance(15 * DAY);
    money_requests::sweep(&people.services).await.unwrap();
    let mut c = people.services.store.read().await.unwrap();
    for (id, state) in [(&declined, "declined"), (&cancelled, "cancelled"), (&late, "expired")] {
        let sql = "SELECT state FROM money_requests WHERE id = $1";
        let row: (String,) = sqlx::query_as(sql).bind(id.as_str()).fetch_one(&mut *c).await.unwrap();
        assert_eq!(row.0, state);
    }
    drop(c);
    people.stop().await;
}

#[tokio::test]
async fn nobody_is_flooded_with_requests() {
    let people = People::start().await;
    let asha = people.person("asha", Role::User).await;
    people.person("ravi", Role::User).await;
    let all = (0..25).map(|number| {
        let (people, asha) = (&people, &asha);
        async move { people.post_as(asha, "/v1/me/requests", &format!("r-{number}"), &request("ravi", "1.00")).await }
    });
    let replies = join_all(all).await;
    let made: Vec<&Reply> = replies.iter().filter(|reply| reply.status == 201).collect();
    assert_eq!(made.len() as i64, money_requests::OPEN_TO_ONE_MAX);
    assert!(replies.iter().filter(|reply| reply.status != 201).all(|reply| reply.code() == "TOO_MANY_REQUESTS_OPEN"));
    let id = made[0].json()["id"].as_str().unwrap().to_owned();
    assert_eq!(people.post_as(&asha, &format!("/v1/me/requests/{id}/cancel"), "c", "").await.status, 200);
    assert_eq!(people.post_as(&asha, "/v1/me/requests", "more", &request("ravi", "1.00")).await.status, 201);

    // Each has a notice, and the list has pages that do not overlap.
    let mut c = people.services.store.read().await.unwrap();
    let sql = "SELECT CAST(COUNT(*) AS BIGINT) FROM outbox WHERE kind = 'money_requested'";
    let notices: (i64,) = sqlx::query_as(sql).fetch_one(&mut *c).await.unwrap();
    assert_eq!(notices.0, 21);
    drop(c);
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let page: Value = people.get_as(&asha, &format!("/v1/me/requests?direction=out&limit=6{cursor}")).await.json();
        ids.extend(page["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let unique: std::collections::BTreeSet<&String> = ids.iter().collect();
    assert_eq!((ids.len(), unique.len()), (21, 21));
    people.stop().await;
}

/// All at the same time, in the same task.
pub async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|cx| {
        let mut is_done = true;
        for (future, output) in &mut waiting {
            if output.is_none() {
                match future.as_mut().poll(cx) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => is_done = false,
                }
            }
        }
        if is_done { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    waiting.into_iter().map(|(_, output)| output.unwrap()).collect()
}
