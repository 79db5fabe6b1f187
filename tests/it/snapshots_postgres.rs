//! The engine with its snapshots in Postgres: it comes back from there, and whatever the database does, payments go on
//! and nothing is lost.

use std::path::Path;
use std::time::Duration;

use florin::engine::{Engine, EngineConfig, Outcome};
use florin::ledger::StateHash;
use tempfile::TempDir;

use crate::cli_rig::{Said, florin, json_line};
use crate::postgres_server::{PASSWORD, Server};
use crate::rig::{book, config, open_funded, start, transfer};

const WALLETS: u128 = 8;
/// Transfers and wallets share one space of ids.
const FIRST_ID: u128 = 1 << 64;

fn in_postgres(dir: &TempDir, server: &Server) -> EngineConfig {
    let mut config = config(dir, 2);
    config.snapshots_in = Some(server.address());
    config
}

async fn pay(engine: &Engine, ids: std::ops::Range<u128>) {
    for id in ids {
        let (from, to) = (id % WALLETS + 1, (id + 3) % WALLETS + 1);
        let outcome = engine.transfer(transfer(FIRST_ID + id, &[(from, -5), (to, 5)])).await;
        assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
    }
}

async fn hash(engine: &Engine) -> StateHash {
    engine.summary().await.expect("readable").state_hash
}

async fn restart(config: EngineConfig, expected: StateHash) -> Engine {
    let engine = start(config).await;
    assert_eq!(hash(&engine).await, expected);
    engine
}

/// Files of snapshots, gathered ones too, that lie in a data folder.
fn files(dir: &Path) -> Vec<String> {
    let lists = ["snapshots", "snapshots/outgoing"].map(|name| std::fs::read_dir(dir.join(name)));
    let entries = lists.into_iter().flatten().flatten().map(|entry| entry.expect("readable"));
    let files = entries.filter(|entry| entry.path().is_file());
    files.map(|entry| entry.file_name().into_string().expect("a plain name")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_comes_back_from_postgres_and_never_depends_on_it() {
    let Some(server) = Server::start() else { return };
    let dir = TempDir::new().expect("a temporary folder");

    // Several snapshots, of which two are kept, and some records after the last one.
    let engine = start(in_postgres(&dir, &server)).await;
    open_funded(&engine, WALLETS, 10_000).await;
    let mut taken = Vec::new();
    for round in 0..3 {
        pay(&engine, round * 50..(round + 1) * 50).await;
        taken.push(engine.snapshot().await.expect("a snapshot is taken").lsn);
    }
    pay(&engine, 150..200).await;
    let before = hash(&engine).await;
    engine.stop().await;
    let listed = server.sql("SELECT lsn FROM florin_snapshots WHERE complete ORDER BY lsn");
    assert_eq!(listed, format!("{}\n{}", taken[1], taken[2]));
    assert_eq!(files(dir.path()), Vec::<String>::new());

    let engine = restart(in_postgres(&dir, &server), before).await;
    let report = engine.report().clone();
    assert_eq!((report.snapshot_lsn, report.replayed_records), (taken[2], report.last_lsn - taken[2]), "{report:?}");

    // A snapshot hangs in the middle, and then the database dies: payments and totals do not wait for it.
    let lock = server.lock_blocks();
    let taking = tokio::spawn({
        let engine = engine.clone();
        async move { engine.snapshot().await }
    });
    server.await_lock_waiter();
    pay(&engine, 200..250).await;
    let expected = hash(&engine).await;
    assert!(!taking.is_finished(), "the snapshot waits for the lock");
    server.crash();
    drop(lock);
    let failed = taking.await.expect("no panic").expect_err("the server has gone").to_string();
    assert!(failed.contains("postgres://127.0.0.1") && !failed.contains(PASSWORD), "{failed}");

    // It stays down: the next snapshot fails quickly, nothing else does, and nothing is left lying about.
    assert!(engine.snapshot().await.is_err());
    pay(&engine, 250..260).await;
    let last = hash(&engine).await;
    assert_ne!(last, expected);
    engine.stop().await;
    assert_eq!(files(dir.path()), Vec::<String>::new());

    // Down at the start: the whole log is replayed.
    let engine = restart(in_postgres(&dir, &server), last).await;
    let report = engine.report().clone();
    assert_eq!((report.snapshot_lsn, report.replayed_records), (0, report.last_lsn), "{report:?}");

    // There again: the next snapshot works without a restart, and the one that was cut off is not there.
    server.up();
    assert_eq!(server.sql("SELECT max(lsn) FROM florin_snapshots"), taken[2].to_string());
    let lsn = engine.snapshot().await.expect("a snapshot is taken").lsn;
    engine.stop().await;
    damaged_ones_are_passed_over(&dir, &server, last, lsn).await;
    assert_eq!(book(&dir).state_hash(), last);
    the_command_line_takes_the_address(&dir, &server);
    the_period_tries_again_and_the_archive_waits(&server).await;
}

async fn damaged_ones_are_passed_over(dir: &TempDir, server: &Server, expected: StateHash, newest: u64) {
    let engine = restart(in_postgres(dir, server), expected).await;
    assert_eq!(engine.report().snapshot_lsn, newest);
    engine.stop().await;
    server.sql(&format!(
        "UPDATE florin_snapshot_blocks SET bytes = set_bit(bytes, 77, 1 - get_bit(bytes, 77)) \
         WHERE snapshot = (SELECT id FROM florin_snapshots WHERE lsn = {newest})"
    ));
    let engine = restart(in_postgres(dir, server), expected).await;
    let report = engine.report().clone();
    assert!(report.snapshots_passed_over == 1 && (1..newest).contains(&report.snapshot_lsn), "{report:?}");
    engine.stop().await;

    // The log of another ledger in the same database: it sees nothing of this one's snapshots.
    let other = TempDir::new().expect("a temporary folder");
    let engine = start(in_postgres(&other, server)).await;
    open_funded(&engine, 1, 5).await;
    engine.snapshot().await.expect("a snapshot is taken");
    engine.stop().await;
    assert_eq!(server.sql("SELECT count(DISTINCT log_id), count(*) FROM florin_snapshots"), "2|3");
}

/// While the database is down no segment of the log is archived; when it is there again, the period finds it.
async fn the_period_tries_again_and_the_archive_waits(server: &Server) {
    let dir = TempDir::new().expect("a temporary folder");
    let archived = || {
        let entries = std::fs::read_dir(dir.path().join("archive")).into_iter().flatten();
        entries.filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().extension().is_some())).count()
    };
    let count = "SELECT count(*) FROM florin_snapshots WHERE complete";
    let before = server.sql(count);
    server.crash();
    let mut settings = in_postgres(&dir, server);
    settings.snapshot_period = Some(Duration::from_millis(50));
    let engine = start(settings).await;
    open_funded(&engine, WALLETS, 1_000_000).await;
    // More than one segment of 1 MiB, in few groups.
    for batch in 0..20u128 {
        let id = |number: u128| FIRST_ID + batch * 1_000 + number;
        let transfers = (0..1_000).map(|number| transfer(id(number), &[(1, -1), (2, 1)])).collect();
        let outcomes = engine.transfer_each(transfers).await;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Accepted(_))));
    }
    assert!(engine.snapshot().await.is_err());
    assert_eq!(archived(), 0);

    server.up();
    while server.sql(count) == before {}
    for round in 0..3 {
        pay(&engine, 20_000 + round..20_001 + round).await;
        engine.snapshot().await.expect("a snapshot is taken");
    }
    assert!(archived() > 0);
    engine.stop().await;
    assert_eq!(book(&dir).wallets.len(), WALLETS as usize + 1);
}

fn the_command_line_takes_the_address(dir: &TempDir, server: &Server) {
    let path = dir.path().to_str().expect("a plain path");
    let said = florin(&["snapshot", "--data-dir", path, "--snapshots", &server.url()]);
    assert_eq!(said.code, 0, "{said:?}");
    let said = florin(&["snapshot", "--data-dir", path, "--snapshots", &format!("mysql://me:{PASSWORD}@db/x")]);
    assert!(said.code == 2 && said.err.contains("does not begin with postgres://"), "{said:?}");
    assert!(!format!("{said:?}").contains(PASSWORD), "{said:?}");
    assert_eq!(files(dir.path()), Vec::<String>::new());
    verify_looks_into_the_database(path, server);
}

fn verify_looks_into_the_database(path: &str, server: &Server) {
    let verify = || florin(&["verify", "--data-dir", path, "--snapshots", &server.url(), "--json"]);
    let verdict = |said: &Said, word| json_line(said, "verdict", word);
    let said = verify();
    assert_eq!(said.code, 0, "{said:?}");
    let result = verdict(&said, "fine");
    assert_eq!((&result["snapshots"], &result["snapshots_fine"]), (&2.into(), &2.into()), "{result}");

    // Another's snapshots are none of its business; one bit of its own is.
    let newest = "SELECT id FROM florin_snapshots WHERE complete ORDER BY lsn DESC LIMIT 1";
    let flip = format!(
        "UPDATE florin_snapshot_blocks SET bytes = set_bit(bytes, 99, 1 - get_bit(bytes, 99)) WHERE snapshot = ({newest})"
    );
    server.sql(&flip);
    let said = verify();
    let result = verdict(&said, "wrong");
    let finding = &result["findings"][0];
    let what = finding["what"].as_str().expect("text");
    assert!(said.code == 1 && finding["part"] == "snapshots" && what.contains("postgres://127.0.0.1"), "{result}");
    assert_eq!(result["snapshots_fine"], 1, "{result}");
    server.sql(&flip);

    server.crash();
    let said = verify();
    assert!(said.code == 2 && said.err.contains("cannot connect to postgres://127.0.0.1"), "{said:?}");
    assert!(!format!("{said:?}").contains(PASSWORD), "{said:?}");
    let said = florin(&["snapshot", "--data-dir", path, "--snapshots", &server.url()]);
    let words = "florin: no snapshot was taken: cannot connect to postgres://127.0.0.1";
    assert!(said.code == 2 && said.err.contains(words), "{said:?}");
    server.up();
    assert_eq!(verify().code, 0);
}
