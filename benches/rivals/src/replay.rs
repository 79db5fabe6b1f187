//! Question: how many transfers of a log does a ledger replay in a second? Through the book, which is what `florin
//! verify` trusts, or through recovery, which also makes the indexes again. The log has just been written, so it comes
//! out of the page cache.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use florin::engine::recovery::recover;
use florin::engine::{EngineConfig, record};
use florin::ledger::Book;
use wal::disk::{Disk, RealDisk};

use crate::error::Error;
use crate::figures::{RATE, figures, say};
use crate::rig_ledger;

#[derive(clap::Args, Debug)]
pub struct ReplayArgs {
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(2..))]
    wallets: u64,
    #[arg(long, default_value_t = 3_000_000)]
    transfers: usize,
    /// Shards of recovery; 0 replays through the book instead [default: one for each core]
    #[arg(long)]
    shards: Option<usize>,
    /// The data folder is made here and removed afterwards
    #[arg(long, default_value = ".")]
    dir: PathBuf,
}

pub fn run(args: &ReplayArgs) -> Result<ExitCode, Error> {
    let folder = tempfile::tempdir_in(&args.dir).map_err(Error::io("make a folder"))?;
    let records = rig_ledger::write(folder.path(), args.wallets, args.transfers);
    let took = match args.shards {
        Some(0) => through_book(folder.path(), records)?,
        shards => through_recovery(folder.path(), shards, records)?,
    };
    say(&figures([(RATE, records as f64 / took.as_secs_f64()), ("records", records as f64)]))
}

fn through_book(dir: &Path, records: u64) -> Result<Duration, Error> {
    let began = Instant::now();
    let reader = wal::Reader::open(Arc::new(RealDisk), &dir.join("log"), None, &mut |_, _| {})?;
    let reader = reader.ok_or_else(|| Error::Failed("there is no log".to_owned()))?;
    let mut book = Book::default();
    let mut scan = reader.scan(1);
    while let Some(group) = scan.next_group()? {
        for (lsn, body) in group.records() {
            let event = record::decode(body).map_err(|error| Error::Failed(error.to_string()))?;
            let applied = book.apply(lsn, group.time_micros, &event);
            applied.map_err(|error| Error::Failed(format!("record {lsn} makes no sense: {error:?}")))?;
        }
    }
    let took = began.elapsed();
    assert_eq!(book.last_lsn, records, "the book has seen the whole log");
    Ok(took)
}

/// What recovery made is dropped after the clock has stopped.
fn through_recovery(dir: &Path, shards: Option<usize>, records: u64) -> Result<Duration, Error> {
    let config = rig_ledger::config(dir, shards.unwrap_or(EngineConfig::new(dir).shards));
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let began = Instant::now();
    let recovered = recover(&disk, &config, &mut |_| {})?;
    let took = began.elapsed();
    assert_eq!(recovered.report.replayed_records, records, "recovery has replayed the whole log");
    Ok(took)
}
