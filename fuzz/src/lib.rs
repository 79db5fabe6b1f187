//! What is fuzzed: each target takes any bytes and panics where a property does not hold. The same functions run
//! under libFuzzer (fuzz_targets/) and, over the corpus in the tree, in the normal tests (tests/it/fuzz_corpus.rs).
//! Nothing here makes inputs.

mod mend;
mod storage;
mod wire;

pub type Target = fn(&[u8]);

/// By name; each has a folder of this name in corpus/, and is a binary of this name.
pub const TARGETS: &[(&str, Target)] = &[
    ("segments", storage::segments),
    ("snapshots", storage::snapshots),
    ("runs", storage::runs),
    ("records", storage::records),
    ("rows", storage::rows),
    ("bulk", wire::bulk),
    ("json", wire::json),
    ("amounts", wire::amounts),
    ("queries", wire::queries),
    ("keys", wire::keys),
];

/// Runs one input of the target of this name.
pub fn run(name: &str, bytes: &[u8]) {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, target) = found.unwrap_or_else(|| panic!("there is no target {name}"));
    target(bytes);
}
