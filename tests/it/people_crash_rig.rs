//! Servers as processes that die at a named step, or at any moment, and what is asked of the next one on the same folder.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::http_api::{Reply, request};
use crate::people_rig::{Down, People};

/// Longer than anything takes that works at all.
const SOON: Duration = Duration::from_secs(60);

/// A data folder that servers are started on, one after the other.
pub struct Home {
    down: Down,
    operator: String,
    arguments: Vec<&'static str>,
}

pub struct Program {
    child: Child,
    address: SocketAddr,
    operator: String,
}

impl Home {
    /// What stands in it was made by a server within the test, which ends.
    pub async fn of(people: People, arguments: &[&'static str]) -> Home {
        let operator = people.key.clone();
        Home { down: people.down().await, operator, arguments: arguments.to_vec() }
    }

    pub fn start(&self, crash_at: Option<&str>) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_florin"));
        command.args(["serve", "--json", "--listen", "127.0.0.1:0", "--log-level", "error", "--segment-mib", "1"]);
        command.args(["--rate-per-address", "off", "--rate-per-person", "off", "--shards", "2"]).args(&self.arguments);
        command.arg("--data-dir").arg(self.down.folder());
        for variable in ["FLORIN_API_KEY", "RUST_LOG", "FLORIN_CRASH_AT", "FLORIN_SMTP_URL", "FLORIN_DATABASE_URL"] {
            command.env_remove(variable);
        }
        if let Some(url) = self.down.database_url() {
            command.env("FLORIN_DATABASE_URL", url.expose_secret());
        }
        if let Some(step) = crash_at {
            command.env("FLORIN_CRASH_AT", step);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut line = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
        let address = line()["url"].as_str().unwrap().trim_start_matches("http://").parse().unwrap();
        assert_eq!(line()["type"], "ready");
        Program { child, address, operator: self.operator.clone() }
    }

    /// A server that dies at this step, over what `act` asks of it; gives the next one.
    pub async fn crash(&self, step: &str, act: impl AsyncFnOnce(&Program)) -> Program {
        let mut first = self.start(Some(step));
        act(&first).await;
        let began = Instant::now();
        let status = loop {
            if let Some(status) = first.child.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < SOON, "it never came to {step}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        assert_eq!(status.signal(), Some(6), "{step}");
        drop(first);
        self.start(None)
    }

    /// The mails to an address that say this, as they lie in the folder.
    pub fn mails(&self, to: &str, saying: &str) -> Vec<String> {
        let Ok(folder) = std::fs::read_dir(self.down.folder().join("mail")) else { return Vec::new() };
        let paths = folder.map(|entry| entry.unwrap().path());
        let paths = paths.filter(|path| path.extension().is_some_and(|extension| extension == "eml"));
        let mails = paths.map(|path| std::fs::read_to_string(path).unwrap());
        mails.filter(|mail| mail.contains(&format!("To: {to}\r\n")) && mail.contains(saying)).collect()
    }

    pub async fn until_mails(&self, to: &str, saying: &str, wanted: usize) {
        let began = Instant::now();
        while self.mails(to, saying).len() < wanted {
            assert!(began.elapsed() < SOON, "{:?}", self.mails(to, ""));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(self.mails(to, saying).len(), wanted, "to {to}: {saying}");
    }

    /// The code before these words in a mail to an address, but for one that is known.
    pub async fn code(&self, to: &str, words: &str, known: Option<&str>) -> String {
        let began = Instant::now();
        loop {
            for mail in self.mails(to, words) {
                let (before, _) = mail.split_once(words).unwrap();
                let code = &before[before.len() - 6..];
                if known != Some(code) {
                    return code.to_owned();
                }
            }
            assert!(began.elapsed() < SOON, "no code for {to}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Program {
    /// None where the server died over it.
    pub async fn ask(&self, token: &str, method: &str, path: &str, more: &[(&str, &str)], body: &str) -> Option<Reply> {
        let bearer = format!("Bearer {token}");
        let mut headers = vec![("connection", "close"), ("content-type", "application/json")];
        if !token.is_empty() {
            headers.push(("authorization", &bearer));
        }
        headers.extend(more);
        let mut stream = TcpStream::connect(self.address).await.ok()?;
        stream.write_all(&request(method, path, &headers, body.as_bytes())).await.ok()?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.ok()?;
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().unwrap();
        let pairs = lines.map(|line| line.split_once(": ").unwrap());
        let headers = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let reply = Reply { status, headers, body: bytes[end + 4..].to_vec() };
        let length: usize = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
        (reply.body.len() == length).then_some(reply)
    }

    pub async fn post(&self, token: &str, path: &str, key: &str, body: &str) -> Option<Reply> {
        self.ask(token, "POST", path, &[("idempotency-key", key)], body).await
    }

    /// The same of a server that must die over it.
    pub async fn lost(&self, token: &str, path: &str, key: &str, body: &str) {
        let reply = self.post(token, path, key, body).await;
        assert!(reply.is_none(), "{path}: {reply:?}");
    }

    /// The same of a server that must live.
    pub async fn told(&self, token: &str, path: &str, key: &str, body: &str) -> Reply {
        self.post(token, path, key, body).await.unwrap_or_else(|| panic!("{path}: the server died"))
    }

    pub async fn get(&self, token: &str, path: &str) -> Reply {
        self.ask(token, "GET", path, &[], "").await.unwrap_or_else(|| panic!("{path}: the server died"))
    }

    /// By the operator's key, which must be answered well.
    pub async fn read(&self, path: &str) -> Value {
        let reply = self.get(&self.operator, path).await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        reply.json()
    }

    pub async fn is_in(&self, token: &str) -> bool {
        match self.get(token, "/v1/me").await.status {
            200 => true,
            401 => false,
            other => panic!("{other}"),
        }
    }

    pub async fn posted(&self, wallet: &str) -> String {
        self.read(&format!("/v1/wallets/{wallet}/balance")).await["posted"]["amount"].as_str().unwrap().to_owned()
    }

    pub async fn wallet_status(&self, wallet: Uuid) -> String {
        self.read(&format!("/v1/wallets/{wallet}")).await["status"].as_str().unwrap().to_owned()
    }

    /// How often this was recorded of an object, like `account ID`.
    pub async fn recorded(&self, object: &str, action: &str) -> usize {
        let rows = self.read(&format!("/v1/audit?object={}", object.replace(' ', "%20"))).await;
        rows["data"].as_array().unwrap().iter().filter(|row| row["action"] == action).count()
    }

    /// What holds after whatever happened: no money was made or lost, and the audit log is whole.
    pub async fn is_in_order(&self) {
        let summary = self.read("/v1/ledger/summary").await;
        let sums = summary["currencies"].as_array().unwrap();
        assert!(sums.iter().all(|currency| currency["sum"]["amount"] == "0.00"), "{summary}");
        let verified = self.read("/v1/audit/verify").await;
        assert_eq!(verified["intact"], true, "{verified}");
    }

    /// kill -9, while others still ask.
    pub fn signal_kill(&self) {
        let sent = Command::new("kill").args(["-KILL", &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
