//! What `perf` sees: samples of a process, whose stacks are folded together and drawn as one SVG file, and counts of what
//! it asks of the kernel.

mod draw;
mod fold;

use std::path::Path;
use std::process::Command;

use super::{Watch, process};
use crate::error::Error;

/// So that it does not beat in time with anything that happens a round number of times a second.
const SAMPLES_PER_SECOND: &str = "499";

/// Where a virtual machine shows no more, these still say how well work is shared between transfers.
const COUNTED: &str = "raw_syscalls:sys_enter,context-switches,page-faults";

/// The same command, with `perf` looking at it, or at another process for as long as the command runs.
pub fn watched(command: &Command, process: Option<u32>, watch: Watch, data: &Path) -> Command {
    let mut perf = Command::new("perf");
    match watch {
        Watch::Counts => perf.args(["stat", "-x", ",", "-e", COUNTED, "-o"]).arg(data),
        _ => perf.args(["record", "--quiet", "-F", SAMPLES_PER_SECOND, "-g", "-o"]).arg(data),
    };
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

/// What `perf stat` has written: a count, its unit, its name, and more, with commas between. None if it has not run.
pub fn counts(data: &Path) -> Result<Vec<(String, f64)>, Error> {
    if !data.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(data).map_err(Error::io("read the counts"))?;
    let count = |line: &str| {
        let mut fields = line.split(',');
        let value = fields.next()?.parse().ok()?;
        Some((fields.nth(1)?.to_owned(), value))
    };
    Ok(text.lines().filter_map(count).collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_perf() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "# started on\n\n812,,raw_syscalls:sys_enter,99,100.00,,\n<not counted>,,x,0,,\n")
            .unwrap();
        assert_eq!(counts(file.path()).unwrap(), [("raw_syscalls:sys_enter".to_owned(), 812.0)]);
        assert_eq!(counts(Path::new("/there/is/no/such/file")).unwrap(), []);
    }
}
