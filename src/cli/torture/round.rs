//! One round: load, the server's end in its middle, damage, the next start, the rest of the load, the audit.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::faults::{self, Damage};
use super::loop_disk::LoopDisk;
use super::plan::{End, Fault};
use super::preload::{FailingCalls, FalseClock};
use super::report::Round;
use crate::cli::failure::Failure;
use crate::cli::trial::LOOK_PERIOD;
use crate::cli::trial::child::{PATIENCE, Process, Server, Serving};
use crate::cli::trial::ground::Ground;

/// Snapshots often, and small segments, so that a short load has many of both.
pub const SERVE: [&str; 4] = ["--snapshot-period", "700ms", "--segment-mib", "1"];

/// Wallets whose entries are added up after each round; after all rounds it is more.
const WALLETS_CHECKED: u32 = 50;

/// A ledger under siege: what stays from one round to the next.
#[derive(Debug)]
pub struct Siege {
    pub ground: Ground,
    pub disk: Option<LoopDisk>,
    pub calls: Option<FailingCalls>,
    pub clock: Option<FalseClock>,
    pub key: SecretString,
    /// Every server listens at the same place, so that the load finds the next one.
    pub address: String,
    pub round_time: Duration,
    pub wallets: u32,
}

impl Siege {
    /// One round, from a server that runs to a server that runs.
    pub fn round(
        &mut self,
        number: u32,
        end: End,
        fault: Option<Fault>,
        server: Server,
    ) -> Result<(Round, Server), Failure> {
        let mut problems = Vec::new();
        let list = self.list(number);
        let report = self.ground.path("load.json");
        if report.is_file() {
            fs::remove_file(&report).map_err(Failure::file("remove", &report))?;
        }
        let slowest_start = server.ready.elapsed;
        let mut load = self.load(&list, &report)?;
        let round_millis = u64::try_from(self.round_time.as_millis()).unwrap_or(u64::MAX);
        self.wait(&mut load, Duration::from_millis(rand::random_range(round_millis / 5..=round_millis * 4 / 5)))?;
        let mut damage = self.end(end, server, &mut problems)?;

        let mut put_in = None;
        if let Some(fault) = fault
            && let Some(done) = faults::put_in(fault, &self.ground, &mut problems)?
        {
            (put_in, damage) = (Some(fault), done);
        }
        if end == End::KillInRecovery {
            self.kill_in_recovery(slowest_start)?;
        }
        let server = self.start()?;
        faults::check(&damage, &server.ready, end == End::KillInRecovery, &mut problems)?;
        if fault == Some(Fault::SecondServer) {
            faults::second_server(&self.ground, &mut problems)?;
        }
        self.wait_for_end(&mut load)?;
        let loaded = self.ground.load_report(&load, &report)?;
        let number_of = |name: &str| loaded[name].as_u64().unwrap_or_default();
        for name in ["wrong", "errors", "unheard"] {
            if number_of(name) > 0 && !(name == "errors" && end.has_no_disk() && only_failed_reads(&loaded)) {
                problems.push(format!("{} requests of the load were {name}: {}", number_of(name), loaded["problems"]));
            }
        }

        let audit = self.ground.audit(&server.url, self.key.expose_secret(), &list, WALLETS_CHECKED)?;
        let different = audit.different + audit.refusals_different + audit.wallets_different;
        if audit.missing + different > 0 || audit.found != audit.acknowledged || !audit.sums_zero {
            problems
                .push(format!("the audit found {} lost, {different} different: {:?}", audit.missing, audit.problems));
        }
        if audit.acknowledged == 0 {
            problems.push("nothing was acknowledged, so nothing was tried".to_owned());
        }
        let round = Round {
            number,
            end,
            fault: put_in,
            acknowledged: audit.acknowledged,
            recovered: audit.found,
            lost: audit.missing,
            different,
            replayed_requests: number_of("replayed"),
            sums_zero: audit.sums_zero,
            recovered_in_seconds: server.ready.elapsed.as_secs_f64(),
            replayed_records: server.ready.replayed_records,
            torn_tail_bytes: server.ready.torn_tail_bytes,
            torn_here: matches!(damage, Damage::TornTail { .. }),
            problems,
        };
        Ok((round, server))
    }

    /// What every server on this ground has in front of the system's calls.
    pub fn env(&self) -> &[String] {
        let calls = self.calls.iter().map(|calls| &calls.env);
        calls.chain(self.clock.iter().map(|clock| &clock.env)).next().map_or(&[], Vec::as_slice)
    }

    pub fn serving(&self) -> Serving<'_> {
        Serving { env: self.env(), ..self.ground.serving(&self.address, &SERVE) }
    }

    /// A server on this ground instead of one that has what no other here has.
    pub fn start_after(&self, other: Server) -> Result<Server, Failure> {
        other.stop(&self.ground.interrupted)?;
        self.start()
    }

    fn start(&self) -> Result<Server, Failure> {
        let server = self.serving().start(&self.ground.interrupted)?;
        if self.clock.is_some() {
            FalseClock::tidy_up_after(server.pid());
        }
        // Only a new ledger shows a key: there is nothing left then that could be asked for what is lost.
        if server.api_key.is_some() {
            return Err(Failure::Usage("the whole ledger is LOST: the server has begun a new one".to_owned()));
        }
        Ok(server)
    }

    /// What was acknowledged in a round.
    pub fn list(&self, number: u32) -> PathBuf {
        self.ground.path(&format!("acknowledged-{number}"))
    }

    fn load(&self, list: &PathBuf, report: &PathBuf) -> Result<Process, Failure> {
        let mut command = Command::new(&self.ground.programs.loadtest);
        command.args([
            "run",
            "--quiet",
            "--reconnect",
            "--skip-setup",
            "--stop-with-stdin",
            "--url",
            &format!("http://{}", self.address),
        ]);
        command.args(["--duration", &format!("{}ms", self.round_time.as_millis())]);
        command.args(["--wallets", &self.wallets.to_string(), "--funds", "1000", "--amount-max", "100"]);
        command.args(["--mix", "transfers=82,holds=8,reads=5,repeats=5", "--mode", "pipelined", "--connections", "32"]);
        command.arg("--acknowledged").arg(list).arg("--json").arg(report);
        command.env("FLORIN_API_KEY", self.key.expose_secret());
        Process::start("the load generator", command, &self.ground.path("load.log"))
    }

    fn wait(&self, load: &mut Process, time: Duration) -> Result<(), Failure> {
        let began = Instant::now();
        while began.elapsed() < time {
            if load.ended()?.is_some() {
                return Err(load.failed("ended too soon"));
            }
            self.ground.check_interrupted()?;
            std::thread::sleep(LOOK_PERIOD.min(time));
        }
        Ok(())
    }

    fn wait_for_end(&self, load: &mut Process) -> Result<(), Failure> {
        let began = Instant::now();
        while load.ended()?.is_none() {
            self.ground.check_interrupted()?;
            if began.elapsed() > self.round_time + PATIENCE {
                return Err(load.failed("does not come to an end"));
            }
            std::thread::sleep(LOOK_PERIOD);
        }
        Ok(())
    }
}

/// A disk without power gives nothing to read either, and the server says so: no answer that is wrong.
fn only_failed_reads(loaded: &Value) -> bool {
    let mut told = loaded["problems"].as_array().into_iter().flatten().filter_map(Value::as_str);
    told.all(|problem| problem.contains("STORAGE_FAILED"))
}
