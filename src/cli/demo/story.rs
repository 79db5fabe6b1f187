//! What happens in the demo, in its order.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use rand::RngExt as _;
use serde_json::Value;

use super::DemoArgs;
use super::outcome::{Kill, Outcome};
use crate::cli::failure::Failure;
use crate::cli::screen::{self, grouped};
use crate::cli::trial::child::{PATIENCE, Process, Server};
use crate::cli::trial::ground::{Folder, Ground};
use crate::cli::trial::{LOOK_PERIOD, Programs};

/// So many seconds of load are worth another kill.
const SECONDS_PER_KILL: u16 = 7;
const KILLS_MIN: u16 = 2;
const KILLS_MAX: u16 = 8;

/// Wallets whose entries are added up in the audit.
const WALLETS_CHECKED: u32 = 1000;

pub struct Story {
    args: DemoArgs,
    ground: Ground,
    began: Instant,
}

impl Story {
    pub fn begin(args: &DemoArgs, programs: Programs, interrupted: Arc<AtomicBool>) -> Result<Story, Failure> {
        let path = std::env::temp_dir().join(format!("florin-demo-{}", std::process::id()));
        fs::create_dir(&path).map_err(Failure::file("make the folder", &path))?;
        let data_dir = path.join("data");
        let ground = Ground { programs, interrupted, folder: Folder { path, keep: args.keep }, data_dir };
        Ok(Story { args: args.clone(), ground, began: Instant::now() })
    }

    pub fn tell(self) -> Result<Outcome, Failure> {
        let server = self.start("127.0.0.1:0")?;
        let key = server.api_key.clone().ok_or_else(|| Failure::Usage("the server showed no API key".to_owned()))?;
        let address = server.address().to_owned();
        self.say(&format!("a server listens on {}, its data is in {}", server.url, self.ground.folder.path.display()));

        let mut outcome = Outcome::default();
        let server = self.load(server, &key, &mut outcome)?;
        self.say("the load is over; the server is stopped and started again");
        server.stop(&self.ground.interrupted)?;
        let server = self.start(&address)?;
        self.say("asking it for everything that it acknowledged");
        self.audit(&server, &key, &mut outcome)?;
        server.stop(&self.ground.interrupted)?;

        self.say("verifying log, snapshots, indexes and books; replaying by the book and by 3 shards");
        let verified = self.ground.florin_json("verify", &[], "verdict")?;
        outcome.verify = verified["verdict"].as_str().unwrap_or("no verdict").to_owned();
        for finding in verified["findings"].as_array().into_iter().flatten() {
            self.say(&format!("verify: {}", finding["what"].as_str().unwrap_or_default()));
        }
        let hash = |summary: &Value| summary["state_hash"].as_str().unwrap_or_default().to_owned();
        let by_book = self.ground.florin_json("replay", &[], "state_hash")?;
        outcome.state_hash = hash(&by_book);
        outcome.last_lsn = by_book["last_lsn"].as_u64().unwrap_or_default();
        outcome.state_hash_by_shards = hash(&self.ground.florin_json("replay", &["--shards", "3"], "state_hash")?);
        outcome.doubled = self.ground.play_through()?.doubled;
        outcome.seconds = self.began.elapsed().as_secs_f64();
        if self.args.keep {
            self.say(&format!("everything is left in {}", self.ground.folder.path.display()));
        }
        Ok(outcome)
    }

    /// Puts load on, kills and starts the server meanwhile; gives the one that is left standing.
    fn load(&self, server: Server, key: &str, outcome: &mut Outcome) -> Result<Server, Failure> {
        let DemoArgs { seconds, wallets, .. } = self.args;
        let report = self.ground.path("load.json");
        let mut command = Command::new(&self.ground.programs.loadtest);
        command.args(["run", "--quiet", "--stop-with-stdin", "--url", &server.url, "--reconnect"]);
        command.args(["--duration", &format!("{seconds}s"), "--wallets", &wallets.to_string()]);
        command.args(["--mix", "transfers=82,holds=8,reads=5,repeats=5", "--funds", "1000", "--amount-max", "100"]);
        command.arg("--acknowledged").arg(self.acknowledged()).arg("--json").arg(&report).env("FLORIN_API_KEY", key);
        let mut load = Process::start("the load generator", command, &self.ground.path("load.log"))?;
        self.ground.wait_for_transfers(&mut load, &self.acknowledged())?;
        self.say(&format!(
            "{} wallets are open; {seconds} s of transfers, holds, captures, reads and repeats begin",
            grouped(u64::from(wallets))
        ));

        let bar = screen::bar("load", u64::from(seconds));
        let began = Instant::now();
        let mut server = server;
        for moment in kill_moments(seconds) {
            self.wait(&mut load, &bar, began, moment)?;
            let at_seconds = began.elapsed().as_secs_f64();
            let address = server.address().to_owned();
            server.kill()?;
            let lines = self.acknowledged_count()?;
            self.tell_beside(&bar, &format!("kill -9, with {} acknowledged so far", grouped(lines)));
            server = self.start(&address)?;
            let ready = server.ready;
            let torn = match ready.torn_tail_bytes {
                0 => "no write was torn".to_owned(),
                bytes => format!("a torn write of {} bytes cut off", grouped(bytes)),
            };
            self.tell_beside(
                &bar,
                &format!(
                    "back in {} at position {}: {} records replayed, {torn}",
                    screen::seconds(ready.elapsed),
                    grouped(ready.last_lsn),
                    grouped(ready.replayed_records)
                ),
            );
            outcome.kills.push(Kill {
                at_seconds,
                recovered_in_seconds: ready.elapsed.as_secs_f64(),
                replayed_records: ready.replayed_records,
                torn_tail_bytes: ready.torn_tail_bytes,
            });
        }
        let limit = Duration::from_secs(u64::from(seconds)) + PATIENCE;
        while load.ended()?.is_none() {
            if began.elapsed() > limit {
                return Err(load.failed("does not come to an end"));
            }
            self.pause(&bar, began)?;
        }
        bar.finish_and_clear();
        let report = self.ground.load_report(&load, &report)?;
        let number = |name: &str| report[name].as_u64().unwrap_or_default();
        outcome.replayed = number("replayed");
        outcome.wrong_answers = number("wrong");
        outcome.errors = number("errors") + number("unheard");
        outcome.accepted_per_second = report["accepted_per_second"].as_f64().unwrap_or_default().round() as u64;
        for problem in report["problems"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            self.say(&format!("load: {problem}"));
        }
        Ok(server)
    }

    fn audit(&self, server: &Server, key: &str, outcome: &mut Outcome) -> Result<(), Failure> {
        let found = self.ground.audit(&server.url, key, &self.acknowledged(), WALLETS_CHECKED)?;
        outcome.acknowledged = found.acknowledged;
        outcome.found = found.found;
        outcome.lost = found.missing;
        outcome.different = found.different;
        outcome.refusals = found.refusals;
        outcome.refusals_different = found.refusals_different;
        outcome.wallets_checked = found.wallets_checked;
        outcome.wallets_different = found.wallets_different;
        outcome.sums_zero = found.sums_zero;
        outcome.sums = found.sums;
        for problem in found.problems {
            self.say(&format!("audit: {problem}"));
        }
        Ok(())
    }

    fn wait(&self, load: &mut Process, bar: &ProgressBar, began: Instant, until: Duration) -> Result<(), Failure> {
        while began.elapsed() < until {
            if load.ended()?.is_some() {
                return Err(load.failed("ended too soon"));
            }
            self.pause(bar, began)?;
        }
        Ok(())
    }

    fn pause(&self, bar: &ProgressBar, began: Instant) -> Result<(), Failure> {
        self.ground.check_interrupted()?;
        bar.set_position(began.elapsed().as_secs());
        std::thread::sleep(LOOK_PERIOD);
        Ok(())
    }

    fn start(&self, listen: &str) -> Result<Server, Failure> {
        self.ground.serving(listen, &["--snapshot-period", "3s"]).start(&self.ground.interrupted)
    }

    fn acknowledged_count(&self) -> Result<u64, Failure> {
        let path = self.acknowledged();
        let bytes = fs::read(&path).map_err(Failure::file("read", &path))?;
        Ok(bytes.iter().filter(|byte| **byte == b'\n').count() as u64)
    }

    fn acknowledged(&self) -> PathBuf {
        self.ground.path("acknowledged")
    }

    fn tell_beside(&self, bar: &ProgressBar, what: &str) {
        bar.suspend(|| self.say(what));
    }

    fn say(&self, what: &str) {
        let line = format!("{:>7.1} s  {what}", self.began.elapsed().as_secs_f64());
        if self.args.json {
            eprintln!("{line}");
        } else if screen::print(&format!("{line}\n")).is_err() {
            tracing::debug!("nobody reads the standard output");
        }
    }
}

/// Random moments, one in each equal part of the load and none close to its ends.
fn kill_moments(seconds: u16) -> Vec<Duration> {
    let kills = (seconds / SECONDS_PER_KILL).clamp(KILLS_MIN, KILLS_MAX);
    let part_millis = u64::from(seconds) * 900 / u64::from(kills);
    let mut rng = rand::rng();
    (0..u64::from(kills))
        .map(|kill| Duration::from_millis(kill * part_millis + rng.random_range(part_millis / 4..part_millis)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_lie_within_the_load_and_apart() {
        for seconds in [4, 7, 20, 3600] {
            let moments = kill_moments(seconds);
            assert!(moments.len() >= 2 && moments.is_sorted(), "{seconds}: {moments:?}");
            assert!(
                moments[0] >= Duration::from_millis(400) && moments.last() < Some(&Duration::from_secs(seconds.into()))
            );
        }
    }
}
