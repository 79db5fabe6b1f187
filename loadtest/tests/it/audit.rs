//! `loadtest audit`: what was acknowledged and is not so any more is found.

use std::path::Path;

use serde_json::Value;

use crate::loadtest;
use crate::standin::{Fault, Standin};

/// Puts load on a sound stand-in, lets `spoil` change it, and audits: exit code, result, what was printed.
fn check(folder: &Path, spoil: impl FnOnce(&Standin)) -> (i32, Value, String) {
    let server = Standin::start(Fault::None);
    let run = "run --wallets 30 --transfers 600 --connections 3 --acknowledged acked --funds 60 \
               --mix transfers=80,holds=15,reads=5";
    let (code, told) = loadtest(&server, run, folder);
    assert_eq!(code, 0, "{told}");
    spoil(&server);
    let audit = "audit --acknowledged acked --json audit.json --connections 2 --wallets-checked 20";
    let (code, told) = loadtest(&server, audit, folder);
    let result = std::fs::read(folder.join("audit.json")).unwrap_or_else(|_| panic!("no result: {told}"));
    (code, serde_json::from_slice(&result).unwrap(), told)
}

#[test]
fn a_sound_server_passes() {
    let folder = tempfile::tempdir().unwrap();
    let (code, result, told) = check(folder.path(), |_| {});
    assert_eq!(code, 0, "{told}");
    let list = std::fs::read_to_string(folder.path().join("acked")).unwrap();
    let refused = list.lines().filter(|line| line.starts_with("r ")).count();
    assert!(refused > 0, "wallets with 60.00 run dry");
    for tag in ["a ", "d ", "h ", "c ", "v "] {
        assert!(list.lines().any(|line| line.starts_with(tag)), "{tag}");
    }
    assert_eq!(result["acknowledged"], list.lines().count() - refused);
    assert_eq!(result["found"], result["acknowledged"]);
    assert_eq!(result["refusals"], refused);
    assert_eq!(result["wallets_checked"], 20);
}

#[test]
fn a_server_that_ends_connections_is_asked_for_less_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let (code, result, told) = check(folder.path(), |server| server.book().fault = Fault::EndsAfter(3));
    assert_eq!(code, 0, "{told}");
    assert_eq!((&result["found"], &result["wallets_checked"]), (&result["acknowledged"], &Value::from(20)));
    let server = Standin::start(Fault::EndsAfter(0));
    let (code, told) = loadtest(&server, "audit --acknowledged acked", folder.path());
    assert!(code == 2 && told.contains("closed"), "{told}");
}

#[test]
fn what_is_missing_or_different_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (code, result, told) = check(folder.path(), |server| server.book().fault = Fault::Forgets);
    assert_eq!(code, 1, "{told}");
    assert!(result["missing"].as_u64().unwrap() > 20 && told.contains("missing: "), "{told}");

    let folder = tempfile::tempdir().unwrap();
    let (code, result, told) = check(folder.path(), |server| server.book().fault = Fault::OtherLsn);
    assert_eq!(code, 1, "{told}");
    assert!(result["different"].as_u64().unwrap() > 500, "{told}");

    let folder = tempfile::tempdir().unwrap();
    let (code, result, told) = check(folder.path(), |server| server.book().fault = Fault::Unbalanced);
    assert_eq!((code, &result["sums_zero"]), (1, &Value::from(false)), "{told}");
}

#[test]
fn a_balance_that_its_entries_do_not_lead_to_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (code, result, told) = check(folder.path(), |server| {
        server.book().wallets.values_mut().for_each(|wallet| wallet.minor += 1);
    });
    assert_eq!(code, 1, "{told}");
    assert_eq!((&result["wallets_different"], &result["missing"]), (&Value::from(20), &Value::from(0)));

    let folder = tempfile::tempdir().unwrap();
    let (code, result, told) = check(folder.path(), |server| {
        let mut book = server.book();
        for wallet in book.wallets.values_mut() {
            let entry = wallet.entries.remove(0);
            wallet.entries.insert(1, entry);
        }
    });
    assert_eq!(code, 1, "{told}");
    assert_eq!(result["wallets_different"], 20, "entries out of order do not lead to each other");
}

#[test]
fn an_audit_that_cannot_finish_ends_in_2() {
    let folder = tempfile::tempdir().unwrap();
    let server = Standin::start(Fault::None);
    let (code, told) = loadtest(&server, "audit --acknowledged nowhere", folder.path());
    assert_eq!(code, 2, "{told}");
    std::fs::write(folder.path().join("bad"), "a b c\n").unwrap();
    let (code, told) = loadtest(&server, "audit --acknowledged bad", folder.path());
    assert!(code == 2 && told.contains("line 1 of bad"), "{told}");
}
