//! Question: what does the disk itself take? A plain loop over a file that was written before, as a log's recycled
//! segment is: write so many bytes, wait until they last, go on behind them.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use rustix::fs::OFlags;

use crate::error::Error;
use crate::figures::{RATE, repeat, say, seconds};
use crate::log_bytes;

#[derive(clap::Args, Debug)]
pub struct DiskArgs {
    /// Bytes of one write, a multiple of 4,096
    #[arg(long, default_value_t = 4_096)]
    bytes: usize,
    /// The file is written again from its beginning when its end is reached
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    file_mib: u64,
    /// O_DIRECT and O_DSYNC, instead of the page cache and fdatasync
    #[arg(long)]
    direct: bool,
    /// The rate is of as many bytes as a transfer takes in a large group of Florin's log
    #[arg(long)]
    in_transfers: bool,
    /// The rate counts each write as so many
    #[arg(long, default_value_t = 1, conflicts_with = "in_transfers")]
    counts_as: u32,
    #[arg(long, default_value = "3", value_parser = seconds)]
    seconds: Duration,
    /// The file is made here and removed afterwards
    #[arg(long, default_value = ".")]
    dir: PathBuf,
}

const BLOCK_BYTES: usize = 4_096;

pub fn run(args: &DiskArgs) -> Result<ExitCode, Error> {
    let file_bytes = args.file_mib << 20;
    if args.bytes == 0 || !args.bytes.is_multiple_of(BLOCK_BYTES) || args.bytes as u64 > file_bytes {
        return Err(Error::Failed(format!("--bytes is a multiple of {BLOCK_BYTES}, up to {file_bytes}")));
    }
    let folder = tempfile::tempdir_in(&args.dir).map_err(Error::io("make a folder"))?;
    let path = folder.path().join("appended");
    // O_DIRECT wants memory that begins at a block, and a vector begins anywhere.
    let memory = vec![0xa5_u8; args.bytes + BLOCK_BYTES];
    let skipped = memory.as_ptr().align_offset(BLOCK_BYTES);
    let block = &memory[skipped..skipped + args.bytes];

    let file = File::create(&path).map_err(Error::io("make a file"))?;
    let whole = file_bytes / args.bytes as u64 * args.bytes as u64;
    let mut at = 0;
    while at < whole {
        file.write_all_at(block, at).map_err(Error::io("write"))?;
        at += args.bytes as u64;
    }
    file.sync_all().map_err(Error::io("sync"))?;
    drop(file);

    let flags = if args.direct { (OFlags::DIRECT | OFlags::DSYNC).bits() } else { 0 };
    let flags = i32::try_from(flags).expect("the flags of open are an int");
    let file = OpenOptions::new().write(true).custom_flags(flags).open(&path).map_err(Error::io("open"))?;
    let mut at = 0;
    let mut found = repeat(args.seconds, || {
        file.write_all_at(block, at).map_err(Error::io("write"))?;
        if !args.direct {
            file.sync_data().map_err(Error::io("sync"))?;
        }
        at = (at + args.bytes as u64) % whole;
        Ok(())
    })?;
    let bytes_per_second = found[RATE] * args.bytes as f64;
    found.insert("bytes_per_second".to_owned(), bytes_per_second);
    let rate = if args.in_transfers {
        bytes_per_second / log_bytes::of_a_large_group()
    } else {
        found[RATE] * f64::from(args.counts_as)
    };
    found.insert(RATE.to_owned(), rate);
    say(&found)
}
