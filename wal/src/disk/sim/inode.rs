//! One simulated file: what a reader sees, what would survive a power cut, and which sectors lie between.
//! Sectors of zeros are not stored, so a prepared segment costs nothing.

use std::collections::{BTreeMap, BTreeSet};

use rand::{Rng, RngExt};

pub(super) const SECTOR_BYTES: usize = 512;
const ZEROS: [u8; SECTOR_BYTES] = [0; SECTOR_BYTES];

type Sectors = BTreeMap<u64, Box<[u8; SECTOR_BYTES]>>;

#[derive(Debug, Clone, Default)]
pub(super) struct Inode {
    cached: Sectors,
    durable: Sectors,
    /// What each sector of the medium held before it was last written; none for zeros.
    earlier: BTreeMap<u64, Option<Box<[u8; SECTOR_BYTES]>>>,
    /// Sectors the next sync makes durable. After a failed sync a sector may differ from the durable one without being
    /// in here: the page cache of Linux then shows bytes that no later sync will write.
    dirty: BTreeSet<u64>,
    cached_bytes: u64,
    durable_bytes: u64,
    bytes_dirty: bool,
}

impl Inode {
    pub(super) fn bytes(&self) -> u64 {
        self.cached_bytes
    }

    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let end = self.cached_bytes.min(offset.saturating_add(buf.len() as u64));
        if offset >= end {
            return 0;
        }
        let count = (end - offset) as usize;
        buf[..count].fill(0);
        let first = offset / SECTOR_BYTES as u64;
        for (&index, sector) in self.cached.range(first..=(end - 1) / SECTOR_BYTES as u64) {
            let sector_start = index * SECTOR_BYTES as u64;
            let from = sector_start.max(offset);
            let to = (sector_start + SECTOR_BYTES as u64).min(end);
            buf[(from - offset) as usize..(to - offset) as usize]
                .copy_from_slice(&sector[(from - sector_start) as usize..(to - sector_start) as usize]);
        }
        count
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let index = at / SECTOR_BYTES as u64;
            let within = (at % SECTOR_BYTES as u64) as usize;
            let count = (SECTOR_BYTES - within).min(bytes.len() - done);
            let mut sector = self.cached.get(&index).map_or(ZEROS, |sector| **sector);
            sector[within..within + count].copy_from_slice(&bytes[done..done + count]);
            self.put(index, sector);
            done += count;
        }
        let end = offset + bytes.len() as u64;
        if end > self.cached_bytes {
            self.cached_bytes = end;
            self.bytes_dirty = true;
        }
    }

    pub(super) fn set_bytes(&mut self, bytes: u64) {
        if bytes < self.cached_bytes {
            let first = bytes / SECTOR_BYTES as u64;
            let within = (bytes % SECTOR_BYTES as u64) as usize;
            let cut: Vec<u64> = self.cached.range(first..).map(|(&index, _)| index).collect();
            for index in cut {
                let mut sector = ZEROS;
                if index == first {
                    sector[..within].copy_from_slice(&self.cached[&index][..within]);
                }
                self.put(index, sector);
            }
        }
        self.bytes_dirty |= bytes != self.cached_bytes;
        self.cached_bytes = bytes;
    }

    pub(super) fn sync(&mut self) {
        for index in std::mem::take(&mut self.dirty) {
            self.reach_medium(index);
        }
        self.durable_bytes = self.cached_bytes;
        self.bytes_dirty = false;
    }

    /// A failed fsync: some sectors got there, the others never will, and all are seen as clean from now on.
    pub(super) fn sync_failed(&mut self, rng: &mut impl Rng) {
        for index in std::mem::take(&mut self.dirty) {
            if rng.random_bool(0.5) {
                self.reach_medium(index);
            }
        }
        self.bytes_dirty = false;
    }

    /// The power goes: each sector that was not synced survives or not, and so does the length.
    pub(super) fn crash(&mut self, rng: &mut impl Rng) {
        for index in std::mem::take(&mut self.dirty) {
            if rng.random_bool(0.5) {
                self.reach_medium(index);
            }
        }
        if self.bytes_dirty {
            let (low, high) = (self.durable_bytes.min(self.cached_bytes), self.durable_bytes.max(self.cached_bytes));
            self.durable_bytes = match rng.random_range(0..3) {
                0 => low,
                1 => high,
                _ => (rng.random_range(low..=high)).next_multiple_of(SECTOR_BYTES as u64).min(high),
            };
        }
        self.bytes_dirty = false;
        self.cached = self.durable.clone();
        self.cached_bytes = self.durable_bytes;
        let bytes = self.cached_bytes;
        self.cached.retain(|index, _| index * (SECTOR_BYTES as u64) < bytes);
        self.durable = self.cached.clone();
    }

    /// Rot: the bit changes on the medium and in what is read, without any call having failed.
    pub(super) fn flip_bit(&mut self, bit_index: u64) {
        let index = bit_index / 8 / SECTOR_BYTES as u64;
        let within = (bit_index / 8 % SECTOR_BYTES as u64) as usize;
        for sectors in [&mut self.cached, &mut self.durable] {
            sectors.entry(index).or_insert_with(|| Box::new(ZEROS))[within] ^= 1 << (bit_index % 8);
        }
    }

    /// The whole sectors from `first` on, as they are read now; those behind the end of the file are zeros.
    pub(super) fn sectors(&self, first: u64, count: u64) -> Vec<[u8; SECTOR_BYTES]> {
        (first..first + count).map(|index| self.cached.get(&index).map_or(ZEROS, |sector| **sector)).collect()
    }

    /// Other bytes stand on the medium than were written, without any call having failed.
    pub(super) fn replace_sectors(&mut self, first: u64, sectors: &[[u8; SECTOR_BYTES]]) {
        for (index, sector) in (first..).zip(sectors) {
            for on in [&mut self.cached, &mut self.durable] {
                on.insert(index, Box::new(*sector));
            }
            self.dirty.remove(&index);
        }
    }

    /// What stood there before the last write of each sector.
    pub(super) fn earlier_sectors(&self, first: u64, count: u64) -> Vec<[u8; SECTOR_BYTES]> {
        let now = self.sectors(first, count);
        let earlier = |(index, now)| match self.earlier.get(&index) {
            Some(earlier) => earlier.as_ref().map_or(ZEROS, |sector| **sector),
            None => now,
        };
        (first..).zip(now).map(earlier).collect()
    }

    fn reach_medium(&mut self, index: u64) {
        self.earlier.insert(index, self.durable.get(&index).cloned());
        copy_sector(&self.cached, &mut self.durable, index);
    }

    fn put(&mut self, index: u64, sector: [u8; SECTOR_BYTES]) {
        if sector == *self.durable.get(&index).map_or(&ZEROS, |durable| durable) {
            self.dirty.remove(&index);
        } else {
            self.dirty.insert(index);
        }
        if sector == ZEROS {
            self.cached.remove(&index);
        } else {
            self.cached.insert(index, Box::new(sector));
        }
    }
}

fn copy_sector(from: &Sectors, to: &mut Sectors, index: u64) {
    match from.get(&index) {
        Some(sector) => {
            to.insert(index, sector.clone());
        }
        None => {
            to.remove(&index);
        }
    }
}
