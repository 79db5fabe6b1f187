//! The machine: what it is, and whether it is quiet enough to measure on.

use std::fs;
use std::time::{Duration, Instant};

use serde::Serialize;

/// Share of the cores' time that nothing else may use.
const IDLE_PERCENT_MIN: f64 = 90.0;
/// For so many windows one after another.
const WINDOWS: u32 = 3;
const WINDOW: Duration = Duration::from_millis(500);

/// Facts for the report.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub memory_gib: f64,
    pub kernel: String,
    pub file_system: String,
}

impl Machine {
    pub fn here(dir: &std::path::Path) -> Machine {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let after = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':').map_or(String::new(), |(_, value)| value.trim().to_owned())
        };
        let memory = after(&read("/proc/meminfo"), "MemTotal");
        let kibibytes: f64 = memory.trim_end_matches(" kB").parse().unwrap_or(0.0);
        Machine {
            processor: after(&read("/proc/cpuinfo"), "model name"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: (kibibytes / 1024.0 / 1024.0 * 10.0).round() / 10.0,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            file_system: file_system(dir, &read("/proc/mounts")),
        }
    }
}

/// The type of the mount that `dir` is on: the longest one that is a beginning of its path.
fn file_system(dir: &std::path::Path, mounts: &str) -> String {
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let found = mounts.filter(|(place, _)| dir.starts_with(place)).max_by_key(|(place, _)| place.len());
    found.map_or(String::new(), |(_, kind)| kind.to_owned())
}

/// Time of all cores since the machine started, in ticks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    idle: u64,
    stolen: u64,
    all: u64,
}

impl Cpu {
    pub fn now() -> Cpu {
        Cpu::read(&fs::read_to_string("/proc/stat").unwrap_or_default())
    }

    /// user, nice, system, idle, iowait, irq, softirq, steal; what comes after is in user already.
    fn read(text: &str) -> Cpu {
        let line = text.lines().next().unwrap_or_default();
        let ticks: Vec<u64> = line.split_whitespace().skip(1).take(8).map(|field| field.parse().unwrap_or(0)).collect();
        let at = |index: usize| ticks.get(index).copied().unwrap_or(0);
        Cpu { idle: at(3) + at(4), stolen: at(7), all: ticks.iter().sum() }
    }

    /// What the host took from this virtual machine.
    pub fn stolen_percent_since(&self, before: &Cpu) -> f64 {
        percent(self.stolen.saturating_sub(before.stolen), self.all.saturating_sub(before.all))
    }

    fn idle_percent_since(&self, before: &Cpu) -> f64 {
        percent(self.idle.saturating_sub(before.idle), self.all.saturating_sub(before.all))
    }
}

fn percent(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 * 100.0 / all as f64 }
}

/// Waits until nothing else runs, for as long as there is patience; whether it came to that.
pub fn wait_until_quiet(patience: Duration) -> bool {
    let began = Instant::now();
    let mut quiet_windows = 0;
    while quiet_windows < WINDOWS {
        if began.elapsed() > patience {
            return false;
        }
        let before = Cpu::now();
        std::thread::sleep(WINDOW);
        let is_quiet = Cpu::now().idle_percent_since(&before) >= IDLE_PERCENT_MIN;
        quiet_windows = if is_quiet { quiet_windows + 1 } else { 0 };
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_the_cores_time() {
        let before = Cpu::read("cpu  100 0 100 800 0 0 0 0 5 5\ncpu0 1 1 1 1\n");
        let after = Cpu::read("cpu  105 0 105 880 5 0 0 5 9 9\n");
        assert_eq!((after.idle_percent_since(&before), after.stolen_percent_since(&before)), (85.0, 5.0));
        assert_eq!(Cpu::read("").idle_percent_since(&Cpu::default()), 0.0);
    }

    #[test]
    fn the_mount_of_a_folder() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n";
        let check = |dir: &str| file_system(std::path::Path::new(dir), mounts);
        assert_eq!((check("/srv/x").as_str(), check("/tmp/x").as_str()), ("ext4", "tmpfs"));
    }
}
