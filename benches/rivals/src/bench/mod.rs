//! `bench`: runs rows of docs/performance.md, each in turn with what it is compared with (A B A B ...), on a machine
//! that has been seen to be quiet, and writes a page and a JSON file. The rows stand in `rows`.

mod flame;
mod goals;
mod job;
mod machine;
mod page;
mod plot;
mod postgres;
mod process;
mod report;
mod rows;
mod stage;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::error::{Error, with_causes};
use crate::figures::seconds;
use report::{Report, RowReport, SideReport};
use rows::Row;
use stage::Stage;

#[derive(clap::Args, Debug)]
pub struct BenchArgs {
    /// Rows to run [default: all]
    #[arg(value_name = "ROW")]
    rows: Vec<String>,
    /// Name the rows, and run none
    #[arg(long)]
    list: bool,
    /// Two turns of a second and smaller ledgers: to see that a change is worth a full run
    #[arg(long, conflicts_with = "smoke")]
    quick: bool,
    /// Every row for a fraction of a second, on a machine that may be busy: only to see that every row gives figures
    #[arg(long)]
    smoke: bool,
    /// Draw a flame graph of each row's first side instead, and count its system calls, into the folder flames
    #[arg(long)]
    flames: bool,
    /// Turns of each side of a row
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1000))]
    turns: Option<u16>,
    /// Seconds of each turn
    #[arg(long, value_parser = seconds)]
    seconds: Option<Duration>,
    /// Wallets of the rows about large ledgers
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..))]
    wallets: Option<u32>,
    /// How long to wait for a quiet machine, in seconds, before each turn
    #[arg(long, default_value = "120", value_parser = seconds)]
    patience: Duration,
    /// Where the report goes, and data folders while they are needed: on the disk that is to be measured
    /// [default: target/bench, or target/bench/smoke]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Where the programs florin and loadtest are [default: beside this one]
    #[arg(long)]
    programs: Option<PathBuf>,
}

/// What a run is made with.
#[derive(Clone, Debug)]
pub struct Settings {
    pub turns: u16,
    pub time: Duration,
    /// Wallets of the rows about large ledgers, and of the middle ones.
    pub large: u32,
    pub middle: u32,
    pub small: u32,
    pub watch: Watch,
    /// So many transfers over HTTP instead of a time: on a busy machine a moment may pass without any.
    pub transfers: Option<u32>,
    /// `None`: whatever the machine does.
    pub patience: Option<Duration>,
    pub dir: PathBuf,
    pub programs: PathBuf,
}

/// What `perf` looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Watch {
    Nothing,
    Stacks,
    Counts,
}

/// One bulk request, or some hundred single ones.
const SMOKE_TRANSFERS: u32 = 500;

pub fn run(args: &BenchArgs) -> Result<ExitCode, Error> {
    let settings = settings(args)?;
    let rows = chosen(rows::all(&settings), &args.rows)?;
    if args.list {
        rows.iter().for_each(|row| println!("{:<22} {}", row.name, row.what));
        return Ok(ExitCode::SUCCESS);
    }
    let _alone = alone(&settings.dir)?;
    if args.flames {
        return flames(&rows, &settings);
    }
    let mut report = Report::new(&settings);
    for row in &rows {
        report.rows.push(measure(row, &settings)?);
        // After each row, so that a run that is broken off leaves what it had.
        report.write(&settings.dir)?;
    }
    println!("\n{}", settings.dir.join("report.html").display());
    Ok(ExitCode::from(u8::from(report.has_failures())))
}

/// Writes down what was counted, if anything was, for each transfer.
fn counted(run: Option<report::Run>, stage: &Stage<'_>, to: &Path) -> Result<(), Error> {
    let transfers = run.and_then(|run| run.figures.get("transfers").copied());
    match (transfers, flame::counts(&stage.path(job::COUNTS))?) {
        (Some(transfers), counts) if !counts.is_empty() && transfers > 0.0 => {
            let lines = counts.iter().map(|(name, count)| format!("{name} {:.4}\n", count / transfers));
            let text = format!("transfers {transfers}\nfor each transfer:\n{}", lines.collect::<String>());
            std::fs::write(to, text).map_err(Error::io(format!("write {}", to.display())))
        }
        _ => Ok(()),
    }
}

/// Makes the folder this program's own for as long as the file lives: two that measure at once would measure each other.
/// What a run that was broken off has left of its ledgers is removed.
fn alone(dir: &Path) -> Result<File, Error> {
    let shown = dir.display();
    std::fs::create_dir_all(dir).map_err(Error::io(format!("make {shown}")))?;
    let lock = File::create(dir.join("lock")).map_err(Error::io(format!("write to {shown}")))?;
    lock.try_lock().map_err(|_| Error::Failed(format!("another run has {shown}; wait for it, or give --dir")))?;
    for entry in std::fs::read_dir(dir).map_err(Error::io(format!("read {shown}")))?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(stage::FOLDER_PREFIX) {
            std::fs::remove_dir_all(entry.path()).map_err(Error::io("remove what an earlier run has left"))?;
        }
    }
    Ok(lock)
}

/// One turn of each row's first side. Watched programs are slower, so what they reach goes into no report.
fn flames(rows: &[Row], settings: &Settings) -> Result<ExitCode, Error> {
    if let Some(why) = flame::lacking() {
        println!("SKIPPED: {why}");
        return Ok(ExitCode::SUCCESS);
    }
    let dir = settings.dir.join("flames");
    std::fs::create_dir_all(&dir).map_err(Error::io(format!("make {}", dir.display())))?;
    let mut failures = 0;
    for row in rows {
        let Some(side) = row.sides.first() else { continue };
        for (watch, extension) in [(Watch::Stacks, "svg"), (Watch::Counts, "txt")] {
            let settings = Settings { watch, ..settings.clone() };
            let mut stage = Stage::new(&settings, row.name)?;
            let written = dir.join(row.name).with_extension(extension);
            match turn_of(side, &mut stage, &settings).and_then(|run| counted(run, &stage, &written)) {
                Ok(()) if written.exists() => println!("{:<22} {}", row.name, written.display()),
                Ok(()) => println!("{:<22} nothing to watch", row.name),
                Err(error) => {
                    failures += 1;
                    println!("{:<22} FAILED: {}", row.name, with_causes(&error));
                }
            }
        }
    }
    Ok(ExitCode::from(u8::from(failures > 0)))
}

fn settings(args: &BenchArgs) -> Result<Settings, Error> {
    let beside = || Some(std::env::current_exe().ok()?.parent()?.to_owned());
    let programs = args.programs.clone().or_else(beside);
    let programs = programs.ok_or_else(|| Error::Failed("give --programs".to_owned()))?;
    let absolute = |path: PathBuf| std::path::absolute(path).map_err(Error::io("find the present folder"));
    // Figures of a smoke test must not take the place of real ones.
    let default_dir = if args.smoke { "target/bench/smoke" } else { "target/bench" };
    let (turns, millis, large, middle, small) = match (args.quick, args.smoke) {
        (false, false) => (5, 5_000, 10_000_000, 1_000_000, 10_000),
        (true, _) => (2, 1_000, 1_000_000, 200_000, 10_000),
        (_, true) => (1, 50, 3_000, 2_000, 1_000),
    };
    Ok(Settings {
        turns: args.turns.unwrap_or(turns),
        time: args.seconds.unwrap_or(Duration::from_millis(millis)),
        large: args.wallets.unwrap_or(large),
        middle,
        small,
        watch: Watch::Nothing,
        transfers: args.smoke.then_some(SMOKE_TRANSFERS),
        patience: (!args.smoke).then_some(args.patience),
        dir: absolute(args.dir.clone().unwrap_or_else(|| default_dir.into()))?,
        programs: absolute(programs)?,
    })
}

fn chosen(rows: Vec<Row>, names: &[String]) -> Result<Vec<Row>, Error> {
    if let Some(unknown) = names.iter().find(|name| !rows.iter().any(|row| row.name == *name)) {
        let known: Vec<&str> = rows.iter().map(|row| row.name).collect();
        return Err(Error::Failed(format!("there is no row {unknown}; there are {}", known.join(", "))));
    }
    Ok(rows.into_iter().filter(|row| names.is_empty() || names.iter().any(|name| row.name == name)).collect())
}

/// All turns of a row, its sides in turn. A side that fails is told of and left out from there on.
fn measure(row: &Row, settings: &Settings) -> Result<RowReport, Error> {
    println!("\n{}: {}", row.name, row.what);
    let mut stage = Stage::new(settings, row.name)?;
    let mut sides: Vec<SideReport> = row.sides.iter().map(SideReport::new).collect();
    for turn in 0..settings.turns {
        for (side, found) in row.sides.iter().zip(&mut sides) {
            if found.failure.is_some() || found.skipped.is_some() {
                continue;
            }
            match turn_of(side, &mut stage, settings) {
                Ok(Some(run)) => {
                    println!("  {:>2} {:<28} {}", turn + 1, side.name, report::line(&run.figures));
                    found.add(run);
                }
                Ok(None) => found.skip(&stage),
                Err(error) => found.fail(with_causes(&error)),
            }
            if let Some(why) = found.failure.as_ref().or(found.skipped.as_ref()) {
                println!("     {:<28} {why}", side.name);
            }
        }
    }
    Ok(RowReport::new(row, sides, &settings.dir))
}

/// `None` if this machine has not got what the side needs.
fn turn_of(side: &rows::Side, stage: &mut Stage<'_>, settings: &Settings) -> Result<Option<report::Run>, Error> {
    if !job::prepare(&side.job, stage)? {
        return Ok(None);
    }
    let was_quiet = settings.patience.is_none_or(machine::wait_until_quiet);
    let before = machine::Cpu::now();
    let (figures, command) = job::run(&side.job, stage)?;
    let stolen_percent = machine::Cpu::now().stolen_percent_since(&before);
    Ok(Some(report::Run { figures, command, was_quiet, stolen_percent }))
}
