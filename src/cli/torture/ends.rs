//! The ends of a server in the middle of a round's load, and what is demanded of it while it ends. Which end a round
//! has is for the plan.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::faults::{self, Damage};
use super::loop_disk::LoopDisk;
use super::plan::End;
use super::preload::{Call, FailingCalls};
use super::round::Siege;
use super::{broken_disk, jumps, torn};
use crate::cli::ask::exchange;
use crate::cli::failure::Failure;
use crate::cli::trial::LOOK_PERIOD;
use crate::cli::trial::child::Server;

/// What fills a disk beside the server.
const BALLAST: &str = "ballast";
const BALLAST_CHUNK_BYTES: usize = 64 << 10;

impl Siege {
    /// Ends the server in this way; what it has to do before that is checked. Gives the damage that the end itself is.
    pub fn end(&mut self, end: End, server: Server, problems: &mut Vec<String>) -> Result<Damage, Failure> {
        let url = server.url.clone();
        match end {
            End::SyncErrors => return self.sync_errors(server, problems),
            End::WriteErrors => {
                let calls = self.calls()?;
                calls.fail(server.pid(), Call::Write)?;
                problems.extend(broken_disk::check(&url, &self.key, true)?);
                server.kill()?;
                faults::start_on_errors(&self.ground, &calls.env_failing(Call::Write), problems)
            }
            End::ReadErrors => {
                let calls = self.calls()?;
                calls.fail(server.pid(), Call::Read)?;
                problems.extend(broken_disk::check_reads_fail(&url, &self.key)?);
                calls.mend(server.pid(), Call::Read)?;
                problems.extend(broken_disk::check_reads_work(&url, &self.key)?);
                server.kill()?;
                faults::start_on_errors(&self.ground, &calls.env_failing(Call::Read), problems)
            }
            End::ClockBack | End::ClockAhead => {
                let clock = self.clock.as_ref().ok_or_else(|| Failure::Usage("this end takes a clock".to_owned()))?;
                problems.extend(jumps::jump(end, clock, &url, &self.key)?);
                server.kill()
            }
            End::Kill | End::KillInRecovery => server.kill(),
            End::KillInSnapshot => {
                let key = self.key.clone();
                let asking = move || exchange("POST", &url, "/v1/snapshots", Some(&key), "");
                let asked = std::thread::Builder::new().name("snapshot".to_owned()).spawn(asking);
                let asked = asked.map_err(Failure::Runtime)?;
                std::thread::sleep(Duration::from_micros(rand::random_range(0..40_000)));
                server.kill()?;
                // It was asked of a server that has died: there may be an answer or none.
                drop(asked.join());
                Ok(())
            }
            End::Terminate => server.terminate(&self.ground.interrupted),
            End::WritesFail => {
                server.let_writes_fail()?;
                problems.extend(broken_disk::check(&url, &self.key, true)?);
                server.kill()
            }
            End::PowerCut => {
                self.disk()?.cut_power()?;
                problems.extend(broken_disk::check(&url, &self.key, false)?);
                server.kill()?;
                let disk = self.disk()?;
                disk.unmount().and_then(|()| disk.mount()).map_err(Failure::Usage)
            }
            End::DiskFull => {
                let ballast = self.disk()?.mount_point.join(BALLAST);
                self.fill_disk(&url, &ballast)?;
                problems.extend(broken_disk::check(&url, &self.key, true)?);
                server.kill()?;
                fs::remove_file(&ballast).map_err(Failure::file("remove", &ballast))
            }
        }?;
        Ok(Damage::None)
    }

    /// The story: fdatasync fails, and the disk has then kept some of the group's blocks and some not. What was durable
    /// before it is known, so the group is taken apart here as such a disk may.
    fn sync_errors(&self, server: Server, problems: &mut Vec<String>) -> Result<Damage, Failure> {
        let (calls, url) = (self.calls()?, server.url.clone());
        calls.fail(server.pid(), Call::Sync)?;
        problems.extend(broken_disk::check(&url, &self.key, true)?);
        // A disk that works again is not to be trusted before the log has been read again.
        calls.mend(server.pid(), Call::Sync)?;
        problems.extend(broken_disk::check(&url, &self.key, true)?);
        let last_lsn = broken_disk::last_lsn(&url)?;
        server.kill()?;
        let is_torn = torn::tear_group_after(&self.ground.data_dir.join("log"), last_lsn)?;
        faults::start_on_errors(&self.ground, &calls.env_failing(Call::Sync), problems)?;
        Ok(if is_torn { Damage::TornTail { last_lsn: Some(last_lsn) } } else { Damage::None })
    }

    fn calls(&self) -> Result<&FailingCalls, Failure> {
        self.calls.as_ref().ok_or_else(|| Failure::Usage("this end takes a server whose calls can fail".to_owned()))
    }

    /// Starts on the folder and kills again before it has recovered, twice, at moments up to what the last start took.
    pub fn kill_in_recovery(&self, slowest_start: Duration) -> Result<(), Failure> {
        for _ in 0..2 {
            let recovering = self.serving().launch(&self.ground.interrupted)?;
            let micros = u64::try_from(slowest_start.as_micros()).unwrap_or(u64::MAX).max(1);
            std::thread::sleep(Duration::from_micros(rand::random_range(0..micros)));
            recovering.kill()?;
        }
        Ok(())
    }

    /// Fills the disk beside the server, as a neighbour would, until the server has noticed.
    fn fill_disk(&mut self, url: &str, ballast: &Path) -> Result<(), Failure> {
        let mut file = File::create(ballast).map_err(Failure::file("make", ballast))?;
        let chunk = vec![0; BALLAST_CHUNK_BYTES];
        let began = Instant::now();
        loop {
            match file.write_all(&chunk) {
                Ok(()) => continue,
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {}
                Err(error) => return Err(Failure::file("write", ballast)(error)),
            }
            if broken_disk::has_noticed(url)? {
                return Ok(());
            }
            self.ground.check_interrupted()?;
            if began.elapsed() > self.round_time {
                return Err(Failure::Usage("the full disk is not noticed: give a longer --round-time".to_owned()));
            }
            std::thread::sleep(LOOK_PERIOD);
        }
    }

    fn disk(&mut self) -> Result<&mut LoopDisk, Failure> {
        self.disk.as_mut().ok_or_else(|| Failure::Usage("this end takes a disk of its own".to_owned()))
    }
}
