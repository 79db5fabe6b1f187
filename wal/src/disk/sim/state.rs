//! What the handles of one simulated disk share: names, files, faults, and the count of operations.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::inode::{Inode, SECTOR_BYTES};
use super::{Fault, SimFaults, SimSectors};

#[derive(Debug)]
pub(super) struct State {
    rng: Xoshiro256PlusPlus,
    inodes: BTreeMap<u64, Inode>,
    inode_next: u64,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    /// Changes of names since their folder was synced, in order.
    pending: Vec<NameChange>,
    pub(super) locks: BTreeSet<PathBuf>,
    pub(super) mounts: BTreeSet<PathBuf>,
    /// Goes up with each crash, so that old handles are known.
    pub(super) epoch: u64,
    pub(super) operations: u64,
    pub(super) failures: u64,
    pub(super) dead_from: Option<u64>,
    pub(super) faults: SimFaults,
    /// Each with how many operations that can have it are let through first.
    pub(super) requested: Vec<(Fault, u64)>,
    pub(super) spares: bool,
    pub(super) read_errors: u64,
    pub(super) capacity_bytes: Option<u64>,
}

/// What became of one operation: done, cut short by the power going during it, or never begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Live,
    Last,
    Dead,
}

impl Step {
    pub(super) fn live(self) -> io::Result<()> {
        if self == Step::Live { Ok(()) } else { Err(dead()) }
    }
}

pub(super) fn dead() -> io::Error {
    io::Error::other("the simulated machine is down")
}

#[derive(Debug, Clone)]
enum NameChange {
    Link { path: PathBuf, inode: u64 },
    Unlink { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf, inode: u64 },
}

impl State {
    pub(super) fn new(seed: u64) -> State {
        State {
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            inodes: BTreeMap::new(),
            inode_next: 1,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending: Vec::new(),
            locks: BTreeSet::new(),
            mounts: BTreeSet::new(),
            epoch: 0,
            operations: 0,
            failures: 0,
            dead_from: None,
            faults: SimFaults::default(),
            requested: Vec::new(),
            spares: false,
            read_errors: 0,
            capacity_bytes: None,
        }
    }

    pub(super) fn fork(&self, seed: u64) -> State {
        State {
            inodes: self.inodes.clone(),
            inode_next: self.inode_next,
            names: self.names.clone(),
            durable_names: self.durable_names.clone(),
            pending: self.pending.clone(),
            mounts: self.mounts.clone(),
            capacity_bytes: self.capacity_bytes,
            ..State::new(seed)
        }
    }

    pub(super) fn crash(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            if self.rng.random_bool(0.5) {
                change.apply(&mut self.durable_names);
            }
        }
        self.names = self.durable_names.clone();
        for inode in self.inodes.values_mut() {
            inode.crash(&mut self.rng);
        }
        self.kill();
    }

    pub(super) fn kill(&mut self) {
        self.epoch += 1;
        self.failures = 0;
        self.locks.clear();
        self.dead_from = None;
        let used: BTreeSet<u64> = self.names.values().chain(self.durable_names.values()).copied().collect();
        let pending = &self.pending;
        self.inodes
            .retain(|number, _| used.contains(number) || pending.iter().any(|change| change.inode() == Some(*number)));
    }

    pub(super) fn step_or_last(&mut self) -> Step {
        self.operations += 1;
        let step = match self.dead_from {
            Some(from) if self.operations == from => Step::Last,
            Some(from) if self.operations > from => Step::Dead,
            _ => Step::Live,
        };
        self.failures += u64::from(step != Step::Live);
        step
    }

    pub(super) fn step(&mut self) -> io::Result<()> {
        self.step_or_last().live()
    }

    /// An operation during which the power goes may have changed the names or not: it counts as an unsynced change.
    pub(super) fn step_that_changes(&mut self, change: impl FnOnce(&mut State) -> io::Result<()>) -> io::Result<()> {
        match self.step_or_last() {
            Step::Dead => Err(dead()),
            step => {
                change(self)?;
                step.live()
            }
        }
    }

    /// Whether this operation has the fault: because it was asked for, or by chance. Draws nothing at a chance of 0,
    /// so that turning one fault on does not change where the others fall.
    pub(super) fn fault(&mut self, fault: Fault) -> bool {
        if self.spares {
            return false;
        }
        let due = self.requested.iter().position(|requested| *requested == (fault, 0));
        if let Some(index) = due {
            self.requested.remove(index);
        }
        for (_, others) in self.requested.iter_mut().filter(|(requested, _)| *requested == fault) {
            *others = others.saturating_sub(1);
        }
        if due.is_some() {
            self.failures += 1;
            return true;
        }
        let chance = match fault {
            Fault::ReadError => self.faults.read_error,
            Fault::WriteError => self.faults.write_error,
            Fault::SyncError => self.faults.sync_error,
            Fault::ShortWrite => self.faults.short_write,
            Fault::MisdirectedWrite => self.faults.misdirected_write,
        };
        let happens = chance > 0.0 && self.rng.random_bool(chance.min(1.0));
        self.failures += u64::from(happens);
        happens
    }

    pub(super) fn read_fault(&mut self) -> io::Result<()> {
        if self.fault(Fault::ReadError) {
            self.read_errors += 1;
            return Err(io::Error::other("simulated read error"));
        }
        Ok(())
    }

    pub(super) fn write(&mut self, inode: u64, bytes: &[u8], offset: u64, step: Step) -> io::Result<()> {
        if self.fault(Fault::WriteError) {
            return Err(io::Error::other("simulated write error"));
        }
        self.reserve(inode, offset + bytes.len() as u64)?;
        if step == Step::Last || self.fault(Fault::ShortWrite) {
            let count = self.rng.random_range(0..=bytes.len());
            self.inode(inode)?.write(&bytes[..count], offset);
            return Err(io::Error::other("simulated short write"));
        }
        let offset = if self.fault(Fault::MisdirectedWrite) { self.elsewhere(inode)? } else { offset };
        self.inode(inode)?.write(bytes, offset);
        Ok(())
    }

    pub(super) fn sync_failed(&mut self, inode: u64) -> io::Result<()> {
        let inode = self.inodes.get_mut(&inode).ok_or(io::ErrorKind::NotFound)?;
        inode.sync_failed(&mut self.rng);
        Ok(())
    }

    /// Refuses if the file, made at least `bytes` long, would no longer fit on the disk.
    pub(super) fn reserve(&mut self, inode: u64, bytes: u64) -> io::Result<()> {
        let Some(capacity) = self.capacity_bytes else { return Ok(()) };
        let growth = bytes.saturating_sub(self.inode(inode)?.bytes());
        let used: u64 = self.inodes.values().map(Inode::bytes).sum();
        if growth > 0 && used + growth > capacity {
            self.failures += 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    pub(super) fn inode(&mut self, inode: u64) -> io::Result<&mut Inode> {
        self.inodes.get_mut(&inode).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn inode_named(&mut self, path: &Path) -> io::Result<&mut Inode> {
        let inode = self.find(path)?;
        self.inode(inode)
    }

    /// False: that is what stood there.
    pub(super) fn replace_sectors(&mut self, at: SimSectors<'_>, sectors: &[[u8; SECTOR_BYTES]]) -> io::Result<bool> {
        let inode = self.inode_named(at.path)?;
        let differs = inode.sectors(at.first, at.count) != sectors;
        inode.replace_sectors(at.first, sectors);
        Ok(differs)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &PathBuf> {
        self.names.keys()
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<u64> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn create(&mut self, path: &Path) -> u64 {
        if let Some(&inode) = self.names.get(path) {
            if let Some(file) = self.inodes.get_mut(&inode) {
                file.set_bytes(0);
            }
            return inode;
        }
        let inode = self.inode_next;
        self.inode_next += 1;
        self.inodes.insert(inode, Inode::default());
        self.change(NameChange::Link { path: path.to_owned(), inode });
        inode
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let inode = self.find(from)?;
        if self.mounts.iter().any(|mount| from.starts_with(mount) != to.starts_with(mount)) {
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        self.change(NameChange::Rename { from: from.to_owned(), to: to.to_owned(), inode });
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.find(path)?;
        self.change(NameChange::Unlink { path: path.to_owned() });
        Ok(())
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) {
        let (settled, pending) = std::mem::take(&mut self.pending).into_iter().partition(|change| change.is_in(dir));
        self.pending = pending;
        let settled: Vec<NameChange> = settled;
        for change in settled {
            change.apply(&mut self.durable_names);
        }
    }

    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending.push(change);
    }

    fn elsewhere(&mut self, inode: u64) -> io::Result<u64> {
        let sectors = self.inode(inode)?.bytes().div_ceil(SECTOR_BYTES as u64).max(1);
        Ok(self.rng.random_range(0..sectors) * SECTOR_BYTES as u64)
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            NameChange::Link { path, inode } => {
                names.insert(path.clone(), *inode);
            }
            NameChange::Unlink { path } => {
                names.remove(path);
            }
            NameChange::Rename { from, to, inode } => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
        }
    }

    fn inode(&self) -> Option<u64> {
        match self {
            NameChange::Link { inode, .. } | NameChange::Rename { inode, .. } => Some(*inode),
            NameChange::Unlink { .. } => None,
        }
    }

    /// A rename between two folders lasts once either is synced, as on a journalling file system.
    fn is_in(&self, dir: &Path) -> bool {
        match self {
            NameChange::Link { path, .. } | NameChange::Unlink { path } => path.parent() == Some(dir),
            NameChange::Rename { from, to, .. } => from.parent() == Some(dir) || to.parent() == Some(dir),
        }
    }
}
