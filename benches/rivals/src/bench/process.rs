//! Children: servers that are told to end when they are no longer needed, and programs that are waited for.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::Value;

use crate::error::Error;
use crate::figures::Figures;

/// A server of ours. It ends when its standard input does, so it never outlives this program; dropped, it is killed.
#[derive(Debug)]
pub struct Server {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    shown: String,
}

impl Server {
    /// Starts it; what it says on stderr goes to a file.
    pub fn start(mut command: Command, said: &Path) -> Result<Server, Error> {
        let shown = shown(&command);
        let log = File::options().create(true).append(true).open(said).map_err(Error::io("open a log"))?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().map_err(Error::io(format!("start {shown}")))?;
        let lines = BufReader::new(child.stdout.take().expect("it was asked to be piped")).lines();
        Ok(Server { child, lines, shown })
    }

    /// The next line of JSON of this type.
    pub fn line(&mut self, of_type: &str) -> Result<Value, Error> {
        for line in self.lines.by_ref() {
            let line = line.map_err(Error::io(format!("hear from {}", self.shown)))?;
            if let Ok(value) = serde_json::from_str::<Value>(&line)
                && value["type"] == of_type
            {
                return Ok(value);
            }
        }
        Err(Error::Failed(format!("{} ended before it said {of_type}", self.shown)))
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, and waits.
    pub fn finish(mut self) -> Result<(), Error> {
        drop(self.child.stdin.take());
        let status = self.child.wait().map_err(Error::io(format!("wait for {}", self.shown)))?;
        if status.success() { Ok(()) } else { Err(Error::Failed(format!("{} ended with {status}", self.shown))) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing that it has is needed any more; after `finish` it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs to the end; what it printed, if it ended well.
pub fn output(command: &mut Command) -> Result<String, Error> {
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().map_err(Error::io(format!("start {}", shown(command))))?;
    if !status.success() {
        let said = String::from_utf8_lossy(&stderr);
        let last: Vec<&str> = said.lines().rev().take(3).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        return Err(Error::Failed(format!("{} ended with {status}: {}", shown(command), last.join(" | "))));
    }
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

/// One of the programs of this crate.
pub fn own(arguments: &[String]) -> Result<Command, Error> {
    let own = std::env::current_exe().map_err(Error::io("find this program"))?;
    let mut command = Command::new(own);
    command.args(arguments);
    Ok(command)
}

/// What such a program has found: it says so on its last line.
pub fn found(printed: &str) -> Result<Figures, Error> {
    let line = printed.lines().last().unwrap_or_default();
    serde_json::from_str(line).map_err(|source| Error::Json { what: format!("`{line}`"), source })
}

/// Ticks of the cores' time that a process has used.
pub fn cpu_seconds(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name, in parentheses, may have spaces in it.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: f64 = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / TICKS_PER_SECOND
}

/// The kernel shows times in this unit on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

pub fn resident_bytes(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse::<f64>().map_or(0.0, |kibibytes| kibibytes * 1024.0)
}

/// The command without the folders of this machine.
fn shown(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy();
    let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
    format!("{name} {}", arguments.join(" "))
}
