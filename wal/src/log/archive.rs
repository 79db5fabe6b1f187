//! Moving sealed segments out of the log's folder. Nothing is ever deleted: a copy is durable before the file goes.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::reader::shared::Shared;
use crate::segment::{Places, marks_name, segment_name};

const COPY_BYTES: usize = 1 << 20;

pub(super) fn archive_before(shared: &Shared, lsn: u64, archive_dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let places = &*shared.places;
    let disk = &*places.disk;
    disk.create_dir_all(archive_dir).map_err(Error::io("create folder", archive_dir))?;
    // Readers look there before anything is moved, so that no moment comes at which they find it in neither place.
    places.add_archive(archive_dir);
    let names = disk.list(&places.dir).map_err(Error::io("list folder", &places.dir))?;
    let here = |name: &String| names.binary_search(name).is_ok();
    let view = shared.view();
    let mut moved = Vec::new();
    for pair in view.segments.windows(2) {
        let number = pair[0].header.number;
        if pair[1].header.first_lsn > lsn {
            break;
        }
        for name in [marks_name(number), segment_name(number)].into_iter().filter(here) {
            move_file(places, &name, archive_dir)?;
        }
        if here(&segment_name(number)) {
            moved.push(archive_dir.join(segment_name(number)));
        }
    }
    Ok(moved)
}

/// Durable one by one and in order, so that a crash never leaves a gap in the numbers of the log's own folder.
fn move_file(places: &Places, name: &str, archive_dir: &Path) -> Result<(), Error> {
    let disk = &*places.disk;
    let (from, to) = (places.dir.join(name), archive_dir.join(name));
    match disk.rename(&from, &to) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => copy_file(places, &from, &to)?,
        Err(error) => return Err(Error::io("archive", &from)(error)),
    }
    disk.sync_dir(archive_dir).map_err(Error::io("sync folder", archive_dir))?;
    places.sync_dir()
}

fn copy_file(places: &Places, from: &Path, to: &Path) -> Result<(), Error> {
    let disk = &*places.disk;
    let part = to.with_extension("part");
    let source = disk.open_read(from).map_err(Error::io("open", from))?;
    let target = disk.create(&part).map_err(Error::io("create", &part))?;
    let mut chunk = vec![0; COPY_BYTES];
    let mut at = 0;
    loop {
        let count = source.read_at(&mut chunk, at).map_err(Error::io("read", from))?;
        if count == 0 {
            break;
        }
        target.write_at(&chunk[..count], at).map_err(Error::io("write to", &part))?;
        at += count as u64;
    }
    target.sync().map_err(Error::io("sync", &part))?;
    disk.rename(&part, to).map_err(Error::io("rename", &part))?;
    if let Some(dir) = to.parent() {
        disk.sync_dir(dir).map_err(Error::io("sync folder", dir))?;
    }
    disk.remove(from).map_err(Error::io("remove", from))
}
