//! A server with people: what the tests of accounts, sessions, roles and notifications share. The database is SQLite, or, with
//! FLORIN_TEST_DATABASE_URL, a new database for each test on that Postgres server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::Arc;

use florin::http::ServerConfig;
use florin::ledger::Currency;
use florin::services::accounts::{self, NewAccount};
use florin::services::clock::Clock;
use florin::services::notify::Messengers;
use florin::services::sessions::{self, Client};
use florin::services::{Approval, Services, Settings};
use florin::store::seal::Seal;
use florin::store::{Account, AddressKind, Role, Store};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::Connection as _;

use crate::http_api::{Api, Reply};

pub struct People {
    pub api: Api,
    pub services: Arc<Services>,
    database_url: Option<SecretString>,
}

/// What a server leaves when it has stopped.
pub struct Down {
    api: Api,
    settings: Settings,
    database_url: Option<SecretString>,
}

/// Somebody who is signed in.
pub struct Person {
    pub account: Account,
    pub token: String,
    pub refresh_token: String,
    pub email: String,
}

pub fn settings() -> Settings {
    Settings {
        currency: Currency::by_code("INR").unwrap(),
        approval: Approval::None,
        step_up_above: None,
        adjustment_alone_max: 100_000,
        bank: None,
        messengers: Messengers::default(),
    }
}

impl People {
    pub async fn start() -> People {
        People::start_with(settings()).await
    }

    pub async fn start_with(settings: Settings) -> People {
        People::start_at(ServerConfig::default(), settings).await
    }

    pub async fn start_at(config: ServerConfig, settings: Settings) -> People {
        let database_url = database().await;
        let mut api = Api::listening(config).await;
        let services = People::up(&mut api, database_url.as_ref(), settings).await;
        People { api, services, database_url }
    }

    /// Ends everything in good order and starts it again on the same folder and database.
    pub async fn restart(self) -> People {
        self.down().await.up().await
    }

    /// Ends everything in good order, so that another process may work on the same folder and database.
    pub async fn down(self) -> Down {
        let People { api, services, database_url } = self;
        let settings = services.settings.clone();
        services.stop().await;
        drop(services);
        Down { api: api.stopped().await, settings, database_url }
    }

    async fn up(api: &mut Api, database_url: Option<&SecretString>, settings: Settings) -> Arc<Services> {
        let seal = Seal::load_or_create(api.folder()).unwrap();
        let store = Store::open(api.folder(), database_url).await.unwrap();
        let engine = api.start_engine(|_| {}).await;
        let services = Services::start(store, seal, engine.clone(), settings, Clock::default()).await.unwrap();
        api.state.people(Arc::clone(&services));
        api.state.ready(engine);
        services
    }

    pub async fn stop(self) {
        self.services.stop().await;
        self.api.stop().await;
    }

    /// Opens an account with the email `name@example.in` and the handle `name`, and signs in, not by the API's own road.
    pub async fn person(&self, name: &str, role: Role) -> Person {
        let email = format!("{name}@example.in");
        let new = NewAccount {
            role,
            name: name.to_owned(),
            locale: "en".to_owned(),
            addresses: vec![(AddressKind::Email, email.clone()), (AddressKind::Handle, name.to_owned())],
        };
        let account = accounts::open(&self.services, &new).await.unwrap();
        self.signed_in(account, email).await
    }

    /// The same person on another device.
    pub async fn another_session(&self, person: &Person) -> Person {
        self.signed_in(person.account.clone(), person.email.clone()).await
    }

    async fn signed_in(&self, account: Account, email: String) -> Person {
        let client = Client { device: "test".to_owned(), network_address: "127.0.0.1".to_owned() };
        let mut tx = self.services.store.begin().await.unwrap();
        let grant = sessions::begin(&self.services, &mut tx, &account, &client).await.unwrap();
        tx.commit().await.unwrap();
        let text = |secret: &SecretString| secret.expose_secret().to_owned();
        Person { account, token: text(&grant.access_token), refresh_token: text(&grant.refresh_token), email }
    }

    /// A new session for somebody whose access token has expired.
    pub async fn sign_in_again(&self, person: Person) -> Person {
        let client = Client { device: "test".to_owned(), network_address: "127.0.0.1".to_owned() };
        let mut tx = self.services.store.begin().await.unwrap();
        let grant = sessions::begin(&self.services, &mut tx, &person.account, &client).await.unwrap();
        tx.commit().await.unwrap();
        let text = |secret: &SecretString| secret.expose_secret().to_owned();
        Person { token: text(&grant.access_token), refresh_token: text(&grant.refresh_token), ..person }
    }

    /// Brings money into somebody's wallet, by the operator's key.
    pub async fn fund(&self, person: &Person, rupees: &str) {
        let wallet = person.account.wallet;
        let body = format!(r#"{{"wallet":"{wallet}","amount":{{"amount":"{rupees}","currency":"INR"}}}}"#);
        let reply = self.api.post("/v1/deposits", &format!("fund-{wallet}-{rupees}"), &body).await;
        assert_eq!(reply.status, 201, "{reply:?}");
    }

    /// A POST without credentials.
    pub async fn post_open(&self, path: &str, body: &str) -> Reply {
        self.api.send_bare("POST", path, &[("content-type", "application/json")], body.as_bytes()).await
    }

    /// Has a code sent to an email; gives the challenge and the code that was written to the outbox.
    pub async fn code_to(&self, email: &str) -> (String, String) {
        let reply = self.post_open("/v1/auth/codes", &format!(r#"{{"email":"{email}"}}"#)).await;
        assert_eq!(reply.status, 202, "{reply:?}");
        let challenge = reply.json()["challenge"].as_str().unwrap().to_owned();
        let code = self.code_of(&challenge).await;
        (challenge, code)
    }

    /// The code that was sent for a challenge or a confirmation.
    pub async fn code_of(&self, challenge: &str) -> String {
        self.notice(challenge).await["code"].as_str().unwrap().to_owned()
    }

    /// What stands in the outbox under this id.
    pub async fn notice(&self, id: &str) -> serde_json::Value {
        let mut c = self.services.store.read().await.unwrap();
        let sql = "SELECT params_sealed FROM outbox WHERE id = $1";
        let sealed: String = sqlx::query_scalar(sql).bind(id).fetch_one(&mut *c).await.unwrap();
        serde_json::from_str(&self.services.seal.open("outbox.params", &sealed).unwrap()).unwrap()
    }

    /// What an account was told of this kind, oldest first.
    pub async fn told(&self, account: uuid::Uuid, kind: &str) -> Vec<serde_json::Value> {
        let mut c = self.services.store.read().await.unwrap();
        let sql = "SELECT params_sealed FROM outbox WHERE account = $1 AND kind = $2 ORDER BY id";
        let rows: Vec<String> =
            sqlx::query_scalar(sql).bind(account.to_string()).bind(kind).fetch_all(&mut *c).await.unwrap();
        let open = |sealed: &String| self.services.seal.open("outbox.params", sealed).unwrap();
        rows.iter().map(|sealed| serde_json::from_str(&open(sealed)).unwrap()).collect()
    }

    pub async fn get_as(&self, person: &Person, path: &str) -> Reply {
        self.send_as(&person.token, "GET", path, &[], "").await
    }

    pub async fn post_as(&self, person: &Person, path: &str, key: &str, body: &str) -> Reply {
        self.send_as(&person.token, "POST", path, &[("idempotency-key", key)], body).await
    }

    pub async fn send_as(&self, token: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let bearer = format!("Bearer {token}");
        let mut all = vec![("authorization", bearer.as_str()), ("content-type", "application/json")];
        all.extend(headers);
        self.api.send_bare(method, path, &all, body.as_bytes()).await
    }
}

impl Down {
    pub fn folder(&self) -> &Path {
        self.api.folder()
    }

    pub fn database_url(&self) -> Option<&SecretString> {
        self.database_url.as_ref()
    }

    pub async fn up(self) -> People {
        let Down { mut api, settings, database_url } = self;
        let services = People::up(&mut api, database_url.as_ref(), settings).await;
        People { api, services, database_url }
    }
}

impl Deref for People {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

impl DerefMut for People {
    fn deref_mut(&mut self) -> &mut Api {
        &mut self.api
    }
}

/// A new database on the server that the environment names.
pub async fn database() -> Option<SecretString> {
    let server = std::env::var("FLORIN_TEST_DATABASE_URL").ok()?;
    let name = format!("t{}", uuid::Uuid::now_v7().simple());
    let mut connection = sqlx::PgConnection::connect(&server).await.unwrap();
    let sql = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::query(sql).execute(&mut connection).await.unwrap();
    let (before, _) = server.rsplit_once('/').unwrap();
    Some(SecretString::from(format!("{before}/{name}")))
}
