//! What goes wrong while the engine runs or starts: the power, the disk, a lost index. What rots at rest is in `rot.rs`.

use florin::engine::StartError;
use rand::RngExt;
use rand::rngs::StdRng;
use wal::disk::{Disk, Fault, SimDisk, SimFaults};

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
        86..90 => world.disk.set_capacity_bytes(Some(world.rng.random_range(128 << 10..4 << 20))),
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
