//! The runs against a plain map, on a simulated disk. What the tests share is
//! here; the stories are in the modules.

mod crash;
mod damage;
mod fixture;
mod merging;
mod model;
mod threads;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use wal::disk::{Disk, SimDisk};

use super::{Row, Runs};

const DIR: &str = "/index";

fn dir() -> &'static Path {
    Path::new(DIR)
}

fn path(name: &str) -> PathBuf {
    dir().join(name)
}

fn open(disk: &SimDisk) -> Runs {
    Runs::open(Arc::new(disk.clone()), dir()).unwrap()
}

fn names(disk: &SimDisk) -> Vec<String> {
    disk.list(dir()).unwrap()
}

fn run_name(from: u64, to: u64) -> String {
    format!("{from:020}-{to:020}.run")
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

fn row(key: u128, lsn: u64) -> Row {
    Row { key, lsn, value: lsn as i64 * 3 - 100 }
}

/// The simplest thing that answers the same questions.
#[derive(Clone, Debug, Default)]
struct Model {
    rows: BTreeMap<(u128, u64), i64>,
    covered: u64,
}

impl Model {
    fn add(&mut self, rows: &[Row], covered: u64) {
        self.rows.extend(rows.iter().map(|row| ((row.key, row.lsn), row.value)));
        self.covered = covered;
    }

    fn of_key(&self, key: u128) -> Vec<Row> {
        let rows = self.rows.range((key, 0)..=(key, u64::MAX));
        rows.map(|(&(key, lsn), &value)| Row { key, lsn, value }).collect()
    }

    fn up_to(&self, lsn: u64) -> Model {
        let rows = self.rows.iter().filter(|((_, at), _)| *at <= lsn);
        Model { rows: rows.map(|(&place, &value)| (place, value)).collect(), covered: lsn }
    }

    /// Asks every question about a key, at its rows and between them.
    fn check_key(&self, runs: &Runs, key: u128, limit: usize) {
        let all = self.of_key(key);
        assert_eq!(runs.contains(key).unwrap(), !all.is_empty(), "key {key:x}");
        let mut lsns = vec![0, 1, self.covered, self.covered + 1, u64::MAX];
        lsns.extend(all.iter().flat_map(|row| [row.lsn - 1, row.lsn, row.lsn + 1]));
        for lsn in lsns {
            let newest = all.iter().rfind(|row| row.lsn <= lsn).copied();
            assert_eq!(runs.newest(key, lsn).unwrap(), newest, "key {key:x} at {lsn}");

            let before: Vec<Row> = all.iter().rev().filter(|row| row.lsn < lsn).take(limit).copied().collect();
            let mut out = Vec::new();
            runs.rows_before(key, lsn, limit, &mut out).unwrap();
            assert_eq!(out, before, "key {key:x} before {lsn}");

            let after: Vec<Row> = all.iter().filter(|row| row.lsn > lsn).take(limit).copied().collect();
            out.clear();
            runs.rows_after(key, lsn, limit, &mut out).unwrap();
            assert_eq!(out, after, "key {key:x} after {lsn}");
        }
    }

    /// Holds every row of every key against the runs.
    fn check_all(&self, runs: &Runs) {
        assert_eq!(runs.covered_lsn(), self.covered);
        let mut keys: Vec<u128> = self.rows.keys().map(|&(key, _)| key).collect();
        keys.dedup();
        for key in keys {
            let mut out = Vec::new();
            runs.rows_after(key, 0, usize::MAX, &mut out).unwrap();
            assert_eq!(out, self.of_key(key), "key {key:x}");
        }
        runs.verify().unwrap();
    }
}

/// Batches as the engine makes them: a few keys that come often, many that
/// come once, sometimes a row twice, sometimes no rows at all.
struct Batches {
    rng: StdRng,
    next_lsn: u64,
}

impl Batches {
    fn new(seed: u64) -> Batches {
        Batches { rng: StdRng::seed_from_u64(seed), next_lsn: 1 }
    }

    fn key(&mut self) -> u128 {
        match self.rng.random_range(0..3) {
            0 => self.rng.random_range(0..8),
            1 => u128::MAX - self.rng.random_range(0..4),
            _ => self.rng.random_range(0..200) << 100,
        }
    }

    /// The rows and the LSN up to which they reach.
    fn next(&mut self, lsn_count_max: u64) -> (Vec<Row>, u64) {
        let lsn_count = self.rng.random_range(1..=lsn_count_max);
        let to = self.next_lsn + lsn_count - 1;
        let mut rows = Vec::new();
        if self.rng.random_range(0..10) > 0 {
            for lsn in self.next_lsn..=to {
                for _ in 0..self.rng.random_range(0..4) {
                    rows.push(row(self.key(), lsn));
                }
                if self.rng.random_range(0..10) == 0 {
                    rows.extend(rows.last().copied());
                }
            }
        }
        self.next_lsn = to + 1;
        (rows, to)
    }
}
