//! The server as a process of its own, which a named step may end: what the tests of crashes share.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::http_api::{Reply, read_reply, request};
use crate::people_rig::{Down, Person};

/// A server as a process, which a named step may end.
pub struct Program {
    child: Child,
    /// None: it died before it could be asked, over what it found to finish.
    address: Option<SocketAddr>,
}

impl Program {
    /// On what the others have left; `settings` are variables of the environment.
    pub fn start(people: &Down, settings: &[(&str, &str)], crash_at: Option<&str>) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_florin"));
        command.args(["serve", "--json", "--listen", "127.0.0.1:0", "--log-level", "error"]);
        command.arg("--data-dir").arg(people.folder());
        command.env_remove("FLORIN_API_KEY").env_remove("RUST_LOG").env_remove("FLORIN_CRASH_AT");
        command.envs(settings.iter().copied());
        if let Some(url) = people.database_url() {
            command.env("FLORIN_DATABASE_URL", url.expose_secret());
        }
        if let Some(step) = crash_at {
            command.env("FLORIN_CRASH_AT", step);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut line = || lines.next().map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        let address = line().and_then(|listening| {
            line().filter(|ready| ready["type"] == "ready")?;
            Some(listening["url"].as_str().unwrap().trim_start_matches("http://").parse().unwrap())
        });
        assert!(address.is_some() || crash_at.is_some(), "the server does not start");
        Program { child, address }
    }

    /// None where the server died over it.
    pub async fn ask(&self, person: &Person, method: &str, path: &str, key: &str, body: &str) -> Option<Reply> {
        let bearer = format!("Bearer {}", person.token);
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", key), ("connection", "close")];
        let mut stream = TcpStream::connect(self.address?).await.ok()?;
        stream.write_all(&request(method, path, &headers, body.as_bytes())).await.ok()?;
        tokio::spawn(async move { read_reply(&mut stream, &mut Vec::new()).await }).await.ok()
    }

    pub async fn died(&mut self) {
        let began = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < Duration::from_secs(60), "it never came to the step");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
