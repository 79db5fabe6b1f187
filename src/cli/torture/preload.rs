//! Libraries that stand between the server and the system's calls: libfiu, which lets a disk fail, and libfaketime,
//! which lets the clock jump. Whoever asks for one is told if this machine does not have it. What is done with them,
//! and what the server must make of it, is not here.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Pid;

use crate::cli::failure::Failure;

/// Where distributions keep libraries; a `*` stands for any folder.
const LIBRARY_FOLDERS: [&str; 5] =
    ["/usr/lib/*/faketime", "/usr/lib/faketime", "/usr/lib/fiu", "/usr/lib/*/fiu", "/usr/lib64"];

/// Calls of the server to its disk. Its sockets use others.
#[derive(Clone, Copy, Debug)]
pub enum Call {
    Sync,
    Write,
    Read,
}

/// Lets chosen calls of a running server fail with EIO.
#[derive(Debug)]
pub struct FailingCalls {
    /// Of the pipes through which a server is told; its process id comes after.
    pipes: PathBuf,
    pub env: Vec<String>,
}

/// A clock that jumps as it is told.
#[derive(Debug)]
pub struct FalseClock {
    offset: PathBuf,
    pub env: Vec<String>,
}

impl Call {
    fn enabling(self) -> String {
        format!("enable name={},failinfo={}", self.point(), rustix::io::Errno::IO.raw_os_error())
    }

    fn point(self) -> &'static str {
        match self {
            Call::Sync => "posix/io/sync/fdatasync",
            Call::Write => "posix/io/rw/pwrite",
            Call::Read => "posix/io/rw/pread",
        }
    }
}

impl FailingCalls {
    /// The error says what this machine lacks.
    pub fn find(folder: &Path) -> Result<FailingCalls, String> {
        let lacking = |name: &str| format!("{name} is not there (Debian: apt-get install fiu-utils libfiu0)");
        let mut libraries = Vec::new();
        for name in ["fiu_run_preload.so", "fiu_posix_preload.so"] {
            libraries.push(library(name).ok_or_else(|| lacking(name))?);
        }
        Command::new("fiu-ctrl").arg("-h").output().map_err(|_| lacking("fiu-ctrl"))?;
        let pipes = folder.join("fiu");
        let env = vec![format!("LD_PRELOAD={}", libraries.join(":")), format!("FIU_CTRL_FIFO={}", pipes.display())];
        Ok(FailingCalls { pipes, env })
    }

    /// From now on each of these calls fails.
    pub fn fail(&self, server: Pid, call: Call) -> Result<(), Failure> {
        self.tell(server, &call.enabling())
    }

    pub fn mend(&self, server: Pid, call: Call) -> Result<(), Failure> {
        self.tell(server, &format!("disable name={}", call.point()))
    }

    /// For a server whose calls fail from its first moment.
    pub fn env_failing(&self, call: Call) -> Vec<String> {
        let mut env = self.env.clone();
        env.push(format!("FIU_ENABLE={}", call.enabling()));
        env
    }

    fn tell(&self, server: Pid, what: &str) -> Result<(), Failure> {
        let mut command = Command::new("fiu-ctrl");
        command.arg("-f").arg(&self.pipes).args(["-c", what]).arg(server.as_raw_nonzero().to_string());
        let output = command.output().map_err(Failure::Runtime)?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Failure::Usage(format!("fiu-ctrl could not tell the server `{what}`: {said}")))
    }
}

impl FalseClock {
    /// The error says what this machine lacks.
    pub fn find(folder: &Path) -> Result<FalseClock, String> {
        let name = "libfaketimeMT.so.1";
        let library = library(name).ok_or_else(|| format!("{name} is not there (Debian: apt-get install faketime)"))?;
        let clock = FalseClock { offset: folder.join("clock-offset"), env: Vec::new() };
        clock.set(0).map_err(|error| format!("{} cannot be written: {error}", clock.offset.display()))?;
        // Time that is measured, and not told, goes on as ever: timers, periods, deadlines.
        let env = vec![
            format!("LD_PRELOAD={library}"),
            format!("FAKETIME_TIMESTAMP_FILE={}", clock.offset.display()),
            "FAKETIME_NO_CACHE=1".to_owned(),
            "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
            "DONT_FAKE_MONOTONIC=1".to_owned(),
            "NO_FAKE_STAT=1".to_owned(),
        ];
        Ok(FalseClock { env, ..clock })
    }

    /// From now on the server's clock is so far from the true one. The file is replaced whole, because the server may
    /// read it at any moment.
    pub fn set(&self, offset_seconds: i64) -> io::Result<()> {
        let next = self.offset.with_extension("next");
        fs::write(&next, format!("{offset_seconds:+}\n"))?;
        fs::rename(&next, &self.offset)
    }

    /// A server that is killed leaves the library's shared memory behind. It can go once the server has it.
    pub fn tidy_up_after(server: Pid) {
        let pid = server.as_raw_nonzero();
        for name in [format!("faketime_shm_{pid}"), format!("sem.faketime_sem_{pid}")] {
            if let Err(error) = fs::remove_file(Path::new("/dev/shm").join(&name)) {
                tracing::debug!(name, %error, "not there to be removed");
            }
        }
    }
}

fn library(name: &str) -> Option<String> {
    let with_name = |folder: PathBuf| Some(folder.join(name)).filter(|path| path.is_file());
    let found = LIBRARY_FOLDERS.iter().find_map(|pattern| match pattern.split_once('*') {
        None => with_name(PathBuf::from(pattern)),
        Some((above, below)) => fs::read_dir(above)
            .ok()?
            .flatten()
            .find_map(|entry| with_name(entry.path().join(below.trim_start_matches('/')))),
    });
    found.and_then(|path| path.into_os_string().into_string().ok())
}
