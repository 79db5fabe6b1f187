//! A simulated disk, driven by a seed: the same seed and the same calls give the same result. It loses, tears and
//! reorders what was not synced when the power goes, and fails on request or by chance. No threads, no clock.
//! Simplified: a folder lasts as soon as it is made, and of several unsynced writes to one sector only the last counts.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, DiskFile, DiskLock};
use state::{State, Step};

mod inode;
mod state;

/// What can be made to fail. A read error may come at whatever only looks: contents, names, lengths. A misdirected write reports success and lands elsewhere in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    ReadError,
    WriteError,
    SyncError,
    ShortWrite,
    MisdirectedWrite,
}

/// The chance of each fault, for each operation of its kind; none by default.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SimFaults {
    pub read_error: f64,
    pub write_error: f64,
    pub sync_error: f64,
    pub short_write: f64,
    pub misdirected_write: f64,
}

/// Some sectors of 512 bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimSectors<'a> {
    pub path: &'a Path,
    pub first: u64,
    pub count: u64,
}

/// A handle; clones see the same disk. `fork` makes another disk.
#[derive(Debug, Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl SimDisk {
    pub fn new(seed: u64) -> SimDisk {
        SimDisk { state: Arc::new(Mutex::new(State::new(seed))) }
    }

    /// A second disk with the same contents, unsynced ones included, that goes its own way from here on.
    /// Handles and locks stay with the first.
    pub fn fork(&self, seed: u64) -> SimDisk {
        SimDisk { state: Arc::new(Mutex::new(self.state().fork(seed))) }
    }

    /// The power goes and comes back: unsynced sectors and names survive or not, and old handles fail from now on.
    pub fn crash(&self) {
        self.state().crash();
    }

    /// The process dies and the machine stays up: nothing written is lost, locks are free, old handles fail.
    pub fn kill(&self) {
        self.state().kill();
    }

    /// The `operation`-th disk operation from now (1 is the next) and all later ones fail, until `crash` or `kill`.
    pub fn crash_at(&self, operation: u64) {
        let mut state = self.state();
        state.dead_from = Some(state.operations + operation.max(1));
    }

    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// How often an operation was made to fail since the last `crash` or `kill`, the operations of a dead disk included.
    pub fn failures(&self) -> u64 {
        self.state().failures
    }

    pub fn set_faults(&self, faults: SimFaults) {
        self.state().faults = faults;
    }

    /// The next operation that can have this fault has it; may be asked for several times.
    pub fn fail_next(&self, fault: Fault) {
        self.fail_later(fault, 0);
    }

    /// The same for the one after so many others that can have it.
    pub fn fail_later(&self, fault: Fault, others: u64) {
        self.state().requested.push((fault, others));
    }

    /// What `work` does has no faults, neither by request nor by chance: so an observer looks on without being disturbed,
    /// and without using up what is meant for the one observed. A disk that is dead stays so.
    pub fn without_faults<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = std::mem::replace(&mut self.state().spares, true);
        let done = work();
        self.state().spares = before;
        done
    }

    /// How many reads were made to fail since the disk was made.
    pub fn read_errors(&self) -> u64 {
        self.state().read_errors
    }

    /// Writes that would make the files larger than this in all fail with `StorageFull`.
    pub fn set_capacity_bytes(&self, bytes: Option<u64>) {
        self.state().capacity_bytes = bytes;
    }

    /// Takes back every fault that has not happened yet. False: the disk is dead, and stays so until `crash` or `kill`.
    pub fn disarm(&self) -> bool {
        let mut state = self.state();
        state.faults = SimFaults::default();
        state.requested.clear();
        state.capacity_bytes = None;
        if state.dead_from.is_some_and(|from| state.operations < from) {
            state.dead_from = None;
        }
        state.dead_from.is_none()
    }

    /// Makes `dir` another file system: nothing is renamed into it or out of it, as `CrossesDevices` says.
    pub fn mount(&self, dir: &Path) {
        self.state().mounts.insert(dir.to_owned());
    }

    /// Rot in one bit of a file, seen at once and for good. Bit 0 is the lowest of the first byte.
    pub fn flip_bit(&self, path: &Path, bit_index: u64) -> io::Result<()> {
        self.state().inode_named(path)?.flip_bit(bit_index);
        Ok(())
    }

    /// A write that went elsewhere, found at rest: some sectors hold what those of `from` hold. True: they differ now.
    pub fn misdirect(&self, from: SimSectors<'_>, to: SimSectors<'_>) -> io::Result<bool> {
        let mut state = self.state();
        let sectors = state.inode_named(from.path)?.sectors(from.first, to.count);
        state.replace_sectors(to, &sectors)
    }

    /// A write that never came to the medium, found at rest: some sectors hold what they held before they were last
    /// written. True: they differ now.
    pub fn lose_write(&self, lost: SimSectors<'_>) -> io::Result<bool> {
        let mut state = self.state();
        let sectors = state.inode_named(lost.path)?.earlier_sectors(lost.first, lost.count);
        state.replace_sectors(lost, &sectors)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, inode: u64, epoch: u64, writable: bool) -> Box<dyn DiskFile> {
        Box::new(SimFile { disk: self.clone(), inode, epoch, writable })
    }
}

impl Disk for SimDisk {
    fn create_dir_all(&self, _dir: &Path) -> io::Result<()> {
        self.state().step().map(drop)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.step()?;
        state.read_fault()?;
        let names = state.names().filter(|path| path.parent() == Some(dir));
        Ok(names.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.step()?;
        let inode = state.create(path);
        Ok(self.file(inode, state.epoch, true))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.step()?;
        state.read_fault()?;
        Ok(self.file(state.find(path)?, state.epoch, true))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.step()?;
        state.read_fault()?;
        Ok(self.file(state.find(path)?, state.epoch, false))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step_that_changes(|state| state.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step_that_changes(|state| state.remove(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        if state.fault(Fault::SyncError) {
            return Err(io::Error::other("simulated failure of a folder's fsync"));
        }
        state.sync_dir(dir);
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        let mut state = self.state();
        state.step()?;
        if state.find(path).is_err() {
            state.create(path);
        }
        if !state.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock { disk: self.clone(), path: path.to_owned(), epoch: state.epoch }))
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: u64,
    epoch: u64,
    writable: bool,
}

impl SimFile {
    /// Counts the operation and refuses handles from before a crash.
    fn begin(&self) -> io::Result<(MutexGuard<'_, State>, Step)> {
        let mut state = self.disk.state();
        if state.epoch != self.epoch {
            return Err(io::Error::other("this handle is from before the simulated crash"));
        }
        let step = state.step_or_last();
        if step == Step::Dead {
            return Err(state::dead());
        }
        Ok((state, step))
    }

    fn begin_write(&self) -> io::Result<(MutexGuard<'_, State>, Step)> {
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.begin()
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let (mut state, step) = self.begin()?;
        step.live()?;
        state.read_fault()?;
        Ok(state.inode(self.inode)?.read(buf, offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let (mut state, step) = self.begin_write()?;
        state.write(self.inode, bytes, offset, step)
    }

    fn sync(&self) -> io::Result<()> {
        let (mut state, step) = self.begin_write()?;
        // Power lost during an fsync needs no case of its own: each dirty sector is then kept or lost by `crash`.
        step.live()?;
        if state.fault(Fault::SyncError) {
            state.sync_failed(self.inode)?;
            return Err(io::Error::other("simulated fsync error"));
        }
        state.inode(self.inode)?.sync();
        Ok(())
    }

    fn bytes(&self) -> io::Result<u64> {
        let (mut state, step) = self.begin()?;
        step.live()?;
        state.read_fault()?;
        Ok(state.inode(self.inode)?.bytes())
    }

    fn set_bytes(&self, bytes: u64) -> io::Result<()> {
        let (mut state, step) = self.begin_write()?;
        step.live()?;
        state.reserve(self.inode, bytes)?;
        state.inode(self.inode)?.set_bytes(bytes);
        Ok(())
    }
}

#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
    path: PathBuf,
    epoch: u64,
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.epoch == self.epoch {
            state.locks.remove(&self.path);
        }
    }
}
