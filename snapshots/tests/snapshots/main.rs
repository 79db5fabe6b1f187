//! Snapshots through their public face, on a simulated disk: what comes back,
//! what is noticed, and what a crash leaves.

// Clippy allows it in functions marked as tests only; these serve tests.
#![allow(clippy::unwrap_used)]

mod crash;
mod damage;
mod encryption;
mod files;
mod fixture;
mod postgres;
mod postgres_server;
mod stores;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use snapshots::disk::{Reader, Writer, list};
use snapshots::{Error, Header, Result, Summary};
use wal::disk::{Disk, SimDisk};

fn dir() -> &'static Path {
    Path::new("/snapshots")
}

fn path(name: &str) -> PathBuf {
    dir().join(name)
}

fn snap_name(lsn: u64) -> String {
    format!("{lsn:020}.snap")
}

fn header(lsn: u64) -> Header {
    Header {
        lsn,
        time_micros: 1_763_600_000_000_000 + lsn,
        chain_hash: std::array::from_fn(|at| at as u8 ^ lsn as u8),
        log_id: *b"a log of sixteen",
    }
}

/// What a test writes and expects to read: kind, rows, bytes.
type Blocks = Vec<(u8, u32, Vec<u8>)>;

fn small_blocks(lsn: u64) -> Blocks {
    vec![
        (1, 3, format!("three wallets at {lsn}").into_bytes()),
        (2, 1, b"one hold".to_vec()),
        (1, 2, (0..=255).collect()),
        (7, 0, Vec::new()),
    ]
}

/// Several sectors long, so that a power cut can tear it.
fn large_blocks() -> Blocks {
    (0..4).map(|kind| (kind, 9, (0..3000).map(|n| (n * 7) as u8 ^ kind).collect())).collect()
}

fn write(disk: &SimDisk, lsn: u64, blocks: &Blocks, state: &[u8]) -> Result<Summary> {
    let mut writer = Writer::create(Arc::new(disk.clone()), dir(), header(lsn))?;
    for (kind, rows, bytes) in blocks {
        writer.block(*kind, *rows, bytes)?;
    }
    writer.finish(state)
}

fn read_all(disk: &SimDisk, lsn: u64) -> Result<(Header, Vec<u8>, Blocks)> {
    let mut reader = Reader::open(disk, dir(), lsn)?;
    let mut blocks = Blocks::new();
    while let Some(block) = reader.next_block()? {
        blocks.push((block.kind, block.rows, block.bytes.to_vec()));
    }
    Ok((*reader.header(), reader.state().to_vec(), blocks))
}

fn check_small(disk: &SimDisk, lsn: u64) {
    let expected = (header(lsn), b"state".to_vec(), small_blocks(lsn));
    assert_eq!(read_all(disk, lsn).unwrap(), expected);
}

fn write_small(disk: &SimDisk, lsn: u64) -> Result<Summary> {
    write(disk, lsn, &small_blocks(lsn), b"state")
}

fn names(disk: &SimDisk) -> Vec<String> {
    disk.list(dir()).unwrap()
}

fn lsns(disk: &SimDisk) -> Vec<u64> {
    list(disk, dir()).unwrap().iter().map(|entry| entry.lsn).collect()
}

fn put(disk: &SimDisk, name: &str, bytes: &[u8]) {
    let file = disk.create(&path(name)).unwrap();
    file.write_at(bytes, 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir(dir()).unwrap();
}

fn get(disk: &SimDisk, name: &str) -> Vec<u8> {
    let file = disk.open_read(&path(name)).unwrap();
    let mut bytes = vec![0; file.bytes().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn is_damage(error: &Error) -> bool {
    matches!(error, Error::Damaged { .. })
}
