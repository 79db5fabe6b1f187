//! `florin torture`: the real server on the user's own disk, under load by the real load generator, ended in every
//! bad way round after round, with damage put into its folder in between; after each round it is held to
//! everything that it acknowledged.

mod broken_disk;
mod ends;
mod faults;
mod jumps;
mod loop_disk;
mod plan;
mod preload;
mod report;
mod round;
mod siege;
mod site;
mod torn;

use std::path::PathBuf;

use clap::Args;

use super::failure::Failure;
use super::trial::{Programs, watch_for_signals};
use super::{Verdict, duration, screen};

pub const EXAMPLES: &str = "\
Examples:
  florin torture                               20 rounds in a new folder below this one
  florin torture --rounds 50 --data-dir /mnt/disk/torture
  florin torture --rounds 0 --power-cuts 25    power cuts of an ext4 file system in a file (as root)
  florin torture --rounds 0 --full-disks 3     a disk that runs full, the same way (as root)
  florin torture --rounds 0 --disk-errors 6    EIO on fdatasync, on writes, on reads (takes libfiu)
  florin torture --rounds 0 --clock-jumps 4    the clock an hour back, a day on (takes libfaketime)

What happens in a round: a load of transfers, holds, captures and repeats; the server's end at a random moment \
    (kill -9; kill -9 and then again while it recovers; kill -9 while it takes a snapshot; SIGTERM; its writes fail, \
    and it must say so and acknowledge nothing more); damage to what it left (the newest snapshot flipped or cut \
    off, an index deleted, a damaged copy of the log, part of a write that nobody was told of, a second server on \
    the folder); a start, and the load goes on \
    with the same keys. Then the server is asked for everything that it acknowledged in the round. In the end all \
    rounds are asked for again, the folder is verified, and replayed by the book and by three shards.

A power cut is the ioctl EXT4_IOC_SHUTDOWN on a loop-mounted file system: what was synced stays, the rest is gone, \
    and until the server is killed every write of its fails. Disk errors are the server's calls to libc, answered with \
    EIO: it must say so, acknowledge nothing more, and still not trust the disk when the error goes; of the group \
    whose fdatasync failed some blocks are then taken away. When the clock jumps, holds must end when it says so, and \
    payments go on. Where this machine lacks something for it, those rounds \
    are reported as SKIPPED, and are not counted.

Exit code: 0 nothing was lost, doubled or accepted wrongly; 1 something was, or a round broke off, and the folder is \
    left as it is; 2 the torture could not begin, or was interrupted.";

#[derive(Args, Clone, Debug)]
pub struct TortureArgs {
    /// Rounds of kills and faults
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100_000))]
    rounds: u32,
    /// Rounds of power cuts, of a file system in a file (root only)
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100_000))]
    power_cuts: u32,
    /// Rounds of a disk that runs full, of a file system in a file (root only)
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1000))]
    full_disks: u32,
    /// Rounds of a disk that gives errors (takes libfiu)
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100_000))]
    disk_errors: u32,
    /// Rounds of a clock that jumps (takes libfaketime)
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100_000))]
    clock_jumps: u32,
    /// How long the load of a round lasts
    #[arg(long, default_value = "2s", value_name = "TIME", value_parser = duration)]
    round_time: std::time::Duration,
    /// Wallets that take part
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    wallets: u32,
    /// A new folder on the disk in question; it is removed in the end [default: ./florin-torture-<process id>]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Leave the folder where it is
    #[arg(long)]
    keep: bool,
    /// The load generator [default: loadtest beside this program]
    #[arg(long, value_name = "FILE")]
    loadtest: Option<PathBuf>,
    /// Print the report as one JSON object; what happens meanwhile goes to stderr
    #[arg(long)]
    json: bool,
}

pub fn run(args: &TortureArgs) -> Result<Verdict, Failure> {
    let interrupted = watch_for_signals()?;
    let programs = Programs::find(args.loadtest.as_deref())?;
    let default = || PathBuf::from(format!("florin-torture-{}", std::process::id()));
    let folder = args.data_dir.clone().unwrap_or_else(default);
    let report = siege::run(args, programs, folder, interrupted)?;
    screen::print(&if args.json { report.json() } else { report.table() })?;
    Ok(if report.all_well() { Verdict::Fine } else { Verdict::Wrong })
}
