//! The program as its users run it, against a stand-in server on a loopback socket.
#![allow(clippy::unwrap_used)] // The lint's exception for tests does not reach helper functions.

mod audit;
mod csv;
mod http2;
mod run;
mod standin;

use std::path::Path;
use std::process::{Command, Output};

use standin::Standin;

/// Runs `loadtest` with a key against the stand-in; gives exit code and what it printed.
fn loadtest(server: &Standin, arguments: &str, folder: &Path) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(arguments.split_whitespace())
        .args(["--url", &server.url])
        .env("FLORIN_API_KEY", "test-key")
        .current_dir(folder)
        .output()
        .unwrap();
    told(&output)
}

fn told(output: &Output) -> (i32, String) {
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), text)
}
