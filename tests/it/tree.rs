//! The tree keeps its own rules: floors look down only, rooms stay small, dependencies are licensed to be used.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// From the top. A floor may import those after it.
const FLOORS: [&str; 9] = ["cli", "http", "services", "gateways", "store", "views", "config", "engine", "ledger"];

/// Lines past which a file wants to be two.
const FILE_LINES_MAX: usize = 500;

const LICENCES: [&str; 15] = [
    "0BSD",
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "Unlicense",
    "CC0-1.0",
    "MIT-0",
    "OpenSSL",
    "CDLA-Permissive-2.0",
    "BSL-1.0",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("the folder is there") {
        let path = entry.expect("readable").path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn floors_look_down_only() {
    for (height, floor) in FLOORS.iter().enumerate() {
        let mut files = Vec::new();
        let dir = root().join("src").join(floor);
        if dir.is_dir() {
            sources(&dir, &mut files);
        } else if dir.with_extension("rs").is_file() {
            files.push(dir.with_extension("rs"));
        }
        assert!(!files.is_empty(), "floor {floor} is empty: take it out of the list");
        for file in files {
            let text = fs::read_to_string(&file).expect("readable");
            for above in &FLOORS[..height] {
                let climbs = text.contains(&format!("crate::{above}")) || text.contains(&format!("florin::{above}"));
                assert!(!climbs, "{} looks up to {above}", file.display());
            }
        }
    }
}

#[test]
fn the_ledger_is_pure() {
    let mut files = Vec::new();
    sources(&root().join("src/ledger"), &mut files);
    for file in files {
        let text = fs::read_to_string(&file).expect("readable");
        for forbidden in ["std::fs", "std::io", "std::net", "std::time", "std::thread", "serde", "tokio", "ractor"] {
            // The opening lines of the module say what it is without.
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            assert!(!code.clone().any(|line| line.contains(forbidden)), "{} uses {forbidden}", file.display());
        }
    }
}

#[test]
fn the_log_and_the_snapshots_know_nothing_of_money() {
    let mut files = Vec::new();
    sources(&root().join("vault/src"), &mut files);
    sources(&root().join("wal/src"), &mut files);
    sources(&root().join("snapshots/src"), &mut files);
    for file in files {
        let text = fs::read_to_string(&file).expect("readable").to_lowercase();
        for word in ["wallet", "transfer", "currency", "florin::"] {
            assert!(!text.contains(word), "{} knows of a {word}", file.display());
        }
    }
}

#[test]
fn only_one_file_knows_bincode() {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    let using = files.iter().filter(|file| fs::read_to_string(file).expect("readable").contains("bincode::"));
    let using: Vec<&PathBuf> = using.collect();
    assert_eq!(using, [&root().join("src/engine/record.rs")]);
}

#[test]
fn rooms_stay_small() {
    let mut files = Vec::new();
    for part in ["src", "vault", "wal", "snapshots", "loadtest", "simulators", "benches", "tests"] {
        sources(&root().join(part), &mut files);
    }
    let large: Vec<String> = files
        .iter()
        .map(|file| (fs::read_to_string(file).expect("readable").lines().count(), file))
        .filter(|(lines, _)| *lines > FILE_LINES_MAX)
        .map(|(lines, file)| format!("{lines} lines: {}", file.display()))
        .collect();
    assert!(large.is_empty(), "{large:#?}");
}

#[test]
fn dependencies_are_licensed_to_be_used_and_come_from_the_registry() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("a list");
    assert!(packages.len() > 50);
    let mut bad = BTreeSet::new();
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        let licence = package["license"].as_str().unwrap_or("none given");
        let is_ours = package["source"].is_null();
        let from_registry = package["source"].as_str().is_some_and(|source| source.starts_with("registry+"));
        if !is_ours && !from_registry {
            bad.insert(format!("{name}: comes from {}", package["source"]));
        }
        if !may_be_used(licence) {
            bad.insert(format!("{name}: {licence}"));
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

/// Reads an SPDX expression: all of what is joined by AND, one of what is joined by OR.
fn may_be_used(expression: &str) -> bool {
    let plain = expression.replace('/', " OR ");
    let mut all = true;
    for part in plain.replace(['(', ')'], "").split(" AND ") {
        all &= part.split(" OR ").any(|licence| LICENCES.contains(&licence.trim()));
    }
    all
}
