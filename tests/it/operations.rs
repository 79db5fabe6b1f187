//! docs/operations.md has an entry for whatever a server can log as a warning or an error, and for every problem that is
//! not the client's: a new line in the code without one fails here.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::fs;
use std::path::Path;

use florin::http::problem::Code;

/// The programs around the server have no log of their own.
const SOURCES: [&str; 11] = [
    "src/engine",
    "src/views",
    "src/store",
    "src/gateways",
    "src/services",
    "src/http",
    "src/cli/serve.rs",
    "src/config.rs",
    "vault/src",
    "wal/src",
    "snapshots/src",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(path: &Path, all: &mut Vec<String>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().is_some_and(|name| name != "tests") {
                sources(&path, all);
            }
        }
    } else if path.extension().is_some_and(|end| end == "rs") {
        all.push(fs::read_to_string(path).unwrap());
    }
}

/// The last text within the brackets of each `warn!` and `error!`.
fn messages(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    for name in ["warn!(", "error!("] {
        for (at, _) in source.match_indices(name) {
            let mut message = None;
            let mut rest = &source[at + name.len()..];
            let mut depth = 1;
            while depth > 0 {
                let stop = rest.find(['(', ')', '"']).expect("a macro ends");
                match rest.as_bytes()[stop] {
                    b'(' => depth += 1,
                    b')' => depth -= 1,
                    _ => {
                        let end = rest[stop + 1..].find('"').expect("a text ends") + stop + 1;
                        message = Some(rest[stop + 1..end].to_owned());
                        rest = &rest[end..];
                        rest = &rest[1..];
                        continue;
                    }
                }
                rest = &rest[stop + 1..];
            }
            found.push(message.expect("every line says something"));
        }
    }
    found
}

#[test]
fn everything_that_a_server_can_say_has_an_entry() {
    let manual = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let mut all = Vec::new();
    SOURCES.iter().for_each(|path| sources(&root().join(path), &mut all));
    let said: Vec<String> = all.iter().flat_map(|source| messages(source)).collect();
    assert!(said.len() > 30, "the messages were not found: {said:?}");
    let missing: Vec<_> = said.iter().filter(|message| !manual.contains(&format!("`{message}`"))).collect();
    assert!(missing.is_empty(), "docs/operations.md has no entry for {missing:#?}");
    for code in Code::ALL.iter().filter(|code| code.status().as_u16() >= 500) {
        assert!(manual.contains(&format!("`{}`", code.name())), "no entry for {}", code.name());
    }
}
