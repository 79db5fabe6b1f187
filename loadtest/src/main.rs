//! From the command line to the exit code; the work is in the library beside this file.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use clap::Parser;

use loadtest::args::{Cli, Command};
use loadtest::{audit, csv, run};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The work could not be done or finished.
const EXIT_UNFINISHED: u8 = 2;

fn main() -> ExitCode {
    let result: Result<u8, Box<dyn Error>> = match Cli::parse().command {
        Command::Run(args) => {
            end_with_stdin(args.stop_with_stdin).map_err(Into::into).and_then(|()| run::run(&args).map_err(Into::into))
        }
        Command::Audit(args) => audit::audit(&args).map_err(Into::into),
        Command::Csv(args) => csv::csv(&args).map_err(Into::into),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("loadtest: {}", with_sources(error.as_ref()));
            ExitCode::from(EXIT_UNFINISHED)
        }
    }
}

/// What has been heard is on the list but for the last moment, as after a kill: nobody is left to ask for it.
fn end_with_stdin(wanted: bool) -> io::Result<()> {
    if wanted {
        let reading = || {
            // An error is an end too.
            drop(io::copy(&mut io::stdin().lock(), &mut io::sink()));
            eprintln!("loadtest: the standard input has ended, and with it the run");
            std::process::exit(EXIT_UNFINISHED.into());
        };
        std::thread::Builder::new().name("stdin".to_owned()).spawn(reading)?;
    }
    Ok(())
}

/// The error and what caused it, on one line.
fn with_sources(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
