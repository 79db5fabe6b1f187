//! History with names and search, and statements that add up, as CSV and as PDF.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::BTreeSet;

use florin::store::Role;

use crate::people_rig::{People, Person};

async fn pay(people: &People, from: &Person, to: &str, number: usize, note: &str) {
    let amount = format!(r#"{{"amount":"{}.25","currency":"INR"}}"#, number + 1);
    let note = serde_json::to_string(note).unwrap();
    let body = format!(r#"{{"to":{{"handle":"{to}"}},"amount":{amount},"note":{note}}}"#);
    let reply = people.post_as(from, "/v1/me/payments", &format!("{to}-{number}"), &body).await;
    assert_eq!(reply.status, 201, "{reply:?}");
}

/// A cursor stays where it is while new entries come, and what is found is found once.
#[tokio::test]
async fn history_is_named_and_searched() {
    let people = People::start().await;
    let asha = people.person("asha", Role::User).await;
    let ravi = people.person("ravi", Role::User).await;
    people.person("meera", Role::User).await;
    people.person("chaishop", Role::Merchant).await;
    people.fund(&asha, "100000.00").await;
    for number in 0..30 {
        let (to, note) = if number % 3 == 0 { ("chaishop", "Masala chai") } else { ("ravi", "rent") };
        pay(&people, &asha, to, number, note).await;
    }
    let page = people.get_as(&asha, "/v1/me/history?limit=2").await.json();
    assert_eq!((&page["data"][0]["names"][0], &page["data"][0]["reference"]), (&"ravi".into(), &"rent".into()));
    assert_eq!(page["data"][0]["direction"], "out");
    for (search, expected) in [("CHAI", 10), ("masala%20ch", 10), ("ravi", 20), ("RENT", 20), ("nothing", 0)] {
        let (mut found, mut cursor) = (BTreeSet::new(), String::new());
        for round in 0.. {
            let path = format!("/v1/me/history?q={search}&limit=4{cursor}");
            let page = people.get_as(&asha, &path).await.json();
            for row in page["data"].as_array().unwrap() {
                assert!(found.insert(row["lsn"].as_u64().unwrap()), "{row} comes twice");
            }
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
            // New ones come in at the other end.
            pay(&people, &asha, "meera", 1000 + round + 100 * search.len(), "later").await;
            assert!(round < 20, "the pages have no end");
        }
        assert_eq!(found.len(), expected, "{search}");
    }
    let of_ravi = people.get_as(&ravi, "/v1/me/history?direction=in&q=rent").await.json();
    assert_eq!((of_ravi["data"].as_array().unwrap().len(), &of_ravi["data"][0]["names"][0]), (20, &"asha".into()));
    for wrong in ["q=%ff", "direction=up", "cursor=e1", "limit=0", "x=1", &format!("q={}", "a".repeat(101))] {
        assert_eq!(people.get_as(&asha, &format!("/v1/me/history?{wrong}")).await.status, 400, "{wrong}");
    }
    people.stop().await;
}

#[tokio::test]
async fn a_statement_adds_up_and_is_harmless() {
    let people = People::start().await;
    let asha = people.person("asha", Role::User).await;
    people.person("ravi", Role::User).await;
    people.fund(&asha, "100000.00").await;
    let notes = ["=cmd|'/c calc'!A1", "plain, \"quoted\"", "line\nbreak", "आशा का किराया", "@x", "café"];
    for number in 0..90 {
        pay(&people, &asha, "ravi", number, notes[number % notes.len()]).await;
    }
    // 1.25 + 2.25 + ... + 90.25
    let (spent, left) = (411_750, 9_588_250);
    let whole = "from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z";
    let reply = people.get_as(&asha, &format!("/v1/me/statements?{whole}&format=csv")).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/csv; charset=utf-8")));
    let mut rows = csv::ReaderBuilder::new().from_reader(&reply.body[..]);
    let rows: Vec<csv::StringRecord> = rows.records().map(Result::unwrap).collect();
    let minor = |text: &str| text.replace('.', "").parse::<i64>().unwrap();
    let of = |kind: &str| rows.iter().filter(|row| &row[0] == kind).collect::<Vec<_>>();
    let entries = of("entry");
    assert_eq!(entries.len(), 91);
    let mut balance = minor(&of("opening_balance")[0][6]);
    assert_eq!(balance, 0);
    for row in &entries {
        balance += minor(&row[5]);
        assert_eq!(minor(&row[6]), balance);
        for cell in [&row[3], &row[4]] {
            assert!(!cell.starts_with(['=', '+', '-', '@']), "{cell:?}");
        }
    }
    assert_eq!((balance, minor(&of("closing_balance")[0][6])), (left, left));
    assert_eq!((minor(&of("total_in")[0][5]), minor(&of("total_out")[0][5])), (10_000_000, -spent));
    assert!(
        entries.iter().any(|row| &row[4] == "'=cmd|'/c calc'!A1") && entries.iter().any(|row| &row[4] == "line\nbreak")
    );

    let reply = people.get_as(&asha, &format!("/v1/me/statements?{whole}&format=pdf")).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/pdf")));
    let document = lopdf::Document::load_mem(&reply.body).unwrap();
    let pages: Vec<u32> = document.get_pages().keys().copied().collect();
    assert_eq!(pages.len(), 2, "70 lines each");
    let text = document.extract_text(&pages).unwrap();
    for wanted in [
        "Statement",
        "Opening balance",
        "95882.50",
        "-4117.50",
        "91 entries",
        "<U+0906>",
        "café",
        "Page 2 of 2",
        "-90.25",
    ] {
        assert!(text.contains(wanted), "{wanted} is missing in {text}");
    }
    for path in ["month=2026-13", "from=2026-10-02T00:00:00Z&to=2026-10-01T00:00:00Z", "", "month=2026-10&format=doc"] {
        assert_eq!(people.get_as(&asha, &format!("/v1/me/statements?{path}")).await.status, 400, "{path}");
    }
    // Before there was anything: balances of zero, and no entry.
    let before = people.get_as(&asha, "/v1/me/statements?month=2020-01").await;
    let text = String::from_utf8(before.body).unwrap();
    assert!(text.contains("closing_balance,2020-02-01T00:00:00Z,,,,,0.00,INR,"), "{text}");
    people.stop().await;
}
