//! The rows: what is measured, in turn with what, and what is wanted of it. Data only; how a job is done is in `job`.

use super::Settings;
use super::goals::{Goal, Wanted};
use super::job::{Caller, Job, Load, Target};
use super::postgres::Way;

use Wanted::{Least, LeastOf, Most, MostOf};

/// One line of the table.
pub struct Row {
    pub name: &'static str,
    pub what: String,
    pub sides: Vec<Side>,
    pub goals: Vec<Goal>,
}

/// One of the things that are run in turn. The first one of a row is Florin as it is.
pub struct Side {
    pub name: &'static str,
    pub job: Job,
}

pub fn all(settings: &Settings) -> Vec<Row> {
    let mut rows = in_process(settings);
    rows.extend(bulk(settings));
    rows.extend(single(settings));
    rows.extend(callers(settings));
    rows.extend(at_rest(settings));
    rows
}

const FLORIN: &str = "florin";
const BARE: &str = "bare";
const DISK: &str = "the disk alone";
const RATE: &str = "per_second";

fn in_process(settings: &Settings) -> Vec<Row> {
    let engine = |name, more: &[&str]| {
        let mut arguments = vec!["engine"];
        arguments.extend(more);
        if settings.transfers.is_some() {
            arguments.extend(["--batch", "500"]);
        }
        side(name, Job::program(&arguments, Some(settings.time)))
    };
    let disk = ["disk", "--bytes", "1048576", "--in-transfers", "--file-mib", file_mib(settings)];
    let (middle, largest) = (settings.middle.to_string(), settings.large.to_string());
    let hundred = settings.middle.min(100_000).to_string();
    vec![
        Row {
            name: "engine",
            what: format!("in process, to fdatasync, ids claimed, {hundred} wallets, batches of 8,190"),
            sides: vec![engine(FLORIN, &["--wallets", &hundred]), side(DISK, Job::program(&disk, Some(settings.time)))],
            goals: vec![goal(FLORIN, RATE, Least(3e6))],
        },
        Row {
            name: "engine-merchant",
            what: "in process, every transfer paying one wallet, against random pairs".to_owned(),
            sides: vec![
                engine(FLORIN, &["--wallets", &hundred, "--merchant"]),
                engine("random pairs", &["--wallets", &hundred]),
            ],
            goals: vec![goal(FLORIN, RATE, LeastOf(1.0, "random pairs"))],
        },
        Row {
            name: "growth",
            what: format!("in process: the cost of a transfer with 10,000, {hundred}, {middle} and {largest} wallets"),
            sides: vec![
                engine("10,000 wallets", &["--wallets", "10000"]),
                engine("middle", &["--wallets", &hundred]),
                engine("large", &["--wallets", &middle]),
                engine("largest", &["--wallets", &largest]),
            ],
            goals: vec![],
        },
        Row {
            name: "shards",
            what: "in process: from 1 to 4 shards".to_owned(),
            sides: vec![
                engine("1 shard", &["--wallets", &hundred, "--shards", "1"]),
                engine("2 shards", &["--wallets", &hundred, "--shards", "2"]),
                engine("4 shards", &["--wallets", &hundred, "--shards", "4"]),
            ],
            goals: vec![
                goal("2 shards", RATE, LeastOf(1.0, "1 shard")),
                goal("4 shards", RATE, LeastOf(1.0, "1 shard")),
            ],
        },
    ]
}

fn bulk(settings: &Settings) -> Vec<Row> {
    let row = |name, what: &str, wallets, flags: &[&str], disk: &[&str], wanted| {
        let mut alone = vec!["disk", "--file-mib", file_mib(settings)];
        alone.extend(disk);
        Row {
            name,
            what: what.to_owned(),
            sides: vec![
                side(FLORIN, Job::load(Target::Florin, wallets, flags)),
                side(BARE, Job::load(Target::Bare, wallets, flags)),
                side(DISK, Job::program(&alone, Some(settings.time))),
            ],
            goals: vec![goal(FLORIN, RATE, Least(wanted))],
        }
    };
    let binary = ["--mode", "bulk", "--format", "binary"];
    let groups = ["--bytes", "1048576", "--in-transfers"];
    // With one request in flight every request is a group, and the disk is asked for whole blocks.
    let one = |name, what, batch: &'static str, bytes: &'static str, wanted| {
        let flags = ["--mode", "bulk", "--format", "binary", "--connections", "1", "--batch", batch];
        row(name, what, settings.small, &flags, &["--bytes", bytes, "--counts-as", batch], wanted)
    };
    let large = format!("bulk over HTTP, binary, {} wallets", settings.middle);
    vec![
        row("bulk", "bulk over HTTP, binary, few wallets, random pairs", settings.small, &binary, &groups, 2e6),
        row("bulk-large", &large, settings.middle, &binary, &groups, 1.5e6),
        row("bulk-json", "bulk over HTTP, JSON", settings.small, &["--mode", "bulk"], &groups, 7e5),
        one("one-client-1", "one client, one request in flight, of 1 transfer", "1", "4096", 6e3),
        one("one-client-10", "one client, one request in flight, of 10 transfers", "10", "4096", 5e4),
        one("one-client-100", "one client, one request in flight, of 100 transfers", "100", "8192", 3.5e5),
    ]
}

fn single(settings: &Settings) -> Vec<Row> {
    let small = settings.small;
    let sides = |flags: &[&str]| {
        vec![side(FLORIN, Job::load(Target::Florin, small, flags)), side(BARE, Job::load(Target::Bare, small, flags))]
    };
    let at_half = |target| {
        let load = Load { share_of_rate: Some(0.5), ..Load::new(target, small, &["--mode", "single"]) };
        Job::Load(load)
    };
    vec![
        Row {
            name: "single",
            what: "single transfers over HTTP, 64 connections, no pipelining".to_owned(),
            sides: sides(&["--mode", "single"]),
            goals: vec![goal(FLORIN, RATE, LeastOf(0.75, BARE))],
        },
        Row {
            name: "http2",
            what: "single transfers over HTTP/2, 64 connections of 16 streams".to_owned(),
            sides: sides(&["--http2", "--connections", "64", "--streams", "16"]),
            goals: vec![goal(FLORIN, RATE, LeastOf(0.75, BARE))],
        },
        Row {
            name: "pipelined",
            what: "single transfers, 256 connections, pipelined by 16".to_owned(),
            sides: sides(&["--mode", "pipelined", "--connections", "256", "--pipeline", "16"]),
            goals: vec![goal(FLORIN, RATE, LeastOf(0.4, BARE))],
        },
        Row {
            name: "merchant",
            what: "every transfer paying one merchant, against random pairs".to_owned(),
            sides: vec![
                side(FLORIN, Job::load(Target::Florin, small, &["--mode", "single", "--pairs", "merchant"])),
                side("random pairs", Job::load(Target::Florin, small, &["--mode", "single"])),
            ],
            goals: vec![goal(FLORIN, RATE, LeastOf(1.0, "random pairs"))],
        },
        Row {
            name: "half-load",
            what: "single transfers at half of the maximum rate, open loop".to_owned(),
            sides: vec![
                side("maximum", Job::load(Target::Florin, small, &["--mode", "single"])),
                side(FLORIN, at_half(Target::Florin)),
                side(BARE, at_half(Target::Bare)),
            ],
            goals: vec![
                goal(FLORIN, "p50_micros", Most(500.0)),
                goal(FLORIN, "p99_micros", Most(2_000.0)),
                goal(FLORIN, "p999_micros", Most(8_000.0)),
            ],
        },
        Row {
            name: "snapshot",
            what: format!("while a snapshot of {} wallets is taken", settings.large),
            sides: vec![
                side(
                    FLORIN,
                    Job::Load(Load {
                        with_snapshots: true,
                        ..Load::new(Target::Florin, settings.large, &["--mode", "single"])
                    }),
                ),
                side("without", Job::load(Target::Florin, settings.large, &["--mode", "single"])),
            ],
            goals: vec![
                goal(FLORIN, RATE, LeastOf(0.9, "without")),
                goal(FLORIN, "p99_micros", MostOf(2.0, "without")),
            ],
        },
    ]
}

/// What it costs to know who asks, and whether the payers are his.
fn callers(settings: &Settings) -> Vec<Row> {
    let row = |name, what: &str, flags: &[&str]| {
        let by =
            |name, caller| side(name, Job::Load(Load { caller, ..Load::new(Target::Florin, settings.small, flags) }));
        Row {
            name,
            what: format!("{what}, by whom"),
            sides: vec![
                by(FLORIN, Caller::Operator),
                by("access token", Caller::Session),
                by("API key", Caller::ApiKey),
            ],
            goals: vec![
                goal("access token", RATE, LeastOf(0.95, FLORIN)),
                goal("API key", RATE, LeastOf(0.95, FLORIN)),
            ],
        }
    };
    vec![
        row("callers-bulk", "bulk over HTTP, binary", &["--mode", "bulk", "--format", "binary"]),
        row("callers-single", "single transfers over HTTP, 64 connections", &["--mode", "single"]),
    ]
}

/// What is not about transfers a second of Florin's own: peers, memory, starts, the log, the disk.
fn at_rest(settings: &Settings) -> Vec<Row> {
    let postgres = |name, way, clients, merchant| side(name, Job::Postgres { way, clients, merchant });
    let florin = |name, pairs| {
        side(name, Job::load(Target::Florin, settings.middle.min(100_000), &["--mode", "single", "--pairs", pairs]))
    };
    let disk = |name, bytes, more: &[&str]| {
        let mut arguments = vec!["disk", "--bytes", bytes, "--file-mib", file_mib(settings)];
        arguments.extend(more);
        side(name, Job::program(&arguments, Some(settings.time)))
    };
    let transfers = (u64::from(settings.large) / 2).to_string();
    let replay = |name, more: &[&str]| {
        let mut arguments = vec!["replay", "--transfers", &transfers];
        arguments.extend(more);
        side(name, Job::program(&arguments, None))
    };
    vec![
        Row {
            name: "postgres",
            what: "single transfers, random pairs of 100,000 wallets, against Postgres doing the same job".to_owned(),
            sides: vec![
                florin(FLORIN, "uniform"),
                postgres("function, 32 clients", Way::Function, 32, false),
                postgres("client transaction, 32", Way::ClientTransaction, 32, false),
            ],
            goals: vec![],
        },
        Row {
            name: "postgres-merchant",
            what: "every transfer paying one merchant, against Postgres".to_owned(),
            sides: vec![
                florin(FLORIN, "merchant"),
                postgres("function, 8 clients", Way::Function, 8, true),
                postgres("client transaction, 8", Way::ClientTransaction, 8, true),
            ],
            goals: vec![],
        },
        Row {
            name: "start",
            what: format!("start with {} wallets from a snapshot, and memory per wallet at rest", settings.large),
            sides: vec![side(FLORIN, Job::Start { wallets: settings.large })],
            goals: vec![goal(FLORIN, "seconds", Most(10.0)), goal(FLORIN, "bytes_per_wallet", Most(100.0))],
        },
        Row {
            name: "replay",
            what: format!("replay of a log of {transfers} transfers, through recovery and through the book"),
            sides: vec![replay(FLORIN, &[]), replay("1 shard", &["--shards", "1"]), replay("book", &["--shards", "0"])],
            goals: vec![goal(FLORIN, RATE, Least(3e6))],
        },
        Row {
            name: "log-bytes",
            what: "bytes of the log for each transfer, bulk and single".to_owned(),
            sides: vec![
                side(
                    FLORIN,
                    Job::LogBytes(Load::new(Target::Florin, settings.small, &["--mode", "bulk", "--format", "binary"])),
                ),
                side("single", Job::LogBytes(Load::new(Target::Florin, settings.small + 1, &["--mode", "single"]))),
            ],
            goals: vec![goal(FLORIN, "bytes_each", Most(128.0))],
        },
        Row {
            name: "disk",
            what: "the disk's own rate: append to a file written before, and wait until it lasts".to_owned(),
            sides: vec![
                disk("4 KiB", "4096", &[]),
                disk("64 KiB", "65536", &[]),
                disk("1 MiB", "1048576", &[]),
                disk("4 KiB, direct", "4096", &["--direct"]),
                disk("64 KiB, direct", "65536", &["--direct"]),
                disk("1 MiB, direct", "1048576", &["--direct"]),
            ],
            goals: vec![],
        },
    ]
}

/// Larger than a segment of the log; to see that the program works, less will do.
fn file_mib(settings: &Settings) -> &'static str {
    if settings.transfers.is_some() { "4" } else { "256" }
}

fn side(name: &'static str, job: Job) -> Side {
    Side { name, job }
}

fn goal(side: &'static str, figure: &'static str, wanted: Wanted) -> Goal {
    Goal { side, figure, wanted }
}
