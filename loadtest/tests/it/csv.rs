//! `loadtest csv`: a file of made-up transactions, put in whole, in pieces, and wrongly.

use std::collections::HashMap;

use serde_json::Value;

use crate::loadtest;
use crate::standin::{Fault, Standin};

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/made-up.csv");
const ROWS: u64 = 200;

/// What each account's rows add up to, found without the program under test.
fn sums() -> HashMap<String, i64> {
    let mut sums = HashMap::new();
    for line in std::fs::read_to_string(FIXTURE).unwrap().lines().skip(1) {
        // The amount is the last field but one; one operation has a comma in quotes.
        let fields: Vec<&str> = line.rsplitn(3, ',').collect();
        let minor: i64 = fields[1].replace('.', "").parse().unwrap();
        let sign = if line.contains(",in,") { 1 } else { -1 };
        *sums.entry(line.split(',').nth(1).unwrap().to_owned()).or_default() += sign * minor;
    }
    sums
}

fn assert_balances(server: &Standin) {
    let book = server.book();
    for (account, sum) in sums() {
        let id = loadtest::ids::from_name(&format!("florin-csv:CZK{account}")).to_string();
        assert_eq!(book.wallets[&id].minor, sum, "account {account}");
    }
}

#[test]
fn a_file_goes_in_and_every_balance_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let server = Standin::start(Fault::None);
    let arguments = format!("csv --file {FIXTURE} --check --acknowledged acked --json r.json --connections 3");
    for (accepted, repeats) in [(ROWS, 0), (0, ROWS)] {
        let (code, told) = loadtest(&server, &arguments, folder.path());
        assert_eq!(code, 0, "{told}");
        let result = std::fs::read(folder.path().join("r.json")).unwrap();
        let result: Value = serde_json::from_slice(&result).unwrap();
        assert_eq!((&result["accepted"], &result["repeats"]), (&accepted.into(), &repeats.into()));
        assert_eq!((&result["checked"], &result["balances_different"]), (&12.into(), &0.into()));
        assert_balances(&server);
    }
    let (code, told) = loadtest(&server, "audit --acknowledged acked", folder.path());
    assert_eq!(code, 0, "{told}");
}

#[test]
fn a_run_that_was_cut_off_is_done_again_with_the_same_keys() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Standin::start(Fault::DiesAt(70));
    let (code, told) = loadtest(&server, &format!("csv --file {FIXTURE} --until-down"), folder.path());
    assert_eq!(code, 0, "{told}");
    let mut book = server.book().clone();
    assert_eq!(book.movements, 70);
    (book.dead, book.fault) = (false, Fault::DropsAt(120));
    server = Standin::with_book(book);
    let arguments = format!("csv --file {FIXTURE} --reconnect --check");
    let (code, told) = loadtest(&server, &arguments, folder.path());
    assert_eq!(code, 0, "{told}");
    assert_eq!(server.book().movements, ROWS);
    assert_balances(&server);
}

#[test]
fn a_wrong_balance_is_found_and_a_bad_row_sends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Standin::start(Fault::Unbalanced);
    let (code, told) = loadtest(&server, &format!("csv --file {FIXTURE} --check"), folder.path());
    assert!(code == 1 && told.contains("the rows add up to"), "{told}");

    let server = Standin::start(Fault::None);
    let text = std::fs::read_to_string(FIXTURE).unwrap();
    std::fs::write(folder.path().join("bad.csv"), format!("{text}9,9,soon,in,x,1,1\n")).unwrap();
    let (code, told) = loadtest(&server, "csv --file bad.csv", folder.path());
    assert!(code == 2 && told.contains("bad.csv, line 202: 'soon' is not a date"), "{told}");
    assert!(server.book().wallets.is_empty());
}
