//! Flame graphs: `perf` samples a process, its stacks are folded together, and drawn as one SVG file.

mod draw;
mod fold;

use std::path::Path;
use std::process::Command;

use super::process;
use crate::error::Error;

/// So that it does not beat in time with anything that happens a round number of times a second.
const SAMPLES_PER_SECOND: &str = "499";

/// The same command, with `perf` looking at it, or at another process for as long as the command runs.
pub fn watched(command: &Command, process: Option<u32>, data: &Path) -> Command {
    let mut perf = Command::new("perf");
    perf.args(["record", "--quiet", "-F", SAMPLES_PER_SECOND, "-g", "-o"]).arg(data);
    if let Some(process) = process {
        perf.args(["-p", &process.to_string()]);
    }
    perf.arg("--").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => perf.env(name, value),
            None => perf.env_remove(name),
        };
    }
    perf
}

/// Draws what `perf` has written, but for one thread, if that only makes things ready.
pub fn draw(data: &Path, title: &str, without: Option<&str>, to: &Path) -> Result<(), Error> {
    let mut perf = Command::new("perf");
    perf.args(["script", "--no-inline", "-F", "comm,ip,sym", "-i"]).arg(data);
    let mut stacks = fold::fold(&process::output(&mut perf)?);
    stacks.retain(|stack, _| without.is_none_or(|thread| stack[0] != thread));
    if stacks.is_empty() {
        return Err(Error::Failed("perf has no samples of it".to_owned()));
    }
    std::fs::write(to, draw::svg(&stacks, title)).map_err(Error::io(format!("write {}", to.display())))
}

/// Why there can be no flame graphs here.
pub fn lacking() -> Option<String> {
    let tried = process::output(Command::new("perf").arg("--version"));
    tried.err().map(|_| "no perf on this machine (Debian: apt-get install linux-perf)".to_owned())
}
