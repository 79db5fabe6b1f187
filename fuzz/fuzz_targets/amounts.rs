//! libFuzzer's entry to the target; what it does is in src/.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| florin_fuzz::run("amounts", bytes));
