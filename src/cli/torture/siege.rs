//! All rounds on all grounds: an ordinary folder, a disk whose power is cut, a disk that runs full, a disk that errs, a
//! clock that jumps; and what each ground is held to when its rounds are over.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::plan::{self, End, Fault};
use super::report::{GroundReport, Report, Round};
use super::round::{SERVE, Siege};
use super::site::{Built, Site};
use super::{TortureArgs, broken_disk, jumps};
use crate::cli::failure::{Failure, with_causes};
use crate::cli::screen;
use crate::cli::trial::Programs;
use crate::cli::trial::child::{Process, Server};
use crate::cli::trial::ground::{Folder, Ground};

const WALLETS_CHECKED: u32 = 1000;
/// A disk that has room for many rounds, and one that is full soon.
const POWER_DISK_MIB: u64 = 1024;
const FULL_DISK_MIB: u64 = 160;
/// A disk has to run full within a round's load.
const FULL_DISK_ROUND: Duration = Duration::from_secs(10);

/// One sort of rounds.
struct Part {
    name: &'static str,
    rounds: u32,
    round_time: Duration,
    site: Site,
    plan: fn(u32) -> (End, Option<Fault>),
}

pub fn run(
    args: &TortureArgs,
    programs: Programs,
    folder: PathBuf,
    interrupted: Arc<AtomicBool>,
) -> Result<Report, Failure> {
    fs::create_dir(&folder).map_err(Failure::file("make the new folder", &folder))?;
    let folder = fs::canonicalize(&folder).map_err(Failure::file("find", &folder))?;
    let mut folder = Folder { path: folder, keep: args.keep };
    let report = all_parts(args, &programs, &folder.path, &interrupted);
    // What went wrong is evidence, so it is left where it is.
    let is_evidence = match &report {
        Ok(report) => !report.all_well(),
        Err(failure) => !matches!(failure, Failure::Interrupted),
    };
    if is_evidence {
        folder.keep = true;
        eprintln!("florin: everything is left in {}", folder.path.display());
    }
    report
}

fn all_parts(
    args: &TortureArgs,
    programs: &Programs,
    folder: &Path,
    interrupted: &Arc<AtomicBool>,
) -> Result<Report, Failure> {
    let began = Instant::now();
    let mut report = Report::default();
    let numbered = |number| {
        let (end, fault) = plan::round(number);
        (end, Some(fault))
    };
    let parts = [
        Part { name: "kills", rounds: args.rounds, round_time: args.round_time, site: Site::Folder, plan: numbered },
        Part {
            name: "power cuts",
            rounds: args.power_cuts,
            round_time: args.round_time,
            site: Site::Disk { mib: POWER_DISK_MIB },
            plan: |_| (End::PowerCut, None),
        },
        Part {
            name: "full disks",
            rounds: args.full_disks,
            round_time: args.round_time.max(FULL_DISK_ROUND),
            site: Site::Disk { mib: FULL_DISK_MIB },
            plan: |_| (End::DiskFull, None),
        },
        Part {
            name: "disk errors",
            rounds: args.disk_errors,
            round_time: args.round_time,
            site: Site::FailingCalls,
            plan: |number| (plan::disk_error(number), None),
        },
        Part {
            name: "clock jumps",
            rounds: args.clock_jumps,
            round_time: args.round_time,
            site: Site::FalseClock,
            plan: |number| (plan::clock_jump(number), None),
        },
    ];
    for part in parts.into_iter().filter(|part| part.rounds > 0) {
        let teller = Teller { began, to_stderr: args.json };
        let path = folder.join(part.name.replace(' ', "-"));
        fs::create_dir(&path).map_err(Failure::file("make the folder", &path))?;
        let built = match part.site.build(&path) {
            Ok(built) => built,
            Err(why) => {
                report.skipped.push(format!("{} rounds of {}: {why}", part.rounds, part.name));
                teller.say(&format!("SKIPPED: {} rounds of {}: {why}", part.rounds, part.name));
                continue;
            }
        };
        // A server that does not start again is the worst finding of all, so a failure here is one.
        match besiege(args, &part, programs, path, built, interrupted, &teller, &mut report) {
            Err(Failure::Interrupted) => return Err(Failure::Interrupted),
            Err(failure) => report.unfinished.push(format!("{}: {}", part.name, with_causes(&failure))),
            Ok(()) => {}
        }
    }
    report.seconds = began.elapsed().as_secs_f64();
    report.verdict = match (report.rounds.is_empty(), report.all_well()) {
        (_, false) => "wrong",
        (true, true) => "nothing done",
        (false, true) => "fine",
    };
    Ok(report)
}

#[allow(clippy::too_many_arguments)] // It is the middle of `run`, for one part of it.
fn besiege(
    args: &TortureArgs,
    part: &Part,
    programs: &Programs,
    path: PathBuf,
    built: Built,
    interrupted: &Arc<AtomicBool>,
    teller: &Teller,
    report: &mut Report,
) -> Result<(), Failure> {
    let Built { disk, calls, clock } = built;
    let data_dir = disk.as_ref().map_or(path.as_path(), |disk| disk.mount_point.as_path()).join("data");
    let folder = Folder { path, keep: true };
    let ground = Ground { programs: programs.clone(), interrupted: Arc::clone(interrupted), folder, data_dir };
    // The first server chooses the address, and is not the one that is tried.
    let first = ground.serving("127.0.0.1:0", &SERVE).start(interrupted)?;
    let key = first.api_key.clone().ok_or_else(|| Failure::Usage("the server showed no API key".to_owned()))?;
    let mut siege = Siege {
        address: first.address().to_owned(),
        key: SecretString::from(key),
        round_time: part.round_time,
        wallets: args.wallets,
        ground,
        disk,
        calls,
        clock,
    };
    // Declared after the siege, so that on the way out of a failure it ends before its disk is unmounted.
    let mut server = if siege.env().is_empty() { first } else { siege.start_after(first)? };
    teller.say(&format!("{}: {} rounds on {}", part.name, part.rounds, siege.ground.data_dir.display()));
    broken_disk::open_witness(&server.url, &siege.key)?;
    if siege.clock.is_some() {
        jumps::give_money_to_hold(&server.url, &siege.key)?;
    }
    open_wallets(&siege, &server)?;
    let bar = screen::bar(part.name, u64::from(part.rounds));
    for number in 0..part.rounds {
        let (end, fault) = (part.plan)(number);
        let (round, next) = siege.round(number + 1, end, fault, server)?;
        server = next;
        bar.suspend(|| teller.say(&round.line()));
        bar.inc(1);
        report.rounds.push(round);
    }
    bar.finish_and_clear();
    let ours = &report.rounds[report.rounds.len() - part.rounds as usize..];
    report.grounds.push(hold_to_all(&siege, part, server, ours, teller)?);
    Ok(())
}

/// Opens and funds the wallets of all rounds; what it was answered is audited with the rest in the end.
fn open_wallets(siege: &Siege, server: &Server) -> Result<(), Failure> {
    let mut command = Command::new(&siege.ground.programs.loadtest);
    command.args(["run", "--quiet", "--url", &server.url, "--transfers", "1", "--funds", "1000"]);
    command.args(["--wallets", &siege.wallets.to_string()]).arg("--acknowledged").arg(siege.list(0));
    command.env("FLORIN_API_KEY", siege.key.expose_secret());
    let opening = Process::start("the load generator", command, &siege.ground.path("load.log"))?;
    match opening.finish(&siege.ground.interrupted)? {
        (0, _) => Ok(()),
        (code, _) => Err(Failure::Usage(format!("opening the wallets ended with {code}"))),
    }
}

/// Everything once more, after the last round: all lists, every id, the folder, and two replays.
fn hold_to_all(
    siege: &Siege,
    part: &Part,
    server: Server,
    rounds: &[Round],
    teller: &Teller,
) -> Result<GroundReport, Failure> {
    let ground = &siege.ground;
    teller.say(&format!("{}: asking for everything that was acknowledged in all rounds", part.name));
    let all = ground.path("acknowledged");
    let lists: Vec<PathBuf> = (0..=rounds.len() as u32).map(|number| siege.list(number)).collect();
    join(&lists, &all)?;
    let audit = ground.audit(&server.url, siege.key.expose_secret(), &all, WALLETS_CHECKED)?;
    server.terminate(&ground.interrupted)?;
    teller.say(&format!("{}: verifying log, snapshots, indexes and books; replaying them twice", part.name));
    let verified = ground.florin_json("verify", &[], "verdict")?;
    let by_book = ground.florin_json("replay", &[], "state_hash")?;
    let by_shards = ground.florin_json("replay", &["--shards", "3"], "state_hash")?;
    let played = ground.play_through()?;

    let mut problems = audit.problems;
    let different = audit.different + audit.refusals_different + audit.wallets_different;
    if audit.missing + different > 0 || audit.found != audit.acknowledged {
        problems.push(format!("{} of {} were lost, {different} different", audit.missing, audit.acknowledged));
    }
    if !audit.sums_zero {
        problems.push(format!("the books do not sum to zero: {:?}", audit.sums));
    }
    if played.doubled > 0 {
        problems.push(format!("{} requests happened twice", played.doubled));
    }
    if played.times_back > 0 {
        problems.push(format!("the log's time went back {} times", played.times_back));
    }
    let verdict = verified["verdict"].as_str().unwrap_or("no verdict").to_owned();
    if verdict != "fine" {
        let found: Vec<&Value> = verified["findings"].as_array().into_iter().flatten().collect();
        problems.push(format!("florin verify: {found:?}"));
    }
    if by_book["state_hash"] != by_shards["state_hash"] {
        problems.push(format!(
            "replayed to {} by the book, to {} by shards",
            by_book["state_hash"], by_shards["state_hash"]
        ));
    }
    Ok(GroundReport {
        name: part.name,
        acknowledged: audit.acknowledged,
        recovered: audit.found,
        lost: audit.missing,
        doubled: played.doubled,
        sums: audit.sums,
        verify: verdict,
        last_lsn: by_book["last_lsn"].as_u64().unwrap_or_default(),
        state_hash: by_book["state_hash"].as_str().unwrap_or_default().to_owned(),
        problems,
    })
}

fn join(lists: &[PathBuf], all: &Path) -> Result<(), Failure> {
    let mut out = File::create(all).map_err(Failure::file("make", all))?;
    for list in lists {
        let mut from = File::open(list).map_err(Failure::file("read", list))?;
        io::copy(&mut from, &mut out).map_err(Failure::file("read", list))?;
    }
    Ok(())
}

/// Tells what happens meanwhile.
struct Teller {
    began: Instant,
    to_stderr: bool,
}

impl Teller {
    fn say(&self, what: &str) {
        let line = format!("{:>7.1} s  {what}", self.began.elapsed().as_secs_f64());
        if self.to_stderr {
            eprintln!("{line}");
        } else if screen::print(&format!("{line}\n")).is_err() {
            tracing::debug!("nobody reads the standard output");
        }
    }
}
