//! Opening a log for writing: the lock, what recovery found, and the repair of a tail cut short.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::prepare::Preparer;
use super::{Log, Recovered, TornTail, write_header};
use crate::disk::{Disk, DiskFile, DiskLock};
use crate::encryption::Encryptor;
use crate::error::Error;
use crate::format::{BLOCK_BYTES, SegmentHeader, SegmentKey, chain_of_nothing};
use crate::options::{Identity, Options};
use crate::reader::shared::{End, Shared};
use crate::recovery::{self, Tail};
use crate::segment::Places;

pub(super) fn open(
    disk: Arc<dyn Disk>,
    dir: &Path,
    options: Options,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(Log, Recovered), Error> {
    options.check()?;
    disk.create_dir_all(dir).map_err(Error::io("create folder", dir))?;
    let lock = take_lock(&*disk, dir)?;
    let places = Arc::new(Places::new(disk, dir, options.archive_dir.as_deref()));
    let mut found = recovery::find(&places, progress)?;
    let key_of = |header: &SegmentHeader| {
        let no_key = |source| Error::Key { segment: places.segment_path(header.number), source };
        header.key(&options.encryption).map_err(no_key)
    };
    // Before anything is changed: without the keys the log could not be gone on with.
    if let Some(last) = found.segments.last() {
        key_of(last)?;
    }
    if let Some(number) = found.blank {
        let path = places.segment_path(number);
        places.disk.remove(&path).map_err(Error::io("remove empty segment", &path))?;
        places.sync_dir()?;
    }
    let (file, tail, torn) = match found.tail {
        Some(tail) => {
            let header = &found.segments[found.segments.len() - 1];
            let (file, torn) = settle(&places, header, &tail)?;
            (file, tail, torn)
        }
        None => {
            let (file, header, tail) = begin(&places, &options)?;
            found.segments.push(header);
            (file, tail, None)
        }
    };

    let end = End { next_lsn: tail.next_lsn, chain: tail.chain, time_micros: tail.time_micros, offset: tail.offset };
    let encryption = options.encryption.clone();
    let shared = Shared::new(Arc::clone(&places), encryption.clone(), &found.segments, tail.marks, end);
    let segment = shared.last_segment();
    let encryptor = key_of(&segment.header)?.map(Encryptor::new);
    let preparer = Preparer::new(options.prepare_ahead, &places, options.segment_bytes);
    preparer.prepare(segment.header.number + 1);
    let recovered = Recovered { last_lsn: end.next_lsn - 1, last_time_micros: end.time_micros, torn };
    let log = Log {
        shared,
        preparer,
        segment_bytes: options.segment_bytes,
        segment,
        file,
        end,
        encryption,
        encryptor,
        poisoned: false,
        _lock: lock,
    };
    Ok((log, recovered))
}

fn take_lock(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn DiskLock>, Error> {
    let path = dir.join("lock");
    disk.lock(&path).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => Error::Locked { path: dir.to_owned() },
        _ => Error::io("lock", &path)(error),
    })
}

fn begin(places: &Places, options: &Options) -> Result<(Box<dyn DiskFile>, SegmentHeader, Tail), Error> {
    let Identity { log_id, created_micros } = options.identity.unwrap_or_else(|| Identity {
        log_id: rand::random(),
        created_micros: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_micros() as u64),
    });
    let path = places.segment_path(1);
    let no_key = |source| Error::Key { segment: path.clone(), source };
    let encryption = SegmentKey::new(&options.encryption).map_err(no_key)?;
    let header = SegmentHeader {
        log_id,
        number: 1,
        first_lsn: 1,
        chain_before: chain_of_nothing(&log_id),
        created_micros,
        time_before_micros: 0,
        segment_bytes: options.segment_bytes,
        encryption,
    };
    let file = places.make_zeroed(1, options.segment_bytes, |_| {})?;
    write_header(&*file, &path, &header)?;
    let tail = Tail {
        path,
        marks: Default::default(),
        next_lsn: 1,
        time_micros: 0,
        chain: header.chain_before,
        offset: BLOCK_BYTES as u64,
        last_frame: None,
        torn_bytes: 0,
    };
    Ok((file, header, tail))
}

/// Makes what was read true: takes a cut-off group away, and writes again what may be in the page cache only.
///
/// The story behind the second: a server dies, or its fsync fails, after a group was written. The next one reads the
/// group from the page cache, takes it for durable and acts on it; the machine then loses power, and the group was never
/// on the disk. Only the last group, or the header of a segment without groups, can be in that state.
fn settle(
    places: &Places,
    header: &SegmentHeader,
    tail: &Tail,
) -> Result<(Box<dyn DiskFile>, Option<TornTail>), Error> {
    let path = &tail.path;
    let file = places.disk.open_direct(path).map_err(Error::io("open segment", path))?;
    let torn = if tail.torn_bytes > 0 { Some(cut(places, header, tail, &*file)?) } else { None };
    match tail.last_frame {
        Some((offset, frame_bytes)) => {
            let mut frame = vec![0; frame_bytes];
            file.read_exact_at(&mut frame, offset).map_err(Error::io("read segment", path))?;
            file.write_at(&frame, offset).map_err(Error::io("write to segment", path))?;
            file.sync().map_err(Error::io("sync segment", path))?;
        }
        None => write_header(&*file, path, header)?,
    }
    places.sync_dir()?;
    Ok((file, torn))
}

/// The bytes are durable aside before they are zeroed; a crash in between leaves a torn tail again.
fn cut(places: &Places, header: &SegmentHeader, tail: &Tail, file: &dyn DiskFile) -> Result<TornTail, Error> {
    let mut bytes = vec![0; tail.torn_bytes as usize];
    file.read_exact_at(&mut bytes, tail.offset).map_err(Error::io("read segment", &tail.path))?;
    let names = places.disk.list(&places.dir).map_err(Error::io("list folder", &places.dir))?;
    let stem = format!("torn-{}-{}", tail.next_lsn, header.number);
    let mut name = format!("{stem}.bin");
    let mut copies = 1;
    while names.binary_search(&name).is_ok() {
        copies += 1;
        name = format!("{stem}-{copies}.bin");
    }
    let kept_as = places.dir.join(name);
    let kept = places.disk.create(&kept_as).map_err(Error::io("create", &kept_as))?;
    kept.write_at(&bytes, 0).map_err(Error::io("write to", &kept_as))?;
    kept.sync().map_err(Error::io("sync", &kept_as))?;
    places.sync_dir()?;

    bytes.fill(0);
    file.write_at(&bytes, tail.offset).map_err(Error::io("write to segment", &tail.path))?;
    file.sync().map_err(Error::io("sync segment", &tail.path))?;
    tracing::warn!(lsn = tail.next_lsn, segment = header.number, bytes = tail.torn_bytes, "torn tail cut");
    Ok(TornTail { segment: header.number, offset: tail.offset, bytes: tail.torn_bytes, kept_as })
}
