//! `florin replay`: the same state by the book and by any number of shards, at the end and on the way there; and what it
//! writes for others to read.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use florin::ledger::{Book, Event};
use serde_json::Value;
use tempfile::TempDir;

use crate::cli_rig::{HOLDS, Ledger, Said, florin, json_line, on};
use crate::rig::events;

fn hash(said: &Said) -> String {
    assert_eq!(said.code, 0, "{said:?}");
    json_line(said, "type", "summary")["state_hash"].as_str().expect("a hash").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn book_and_shards_come_to_the_same_state() {
    let ledger = Ledger::make(12_000).await;
    let by_book = on("replay", ledger.path(), &["--json"]);
    let expected = hash(&by_book);
    assert_eq!(expected, crate::rig::book(&ledger.dir).state_hash().to_string());
    for shards in ["1", "2", "3", "7", "64"] {
        assert_eq!(hash(&on("replay", ledger.path(), &["--json", "--shards", shards])), expected, "{shards} shards");
    }
    let engine = crate::rig::start(Ledger::config(&ledger.dir)).await;
    assert_eq!(engine.summary().await.expect("it answers").state_hash.to_string(), expected, "the engine agrees");
    let beside = on("replay", ledger.path(), &["--json"]);
    assert_eq!(hash(&beside), expected, "and replay works beside it");
    engine.stop().await;

    let summary = json_line(&by_book, "type", "summary");
    assert_eq!((&summary["wallets"], &summary["open_holds"]), (&21.into(), &2.into()), "{summary}");
    for currency in summary["currencies"].as_array().expect("a list") {
        let sum = currency["sum"]["amount"].as_str().expect("text");
        assert!(sum.chars().all(|c| c == '0' || c == '.'), "{currency}");
    }
    let table = on("replay", ledger.path(), &[]);
    assert!(table.out.contains(&expected) && table.out.contains("sum KWD"), "{table:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_position_and_time_on_the_way_is_that_of_the_book() {
    let ledger = Ledger::make(100).await;
    let events = events(&ledger.dir);
    let mut book = Book::default();
    let mut hashes = vec![book.state_hash().to_string()];
    for (lsn, time_micros, event) in &events {
        book.apply(*lsn, *time_micros, event).expect("the books make sense");
        hashes.push(book.state_hash().to_string());
    }
    let last = events.len();
    for lsn in [0, 1, 2, 10, 33, 60, 61, last / 2, last - 1, last] {
        let text = lsn.to_string();
        let by_book = hash(&on("replay", ledger.path(), &["--json", "--until-lsn", &text]));
        let by_shards = hash(&on("replay", ledger.path(), &["--json", "--until-lsn", &text, "--shards", "3"]));
        assert_eq!((&by_book, &by_shards), (&hashes[lsn], &hashes[lsn]), "position {lsn}");
    }
    for index in [0, 20, last - 2] {
        let micros = events[index].1;
        let until = events.iter().filter(|(_, time, _)| *time <= micros).count();
        let time = jiff::Timestamp::from_microsecond(micros.try_into().expect("small")).expect("in range").to_string();
        let said = on("replay", ledger.path(), &["--json", "--until-time", &time]);
        assert_eq!(hash(&said), hashes[until], "{time}");
        assert_eq!(json_line(&said, "type", "summary")["last_lsn"], until);
    }
    let before = on("replay", ledger.path(), &["--json", "--until-time", "1990-01-01T00:00:00Z"]);
    assert_eq!(hash(&before), hashes[0]);
    let behind = on("replay", ledger.path(), &["--until-lsn", "99999999"]);
    assert_eq!(behind.code, 2, "{behind:?}");
    assert!(behind.err.contains(&format!("ends at position {last}")), "{behind:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balances_and_events_are_those_of_the_book() {
    let ledger = Ledger::make(50).await;
    let book = crate::rig::book(&ledger.dir);
    let lines = on("replay", ledger.path(), &["--balances", "--json"]);
    assert_eq!(lines.out, {
        let by_shards = on("replay", ledger.path(), &["--balances", "--json", "--shards", "4"]).out;
        let summary = lines.out.lines().last().expect("a summary");
        let wallets: Vec<&str> = by_shards.lines().filter(|line| line.contains(r#""type":"wallet""#)).collect();
        format!("{}\n{summary}\n", wallets.join("\n"))
    });
    for (id, wallet) in &book.wallets {
        let line = json_line(&lines, "id", &id.to_string());
        let currency = wallet.opening.currency;
        let money = |minor| florin::ledger::money::format_minor(minor, currency);
        assert_eq!(line["posted"]["amount"], money(wallet.posted), "{line}");
        assert_eq!(line["held"]["amount"], money(wallet.held), "{line}");
        assert_eq!((&line["status"], &line["currency"]), (&wallet.status.name().into(), &currency.code().into()));
    }
    let table = on("replay", ledger.path(), &["--balances"]).out;
    assert!(table.contains("closed") && table.contains("frozen"), "{table}");

    let said = on("replay", ledger.path(), &["--events", "--until-lsn", "90"]);
    assert!(said.err.contains("state hash"), "the summary does not mix with the events: {said:?}");
    let lines: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 90);
    let mut replayed = BTreeMap::new();
    for (line, (lsn, _, event)) in lines.iter().zip(events(&ledger.dir)) {
        assert_eq!(line["lsn"], lsn);
        let kind = match event {
            Event::WalletOpened(_) => "wallet_opened",
            Event::StatusChanged { .. } => "wallet_status_changed",
            Event::Transferred(_) => "transferred",
            Event::HoldAuthorized(_) => "hold_authorized",
            Event::HoldCaptured(_) => "hold_captured",
            Event::HoldReleased { .. } => "hold_released",
            Event::Refused { .. } => "refused",
            Event::SpendingLimited { .. } => "spending_limited",
        };
        assert_eq!(line["type"], kind);
        *replayed.entry(kind).or_insert(0) += 1;
        for leg in line["legs"].as_array().into_iter().flatten() {
            assert!(leg["balance_after"]["amount"].is_string(), "{line}");
        }
    }
    assert_eq!(replayed.len(), 8, "something of everything is in it: {replayed:?}");
    let released = json_line(&said, "type", "hold_released");
    assert_eq!(released["hold"], uuid::Uuid::from_u128(HOLDS + 3).to_string());
    assert_eq!((&released["status"], &released["released"]["amount"]), (&"voided".into(), &"5.00".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hledger_reads_the_journal_and_has_the_same_balances() {
    let ledger = Ledger::make(200).await;
    let file = ledger.path().join("all.journal");
    let said = on("replay", ledger.path(), &["--hledger", file.to_str().expect("a plain path")]);
    assert_eq!(said.code, 0, "{said:?}");
    let written = std::fs::read_to_string(&file).expect("it is there");
    let piped = on("replay", ledger.path(), &["--hledger", "-"]);
    assert_eq!(piped.out, written);
    assert!(piped.err.contains("state hash"), "{piped:?}");

    let found = Command::new("hledger").arg("--version").output();
    if found.is_err() {
        // Counted by scripts/test from this line.
        println!("SKIPPED: hledger is not installed, so nobody else has read the journal");
        return;
    }
    let mut child = Command::new("hledger");
    let arguments = ["-f", "-", "balance", "--flat", "--empty", "--no-total", "-O", "csv"];
    let child = child.args(arguments).env("LC_ALL", "C.UTF-8").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.expect("hledger runs");
    let mut input = child.stdin.take().expect("piped");
    input.write_all(written.as_bytes()).expect("hledger reads");
    drop(input);
    let output = child.wait_with_output().expect("hledger ends");
    assert!(output.status.success(), "hledger takes the journal");
    let text = String::from_utf8(output.stdout).expect("text");
    let mut balances = BTreeMap::new();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split('"').filter(|field| !field.is_empty() && *field != ",").collect();
        let [account, balance] = fields[..] else { panic!("{line}") };
        balances.insert(account.to_owned(), balance.to_owned());
    }
    let book = crate::rig::book(&ledger.dir);
    let mut compared = 0;
    for (id, wallet) in &book.wallets {
        let currency = wallet.opening.currency;
        let root = if wallet.opening.kind.name() == "system" { "system" } else { "wallets" };
        let expected = match wallet.posted {
            0 => "0".to_owned(),
            minor => format!("{} {currency}", florin::ledger::money::format_minor(minor, currency)),
        };
        match balances.remove(&format!("{root}:{currency}:{id}")) {
            Some(balance) => assert_eq!(balance, expected, "{id}"),
            None => assert_eq!(wallet.posted, 0, "{id} is not in the journal"),
        }
        compared += 1;
    }
    assert!(balances.is_empty(), "accounts that no wallet has: {balances:?}");
    assert_eq!(compared, 21);
}

#[test]
fn what_cannot_be_replayed_is_told_in_a_sentence() {
    let dir = TempDir::new().expect("a temporary folder");
    let path = dir.path().to_str().expect("a plain path");
    for arguments in [
        &["replay", "--data-dir", path][..],
        &["verify", "--data-dir", path],
        &["replay", "--data-dir", "/nonexistent/florin"],
    ] {
        let said = florin(arguments);
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.err.contains("there is no ledger in"), "{said:?}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).expect("readable").count(), 0, "nothing was made");
    for arguments in [&["replay"][..], &["replay", "--data-dir", path, "--shards", "0"], &["nonsense"]] {
        let said = florin(arguments);
        assert_eq!(said.code, 2, "{said:?}");
    }
    let both = florin(&["replay", "--data-dir", path, "--events", "--hledger", "-"]);
    assert!(both.code == 2 && both.err.contains("standard output"), "{both:?}");
}
