//! The simulator: the engine's own state machines (desk, shards, journal, claims, indexes, snapshots, recovery) on one
//! thread and a simulated disk, driven by a seed. Whatever threads and the disk may do to each other happens here in an
//! order that the seed chooses, and happens again with the same seed.
//!
//! `cargo test --release --test simulator -- --seeds 1000`, or `--seed N --trace` to see one again, step by step.

mod clients;
mod copy;
mod faults;
mod life;
mod oracle;
mod reads;
mod rot;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use world::{Figures, World};

/// Seeds of every run: those that once found something, and a few plain ones.
const FIXED_SEEDS: std::ops::Range<u64> = 1..301;

struct Arguments {
    first: u64,
    count: u64,
    seconds: Option<u64>,
    trace: bool,
}

fn main() {
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(wrong) => {
            eprintln!("{wrong}\nusage: simulator [--seed N [--trace]] [--seeds COUNT] [--from N] [--seconds S]");
            std::process::exit(2);
        }
    };
    let began = Instant::now();
    let mut figures = Figures::default();
    let mut seed = arguments.first;
    let mut ran = 0;
    while ran < arguments.count && arguments.seconds.is_none_or(|limit| began.elapsed() < Duration::from_secs(limit)) {
        match catch_unwind(AssertUnwindSafe(|| World::new(seed, arguments.trace).run())) {
            Ok(found) => figures.add(&found),
            Err(_) => {
                println!("seed {seed} FAILED. To see it again, step by step:");
                println!("  cargo test --release --test simulator -- --seed {seed} --trace");
                println!("test result: FAILED. {ran} passed; 1 failed; 0 ignored; 0 measured; 0 filtered out");
                std::process::exit(1);
            }
        }
        ran += 1;
        seed += 1;
    }
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    println!("{figures}");
    println!(
        "{ran} seeds in {:.1} s: {:.0} seeds, {:.0} crash points, {:.0} disk operations a minute",
        began.elapsed().as_secs_f64(),
        ran as f64 / minutes,
        figures.crashes as f64 / minutes,
        figures.disk_operations as f64 / minutes,
    );
    println!("test result: ok. {ran} passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments =
        Arguments { first: FIXED_SEEDS.start, count: FIXED_SEEDS.end - FIXED_SEEDS.start, seconds: None, trace: false };
    while let Some(word) = words.next() {
        let mut number = || {
            let text = words.next().ok_or_else(|| format!("{word} needs a number"))?;
            text.parse::<u64>().map_err(|_| format!("{word}: {text} is not a number"))
        };
        match word.as_str() {
            "--seed" => (arguments.first, arguments.count) = (number()?, 1),
            "--from" => arguments.first = number()?,
            "--seeds" => arguments.count = number()?,
            "--seconds" => {
                (arguments.seconds, arguments.count) = (Some(number()?), u64::MAX);
                arguments.first = std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_millis() as u64) << 16;
            }
            "--trace" => arguments.trace = true,
            // What `cargo test` passes to every test program means nothing here.
            "--nocapture" | "--quiet" => {}
            other => return Err(format!("unknown: {other}")),
        }
    }
    Ok(arguments)
}
