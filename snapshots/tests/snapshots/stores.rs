//! What holds wherever snapshots are kept: each check is given a store with nothing in it, once on a simulated
//! disk, and once in a Postgres server.

use super::*;
use snapshots::{BLOCK_BYTES_MAX, KindRows, STATE_BYTES_MAX, Store, Writer};
use vault::Encryption;

type Check = fn(&Store);

/// By number, which becomes the log's id: so all can be in one database and must not see each other.
pub const CHECKS: [(&str, Check); 8] = [
    ("what was written is read", what_was_written_is_read),
    ("a snapshot of nothing is one too", of_nothing),
    ("large blocks go and come", large_blocks_go_and_come),
    ("too much is refused", too_much_is_refused),
    ("a dropped writer leaves nothing", a_dropped_writer_leaves_nothing),
    ("the list is newest first", newest_first),
    ("pruning keeps the newest", pruning_keeps_the_newest),
    ("the same position again replaces", the_same_position_again_replaces),
];

#[test]
fn on_disk() {
    for (number, (name, check)) in CHECKS.iter().enumerate() {
        eprintln!("{name}");
        assert!(number < 16);
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(number as u64));
        check(&Store::Disk { disk, dir: dir().to_owned(), encryption: Encryption::Without });
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(number as u64));
        check(&Store::Disk { disk, dir: dir().to_owned(), encryption: encryption::on() });
    }
}

/// Of the log that the store is for; a disk takes any.
pub fn header_for(store: &Store, lsn: u64) -> Header {
    match store {
        Store::Disk { .. } => header(lsn),
        Store::Postgres(database) => Header { log_id: database.log_id, ..header(lsn) },
    }
}

pub fn put_in(store: &Store, lsn: u64, blocks: &Blocks, state: &[u8]) -> Result<Summary> {
    let mut writer = store.create(header_for(store, lsn))?;
    for (kind, rows, bytes) in blocks {
        writer.block(*kind, *rows, bytes)?;
    }
    writer.finish(state)
}

pub fn put_small(store: &Store, lsn: u64) -> Summary {
    put_in(store, lsn, &small_blocks(lsn), b"state").unwrap()
}

pub fn get_from(store: &Store, lsn: u64) -> Result<(Header, Vec<u8>, Blocks)> {
    let mut reader = store.open(lsn)?;
    let mut blocks = Blocks::new();
    while let Some(block) = reader.next_block()? {
        blocks.push((block.kind, block.rows, block.bytes.to_vec()));
    }
    Ok((*reader.header(), reader.state().to_vec(), blocks))
}

pub fn check_small_in(store: &Store, lsn: u64) {
    let expected = (header_for(store, lsn), b"state".to_vec(), small_blocks(lsn));
    assert_eq!(get_from(store, lsn).unwrap(), expected);
}

pub fn lsns_in(store: &Store) -> Vec<u64> {
    store.list().unwrap().iter().map(|entry| entry.lsn).collect()
}

fn what_was_written_is_read(store: &Store) {
    let summary = put_small(store, 77);
    check_small_in(store, 77);
    let kind = |kind, rows| KindRows { kind, rows };
    assert_eq!(summary.rows, [kind(1, 5), kind(2, 1), kind(7, 0)]);
    assert_eq!((summary.lsn, summary.block_count), (77, 4));
    let mut reader = store.open(77).unwrap();
    assert_eq!(reader.rows(), summary.rows);
    assert_eq!((reader.hash(), reader.bytes()), (&summary.hash, summary.bytes));
    while reader.next_block().unwrap().is_some() {}
    assert!(reader.bytes_read() < summary.bytes && reader.bytes_read() > summary.bytes - 250);
    let entries = store.list().unwrap();
    assert_eq!((entries.len(), entries[0].bytes), (1, summary.bytes));
}

fn of_nothing(store: &Store) {
    put_in(store, 0, &Blocks::new(), b"").unwrap();
    assert_eq!(get_from(store, 0).unwrap(), (header_for(store, 0), Vec::new(), Blocks::new()));
}

/// Blocks of the largest size among small ones, in several pieces on whatever way they take.
fn large_blocks_go_and_come(store: &Store) {
    let sizes = [1, 70_000, BLOCK_BYTES_MAX, 3, 1 << 20, (1 << 20) - 13, BLOCK_BYTES_MAX, 0, 500_000];
    let content = |at: usize| -> Vec<u8> { (0..sizes[at]).map(|n| (n * 31 + at * 7) as u8).collect() };
    let count = sizes.len() * 2;
    let blocks: Blocks = (0..count).map(|at| (3, at as u32, content(at % sizes.len()))).collect();
    let state = vec![5; STATE_BYTES_MAX];
    put_in(store, 9, &blocks, &state).unwrap();
    let (_, read_state, read_blocks) = get_from(store, 9).unwrap();
    assert!(read_state == state && read_blocks == blocks);
}

fn too_much_is_refused(store: &Store) {
    let begin = || -> Writer { store.create(header_for(store, 1)).unwrap() };
    let error = begin().block(1, 1, &vec![0; BLOCK_BYTES_MAX + 1]).unwrap_err();
    assert!(matches!(error, Error::TooLarge { given, limit, .. } if given == limit + 1), "{error}");
    let error = begin().finish(&[0; STATE_BYTES_MAX + 1]).unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: STATE_BYTES_MAX, .. }), "{error}");
    assert_eq!(lsns_in(store), Vec::<u64>::new());
}

fn a_dropped_writer_leaves_nothing(store: &Store) {
    put_small(store, 3);
    for lsn in [3, 4] {
        let mut writer = store.create(header_for(store, lsn)).unwrap();
        writer.block(1, 1, b"half of").unwrap();
        drop(writer);
    }
    assert_eq!(lsns_in(store), [3]);
    check_small_in(store, 3);
}

fn newest_first(store: &Store) {
    assert_eq!(lsns_in(store), Vec::<u64>::new());
    for lsn in [9, 100, 20] {
        put_small(store, lsn);
    }
    assert_eq!(lsns_in(store), [100, 20, 9]);
    assert!(store.open(10).is_err(), "there is none at 10");
}

fn pruning_keeps_the_newest(store: &Store) {
    for lsn in 1..=5 {
        put_small(store, lsn);
    }
    store.prune(9).unwrap();
    assert_eq!(lsns_in(store), [5, 4, 3, 2, 1]);
    store.prune(3).unwrap();
    assert_eq!(lsns_in(store), [5, 4, 3]);
    check_small_in(store, 3);
    store.prune(0).unwrap();
    assert_eq!(lsns_in(store), [5], "the last one is never removed");
}

fn the_same_position_again_replaces(store: &Store) {
    put_in(store, 10, &large_blocks(), b"first").unwrap();
    put_small(store, 10);
    assert_eq!(lsns_in(store), [10]);
    check_small_in(store, 10);
}
