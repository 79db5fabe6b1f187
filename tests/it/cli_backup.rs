//! `florin backup`: of a server under load, again and again, broken off in the middle, and into folders that it must not
//! touch; and a server that starts from the copy and has everything that was acknowledged before the backup began.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::TempDir;

use crate::cli_rig::{Ledger, Said, czk, florin, json_line, on};
use crate::cli_serve::Server;
use crate::rig::start;

/// Transfers in one bulk request of the load.
const BULK: usize = 500;

fn backup(data_dir: &Path, to: &Path) -> Said {
    on("backup", data_dir, &["--to", to.to_str().expect("a plain path"), "--json"])
}

/// One that succeeds, and what it says.
fn done(data_dir: &Path, to: &Path) -> Value {
    let said = backup(data_dir, to);
    assert_eq!(said.code, 0, "{said:?}");
    json_line(&said, "verdict", "fine")
}

/// One request on a connection of its own.
fn ask(url: &str, key: &str, verb: &str, path: &str, body: &str) -> std::io::Result<(u16, Value)> {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://"))?;
    let once =
        if path.contains("deposits") { format!("Idempotency-Key: fund-{}\r\n", &body[11..47]) } else { String::new() };
    write!(
        stream,
        "{verb} {path} HTTP/1.1\r\nHost: florin\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n\
         {once}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Ok((status, serde_json::from_str(body)?))
}

/// Payments in bulk, one request after another, until the server has gone; it remembers what was acknowledged.
struct Load {
    acknowledged: Arc<Mutex<Vec<(String, u64)>>>,
    rounds: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    fn begin(url: &str, key: &str, wallets: [&str; 2]) -> Load {
        let mut load =
            Load { acknowledged: Arc::default(), rounds: Arc::default(), is_over: Arc::default(), threads: Vec::new() };
        for worker in 0..2 {
            let (acknowledged, rounds) = (Arc::clone(&load.acknowledged), Arc::clone(&load.rounds));
            let is_over = Arc::clone(&load.is_over);
            let (url, key, wallets) = (url.to_owned(), key.to_owned(), wallets.map(str::to_owned));
            load.threads.push(std::thread::spawn(move || {
                for round in 0.. {
                    let items: Vec<String> = (0..BULK).map(|number| payment(worker, round, number, &wallets)).collect();
                    let body = format!("[{}]", items.join(","));
                    let asked = ask(&url, &key, "POST", "/v1/transfers/bulk", &body);
                    // Cut off in the middle: nobody was told anything.
                    let Ok((status, answer)) = asked else { break };
                    assert_eq!(status, 200, "{answer}");
                    let outcomes = answer["outcomes"].as_array().expect("a list").iter();
                    let accepted = outcomes.map(|outcome| {
                        let id = outcome["id"].as_str().expect("an id").to_owned();
                        (id, outcome["lsn"].as_u64().expect("a position"))
                    });
                    acknowledged.lock().expect("sound").extend(accepted);
                    rounds.fetch_add(1, Ordering::Relaxed);
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                }
            }));
        }
        load
    }

    /// Lets some more rounds come in, and gives what was acknowledged by then.
    fn await_more(&self) -> Vec<(String, u64)> {
        let until = self.rounds.load(Ordering::Relaxed) + 12;
        while self.rounds.load(Ordering::Relaxed) < until {
            assert!(self.threads.iter().all(|thread| !thread.is_finished()), "the load has ended");
            std::thread::yield_now();
        }
        self.acknowledged.lock().expect("sound").clone()
    }

    fn end(self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().expect("it ends well"));
    }
}

fn payment(worker: usize, round: usize, number: usize, wallets: &[String; 2]) -> String {
    let (from, to) = (&wallets[number % 2], &wallets[(number + 1) % 2]);
    format!(
        r#"{{"id":"01890a5d-{worker:04x}-7000-8{round:03x}-{number:012x}","from":"{from}","to":"{to}","amount":{{"amount":"0.01","currency":"INR"}}}}"#
    )
}

/// A wallet with some money.
fn wallet(url: &str, key: &str, name: &str) -> String {
    let id = format!("01890a5d-0000-7000-8000-00000000{name}");
    let opening = format!(r#"{{"id":"{id}","owner":"{id}","currency":"INR"}}"#);
    assert_eq!(ask(url, key, "POST", "/v1/wallets", &opening).expect("an answer").0, 201);
    let deposit = format!(r#"{{"wallet":"{id}","amount":{{"amount":"900","currency":"INR"}}}}"#);
    assert_eq!(ask(url, key, "POST", "/v1/deposits", &deposit).expect("an answer").0, 201);
    id
}

/// Starts a server on a copy, sees that all this is there at its position, and ends it.
fn check_restored(dir: &Path, key: &str, known: &[(String, u64)]) {
    let mut server = Server::start(dir, &["--json"]);
    let listening = server.json("listening");
    assert_eq!(listening["api_key"], Value::Null, "the key is the one that was backed up");
    let url = listening["url"].as_str().expect("an address").to_owned();
    let ready = server.json("ready");
    assert!(ready["snapshot_lsn"].as_u64() > Some(0), "the snapshot is of use: {ready}");
    for (id, lsn) in known.iter().step_by(37).chain(known.last()) {
        let (status, found) = ask(&url, key, "GET", &format!("/v1/transfers/{id}"), "").expect("an answer");
        assert_eq!((status, found["lsn"].as_u64()), (200, Some(*lsn)), "{id}: {found}");
    }
    server.signal("TERM");
    server.json("stopped");
    assert_eq!(server.code(), Some(0));
    assert_eq!(on("verify", dir, &[]).code, 0);
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("log")).expect("a log").map(|entry| entry.expect("readable").path());
    let mut segments: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "wal")).collect();
    segments.sort();
    segments
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("a folder").map(|entry| entry.expect("readable")) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("copied");
        }
    }
}

#[test]
fn a_backup_of_a_server_under_load_has_all_that_was_acknowledged_before_it() {
    let folders = TempDir::new().expect("a temporary folder");
    let (data, copy) = (folders.path().join("data"), folders.path().join("copy"));
    // Segments are sealed, snapshots taken and segments archived all the time.
    let often = ["--json", "--segment-mib", "1", "--snapshot-period", "100ms", "--snapshots-kept", "1"];
    let mut server = Server::start(&data, &often);
    let listening = server.json("listening");
    let url = listening["url"].as_str().expect("an address").to_owned();
    let key = listening["api_key"].as_str().expect("a key at the first start").to_owned();
    server.json("ready");
    let (ann, bob) = (wallet(&url, &key, "aaaa"), wallet(&url, &key, "bbbb"));
    let load = Load::begin(&url, &key, [&ann, &bob]);

    // Several times into one folder, while everything goes on.
    let mut known = Vec::new();
    let mut last_lsn = 0;
    for round in 0..4 {
        known = load.await_more();
        let before = if round == 0 { Vec::new() } else { segments(&copy) };
        let inodes: Vec<u64> = before.iter().map(|path| fs::metadata(path).expect("there").ino()).collect();
        let result = done(&data, &copy);
        let lsn = result["lsn"].as_u64().expect("a position");
        assert!(known.iter().all(|(_, known_lsn)| *known_lsn <= lsn) && lsn >= last_lsn, "{result}");
        // What was whole is not touched again.
        let sealed = before.len().saturating_sub(1);
        for (path, inode) in before.iter().zip(&inodes).take(sealed) {
            assert_eq!(fs::metadata(path).expect("there").ino(), *inode, "{}", path.display());
        }
        assert!(result["kept_files"].as_u64() >= Some(sealed as u64), "{result}");
        last_lsn = lsn;
    }
    server.signal("KILL");
    assert_eq!(server.code(), None);
    load.end();
    assert!(segments(&copy).len() > 1, "more than one segment was copied");
    let entries = fs::read_dir(data.join("archive")).expect("an archive");
    assert!(entries.count() > 0, "segments were archived meanwhile");
    assert_eq!(fs::metadata(copy.join("operator-key.json")).expect("there").mode() & 0o777, 0o600);

    // Served elsewhere; the backup itself stays one, of the stopped server too.
    let elsewhere = folders.path().join("elsewhere");
    copy_folder(&copy, &elsewhere);
    check_restored(&elsewhere, &key, &known);
    let result = done(&data, &copy);
    assert_eq!(
        result["lsn"].as_u64(),
        Some(
            json_line(&on("verify", &data, &["--json"]), "verdict", "fine")["log_last_lsn"].as_u64().expect("a number")
        )
    );
    assert!(!copy.join("incoming").exists());
}

/// Killed while a segment, or an index, comes in: what is there is a ledger, and the next backup finishes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_is_broken_off_is_one_of_an_earlier_position() {
    let ledger = Ledger::make(40_000).await;
    let folders = TempDir::new().expect("a temporary folder");
    for (number, sign) in
        ["log/0000000000000001.wal", "log/0000000000000003.wal", "index/ids", "index/entries"].into_iter().enumerate()
    {
        let copy = folders.path().join(number.to_string());
        let mut command = Command::new(env!("CARGO_BIN_EXE_florin"));
        command.args(["backup", "--data-dir"]).arg(ledger.path()).arg("--to").arg(&copy).stdout(Stdio::null());
        let mut child = command.spawn().expect("the binary runs");
        while !copy.join(sign).exists() && child.try_wait().expect("asked").is_none() {}
        child.kill().expect("it can be ended");
        child.wait().expect("it ends");
        let said = on("verify", &copy, &["--json"]);
        assert_eq!(said.code, 0, "{sign}: {said:?}");
        let result = done(ledger.path(), &copy);
        assert_eq!(
            result["state_hash"],
            json_line(&on("verify", ledger.path(), &["--json"]), "verdict", "fine")["state_hash"]
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_place_for_a_backup_is_refused_and_left_alone() {
    let (ledger, other) = (Ledger::make(500).await, Ledger::make(500).await);
    let folders = TempDir::new().expect("a temporary folder");
    let copy = folders.path().join("copy");
    let earlier = folders.path().join("earlier");
    copy_folder(ledger.path(), &earlier);
    let lsn = done(ledger.path(), &copy)["lsn"].clone();

    let inside = ledger.path().join("log").join("backup");
    fs::write(folders.path().join("letter"), "dear").expect("written");
    let empty = folders.path().join("empty");
    fs::create_dir(&empty).expect("made");
    for (data_dir, to, words) in [
        (ledger.path(), ledger.path(), "is the data folder itself"),
        (ledger.path(), &*inside, "is the data folder itself, in it"),
        (ledger.path(), folders.path(), "is not empty and is no backup"),
        (ledger.path(), other.path(), "is not empty and is no backup"),
        (other.path(), &*copy, "is a backup of another ledger"),
        (&*empty, &*folders.path().join("new"), "there is no ledger in"),
        (ledger.path(), &*folders.path().join("letter"), "cannot list"),
    ] {
        let said = backup(data_dir, to);
        assert!(said.code == 2 && said.err.contains(words), "{}: {said:?}", to.display());
    }
    assert!(!inside.exists() && !folders.path().join("new").exists(), "nothing was made");

    // The ledger was put back to an earlier state and went on: the backup has what it has not.
    let more = |dir: PathBuf, id: u128, count: u128| async move {
        let mut config = florin::engine::EngineConfig::new(dir);
        config.segment_bytes = 1 << 20;
        let engine = start(config).await;
        for number in 0..count {
            engine.transfer(czk(id + number, &[(1, -1), (2, 1)])).await;
        }
        engine.stop().await;
    };
    more(ledger.path().to_owned(), 0xB0_0000, 20).await;
    assert!(done(ledger.path(), &copy)["lsn"].as_u64() > lsn.as_u64());
    for count in [1, 40] {
        more(earlier.clone(), 0xC0_0000 + count, count).await;
        let said = backup(&earlier, &copy);
        assert!(said.code == 2 && said.err.contains("begin a new one in another folder"), "{said:?}");
    }
    assert_eq!(on("verify", &copy, &[]).code, 0, "and the backup is what it was");

    // A server has it open.
    let mut server = Server::start(&copy, &["--json"]);
    server.json("listening");
    server.json("ready");
    let said = backup(ledger.path(), &copy);
    assert!(said.code == 2 && said.err.contains("copy it first"), "{said:?}");
    server.signal("TERM");
    assert_eq!(server.code(), Some(0));

    // A damaged log is not copied as if it were sound.
    let mut bytes = fs::read(&segments(ledger.path())[0]).expect("readable");
    bytes[9_000] ^= 1;
    fs::write(&segments(ledger.path())[0], bytes).expect("written");
    let said = backup(ledger.path(), &folders.path().join("damaged"));
    assert!(said.code == 1, "{said:?}");
    assert!(florin(&["backup", "--help"]).out.contains("restored"));
}
