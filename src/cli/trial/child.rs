//! The child processes of a trial. Each is ended by its own id when it is dropped, so none outlives the trial,
//! however that ends; a server also stops by itself when its standard input closes.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::Value;

use super::LOOK_PERIOD;
use crate::cli::failure::Failure;

/// A start or a stop that takes longer than this has hung.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A running child, and the file that has what it said on stderr.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    said: PathBuf,
    /// How long one wait for it may take.
    pub patience: Duration,
}

impl Process {
    /// Starts a child in a process group of its own: Ctrl-C on the terminal is for the trial, which then ends it.
    pub fn start(name: &'static str, mut command: Command, said: &Path) -> Result<Process, Failure> {
        let log = File::options().create(true).append(true).open(said).map_err(Failure::file("open", said))?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).process_group(0);
        let program = PathBuf::from(command.get_program());
        let mut child = command.spawn().map_err(Failure::file("start", &program))?;
        let stdout = child.stdout.take().expect("it was asked to be piped");
        let (sender, lines) = mpsc::channel();
        let reading = move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(reading).map_err(Failure::Runtime)?;
        let stdin = child.stdin.take();
        Ok(Process { name, child, stdin, lines, said: said.to_owned(), patience: PATIENCE })
    }

    /// The next JSON line of this type on its standard output.
    pub fn line(&mut self, of_type: &str, interrupted: &AtomicBool) -> Result<Value, Failure> {
        let began = Instant::now();
        loop {
            match self.lines.recv_timeout(LOOK_PERIOD) {
                Ok(line) => {
                    if let Ok(value) = serde_json::from_str::<Value>(&line)
                        && value["type"] == of_type
                    {
                        return Ok(value);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Err(self.failed("ended before it was ready")),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.go_on(interrupted, began)?;
        }
    }

    /// SIGKILL, as by `kill -9`: it can do nothing more, not even write what it has in memory.
    pub fn kill(mut self) -> Result<(), Failure> {
        self.child.kill().map_err(Failure::Runtime)?;
        self.child.wait().map_err(Failure::Runtime)?;
        Ok(())
    }

    /// Whether it has ended, and with which exit code.
    pub fn ended(&mut self) -> Result<Option<i32>, Failure> {
        let status = self.child.try_wait().map_err(Failure::Runtime)?;
        Ok(status.map(|status| status.code().unwrap_or(-1)))
    }

    /// Closes its standard input and waits for its end; gives the exit code and all that it still printed.
    pub fn finish(mut self, interrupted: &AtomicBool) -> Result<(i32, Vec<String>), Failure> {
        self.stdin = None;
        self.wait_for_end(interrupted)
    }

    /// The same, for one that has been told to end in another way.
    fn wait_for_end(mut self, interrupted: &AtomicBool) -> Result<(i32, Vec<String>), Failure> {
        let began = Instant::now();
        let mut printed = Vec::new();
        loop {
            match self.lines.recv_timeout(LOOK_PERIOD) {
                Ok(line) => printed.push(line),
                Err(RecvTimeoutError::Timeout) => self.go_on(interrupted, began)?,
                Err(RecvTimeoutError::Disconnected) => match self.ended()? {
                    Some(code) => return Ok((code, printed)),
                    None => {
                        self.go_on(interrupted, began)?;
                        std::thread::sleep(LOOK_PERIOD);
                    }
                },
            }
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// What the child said last, for whoever has to find out why it failed.
    pub fn failed(&self, what: &str) -> Failure {
        let said = std::fs::read_to_string(&self.said).unwrap_or_default();
        let last: Vec<&str> = said.lines().rev().take(5).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        let quoted = if last.is_empty() { String::new() } else { format!("; it said: {}", last.join(" | ")) };
        Failure::Usage(format!("{} {what}{quoted}", self.name))
    }

    fn go_on(&self, interrupted: &AtomicBool, began: Instant) -> Result<(), Failure> {
        if interrupted.load(Ordering::Relaxed) {
            return Err(Failure::Interrupted);
        }
        if began.elapsed() > self.patience {
            return Err(self.failed("does not go on"));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that it has ended already; `wait` then takes its exit code off the system's list.
        self.child.kill().unwrap_or_default();
        drop(self.child.wait());
    }
}

/// A server that is to be started.
#[derive(Debug)]
pub struct Serving<'a> {
    pub florin: &'a Path,
    pub data_dir: &'a Path,
    /// Where what it says on stderr is appended.
    pub said: PathBuf,
    pub listen: &'a str,
    pub more: &'a [&'a str],
    /// `NAME=value` each, for the server only: a library that is put in front of the system's calls must not be in front
    /// of the shell's.
    pub env: &'a [String],
}

/// A server that listens and has not said that it has recovered.
#[derive(Debug)]
pub struct Recovering {
    process: Process,
    began: Instant,
    url: String,
    api_key: Option<String>,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    process: Process,
    pub url: String,
    /// Shown at the first start only.
    pub api_key: Option<String>,
    pub ready: Ready,
}

/// What a server said when it had recovered.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// From the start of the process to the first request that it takes.
    pub elapsed: Duration,
    pub last_lsn: u64,
    pub snapshot_lsn: u64,
    pub replayed_records: u64,
    pub torn_tail_bytes: u64,
}

impl Serving<'_> {
    /// Starts the process and waits until it listens; it recovers after that.
    pub fn launch(&self, interrupted: &AtomicBool) -> Result<Recovering, Failure> {
        // A write past the limit on a file's size is to fail, as on a disk that fails, and not to end the process:
        // the shell ignores the signal, and the server inherits that.
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec env \"$@\"", "sh"]).args(self.env).arg(self.florin);
        command.args(["serve", "--json", "--stop-with-stdin", "--log-level", "warn", "--listen", self.listen]);
        command.args(self.more).arg("--data-dir").arg(self.data_dir).env_remove("FLORIN_API_KEY");
        let began = Instant::now();
        let mut process = Process::start("the server", command, &self.said)?;
        let listening = process.line("listening", interrupted)?;
        let text = |name: &str| listening[name].as_str().map(str::to_owned);
        let url = text("url").ok_or_else(|| process.failed("did not say where it listens"))?;
        Ok(Recovering { process, began, url, api_key: text("api_key") })
    }

    pub fn start(&self, interrupted: &AtomicBool) -> Result<Server, Failure> {
        self.launch(interrupted)?.recovered(interrupted)
    }
}

impl Recovering {
    pub fn recovered(mut self, interrupted: &AtomicBool) -> Result<Server, Failure> {
        let ready = self.process.line("ready", interrupted)?;
        let number = |name: &str| ready[name].as_u64().unwrap_or_default();
        let ready = Ready {
            elapsed: self.began.elapsed(),
            last_lsn: number("last_lsn"),
            snapshot_lsn: number("snapshot_lsn"),
            replayed_records: number("replayed_records"),
            torn_tail_bytes: number("torn_tail_bytes"),
        };
        Ok(Server { url: self.url, api_key: self.api_key, ready, process: self.process })
    }

    pub fn kill(self) -> Result<(), Failure> {
        self.process.kill()
    }
}

impl Server {
    /// `host:port`, to start the next one at the same place.
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    pub fn pid(&self) -> Pid {
        self.process.pid()
    }

    pub fn kill(self) -> Result<(), Failure> {
        self.process.kill()
    }

    /// SIGTERM, and its end in good order.
    pub fn terminate(self, interrupted: &AtomicBool) -> Result<(), Failure> {
        kill_process(self.process.pid(), Signal::TERM).map_err(|error| Failure::Runtime(error.into()))?;
        let said = self.process.said.clone();
        // Its standard input stays open: the end of that would be a second request to stop, and end it at once.
        in_good_order(self.process.wait_for_end(interrupted)?.0, &said)
    }

    pub fn stop(self, interrupted: &AtomicBool) -> Result<(), Failure> {
        let said = self.process.said.clone();
        in_good_order(self.process.finish(interrupted)?.0, &said)
    }

    /// From now on every write of its to a file fails, by the limit on a file's size: what a disk that errors looks
    /// like to it, without being root.
    pub fn let_writes_fail(&self) -> Result<(), Failure> {
        let nothing = Rlimit { current: Some(0), maximum: Some(0) };
        prlimit(Some(self.process.pid()), Resource::Fsize, nothing)
            .map(drop)
            .map_err(|error| Failure::Runtime(error.into()))
    }
}

fn in_good_order(code: i32, said: &Path) -> Result<(), Failure> {
    if code == 0 {
        return Ok(());
    }
    Err(Failure::Usage(format!("the server stopped with {code}; see {}", said.display())))
}
