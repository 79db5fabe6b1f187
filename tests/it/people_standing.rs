//! The states of an account: which change is possible, and what follows from each for wallets, sessions and keys.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::time::Duration;

use florin::services::accounts;
use florin::services::clock::HOUR;
use florin::services::standing::{Act, TABLE};
use florin::services::{Approval, Settings};
use florin::store::{AccountState, Role};

use crate::http_api::Reply;
use crate::people_rig::{People, Person, settings};

const REASON: &str = r#"{"reason":"reported stolen"}"#;

async fn act(people: &People, account: &Person, act: Act) -> Reply {
    let path = format!("/v1/accounts/{}/{}", account.account.id, act.name());
    let body = if act == Act::Block { REASON } else { "" };
    people.post(&path, "act", body).await
}

async fn state_of(people: &People, account: &Person) -> String {
    let reply = people.get(&format!("/v1/accounts/{}", account.account.id)).await;
    reply.json()["state"].as_str().unwrap().to_owned()
}

async fn wallet_status(people: &People, account: &Person) -> String {
    let reply = people.get(&format!("/v1/wallets/{}", account.account.wallet)).await;
    reply.json()["status"].as_str().unwrap().to_owned()
}

/// By the acts that lead there.
async fn somebody(people: &People, name: &str, state: AccountState) -> Person {
    let person = people.person(name, Role::User).await;
    for step in match state {
        AccountState::Pending => &[][..],
        AccountState::Active => &[Act::Approve],
        AccountState::Blocked => &[Act::Block],
        AccountState::Closed => &[Act::Close],
    } {
        assert_eq!(act(people, &person, *step).await.status, 200);
    }
    person
}

#[tokio::test]
async fn every_change_that_the_table_has_and_no_other() {
    let people = People::start_with(Settings { approval: Approval::Manual, ..settings() }).await;
    for &from in AccountState::ALL {
        for &step in Act::ALL {
            let person = somebody(&people, &format!("{}-{}", from.name(), step.name()), from).await;
            assert_eq!(state_of(&people, &person).await, from.name());
            let reply = act(&people, &person, step).await;
            let to = TABLE.iter().find(|row| (row.0, row.1) == (from, step)).map(|row| row.2);
            let about = format!("{} {}: {reply:?}", step.name(), from.name());
            match to {
                Some(to) => {
                    assert_eq!((reply.status, reply.json()["state"].as_str()), (200, Some(to.name())), "{about}");
                    let status = match to {
                        AccountState::Active => "active",
                        AccountState::Closed => "closed",
                        AccountState::Pending | AccountState::Blocked => "frozen",
                    };
                    assert_eq!(wallet_status(&people, &person).await, status, "{about}");
                }
                None => assert_eq!((reply.status, reply.code().as_str()), (409, "INVALID_STATE"), "{about}"),
            }
        }
    }
    let printed = include_str!("../../docs/people.md");
    for (from, step, to) in TABLE {
        let row = format!("| {} | {} | {} |", from.name(), step.name(), to.name());
        assert!(printed.contains(&row), "docs/people.md lacks {row}");
    }
    assert_eq!(people.get("/v1/audit/verify").await.json()["intact"], true);
    people.stop().await;
}

#[tokio::test]
async fn a_waiting_period_ends_by_itself() {
    let approval = Approval::After(Duration::from_secs(24 * 3600));
    let people = People::start_with(Settings { approval, ..settings() }).await;
    let asha = people.person("asha", Role::User).await;
    let blocked = people.person("ravi", Role::User).await;
    assert_eq!(act(&people, &blocked, Act::Block).await.status, 200);
    assert_eq!((asha.account.state, &*wallet_status(&people, &asha).await), (AccountState::Pending, "frozen"));
    people.services.clock.advance(23 * HOUR);
    accounts::sweep(&people.services).await.unwrap();
    assert_eq!(state_of(&people, &asha).await, "pending");
    people.services.clock.advance(2 * HOUR);
    accounts::sweep(&people.services).await.unwrap();
    assert_eq!((&*state_of(&people, &asha).await, &*wallet_status(&people, &asha).await), ("active", "active"));
    assert_eq!(state_of(&people, &blocked).await, "blocked");
    let audit = people.get(&format!("/v1/audit?object=account%20{}", asha.account.id)).await.json();
    assert_eq!(
        (audit["data"][0]["actor"].as_str(), audit["data"][0]["action"].as_str()),
        (Some("server"), Some("account.approve"))
    );
    people.stop().await;
}

#[tokio::test]
async fn blocking_ends_sessions_and_freezes_only_what_was_not_frozen() {
    let people = People::start().await;
    let asha = people.person("asha", Role::User).await;
    let other = format!(r#"{{"owner":"{}","currency":"INR"}}"#, asha.account.id);
    let other = people.post("/v1/wallets", "other", &other).await.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(people.post(&format!("/v1/wallets/{other}/freeze"), "f", "").await.status, 200);

    let risk = people.person("risky", Role::Risk).await;
    let path = format!("/v1/accounts/{}/block", asha.account.id);
    assert_eq!(people.post_as(&risk, &path, "b", "{}").await.code(), "INVALID_REQUEST", "a reason is needed");
    let reply = people.post_as(&risk, &path, "b", REASON).await;
    assert_eq!((reply.status, reply.json()["state"].as_str()), (200, Some("blocked")), "{reply:?}");
    assert_eq!(people.get_as(&asha, "/v1/me").await.status, 401);
    let refresh = format!(r#"{{"refresh_token":"{}"}}"#, asha.refresh_token);
    assert_eq!(people.post_open("/v1/auth/refresh", &refresh).await.code(), "ACCOUNT_BLOCKED");
    assert_eq!(wallet_status(&people, &asha).await, "frozen");
    let unblock = path.replace("block", "unblock");
    assert_eq!(people.post_as(&risk, &unblock, "u", "").await.code(), "FORBIDDEN");

    let people = people.restart().await;
    assert_eq!(people.get_as(&asha, "/v1/me").await.status, 401, "after a restart as well");
    assert_eq!(people.post(&unblock, "u", "").await.status, 200);
    assert_eq!(wallet_status(&people, &asha).await, "active");
    assert_eq!(
        people.get(&format!("/v1/wallets/{other}")).await.json()["status"],
        "frozen",
        "it was frozen by another"
    );
    let audit = people.get(&format!("/v1/audit?actor=account%20{}", risk.account.id)).await.json();
    assert_eq!(audit["data"][0]["detail"]["reason"], "reported stolen", "{audit}");
    people.stop().await;
}

#[tokio::test]
async fn what_is_written_first_is_done_after_a_crash() {
    let people = People::start().await;
    let (asha, ravi) = (people.person("asha", Role::User).await, people.person("ravi", Role::User).await);
    let meera = people.person("meera", Role::User).await;
    people.fund(&meera, "1.00").await;
    // As if the process had died right after the rows were written.
    for (person, sql) in [
        (&asha, "UPDATE accounts SET state = 'blocked', wallet_status_wanted = 'frozen' WHERE id = $1"),
        (&ravi, "UPDATE accounts SET wallet_status_wanted = 'closed' WHERE id = $1"),
        (&meera, "UPDATE accounts SET wallet_status_wanted = 'closed' WHERE id = $1"),
    ] {
        let mut tx = people.services.store.begin().await.unwrap();
        sqlx::query(sql).bind(person.account.id.to_string()).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }
    let people = people.restart().await;
    assert_eq!(wallet_status(&people, &asha).await, "frozen");
    assert_eq!((&*state_of(&people, &ravi).await, &*wallet_status(&people, &ravi).await), ("closed", "closed"));
    assert_eq!(people.get_as(&ravi, "/v1/me").await.status, 401);
    let of_meera = (state_of(&people, &meera).await, wallet_status(&people, &meera).await);
    assert_eq!(of_meera, ("active".to_owned(), "active".to_owned()), "money was in it, so it was called off");
    people.stop().await;
}

#[tokio::test]
async fn closing_needs_empty_wallets_and_frees_addresses_but_no_handles() {
    let people = People::start().await;
    let asha = people.person("asha", Role::User).await;
    people.fund(&asha, "5.00").await;
    assert_eq!(people.post_as(&asha, "/v1/me/close", "c", "").await.code(), "WALLET_NOT_EMPTY");
    let body = format!(r#"{{"wallet":"{}","amount":{{"amount":"5.00","currency":"INR"}}}}"#, asha.account.wallet);
    assert_eq!(people.post("/v1/withdrawals", "out", &body).await.status, 201);
    let reply = people.post_as(&asha, "/v1/me/close", "c", "").await;
    assert_eq!((reply.status, reply.json()["state"].as_str()), (200, Some("closed")), "{reply:?}");
    assert_eq!(
        (wallet_status(&people, &asha).await, people.get_as(&asha, "/v1/me").await.status),
        ("closed".to_owned(), 401)
    );

    let token = people.registration_token(&asha.email).await;
    let taken = format!(r#"{{"registration_token":"{token}","name":"Another","handle":"asha"}}"#);
    assert_eq!(people.register("r", &taken).await.code(), "ADDRESS_TAKEN");
    let free = format!(r#"{{"registration_token":"{token}","name":"Another"}}"#);
    assert_eq!(people.register("r", &free).await.status, 201);
    people.stop().await;
}

#[tokio::test]
async fn roles_are_given_by_others_and_end_sessions() {
    let people = People::start().await;
    let (admin, asha) = (people.person("adam", Role::Administrator).await, people.person("asha", Role::User).await);
    let path = |person: &Person| format!("/v1/accounts/{}/role", person.account.id);
    let support = r#"{"role":"support"}"#;
    assert_eq!(people.post_as(&admin, &path(&admin), "r", support).await.code(), "SECOND_PERSON_REQUIRED");
    assert_eq!(people.post_as(&asha, &path(&asha), "r", support).await.code(), "FORBIDDEN");
    let reply = people.post_as(&admin, &path(&asha), "r", support).await;
    assert_eq!((reply.status, reply.json()["role"].as_str()), (200, Some("support")), "{reply:?}");
    assert_eq!(people.get_as(&asha, "/v1/me").await.status, 401, "her token says another role");
    let asha = people
        .sign_in_again(Person { account: accounts::by_id(&people.services, asha.account.id).await.unwrap(), ..asha })
        .await;
    let found = people.get_as(&asha, "/v1/accounts?email=adam@example.in").await.json();
    assert_eq!(found["data"][0]["emails"][0], "a***@example.in", "support sees it in part only");
    let found = people.get_as(&admin, "/v1/accounts?role=support&limit=1").await.json();
    assert_eq!(
        (found["data"][0]["emails"][0].as_str(), found["has_more"].as_bool()),
        (Some("asha@example.in"), Some(false))
    );
    people.stop().await;
}
