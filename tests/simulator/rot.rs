//! Rot at rest, on a copy of the disk: a flipped bit, sectors that hold what belongs elsewhere, or what they held before
//! they were last written. Recovery has to refuse that or come to the same ledger. Only groups at the very end of the log
//! may be gone, and only those that were hit themselves.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use florin::engine::StartError;
use florin::engine::recovery::{Recovered, recover};
use rand::RngExt;
use wal::disk::{Disk, SimDisk, SimSectors};

use super::copy::{self, Verdict};
use super::world::World;

const SECTOR_BYTES: u64 = 512;
const RUN_SECTORS_MAX: u64 = 8;

/// Sectors that are not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    pub path: PathBuf,
    pub first: u64,
    pub count: u64,
}

impl Hit {
    fn sectors(&self) -> SimSectors<'_> {
        SimSectors { path: &self.path, first: self.first, count: self.count }
    }

    fn is_in_a_segment(&self) -> bool {
        self.path.extension().is_some_and(|extension| extension == "wal")
    }
}

pub fn rot_somewhere(world: &mut World) {
    if world.rng.random_bool(0.5) {
        flip_somewhere(world);
    }
    if world.rng.random_bool(0.7) {
        misplace_somewhere(world);
    }
}

fn flip_somewhere(world: &mut World) {
    let copy = world.disk.fork(world.rng.random());
    let files = files_of(&copy);
    let Some((path, used)) = pick(&files, world) else { return };
    let bit = world.rng.random_range(0..used * 8);
    copy.flip_bit(path, bit).expect("the file is there");
    world.figures.flips += 1;
    let hit = Hit { path: path.clone(), first: bit / 8 / SECTOR_BYTES, count: 1 };
    let verdict = recover_copy(world, copy, &[hit], &format!("bit {bit} of {}", path.display()));
    world.figures.flips_refused += u64::from(verdict == Verdict::Refused);
    assert!(verdict != Verdict::EndsEarlierUnnoticed, "a group whose bit is flipped leaves something to be noticed");
}

fn misplace_somewhere(world: &mut World) {
    let copy = world.disk.fork(world.rng.random());
    let files = files_of(&copy);
    let Some(to) = place_in(&files, world) else { return };
    let Some(mut from) = place_in(&files, world) else { return };
    from.count = to.count;
    let how = world.rng.random_range(0..4);
    let (differs, hits) = match how {
        // The last write of these sectors never came to the medium.
        0 | 1 => (copy.lose_write(to.sectors()), vec![to.clone()]),
        // They hold what stands elsewhere too.
        2 => (copy.misdirect(from.sectors(), to.sectors()), vec![to.clone()]),
        // What was meant for one place went to another: both are wrong.
        _ => (
            copy.misdirect(from.sectors(), to.sectors())
                .and_then(|differs| Ok(copy.lose_write(from.sectors())? || differs)),
            vec![to.clone(), from.clone()],
        ),
    };
    if !differs.expect("the files are there") {
        return;
    }
    world.figures.misplaced += 1;
    let what = format!("case {how}: {to:?} and {from:?}");
    match recover_copy(world, copy, &hits, &what) {
        Verdict::Refused => world.figures.misplaced_refused += 1,
        Verdict::EndsEarlier => world.figures.ends_torn += 1,
        Verdict::EndsEarlierUnnoticed => world.figures.ends_lost += 1,
        Verdict::Same => {}
    }
}

/// What becomes of the damaged copy, held against what becomes of a sound one.
fn recover_copy(world: &mut World, copy: SimDisk, hits: &[Hit], what: &str) -> Verdict {
    world.say(|| format!("in a copy: {what}"));
    let groups = copy::groups_of(&world.disk);
    let sound: Arc<dyn Disk> = Arc::new(world.disk.fork(world.rng.random()));
    let sound = recover(&sound, &world.config, &mut |_| {}).expect("nothing is wrong with this one");
    let copy: Arc<dyn Disk> = Arc::new(copy);
    let again = world.rng.random_bool(0.3);
    let mut verdict = Verdict::Same;
    // The second start meets what the first has made of it.
    for start in 0..=u32::from(again) {
        let recovered: Recovered = match recover(&copy, &world.config, &mut |_| {}) {
            Ok(recovered) => recovered,
            Err(StartError::Log(_) | StartError::RecordsMissing { .. }) if hits.iter().any(Hit::is_in_a_segment) => {
                // The first start may have needed less of the log: a damaged index that it has set aside is made again
                // from all of it.
                return if start == 0 { Verdict::Refused } else { verdict };
            }
            Err(error) => panic!("{what} is no reason for: {error}"),
        };
        let found = copy::check(&sound, &recovered, hits, &groups, what);
        if start == 0 {
            verdict = found;
        }
    }
    verdict
}

/// The files that the engine reads, each with how many of its bytes are used: most of a segment is zeros, where damage is
/// rarely interesting.
fn files_of(disk: &SimDisk) -> Vec<(PathBuf, u64)> {
    let dirs = ["log", "archive", "snapshots", "index/ids", "index/entries"].map(|dir| Path::new("/florin").join(dir));
    let mut files: Vec<(PathBuf, u64)> = Vec::new();
    for dir in &dirs {
        for name in disk.list(dir).unwrap_or_default() {
            let path = dir.join(name);
            let used = disk.open_read(&path).map_or(0, |file| used_bytes(&*file));
            if used > 0 {
                files.push((path, used));
            }
        }
    }
    files
}

/// The segments of the log, in order, wherever they lie.
pub fn segments_of(disk: &SimDisk) -> Vec<PathBuf> {
    let mut segments: Vec<PathBuf> = Vec::new();
    for dir in ["archive", "log"].map(|dir| Path::new("/florin").join(dir)) {
        let names = disk.list(&dir).unwrap_or_default();
        segments.extend(names.iter().filter(|name| name.ends_with(".wal")).map(|name| dir.join(name)));
    }
    segments.sort_by_key(|path| path.file_name().map(std::ffi::OsStr::to_owned));
    segments
}

fn pick<'a>(files: &'a [(PathBuf, u64)], world: &mut World) -> Option<(&'a PathBuf, u64)> {
    if files.is_empty() {
        return None;
    }
    let (path, used) = &files[world.rng.random_range(0..files.len())];
    Some((path, *used))
}

/// A sector, or some in a row: anywhere in the used part of a file, at its end, or a little behind it.
fn place_in(files: &[(PathBuf, u64)], world: &mut World) -> Option<Hit> {
    // The log is what matters most, and one file of many.
    let segments: Vec<_> =
        files.iter().filter(|(path, _)| path.extension().is_some_and(|it| it == "wal")).cloned().collect();
    let files = if world.rng.random_bool(0.4) && !segments.is_empty() { &segments } else { files };
    let (path, used) = pick(files, world)?;
    let used = used.div_ceil(SECTOR_BYTES);
    let count = if world.rng.random_bool(0.5) { 1 } else { world.rng.random_range(2..=RUN_SECTORS_MAX) };
    let first = match world.rng.random_range(0..4) {
        0 => used.saturating_sub(world.rng.random_range(1..=12)),
        1 => 0,
        2 => used.saturating_sub(count),
        _ => world.rng.random_range(0..used + 2),
    };
    Some(Hit { path: path.clone(), first, count })
}

/// Up to the last sector that is not all zeros.
fn used_bytes(file: &dyn wal::disk::DiskFile) -> u64 {
    const ZEROS: [u8; SECTOR_BYTES as usize] = [0; SECTOR_BYTES as usize];
    let bytes = file.bytes().unwrap_or(0);
    let mut buffer = vec![0; bytes as usize];
    if file.read_exact_at(&mut buffer, 0).is_err() {
        return 0;
    }
    let last = buffer.chunks(ZEROS.len()).rposition(|sector| *sector != ZEROS[..sector.len()]);
    last.map_or(0, |last| bytes.min((last as u64 + 1) * SECTOR_BYTES))
}
