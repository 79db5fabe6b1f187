//! Accounts over HTTP: opened with a wallet, seen by their owner, and never by others.

use florin::store::Role;

use crate::people_rig::People;

#[tokio::test]
async fn an_account_has_a_wallet_at_once() {
    let people = People::start().await;
    let asha = people.person("asha", Role::User).await;
    let me = people.get_as(&asha, "/v1/me").await;
    assert_eq!(me.status, 200, "{me:?}");
    let me = me.json();
    assert_eq!(me["emails"][0], asha.email);
    assert!(asha.refresh_token.starts_with("frt_"));
    assert_eq!((me["name"].as_str(), me["state"].as_str()), (Some("asha"), Some("active")));
    let wallet = me["wallet"].as_str().expect("an id");
    people.fund(&asha, "500.00").await;
    let balance = people.get_as(&asha, &format!("/v1/wallets/{wallet}/balance")).await;
    assert_eq!(balance.json()["posted"]["amount"], "500.00", "{balance:?}");
    let people = people.restart().await;
    let again = people.get_as(&asha, "/v1/me").await;
    assert_eq!(again.json(), me);
    people.stop().await;
}

#[tokio::test]
async fn what_is_not_ones_own_is_not_there() {
    let people = People::start().await;
    let (asha, ravi) = (people.person("asha", Role::User).await, people.person("ravi", Role::User).await);
    people.fund(&asha, "500.00").await;
    let wallet = asha.account.wallet;
    for path in ["", "/balance", "/entries"] {
        let reply = people.get_as(&ravi, &format!("/v1/wallets/{wallet}{path}")).await;
        assert_eq!((reply.status, reply.code().as_str()), (404, "WALLET_NOT_FOUND"), "{path}");
    }
    let steal = format!(
        r#"{{"from":"{wallet}","to":"{}","amount":{{"amount":"1.00","currency":"INR"}}}}"#,
        ravi.account.wallet
    );
    let reply = people.post_as(&ravi, "/v1/transfers", "steal", &steal).await;
    assert_eq!((reply.status, reply.code().as_str()), (404, "WALLET_NOT_FOUND"));
    let reply = people.post_as(&asha, "/v1/transfers", "steal", &steal).await;
    assert_eq!(reply.status, 201, "the same key of another caller is another key: {reply:?}");
    let reply = people.post_as(&ravi, "/v1/deposits", "mine", "{}").await;
    assert_eq!((reply.status, reply.code().as_str()), (403, "FORBIDDEN"));
    people.stop().await;
}
