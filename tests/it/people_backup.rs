//! `florin backup` takes the people along, of a running server too, and what was sealed opens in the copy; and a database that
//! does not fit the log is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use florin::engine::Engine;
use florin::services::Services;
use florin::services::clock::Clock;
use florin::store::seal::Seal;
use florin::store::{Role, SQLITE_FILE, Store, accounts, views};
use tempfile::TempDir;

use crate::cli_rig::on;
use crate::people_rig::{People, settings};

/// Its rows would lead to money that this ledger does not have.
#[tokio::test]
async fn a_database_of_another_ledger_or_of_a_later_one_is_refused() {
    let (people, others) = (People::start().await, People::start().await);
    let asha = people.person("asha", Role::User).await;
    people.fund(&asha, "500.00").await;
    let start = async |engine: &Engine| {
        let (store, seal) = (people.services.store.clone(), people.services.seal.clone());
        let started = Services::start(store, seal, engine.clone(), settings(), Clock::default()).await;
        started.map(drop).map_err(|fault| fault.to_string())
    };
    let refused = start(&others.services.engine).await.expect_err("it is another ledger's");
    assert!(refused.contains("belongs to log"), "{refused}");
    // Whoever reads along with the log would put the position right again.
    people.services.background.stop().await;
    let mut tx = people.services.store.begin().await.expect("it can be written");
    views::set_position(&mut tx, "payments", 1_000_000).await.expect("written");
    tx.commit().await.expect("committed");
    let refused = start(&people.services.engine).await.expect_err("the log does not go so far");
    assert!(refused.contains("up to position 1000000"), "{refused}");
    people.stop().await;
    others.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_has_the_people() {
    let people = People::start().await;
    let asha = people.person("asha", Role::User).await;
    people.fund(&asha, "500.00").await;
    let folder = TempDir::new().expect("a temporary folder");
    let to = folder.path().join("copy");
    let copy = to.join(SQLITE_FILE);
    // The second backup goes over the first.
    for name in ["ravi", "meera"] {
        let person = people.person(name, Role::User).await;
        let said = on("backup", people.folder(), &["--to", to.to_str().expect("a plain path")]);
        assert_eq!(said.code, 0, "{said:?}");
        if people.services.store.is_postgres() {
            // Those are Postgres's to keep.
            assert!(!copy.exists());
            continue;
        }
        assert_eq!(fs::metadata(&copy).expect("there").permissions().mode() & 0o777, 0o600);
        let store = Store::open(&to, None).await.expect("it opens");
        let seal = Seal::load_or_create(&to).expect("the key was copied");
        let mut c = store.read().await.expect("it can be read");
        for (person, name) in [(&asha, "asha"), (&person, name)] {
            let row = accounts::by_id(&mut c, person.account.id).await.expect("asked").expect("there");
            assert_eq!(seal.open("accounts.name", &row.name_sealed).expect("it opens"), name);
        }
        drop(c);
        store.close().await;
    }
    people.stop().await;
}
