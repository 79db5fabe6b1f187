//! What the benches share: a repeatable load, ledgers written to disk ahead of a measurement, shards
//! without a log, and the settings of criterion. What is measured is in the bench files.
#![allow(dead_code)] // Each bench is a program of its own and uses a part of this.

pub mod ledger;
pub mod load;
pub mod shards;

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// The allocator of the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// As many transfers as the largest bulk request has.
pub const BATCH: usize = florin::config::BULK_ITEMS_MAX;

/// Ten samples over `seconds`: rates are read from these benches, not differences of a percent.
pub fn group<'c>(criterion: &'c mut Criterion, name: &str, seconds: u64) -> BenchmarkGroup<'c, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group
        .sample_size(10)
        .sampling_mode(SamplingMode::Flat)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(seconds));
    group
}

/// Under the build's target folder: on the same disk as the sources, and no tmpfs.
pub fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written")
}

pub fn runtime() -> Runtime {
    Builder::new_multi_thread().enable_all().build().expect("threads can be made")
}
