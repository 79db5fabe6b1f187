//! What goes wrong: the power, the disk, single bits.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use florin::engine::StartError;
use florin::engine::recovery::recover;
use rand::RngExt;
use rand::rngs::StdRng;
use wal::disk::{Disk, Fault, SimDisk, SimFaults};

use super::oracle::Oracle;
use super::world::World;

/// Arms something for a recovery: the power goes during it, or reads fail.
pub fn arm_for_start(rng: &mut StdRng, disk: &SimDisk) {
    if rng.random_bool(0.2) {
        disk.crash_at(rng.random_range(1..60));
    }
    match rng.random_range(0..100) {
        0..10 => disk.fail_later(Fault::ReadError, rng.random_range(0..80)),
        10..16 => disk.set_faults(SimFaults { read_error: rng.random_range(0.001..0.05), ..SimFaults::default() }),
        _ => {}
    }
}

/// Arms something for the coming life. What was armed for its start and has not happened goes on.
pub fn arm(world: &mut World) {
    let mut faults = SimFaults::default();
    match world.rng.random_range(0..100) {
        // Nearly every life ends by a crash at some operation of the disk.
        0..70 => {
            let operation = world.rng.random_range(1..600);
            world.disk.crash_at(operation);
        }
        70..78 => {
            let faults = [Fault::WriteError, Fault::SyncError, Fault::ShortWrite];
            let fault = faults[world.rng.random_range(0..faults.len())];
            world.disk.fail_next(fault);
        }
        78..86 => (faults.write_error, faults.sync_error, faults.short_write) = (0.01, 0.01, 0.005),
        86..90 => world.disk.set_capacity_bytes(Some(world.rng.random_range(2 << 20..5 << 20))),
        _ => {}
    }
    // With any of these, or alone, reads fail: of the log, the indexes, snapshots, of names and lengths.
    match world.rng.random_range(0..100) {
        0..10 => faults.read_error = world.rng.random_range(0.001..0.3),
        10..20 => {
            for _ in 0..world.rng.random_range(1..20) {
                world.disk.fail_later(Fault::ReadError, world.rng.random_range(0..100));
            }
        }
        _ => {}
    }
    world.disk.set_faults(faults);
}

/// An index is lost: its files are gone, as when somebody took them for a cache. It has to be made again from the log.
pub fn lose_an_index(world: &mut World) {
    if !world.rng.random_bool(0.1) {
        return;
    }
    let dirs = [world.config.ids_dir(), world.config.entries_dir()];
    let dir = &dirs[world.rng.random_range(0..dirs.len())];
    world.say(|| format!("losing {}", dir.display()));
    for name in world.disk.list(dir).unwrap_or_default() {
        world.disk.remove(&dir.join(name)).expect("no fault is armed");
    }
    world.disk.sync_dir(dir).expect("no fault is armed");
}

/// An error that the disk's faults explain; anything else at a start is a finding.
pub fn comes_from_the_disk(error: &StartError) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(found) = cause {
        if found.downcast_ref::<std::io::Error>().is_some() {
            return true;
        }
        cause = found.source();
    }
    false
}

/// Rot at rest: one bit of some file, on a copy of the disk. Recovery must refuse it, or come to the same ledger; only
/// the last group of the log may be taken for a torn one.
pub fn flip_somewhere(world: &mut World) {
    if !world.rng.random_bool(0.5) {
        return;
    }
    let copy = world.disk.fork(world.rng.random());
    let dirs = ["log", "archive", "snapshots", "index/ids", "index/entries"].map(|dir| Path::new("/florin").join(dir));
    let mut files: Vec<PathBuf> = Vec::new();
    for dir in &dirs {
        files.extend(copy.list(dir).unwrap_or_default().into_iter().map(|name| dir.join(name)));
    }
    if files.is_empty() {
        return;
    }
    let path = &files[world.rng.random_range(0..files.len())];
    let Ok(file) = copy.open_read(path) else { return };
    let used = used_bytes(&*file);
    if used == 0 {
        return;
    }
    let bit = world.rng.random_range(0..used * 8);
    copy.flip_bit(path, bit).expect("the file is there");
    world.figures.flips += 1;
    let sound: Arc<dyn Disk> = Arc::new(world.disk.fork(world.rng.random()));
    let sound = recover(&sound, &world.config, &mut |_| {}).expect("nothing is wrong with this one");
    let what = format!("bit {bit} of {}", path.display());
    world.say(|| format!("flipping {what} in a copy"));
    let flipped: Arc<dyn Disk> = Arc::new(copy);
    match recover(&flipped, &world.config, &mut |_| {}) {
        Err(StartError::Log(_) | StartError::RecordsMissing { .. }) => world.figures.flips_refused += 1,
        Err(error) => panic!("{what} is no reason for: {error}"),
        Ok(flipped) => Oracle::check_copy(&sound, &flipped, &what),
    }
}

/// Up to the last byte that is not zero: most of a segment is zeros, where a flip is rarely interesting.
fn used_bytes(file: &dyn wal::disk::DiskFile) -> u64 {
    let bytes = file.bytes().unwrap_or(0);
    let mut buffer = vec![0; bytes as usize];
    if file.read_exact_at(&mut buffer, 0).is_err() {
        return 0;
    }
    buffer.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
}
