//! Question: how many bytes of the log does a transfer take? Bodies, frames, and what fills a group up to whole blocks,
//! in groups as large as the server made them. Not counted: the headers of segments, and the empty end of the last one.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use florin::engine::record;
use florin::ledger::Event;
use wal::GroupBuilder;
use wal::disk::RealDisk;

use crate::BATCH;
use crate::error::Error;
use crate::figures::{figures, say};
use crate::load::{Load, Pairs};

const FRAME_HEADER_BYTES: usize = 64;
const BLOCK_BYTES: usize = 512;

#[derive(clap::Args, Debug)]
pub struct LogBytesArgs {
    /// A data folder that no server has open
    #[arg(long)]
    data_dir: PathBuf,
}

pub fn run(args: &LogBytesArgs) -> Result<ExitCode, Error> {
    let archive = args.data_dir.join("archive");
    let log = args.data_dir.join("log");
    let reader = wal::Reader::open(Arc::new(RealDisk), &log, Some(&archive), &mut |_, _| {})?;
    let reader = reader.ok_or_else(|| Error::Failed("there is no log".to_owned()))?;
    let mut scan = reader.scan(reader.first_lsn());
    let mut builder = GroupBuilder::new();
    let (mut bytes, mut transfers, mut groups) = (0, 0_u64, 0_u64);
    while let Some(group) = scan.next_group()? {
        let mut all_are_transfers = true;
        builder.clear();
        for (_, body) in group.records() {
            builder.push(body).map_err(|error| Error::Failed(error.to_string()))?;
            let event = record::decode(body).map_err(|error| Error::Failed(error.to_string()))?;
            all_are_transfers &= matches!(&event, Event::Transferred(transfer) if transfer.legs().len() == 2);
        }
        if all_are_transfers {
            (bytes, transfers, groups) = (bytes + on_disk(&builder), transfers + builder.records() as u64, groups + 1);
        }
    }
    if transfers == 0 {
        return Err(Error::Failed("there is no group of plain transfers in the log".to_owned()));
    }
    let each = bytes as f64 / transfers as f64;
    say(&figures([("bytes_each", each), ("transfers_per_group", transfers as f64 / groups as f64)]))
}

/// The layout is in docs/formats.md: a header before the records, and blocks that are whole.
fn on_disk(group: &GroupBuilder) -> usize {
    (FRAME_HEADER_BYTES + group.bytes()).next_multiple_of(BLOCK_BYTES)
}

/// Bytes for each transfer of a bulk request.
pub fn of_a_large_group() -> f64 {
    let mut builder = GroupBuilder::new();
    for transfer in Load::new(1, 2).batch(BATCH, Pairs::Random) {
        let pushed = builder.push_with(|buffer| record::encode_transfer(&transfer, buffer));
        pushed.expect("a group has room for a batch");
    }
    on_disk(&builder) as f64 / BATCH as f64
}
