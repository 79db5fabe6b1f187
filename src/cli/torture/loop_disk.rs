//! A disk whose power can be cut: an ext4 file system in a file, mounted through a loop device. Root only, and only
//! where the kernel lets containers mount; whoever asks is told why it cannot be had.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::ioctl::{Setter, ioctl};

use crate::cli::failure::Failure;

/// `EXT4_IOC_SHUTDOWN` and its flag "without flushing the journal": what was synced stays, the rest is gone, and until
/// it is unmounted every access fails.
const SHUTDOWN: u32 = 0x8004_587d;
const WITHOUT_FLUSH: u32 = 2;

#[derive(Debug)]
pub struct LoopDisk {
    image: PathBuf,
    pub mount_point: PathBuf,
    is_mounted: bool,
}

impl LoopDisk {
    /// Makes one below `folder`; the error says what this machine lacks.
    pub fn make(folder: &Path, mib: u64) -> Result<LoopDisk, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("mounting a file system in a file takes root".to_owned());
        }
        let image = folder.join("disk.img");
        let mount_point = folder.join("disk");
        let made =
            File::create(&image).and_then(|file| file.set_len(mib << 20)).and_then(|()| fs::create_dir(&mount_point));
        made.map_err(|error| format!("{} cannot be made: {error}", image.display()))?;
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image))?;
        let mut disk = LoopDisk { image, mount_point, is_mounted: false };
        disk.mount()?;
        Ok(disk)
    }

    /// Mounting again is what a start of the machine does: the file system's journal is played.
    pub fn mount(&mut self) -> Result<(), String> {
        run(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.mount_point))?;
        self.is_mounted = true;
        Ok(())
    }

    /// Nobody may have a file on it open.
    pub fn unmount(&mut self) -> Result<(), String> {
        run(Command::new("umount").arg(&self.mount_point))?;
        self.is_mounted = false;
        Ok(())
    }

    #[allow(unsafe_code)] // An ioctl has no other way; this one takes a pointer to four bytes and reads them.
    pub fn cut_power(&self) -> Result<(), Failure> {
        let root = File::open(&self.mount_point).map_err(Failure::file("open", &self.mount_point))?;
        // SAFETY: the kernel's definition is _IOR('X', 125, __u32), and it reads the number behind the pointer.
        let cut = unsafe { ioctl(&root, Setter::<SHUTDOWN, u32>::new(WITHOUT_FLUSH)) };
        cut.map_err(|error| Failure::file("cut the power of", &self.mount_point)(error.into()))
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        if self.is_mounted
            && let Err(why) = self.unmount()
        {
            eprintln!("florin: {} is still mounted: {why}", self.mount_point.display());
        }
    }
}

/// Runs a program to its end; its own words if it fails.
fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name} cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{name} failed: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
