//! Mail servers and gateways for the tests of notifications: a real mail server (aiosmtpd), and a stand-in for an SMS or push
//! gateway that answers what it is told to.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use florin::gateways::messages::Smtp;
use florin::services::Services;
use florin::services::notices::{self, Kind, Notice, To};
use florin::services::notify::Messengers;
use florin::store::deliveries::{self, Delivery, DeliveryState};
use florin::store::seal::Seal;
use secrecy::SecretString;
use serde_json::Value;
use sqlx::Row as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::people_rig::{People, Person};

/// Longer than anything takes that works at all.
pub const SOON: Duration = Duration::from_secs(60);

pub struct MailServer {
    child: Child,
    pub port: u16,
    mails: mpsc::UnboundedReceiver<Value>,
}

/// How it treats mails.
#[derive(Clone, Copy)]
pub enum Manner {
    Accept,
    Refuse,
    Hang,
}

impl MailServer {
    /// None, and a word about it, where aiosmtpd is not installed; a run that must not skip anything fails.
    pub async fn start(port: u16, manner: Manner) -> Option<MailServer> {
        let python = python()?;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/mail_server.py");
        let manner = match manner {
            Manner::Accept => "accept",
            Manner::Refuse => "refuse",
            Manner::Hang => "hang",
        };
        let mut command = Command::new(python);
        let mut child = command.args([script, &port.to_string(), manner]).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, mut mails) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if sender.send(serde_json::from_str(&line).unwrap()).is_err() {
                    return;
                }
            }
        });
        let first: Value = tokio::time::timeout(SOON, mails.recv()).await.unwrap().expect("the mail server starts");
        let port = u16::try_from(first["port"].as_u64().unwrap()).unwrap();
        Some(MailServer { child, port, mails })
    }

    pub async fn mail(&mut self) -> Value {
        tokio::time::timeout(SOON, self.mails.recv()).await.expect("a mail in time").expect("the server runs")
    }

    pub fn has_mail(&mut self) -> bool {
        self.mails.try_recv().is_ok()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn python() -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target")), PathBuf::from);
    let python = target.join("mail-venv/bin/python");
    if python.is_file() {
        return Some(python);
    }
    assert!(std::env::var_os("CI").is_none(), "scripts/test puts aiosmtpd into {}", python.display());
    println!("SKIPPED: aiosmtpd is not installed in {}; scripts/test does that", python.display());
    None
}

pub fn by_mail(port: u16) -> Messengers {
    let url = SecretString::from(format!("smtp://127.0.0.1:{port}"));
    let smtp = Smtp::new(&url, "Florin <wallet@florin.example>").unwrap();
    Messengers { email: Some(Arc::new(smtp)), ..Messengers::default() }
}

/// A free port that nobody listens on.
pub fn silent_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub async fn tell(services: &Services, account: Uuid, kind: Kind, params: Value) -> Uuid {
    let id = Uuid::now_v7();
    let notice = Notice { id, to: To::Account(account), locale: "en".to_owned(), kind, params, expires_at: None };
    let mut tx = services.store.begin().await.unwrap();
    notices::enqueue(services, &mut tx, &notice).await.unwrap();
    tx.commit().await.unwrap();
    id
}

/// A message to somebody that was given up.
pub async fn dead_letter(people: &People, of: &Person) -> Uuid {
    let services = &people.services;
    let id = Uuid::now_v7();
    let delivery = Delivery { account: Some(of.account.id), state: DeliveryState::Dead, ..welcome(&services.seal, id) };
    let mut tx = services.store.begin().await.unwrap();
    deliveries::insert(&mut tx, &delivery).await.unwrap();
    tx.commit().await.unwrap();
    id
}

/// A mail that is due.
pub fn welcome(seal: &Seal, id: Uuid) -> Delivery {
    Delivery {
        id,
        account: None,
        channel: "email".to_owned(),
        address_sealed: seal.seal("deliveries.address", "asha@example.in"),
        locale: "en".to_owned(),
        kind: Kind::Welcome.name().to_owned(),
        params_sealed: seal.seal("deliveries.params", r#"{"name":"Asha"}"#),
        state: DeliveryState::Queued,
        urgency: 1,
        attempts: 0,
        next_attempt_at: 0,
        last_error: None,
        provider_id: None,
        created_at: 0,
        expires_at: None,
        done_at: None,
    }
}

/// How many deliveries of an account are in this state.
pub async fn count(services: &Services, account: Uuid, state: DeliveryState) -> i64 {
    let mut c = services.store.read().await.unwrap();
    let sql = "SELECT COUNT(*) AS count FROM deliveries WHERE account = $1 AND state = $2";
    let query = sqlx::query(sql).bind(account.to_string()).bind(state.name());
    query.fetch_one(&mut *c).await.unwrap().try_get("count").unwrap()
}

/// Waits until so many are in this state.
pub async fn until(services: &Services, account: Uuid, state: DeliveryState, wanted: i64) {
    let reached = async {
        while count(services, account, state).await != wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = tokio::time::timeout(SOON, reached).await;
    assert!(in_time.is_ok(), "{} are {}", count(services, account, state).await, state.name());
}

/// A gateway that answers with these statuses, and then with 200.
pub struct Gateway {
    pub url: String,
    pub asked: mpsc::UnboundedReceiver<(String, Value)>,
}

impl Gateway {
    pub async fn start(statuses: &[u16]) -> Gateway {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/send", listener.local_addr().unwrap());
        let (sender, asked) = mpsc::unbounded_channel();
        let statuses = Arc::new(Mutex::new(VecDeque::from(statuses.to_vec())));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (sender, statuses) = (sender.clone(), Arc::clone(&statuses));
                tokio::spawn(async move {
                    let mut bytes = Vec::new();
                    let (head, body) = loop {
                        if stream.read_buf(&mut bytes).await.unwrap() == 0 {
                            return;
                        }
                        let text = String::from_utf8_lossy(&bytes).into_owned();
                        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                        if let Ok(body) = serde_json::from_str::<Value>(body) {
                            break (head.to_lowercase(), body);
                        }
                    };
                    let status = statuses.lock().unwrap().pop_front().unwrap_or(200);
                    drop(sender.send((head, body)));
                    let answer = r#"{"id":"provider-1"}"#;
                    let reply = format!(
                        "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{answer}",
                        answer.len()
                    );
                    drop(stream.write_all(reply.as_bytes()).await);
                });
            }
        });
        Gateway { url, asked }
    }

    pub async fn request(&mut self) -> (String, Value) {
        tokio::time::timeout(SOON, self.asked.recv()).await.expect("asked in time").expect("the gateway runs")
    }
}
