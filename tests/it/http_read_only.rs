//! A server whose disk has failed goes on to be read: each read answers what it answered before, whether it was the log
//! that could not be written or an index; nothing more is acknowledged, and a restart has all that was.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::fs;
use std::time::{Duration, Instant};

use florin::http::ServerConfig;
use serde_json::Value;

use crate::http_api::Api;

const OWNER: &str = "01890a5d-0000-7000-8000-000000000001";

/// What is made unwritable. The machine may run tests as root, so it is done by what stands in the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    Log,
    Ids,
    Entries,
}

impl Fault {
    fn put_in(self, api: &Api) {
        let data = api.folder();
        if self == Fault::Log {
            // The second segment is made already; the third cannot be.
            return fs::create_dir(data.join("log").join(format!("{:016}.wal", 3))).unwrap();
        }
        let index = data.join("index").join(if self == Fault::Ids { "ids" } else { "entries" });
        fs::rename(&index, index.with_extension("away")).unwrap();
        fs::write(&index, "no folder").unwrap();
    }

    fn mend(self, api: &Api) {
        let data = api.folder();
        if self == Fault::Log {
            return fs::remove_dir(data.join("log").join(format!("{:016}.wal", 3))).unwrap();
        }
        let index = data.join("index").join(if self == Fault::Ids { "ids" } else { "entries" });
        fs::remove_file(&index).unwrap();
        fs::rename(index.with_extension("away"), &index).unwrap();
    }
}

/// A payment as bulk, `count` times; gives how many were accepted.
async fn pay(api: &Api, from: &str, to: &str, round: usize, count: usize) -> usize {
    let reference = "r".repeat(100);
    let items: Vec<String> = (0..count)
        .map(|number| {
            format!(
                r#"{{"id":"01890a5d-0000-7{round:03x}-8000-{number:012x}","from":"{from}","to":"{to}","amount":{{"amount":"0.01","currency":"INR"}},"reference":"{reference}"}}"#
            )
        })
        .collect();
    let headers = [("content-type", "application/json")];
    let body = format!("[{}]", items.join(","));
    let reply = api.send("POST", "/v1/transfers/bulk", &headers, body.as_bytes()).await;
    let text = String::from_utf8(reply.body).unwrap();
    text.matches(r#""accepted""#).count()
}

/// Every read that the server has, over everything that there is.
async fn reads(api: &Api, from: &str, to: &str, hold: &str, paid: &str) -> Vec<(String, Value)> {
    let mut paths = vec![
        "/v1/ledger/summary".to_owned(),
        format!("/v1/wallets?owner={OWNER}"),
        format!("/v1/transfers/{paid}"),
        format!("/v1/holds/{hold}"),
    ];
    for wallet in [from, to] {
        for rest in
            ["", "/balance", "/balance?as_of_lsn=7", "/balance?as_of_time=2099-01-01T00:00:00Z", "/entries?limit=200"]
        {
            paths.push(format!("/v1/wallets/{wallet}{rest}"));
        }
        for query in ["as_of_lsn=900&limit=150", "from=2020-01-01T00:00:00Z&direction=in", "kind=deposit"] {
            paths.push(format!("/v1/wallets/{wallet}/entries?{query}"));
        }
    }
    let mut answers = Vec::new();
    for path in paths {
        let reply = api.get(&path).await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        answers.push((path, reply.json()));
    }
    answers
}

/// All of a wallet's entries, page after page: their positions and balances.
async fn history(api: &Api, wallet: &str) -> Vec<(u64, String)> {
    let (mut entries, mut cursor) = (Vec::new(), String::new());
    loop {
        let reply = api.get(&format!("/v1/wallets/{wallet}/entries?limit=200{cursor}")).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let page = reply.json();
        for entry in page["data"].as_array().unwrap() {
            let balance = entry["balance_after"]["amount"].as_str().unwrap();
            entries.push((entry["lsn"].as_u64().unwrap(), balance.to_owned()));
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return entries,
        }
    }
}

async fn await_read_only(api: &Api) -> Value {
    let began = Instant::now();
    loop {
        let reply = api.get("/readyz").await;
        if reply.status == 503 {
            return reply.json();
        }
        assert!(began.elapsed() < Duration::from_secs(60), "it never noticed");
    }
}

async fn check(fault: Fault) {
    let mut api = Api::listening(ServerConfig::default()).await;
    // A mark every few hundred records, so that history lies in the shards, in the index's files, and on its way.
    api.recover_with(|config| config.recent_rows_max = 700).await;
    let (ann, bob) = (api.wallet("ann", "100000").await, api.wallet("bob", "0").await);
    let body = format!(r#"{{"from":"{ann}","to":"{bob}","amount":{{"amount":"5","currency":"INR"}}}}"#);
    let held = body.replace("from", "wallet");
    let hold = api.post("/v1/holds", "hold", &held).await.json()["id"].as_str().unwrap().to_owned();
    let paid = api.post("/v1/transfers", "paid", &body).await.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(pay(&api, &ann, &bob, 1, 1_000).await, 1_000);
    assert_eq!(api.send("POST", "/v1/snapshots", &[], b"").await.status, 201);

    fault.put_in(&api);
    let mut accepted = 1_000;
    for round in 2..60 {
        let now = pay(&api, &ann, &bob, round, 900).await;
        accepted += now;
        if now < 900 {
            break;
        }
    }
    let why = await_read_only(&api).await;
    assert_eq!(why["code"], "READ_ONLY");
    let which = if fault == Fault::Log { "the log could not be written" } else { "the index could not be written" };
    assert!(why["detail"].as_str().unwrap().starts_with(which), "{why}");

    // Nothing more is acknowledged, and a snapshot is refused at once.
    for (path, key, body) in [("/v1/transfers", "late", &body), ("/v1/holds", "late-hold", &held)] {
        let reply = api.post(path, key, body).await;
        assert_eq!((reply.status, reply.code().as_str()), (503, "READ_ONLY"), "{reply:?}");
    }
    let refused = api.send("POST", "/v1/snapshots", &[], b"").await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "READ_ONLY"), "{refused:?}");

    // Every read answers, the same each time, and the parts fit together.
    let before = reads(&api, &ann, &bob, &hold, &paid).await;
    assert_eq!(reads(&api, &ann, &bob, &hold, &paid).await, before);
    let summary = before[0].1.clone();
    let (ours, theirs) = (history(&api, &ann).await, history(&api, &bob).await);
    // Beside the transfers in bulk there is one alone, and what came into Ann's wallet at first.
    assert_eq!((ours.len(), theirs.len()), (accepted + 2, accepted + 1), "{fault:?}");
    assert_eq!(theirs.first().map(|entry| entry.1.clone()), Some(api.posted(&bob).await));
    assert!(ours.is_sorted_by(|newer, older| newer.0 > older.0));

    // The same after a restart, and then everything goes on.
    fault.mend(&api);
    let api = api.restart().await;
    let after = api.get("/v1/ledger/summary").await.json();
    assert_eq!(after, summary, "{fault:?}");
    assert_eq!(history(&api, &bob).await, theirs);
    assert_eq!(api.post("/v1/transfers", "late", &body).await.status, 201);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_read_answers_after_the_log_has_failed() {
    check(Fault::Log).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_read_answers_after_the_index_of_entries_has_failed() {
    check(Fault::Entries).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_read_answers_after_the_index_of_ids_has_failed() {
    check(Fault::Ids).await;
}
