//! The files on disk: segments of the log, snapshots, runs of the index, and the records and rows in them. The first
//! byte of a file's input says whether its checksums are put right; the rest is the file.

use std::path::Path;
use std::sync::Arc;

use florin::engine::runs::Runs;
use florin::engine::{record, snapshot_rows};
use wal::disk::{Disk, SimDisk};
use wal::{Identity, Log, Options, Reader};

use super::mend;

const MEND: u8 = 1;
const MEND_CHAIN: u8 = 2;
/// Not checked to the end but read as by a server that starts.
const AS_SERVER: u8 = 4;

/// A log of one segment. What recovery takes for the log is read the same again after the next start.
pub fn segments(bytes: &[u8]) {
    let Some((&how, file)) = bytes.split_first() else { return };
    let mut file = file.to_vec();
    if how & MEND != 0 {
        mend::segment(&mut file, how & MEND_CHAIN != 0);
    }
    let number = file.get(32..40).map_or(1, |bytes| u64::from_le_bytes(bytes.try_into().expect("8 bytes")));
    let dir = Path::new("/log");
    let disk = SimDisk::new(1);
    put(&disk, &dir.join(format!("{number:016}.wal")), &file, usize::try_from(wal::SEGMENT_BYTES_MIN).unwrap_or(0));
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    if how & AS_SERVER == 0 {
        let Ok(Some(reader)) = Reader::open(shared, dir, None, &mut |_, _| {}) else { return };
        let verified = reader.verify(&mut |_, _| {});
        let (first, last) = (reader.first_lsn(), reader.durable_lsn());
        for lsn in first..=last.min(first.saturating_add(64)) {
            let record = reader.read(lsn);
            // Whoever verified the log can read each record of it.
            assert!(verified.is_err() || matches!(&record, Ok(Some(record)) if record.lsn == lsn), "{record:?}");
            if let Ok(Some(record)) = record {
                let _ = record::decode(&record.bytes);
            }
        }
        let _ = reader.first_lsn_at_or_after(reader.durable_time_micros());
        let _ = reader.last_lsn_at_or_before(reader.durable_time_micros() / 2);
        return;
    }
    let identity = Some(Identity { log_id: *b"florin fuzz log.", created_micros: 1 });
    let options =
        Options { segment_bytes: wal::SEGMENT_BYTES_MIN, prepare_ahead: false, identity, ..Options::default() };
    let Ok((log, recovered)) = Log::open(Arc::clone(&shared), dir, options.clone(), &mut |_, _| {}) else { return };
    let read = read_all(&log.reader());
    drop(log);
    let (log, again) = Log::open(shared, dir, options, &mut |_, _| {}).expect("what was recovered once is whole");
    assert_eq!((again.last_lsn, again.torn), (recovered.last_lsn, None));
    assert_eq!(read_all(&log.reader()), read);
}

fn read_all(reader: &Reader) -> Vec<Option<Vec<u8>>> {
    let (first, last) = (reader.first_lsn(), reader.durable_lsn());
    let lsns = first..=last.min(first.saturating_add(64));
    lsns.map(|lsn| reader.read(lsn).ok().flatten().map(|record| record.bytes)).collect()
}

/// A snapshot and the rows in it.
pub fn snapshots(bytes: &[u8]) {
    let Some((&how, file)) = bytes.split_first() else { return };
    let mut file = file.to_vec();
    if how & MEND != 0 {
        mend::snapshot(&mut file);
    }
    let lsn = file.get(12..20).map_or(1, |bytes| u64::from_le_bytes(bytes.try_into().expect("8 bytes")));
    let (disk, dir) = (SimDisk::new(1), Path::new("/snapshots"));
    put(&disk, &dir.join(format!("{lsn:020}.snap")), &file, 0);
    let Ok(mut reader) = snapshots::disk::Reader::open(&disk, dir, lsn) else { return };
    assert_eq!(reader.header().lsn, lsn);
    assert!(reader.state().len() <= snapshots::STATE_BYTES_MAX);
    let mut read_bytes = 0;
    while let Ok(Some(block)) = reader.next_block() {
        read_bytes += block.bytes.len();
        rows_of(block.bytes);
    }
    assert!(read_bytes <= file.len(), "more was read than is there");
}

/// A run of the LSNs 1 to 140.
pub fn runs(bytes: &[u8]) {
    let Some((&how, file)) = bytes.split_first() else { return };
    let mut file = file.to_vec();
    if how & MEND != 0 {
        mend::run(&mut file);
    }
    let (disk, dir) = (SimDisk::new(1), Path::new("/index"));
    put(&disk, &dir.join(format!("{:020}-{:020}.run", 1, 140)), &file, 0);
    let Ok((runs, damage)) = Runs::open_read_only(Arc::new(disk), dir) else { return };
    if !damage.is_empty() {
        return;
    }
    let mut rows = Vec::new();
    let walked = runs.for_each(1, u64::MAX, |row| rows.push(row));
    let verified = runs.verify();
    assert!(rows.len() as u64 <= runs.row_count());
    for row in rows.iter().take(32) {
        let found = runs.newest(row.key, row.lsn);
        // In a run that holds together, a row that the walk shows is also found by its key. Forged checksums can go
        // with a filter of other keys, so there it need not.
        let is_whole = how & MEND == 0 && walked.is_ok() && verified.is_ok();
        assert!(!is_whole || matches!(&found, Ok(Some(found)) if found.key == row.key), "{row:?} {found:?}");
        let _ = runs.rows_before(row.key, u64::MAX, 8, &mut Vec::new());
        let _ = runs.rows_after(row.key, 0, 8, &mut Vec::new());
    }
    let _ = runs.contains(u128::from(how) << 64);
}

/// The body of a record. What can be read can be written, and is then the same event.
pub fn records(bytes: &[u8]) {
    let Ok(event) = record::decode(bytes) else { return };
    let mut again = Vec::new();
    record::encode(&event, &mut again);
    let reread = record::decode(&again).expect("what was written can be read");
    assert_eq!(format!("{event:?}"), format!("{reread:?}"));
}

/// The rows of a snapshot's block, without the block.
pub fn rows(bytes: &[u8]) {
    rows_of(bytes);
}

fn rows_of(bytes: &[u8]) {
    let wallets = snapshot_rows::decode_wallets(bytes).filter(Result::is_ok).count();
    assert!(wallets <= bytes.len() / snapshot_rows::WALLET_BYTES);
    let limited = snapshot_rows::decode_spendings(bytes).filter(Result::is_ok).count();
    assert!(limited <= bytes.len() / 64);
    if let Ok(holds) = snapshot_rows::decode_holds(bytes) {
        assert!(holds.len() <= bytes.len());
    }
}

/// A synced file, with zeros after it if it is shorter than `bytes_min`.
fn put(disk: &SimDisk, path: &Path, bytes: &[u8], bytes_min: usize) {
    let dir = path.parent().expect("the path has a folder");
    disk.create_dir_all(dir).expect("the simulated disk has no faults");
    let file = disk.create(path).expect("the simulated disk has no faults");
    file.write_at(bytes, 0).expect("the simulated disk has no faults");
    let bytes_all = bytes.len().max(bytes_min) as u64;
    file.set_bytes(bytes_all).expect("the simulated disk has no faults");
    file.sync().expect("the simulated disk has no faults");
    disk.sync_dir(dir).expect("the simulated disk has no faults");
}
