//! `loadtest run`: each shape of load, wrong answers noticed, the server going away.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::loadtest;
use crate::standin::{Fault, Standin};

/// Runs and gives exit code, JSON report and what was printed.
fn check(server: &Standin, arguments: &str, folder: &Path) -> (i32, Value, String) {
    let (code, told) = loadtest(server, &format!("run --json r.json {arguments}"), folder);
    let report = std::fs::read(folder.join("r.json")).unwrap_or_else(|_| panic!("no report: {told}"));
    (code, serde_json::from_slice(&report).unwrap(), told)
}

#[test]
fn every_shape_moves_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    for shape in [
        "--mode single",
        "--mode pipelined --pipeline 8 --threads 2",
        "--mode bulk --batch 50 --format json",
        "--mode bulk --batch 50 --format ndjson --pairs zipf",
        "--mode bulk --batch 50 --format binary --pairs merchant",
        "--rate 5000",
    ] {
        let server = Standin::start(Fault::None);
        let (code, report, told) =
            check(&server, &format!("{shape} --wallets 50 --transfers 1010 --connections 4"), folder.path());
        assert_eq!(code, 0, "{shape}: {told}");
        assert_eq!(report["accepted"], 1010, "{shape}: {told}");
        let book = server.book();
        assert_eq!(book.movements, 50 + 1010, "{shape}");
        assert_eq!(book.wallets.values().map(|wallet| wallet.minor).sum::<i64>(), 0);
    }
}

#[test]
fn an_atomic_batch_is_refused_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let server = Standin::start(Fault::None);
    // 4 wallets with 100.00 pay up to 50.00, ten times in a batch: most batches have a payer that runs dry.
    let arguments =
        "--mode bulk --atomic --batch 10 --wallets 4 --funds 100 --amount-max 50 --transfers 500 --connections 1";
    let (code, report, told) = check(&server, arguments, folder.path());
    assert_eq!(code, 0, "{told}");
    let (accepted, refused) = (report["accepted"].as_u64().unwrap(), report["refused"].as_u64().unwrap());
    assert!(accepted + refused == 500 && refused > 0 && accepted % 10 == 0, "{told}");
    assert_eq!(server.book().movements, 4 + accepted);
}

#[test]
fn items_that_the_server_was_too_busy_for_are_not_refusals() {
    let folder = tempfile::tempdir().unwrap();
    let server = Standin::start(Fault::None);
    let list = "--wallets 40 --mode bulk --batch 20 --transfers 200 --connections 1 --acknowledged acked";
    let (code, _, told) = check(&server, list, folder.path());
    assert_eq!(code, 0, "{told}");
    server.book().fault = Fault::Overloaded;
    let (code, report, told) = check(&server, &format!("{list} --skip-setup"), folder.path());
    assert_eq!((code, &report["refused"]), (0, &Value::from(0)), "{told}");
    assert!(report["busy"].as_u64().unwrap() > 50, "{told}");
    assert!(!std::fs::read_to_string(folder.path().join("acked")).unwrap().contains("OVERLOADED"));
}

#[test]
fn a_mix_with_repeats_holds_and_reads() {
    let folder = tempfile::tempdir().unwrap();
    let server = Standin::start(Fault::None);
    let mix = "--mix transfers=50,holds=20,reads=20,repeats=10 --wallets 40 --transfers 1000 --connections 3";
    let (code, report, told) = check(&server, mix, folder.path());
    assert_eq!(code, 0, "{told}");
    let kinds: Vec<&str> =
        report["kinds"].as_array().unwrap().iter().map(|kind| kind["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["transfer", "authorize", "capture", "void", "balance", "entries", "repeat"]);
    assert_eq!(report["replayed"], server.book().repeats);
    assert!(server.book().repeats > 50);
}

#[test]
fn wrong_answers_and_errors_end_in_1() {
    let folder = tempfile::tempdir().unwrap();
    let server = Standin::start(Fault::NewAnswers);
    let few = "--wallets 10 --transfers 200 --connections 2";
    let (code, report, told) = check(&server, &format!("--mix transfers=5,repeats=5 {few}"), folder.path());
    assert_eq!(code, 1, "{told}");
    assert!(report["wrong"].as_u64().unwrap() > 0 && told.contains("a repeat got another answer"));
    let server = Standin::start(Fault::Fails);
    let (code, report, told) = check(&server, few, folder.path());
    assert_eq!((code, &report["errors"]), (1, &Value::from(200)), "{told}");
}

#[test]
fn the_server_going_away_ends_the_run_with_a_list_of_what_was_heard() {
    let folder = tempfile::tempdir().unwrap();
    for (flag, expected) in [("", 2), ("--until-down", 0)] {
        let server = Standin::start(Fault::DiesAt(500));
        let arguments = format!("{flag} --wallets 20 --connections 4 --mode pipelined --acknowledged acked{expected}");
        let (code, report, told) = check(&server, &arguments, folder.path());
        assert_eq!(code, expected, "{told}");
        assert_eq!(report["ended"], "server went away");
        let list = std::fs::read_to_string(folder.path().join(format!("acked{expected}"))).unwrap();
        let heard = list.lines().filter(|line| line.starts_with("a ")).count() as u64;
        assert_eq!(report["accepted"], heard);
        let moved = server.book().movements - 20;
        assert!(heard < moved && heard > 0, "{heard} of {moved}: the last is never heard");
    }
}

#[test]
fn a_lost_connection_is_taken_up_again_with_the_same_keys() {
    let folder = tempfile::tempdir().unwrap();
    let server = Standin::start(Fault::DropsAt(300));
    let arguments = "--reconnect --wallets 20 --connections 4 --mode pipelined --transfers 1000";
    let (code, report, told) = check(&server, arguments, folder.path());
    assert_eq!(code, 0, "{told}");
    assert_eq!(report["accepted"], 1000);
    let book = server.book();
    assert!(book.repeats > 0, "what was done and not heard is asked for again");
    assert_eq!(book.movements, 1020, "and is not done twice");
    assert_eq!(book.not_ready, 0, "nothing is asked before the server says that it is ready");
}

#[test]
fn a_busy_server_is_asked_again_only_where_nothing_may_be_lost() {
    let folder = tempfile::tempdir().unwrap();
    for (flag, accepted) in [("", 50), ("--reconnect", 100)] {
        let server = Standin::start(Fault::Overloaded);
        let arguments = format!("{flag} --mode pipelined --wallets 10 --transfers 100 --connections 1");
        let (code, report, told) = check(&server, &arguments, folder.path());
        assert_eq!(code, 0, "{told}");
        assert_eq!((&report["accepted"], &report["outcomes"]["OVERLOADED"]), (&accepted.into(), &accepted.into()));
    }
}

#[test]
fn a_stall_counts_against_all_that_was_due_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = Standin::start(Fault::StallsAt(100, Duration::from_millis(400)));
    let arguments = "--rate 1000 --duration 2s --wallets 20 --connections 2 --html r.html --key test-key";
    let (code, report, told) = check(&server, arguments, folder.path());
    assert_eq!(code, 0, "{told}");
    let seconds = report["timeline"].as_array().unwrap();
    assert!(!seconds.is_empty() && seconds.len() <= 2, "{seconds:?}");
    let page = std::fs::read_to_string(folder.path().join("r.html")).unwrap();
    for part in ["<h2>Throughput</h2>", "<h2>Latency over time</h2>", "<h2>Latency distribution</h2>", "ACCEPTED"] {
        assert!(page.contains(part), "{part}");
    }
    assert_eq!(page.matches("<svg").count(), 3);
    for part in ["<script", "src=", "href=", "@import", "url(", "test-key"] {
        assert!(!page.contains(part), "nothing is fetched and the key is not shown: {part}");
    }
    // 400 of 2,000 were due in the stall and waited 200 ms on average; a closed loop would have two.
    let p90 = report["kinds"][0]["p90"].as_u64().unwrap();
    assert!(p90 > 150_000, "p90 is {p90} us: {told}");
}

#[test]
fn bad_arguments_get_a_sentence_that_says_what_would_be_right() {
    let folder = tempfile::tempdir().unwrap();
    let server = Standin::start(Fault::None);
    for (arguments, expected) in [
        ("run --mix deposits=1", "write it as transfers=90,holds=5,reads=4,repeats=1"),
        ("run --duration soon", "give a time such as 10s, 500ms or 2m"),
        ("run --currency XYQ", "give an ISO 4217 code"),
        ("run --amount-max 1.005", "at most 2 after the point"),
        ("run --funds 0", "--funds must be above zero"),
        ("run --batch 9000", "8190"),
        ("run --key-file nowhere", "cannot read the key file nowhere"),
    ] {
        let (code, told) = loadtest(&server, arguments, folder.path());
        assert!(code == 2 && told.contains(expected), "{arguments}: {told}");
    }
    assert!(server.book().wallets.is_empty());
}

/// A torture that was killed with -9 left its load running, against nobody, for as long as it was told to run.
#[test]
fn a_run_ends_with_its_standard_input_if_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let server = Standin::start(Fault::None);
    let (code, told) = loadtest(&server, "run --stop-with-stdin --duration 60s --wallets 10", folder.path());
    assert!(code == 2 && told.contains("the standard input has ended"), "{code}: {told}");
}

#[test]
fn a_server_that_is_not_there_is_not_one_that_went_away() {
    let folder = tempfile::tempdir().unwrap();
    // A port that was just let go: nothing listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = Standin { url: format!("http://{free}"), book: std::sync::Arc::default() };
    for arguments in ["run", "run --skip-setup --until-down"] {
        let (code, told) = loadtest(&nobody, arguments, folder.path());
        assert!(code == 2 && told.contains("cannot connect"), "{arguments}: {told}");
    }
}
