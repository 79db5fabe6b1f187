//! `florin serve` and `florin snapshot` as processes: what they print, how they stop, and what they say when they cannot.

use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::cli_rig::{Ledger, Said, florin, json_line, on};

/// A server as a child; it is killed when the test ends early.
pub struct Server {
    child: Child,
    /// Its standard input, at whose end it stops.
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Server {
    pub fn start(dir: &Path, more: &[&str]) -> Server {
        Server::spawn(dir, "error", more, Stdio::inherit())
    }

    pub fn spawn(dir: &Path, log_level: &str, more: &[&str], stderr: Stdio) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_florin"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--stop-with-stdin", "--log-level", log_level]);
        command
            .stderr(stderr)
            .arg("--data-dir")
            .arg(dir)
            .args(more)
            .env_remove("FLORIN_API_KEY")
            .env_remove("RUST_LOG");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the binary runs");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let stdin = child.stdin.take();
        Server { child, stdin, lines }
    }

    pub fn line(&mut self) -> String {
        self.lines.next().expect("it says something").expect("in text")
    }

    pub fn json(&mut self, of_type: &str) -> Value {
        let line: Value = serde_json::from_str(&self.line()).expect("JSON");
        assert_eq!(line["type"], of_type, "{line}");
        line
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn code(mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        drop(self.child.wait());
    }
}

fn snapshot(url: &str, key: &str) -> Said {
    florin(&["snapshot", "--url", url, "--key", key, "--json"])
}

#[test]
fn a_server_shows_its_key_once_and_stops_with_a_snapshot() {
    let dir = TempDir::new().expect("a temporary folder");
    let mut server = Server::start(dir.path(), &["--json"]);
    let listening = server.json("listening");
    let url = listening["url"].as_str().expect("an address").to_owned();
    let key = listening["api_key"].as_str().expect("a key at the first start").to_owned();
    assert_eq!(server.json("ready")["last_lsn"], 0);

    let wrong = snapshot(&url, "flk_00000000000000000000000000000000");
    assert!(wrong.code == 2 && wrong.err.contains("UNAUTHORIZED"), "{wrong:?}");
    let empty = snapshot(&url, &key);
    assert_eq!((empty.code, &json_line(&empty, "state_hash", &"0".repeat(64))["lsn"]), (0, &0.into()), "{empty:?}");

    // Another server on the same port, or on the same folder, is refused in a sentence.
    let address = url.trim_start_matches("http://");
    let other = TempDir::new().expect("a temporary folder");
    let taken = on("serve", other.path(), &["--listen", address]);
    assert!(taken.code == 2 && taken.err.contains("is taken by another program"), "{taken:?}");
    assert_eq!(std::fs::read_dir(other.path()).expect("readable").count(), 0, "and made nothing");
    let locked = on("serve", dir.path(), &["--listen", "127.0.0.1:0"]);
    assert!(locked.code == 2 && locked.err.contains("in use by another process"), "{locked:?}");

    server.signal("TERM");
    assert_eq!(server.json("stopped")["last_lsn"], 0);
    assert_eq!(server.code(), Some(0));

    let mut server = Server::start(dir.path(), &[]);
    let block: Vec<String> = (0..5).map(|_| server.line()).collect();
    let block = block.join("\n");
    assert!(block.contains("/docs") && block.contains("ready") && !block.contains("flk_"), "{block}");
    server.stdin = None;
    assert!(server.line().contains("stopped"));
    assert_eq!(server.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_server_has_nothing_to_replay_and_a_killed_one_has() {
    let ledger = Ledger::make(500).await;
    let state = json_line(&on("replay", ledger.path(), &["--json"]), "type", "summary")["state_hash"].clone();
    let mut server = Server::start(ledger.path(), &["--json"]);
    server.json("listening");
    let ready = server.json("ready");
    assert_eq!((&ready["wallets"], &ready["replayed_records"]), (&21.into(), &1.into()), "{ready}");
    server.signal("KILL");
    assert_eq!(server.code(), None, "it had no time to say why");

    let mut server = Server::start(ledger.path(), &["--json", "--shards", "5"]);
    server.json("listening");
    assert_eq!(server.json("ready")["replayed_records"], 1);
    server.signal("INT");
    server.json("stopped");
    assert_eq!(server.code(), Some(0));
    let verified = on("verify", ledger.path(), &["--json"]);
    assert_eq!(json_line(&verified, "verdict", "fine")["state_hash"], state, "{verified:?}");

    let taken = on("snapshot", ledger.path(), &["--json"]);
    assert_eq!(taken.code, 0, "{taken:?}");
    assert_eq!(json_line(&taken, "state_hash", state.as_str().expect("text"))["wallets"], 21);
}

/// The log file lay on the disk of the ledger. When that was full, the line that told of it could not be written, and
/// the panic about that ended the process, which had to go on to be read.
#[test]
fn a_log_line_that_cannot_be_written_ends_nothing() {
    let dir = TempDir::new().expect("a temporary folder");
    let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
    let mut server = Server::spawn(dir.path(), "debug", &["--json"], full.into());
    let listening = server.json("listening");
    server.json("ready");
    let (url, key) = (&listening["url"], &listening["api_key"]);
    let taken = snapshot(url.as_str().expect("an address"), key.as_str().expect("a key at the first start"));
    assert_eq!(taken.code, 0, "{taken:?}");
    server.signal("TERM");
    server.json("stopped");
    assert_eq!(server.code(), Some(0));
}

#[test]
fn what_cannot_be_done_is_told_in_a_sentence() {
    let dir = TempDir::new().expect("a temporary folder");
    let path = dir.path().to_str().expect("a plain path");
    for (arguments, words) in [
        (&["snapshot"][..], "no API key"),
        (&["snapshot", "--url", "https://localhost:1", "--key", "k"], "https is not spoken here"),
        (&["snapshot", "--url", "http://127.0.0.1:1", "--key", "k"], "Connection refused"),
        (&["snapshot", "--data-dir", path], "there is no ledger in"),
        (&["snapshot", "--key-file", "/nonexistent/key"], "cannot read the key file"),
        (&["serve", "--data-dir", path, "--listen", "nowhere"], "invalid socket address"),
        (&["serve", "--data-dir", path, "--tls-cert", "c.pem"], "--tls-key"),
        (&["serve", "--data-dir", path, "--listen", "127.0.0.1:0", "--tls-cert", "/c", "--tls-key", "/k"], "TLS"),
        (&["serve", "--data-dir", path, "--snapshot-period", "often"], "5m"),
        (&["serve", "--data-dir", path, "--listen", "127.0.0.1:0", "--api-key", "short"], "an API key starts with"),
        (&["serve", "--data-dir", path, "--listen", "127.0.0.1:0", "--encrypt"], "--encrypt takes a master key"),
        (&["serve", "--data-dir", path, "--step-up-above", "0"], "an amount of INR above zero"),
        (&["serve", "--data-dir", path, "--currency", "JPY", "--step-up-above", "1.50"], "an amount of JPY"),
        (&["demo", "--loadtest", "/nonexistent/loadtest"], "cargo build --release"),
        (&["torture", "--loadtest", "/nonexistent/loadtest"], "cargo build --release"),
        (&["torture", "--loadtest", env!("CARGO_BIN_EXE_florin"), "--data-dir", path], "cannot make the new folder"),
    ] {
        let said = florin(arguments);
        assert!(said.code == 2 && said.err.contains(words), "{arguments:?}: {said:?}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).expect("readable").count(), 0, "nothing was made");
}

/// A first start that failed over the database once left a key that nobody had been shown.
#[test]
fn a_start_that_fails_makes_no_key_that_nobody_sees() {
    let dir = TempDir::new().expect("a temporary folder");
    let nowhere = ["--listen", "127.0.0.1:0", "--database-url", "postgres://u:sekret@127.0.0.1:1/x"];
    let failed = on("serve", dir.path(), &nowhere);
    assert!(failed.code == 2 && failed.err.contains("Connection refused"), "{failed:?}");
    assert!(!failed.err.contains("sekret"), "{failed:?}");
    let mut server = Server::start(dir.path(), &["--json"]);
    assert!(server.json("listening")["api_key"].is_string(), "it is shown at the first start that succeeds");
}
