//! Every input in the fuzzers' corpus, seeds and findings alike, goes through its target in the normal test run.

use std::fs;
use std::path::Path;

#[path = "../../fuzz/src/lib.rs"]
mod fuzz;

/// The corpus is for reading, and stays small enough for it.
const CORPUS_BYTES_MAX: u64 = 200 * 1024;

#[test]
fn every_input_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut corpus_bytes = 0;
    for (name, _) in fuzz::TARGETS {
        let folder = corpus.join(name);
        let mut inputs = 0;
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("readable").path();
            let bytes = fs::read(&path).expect("readable");
            // A panic's message is of the property; this says of which input.
            println!("{}", path.display());
            fuzz::run(name, &bytes);
            inputs += 1;
            corpus_bytes += bytes.len() as u64;
        }
        assert!(inputs > 0, "{name} has no inputs");
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fuzz/fuzz_targets/{name}.rs")).is_file());
    }
    assert!(corpus_bytes <= CORPUS_BYTES_MAX, "{corpus_bytes} bytes");
    let folders = fs::read_dir(&corpus).expect("readable").count();
    assert_eq!(folders, fuzz::TARGETS.len(), "a folder of the corpus belongs to no target");
}
