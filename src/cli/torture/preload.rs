//! Libraries that stand between the server and the system's calls: libfiu, which lets a disk fail. Whoever asks for
//! one is told if this machine does not have it. What is done with it, and what the server must make of it, is not here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Pid;

use crate::cli::failure::Failure;

/// Where distributions keep libraries; a `*` stands for any folder.
const LIBRARY_FOLDERS: [&str; 3] = ["/usr/lib/fiu", "/usr/lib/*/fiu", "/usr/lib64"];

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
