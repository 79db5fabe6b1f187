//! `florin verify`: fine on what the engine wrote, and every kind of damage is named and changes nothing on disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use florin::engine::runs::Runs;
use serde_json::Value;

use crate::cli_rig::{Ledger, Said, json_line, on};
use crate::rig::start;

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    paths
}

/// Every file below a folder with its bytes.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for path in files(dir) {
        if path.is_dir() {
            all.extend(contents(&path));
        } else {
            let bytes = fs::read(&path).expect("readable");
            all.insert(path, bytes);
        }
    }
    all
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("readable");
    bytes[at] ^= 0x10;
    fs::write(path, bytes).expect("writable");
}

fn verdict(said: &Said) -> Value {
    json_line(said, "verdict", if said.code == 0 { "fine" } else { "wrong" })
}

/// Verifies, sees that nothing on disk was changed, and gives the result.
fn verify(ledger: &Ledger) -> (i32, Value) {
    let before = contents(ledger.path());
    let said = on("verify", ledger.path(), &["--json"]);
    assert_eq!(contents(ledger.path()), before, "verify has changed the folder");
    (said.code, verdict(&said))
}

/// Damages, verifies, and expects a finding in this part whose words have this in them.
fn check(ledger: &Ledger, part: &str, words: &str, lsn: Option<u64>) {
    let (code, result) = verify(ledger);
    let findings = result["findings"].as_array().expect("a list");
    let named = findings.iter().any(|finding| {
        finding["part"] == part
            && finding["what"].as_str().expect("text").contains(words)
            && lsn.is_none_or(|lsn| finding["lsn"] == lsn)
    });
    assert!(code == 1 && named, "{part}: {words}, in {result}");
    let table = on("verify", ledger.path(), &[]);
    assert!(table.code == 1 && table.out.contains("WRONG") && table.out.contains(words), "{table:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_folders_are_fine_stopped_and_beside_a_running_server() {
    let ledger = Ledger::make(40_000).await;
    let (code, result) = verify(&ledger);
    assert_eq!(code, 0, "{result}");
    assert_eq!((&result["snapshots"], &result["snapshots_fine"]), (&3.into(), &3.into()), "{result}");
    assert_eq!(result["verified_lsn"], result["log_last_lsn"]);
    assert!(result["indexes"]["entries"]["rows"].as_u64() > Some(80_000), "{result}");
    assert!(result["indexes"]["ids"]["rows"].as_u64() > Some(40_000), "{result}");
    assert_eq!(result["notes"].as_array().map(Vec::len), Some(2), "both indexes end before the log: {result}");
    assert!(!files(&ledger.path().join("archive")).is_empty(), "some of the log is in the archive");

    let engine = start(Ledger::config(&ledger.dir)).await;
    let paying = tokio::spawn({
        let engine = engine.clone();
        async move {
            for round in 0..40u128 {
                let transfers = (0..500).map(|number| {
                    let id = 0xB00_0000 + round * 1_000 + number;
                    crate::cli_rig::czk(id, &[(1 + number % 5, -1), (1 + (number + 1) % 5, 1)])
                });
                engine.transfer_each(transfers.collect()).await;
                if round % 10 == 5 {
                    engine.snapshot().await.expect("a snapshot is taken");
                }
            }
        }
    });
    let path = ledger.path().to_owned();
    for _ in 0..3 {
        let path = path.clone();
        let said = tokio::task::spawn_blocking(move || on("verify", &path, &["--json"])).await.expect("it runs");
        assert_eq!(said.code, 0, "beside a running server: {said:?}");
    }
    paying.await.expect("it ends well");
    engine.stop().await;
    assert_eq!(verify(&ledger).0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_in_the_log_is_named_with_its_position() {
    let ledger = Ledger::make(30_000).await;
    let archive = files(&ledger.path().join("archive"));
    assert!(!archive.is_empty(), "some of the log is in the archive");
    let log = archive.into_iter().chain(files(&ledger.path().join("log")));
    let segments: Vec<PathBuf> = log.filter(|path| path.extension().is_some_and(|end| end == "wal")).collect();
    // The last one is made ahead of need, and nothing is in it yet.
    assert!(segments.len() > 2, "{segments:?}");
    for segment in &segments[..segments.len() - 1] {
        flip(segment, 9_000);
        check(&ledger, "log", "the log is damaged", None);
        let (_, result) = verify(&ledger);
        assert_eq!(result["is_partial"], true, "what lies behind was not compared: {result}");
        let replay = on("replay", ledger.path(), &[]);
        assert!(replay.code == 1 && replay.err.contains("at byte"), "{replay:?}");
        flip(segment, 9_000);
    }
    assert_eq!(verify(&ledger).0, 0, "mended");
    // A log whose last segment is gone (and the one made ahead of need) ends earlier than what was made from it.
    for path in files(&ledger.path().join("log")).iter().rev() {
        let is_written = fs::read(path).expect("readable").iter().take(16).any(|byte| *byte != 0);
        let is_segment = path.extension().is_some_and(|end| end == "wal");
        fs::remove_file(path).expect("removed");
        if is_segment && is_written {
            break;
        }
    }
    check(&ledger, "log", "the log ends before the snapshot", None);
    check(&ledger, "log", "the log ends before the index of entries", None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_in_a_snapshot_is_named() {
    let ledger = Ledger::make(9_000).await;
    let snapshots = files(&ledger.path().join("snapshots"));
    for snapshot in &snapshots {
        let lsn: u64 = snapshot.file_stem().and_then(|stem| stem.to_str()).expect("a name").parse().expect("a number");
        for at in [10, 200, fs::read(snapshot).expect("readable").len() - 5] {
            flip(snapshot, at);
            check(&ledger, "snapshots", snapshot.to_str().expect("a plain path"), Some(lsn));
            flip(snapshot, at);
        }
    }
    // A whole snapshot under the name of another position.
    let other = snapshots[0].with_file_name(format!("{:020}.snap", 77));
    fs::copy(&snapshots[0], &other).expect("copied");
    check(&ledger, "snapshots", "another LSN", Some(77));
    fs::remove_file(other).expect("removed");
    // One of another ledger.
    let stranger = Ledger::make(9_000).await;
    for (own, foreign) in snapshots.iter().zip(files(&stranger.path().join("snapshots"))) {
        fs::copy(foreign, own).expect("copied");
    }
    check(&ledger, "snapshots", "it was taken of another log", None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_in_an_index_is_named_and_an_index_behind_is_a_note() {
    let ledger = Ledger::make(9_000).await;
    for part in ["ids", "entries"] {
        let dir = ledger.path().join("index").join(part);
        let run = files(&dir).into_iter().find(|path| fs::read(path).expect("readable").len() > 20_000).expect("a run");
        for at in [100, 6_000, fs::read(&run).expect("readable").len() - 20] {
            flip(&run, at);
            check(&ledger, part, "is damaged at byte", None);
            flip(&run, at);
        }
        let gone = ledger.path().join("away");
        fs::rename(&dir, &gone).expect("moved");
        let (code, result) = verify(&ledger);
        assert_eq!(code, 0, "{result}");
        let notes = result["notes"].to_string();
        assert!(notes.contains(&format!("index of {part} ends at position 0")), "{notes}");
        fs::rename(&gone, &dir).expect("moved back");
    }
}

/// Whole and well-formed indexes that say something else than the log does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_lies_is_found_out() {
    let ledger = Ledger::make(9_000).await;
    for part in ["ids", "entries"] {
        let dir = ledger.path().join("index").join(part);
        let disk: Arc<dyn wal::disk::Disk> = Arc::new(wal::disk::RealDisk);
        let (runs, damage) = Runs::open_read_only(Arc::clone(&disk), &dir).expect("readable");
        assert!(damage.is_empty());
        let covered = runs.covered_lsn();
        let mut rows = Vec::new();
        runs.for_each(1, covered, |row| rows.push(row)).expect("sound");
        rows.sort_by_key(|row| (row.lsn, row.key));
        let honest = ledger.path().join("honest");
        fs::rename(&dir, &honest).expect("moved");
        let at = rows.len() / 2;
        let lsn = rows[at].lsn;
        for (lie, words) in [("missing", "is missing"), ("surplus", "should not be"), ("changed", "is missing")] {
            let mut told = rows.clone();
            match lie {
                "missing" => drop(told.remove(at)),
                "surplus" => told.push(florin::engine::runs::Row { key: 1 << 100, ..rows[at] }),
                // A wrong balance, or an id that leads to another record.
                _ if part == "entries" => told[at].value -= 1,
                _ => told[at].key ^= 1 << 90,
            }
            let lying = Runs::open(Arc::clone(&disk), &dir).expect("made");
            lying.add(told, covered).expect("written");
            drop(lying);
            let (code, result) = verify(&ledger);
            let findings = result["findings"].as_array().expect("a list");
            assert!(code == 1 && findings.len() == 1, "{lie}: {result}");
            assert_eq!((&findings[0]["part"], &findings[0]["lsn"]), (&part.into(), &lsn.into()), "{lie}: {result}");
            let what = findings[0]["what"].as_str().expect("text");
            assert!(what.contains(words) || (lie == "changed" && what.contains("should not be")), "{lie}: {result}");
            fs::remove_dir_all(&dir).expect("removed");
        }
        fs::rename(&honest, &dir).expect("moved back");
    }
    assert_eq!(verify(&ledger).0, 0);
}

/// A log that is sound byte by byte, and whose events make no sense: money that nobody had.
#[test]
fn events_that_make_no_sense_are_named_with_their_position() {
    let dir = tempfile::TempDir::new().expect("a temporary folder");
    let disk: Arc<dyn wal::disk::Disk> = Arc::new(wal::disk::RealDisk);
    let options = wal::Options { segment_bytes: 1 << 20, ..wal::Options::default() };
    let (mut log, _) = wal::Log::open(disk, &dir.path().join("log"), options, &mut |_, _| {}).expect("a new log");
    let opened = |wallet| florin::ledger::Event::WalletOpened(crate::rig::opening(wallet));
    let paid = florin::ledger::Event::Transferred(crate::rig::transfer(7, &[(1, -5), (2, 5)]));
    for (event, time_micros) in [(opened(1), 1), (opened(2), 2), (paid, 3)] {
        let mut body = Vec::new();
        florin::engine::record::encode(&event, &mut body);
        let mut group = wal::GroupBuilder::new();
        group.push(&body).expect("it fits");
        log.append(&mut group, time_micros).expect("it is written");
    }
    drop(log);
    let said = on("verify", dir.path(), &["--json"]);
    let result = verdict(&said);
    assert_eq!(said.code, 1, "{result}");
    let finding = &result["findings"][0];
    assert_eq!((&finding["part"], &finding["lsn"]), (&"books".into(), &3.into()), "{result}");
    assert_eq!((&result["verified_lsn"], &result["state_hash"]), (&2.into(), &Value::Null), "{result}");
    let replay = on("replay", dir.path(), &[]);
    assert!(replay.code == 1 && replay.err.contains("at LSN 3 the books stop making sense"), "{replay:?}");
    assert_eq!(on("replay", dir.path(), &["--until-lsn", "2"]).code, 0, "before it they do");
}

/// A log that is sound byte by byte, in which a payment was decided twice: no server makes such a one, and no balance
/// tells of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_two_records_decided_is_named_with_both() {
    let dir = tempfile::TempDir::new().expect("a temporary folder");
    let disk: Arc<dyn wal::disk::Disk> = Arc::new(wal::disk::RealDisk);
    let options = wal::Options { segment_bytes: 1 << 20, ..wal::Options::default() };
    let (mut log, _) = wal::Log::open(disk, &dir.path().join("log"), options, &mut |_, _| {}).expect("a new log");
    let mut system = crate::rig::opening(9);
    system.limits.overdraft_limit = None;
    system.kind = florin::ledger::Kind::System;
    let opened = [crate::rig::opening(1), system].map(florin::ledger::Event::WalletOpened);
    let paid = |id| florin::ledger::Event::Transferred(crate::rig::transfer(id, &[(1, 5), (9, -5)]));
    let events = opened.into_iter().chain((100..120).map(paid)).chain([paid(107), paid(130)]);
    let events: Vec<florin::ledger::Event> = events.collect();
    for (event, time_micros) in events.iter().zip(1..) {
        let mut body = Vec::new();
        florin::engine::record::encode(event, &mut body);
        let mut group = wal::GroupBuilder::new();
        group.push(&body).expect("it fits");
        log.append(&mut group, time_micros).expect("it is written");
    }
    drop(log);
    let twice = |said: &Said| {
        let result = verdict(said);
        let findings = result["findings"].as_array().expect("a list").clone();
        assert_eq!((said.code, findings.len()), (1, 1), "{result}");
        assert_eq!((&findings[0]["part"], &findings[0]["lsn"]), (&"books".into(), &23.into()), "{result}");
        let what = findings[0]["what"].as_str().expect("text");
        assert!(what.contains("was decided by record 10 and again by record 23"), "{what}");
        result["indexes"]["ids"]["lsn"].as_u64().expect("a number")
    };
    // Without an index, with one, and with one that ends between the two.
    assert_eq!(twice(&on("verify", dir.path(), &["--json"])), 0);
    let engine = start(crate::rig::config(&dir, 2)).await;
    engine.snapshot().await.expect("a snapshot is taken");
    engine.stop().await;
    assert_eq!(twice(&on("verify", dir.path(), &["--json"])), 24);
    fs::remove_dir_all(dir.path().join("index")).expect("removed");
    fs::remove_dir_all(dir.path().join("snapshots")).expect("removed");
    let disk: Arc<dyn wal::disk::Disk> = Arc::new(wal::disk::RealDisk);
    let ids = Arc::new(Runs::open(disk, &dir.path().join("index").join("ids")).expect("an empty index"));
    let mut rows = Vec::new();
    for (event, lsn) in events.iter().zip(1..=15) {
        florin::engine::claims::rows_of(event, lsn, |row, _| rows.push(row));
    }
    ids.add(rows, 15).expect("it is written");
    assert_eq!(twice(&on("verify", dir.path(), &["--json"])), 15);
}
