//! What a trial of the real programs is made of, for the demo and the torture: children that end with their
//! parent, a folder to work in, the load, the audit. What happens in a trial, and in which order, is not here.

pub mod child;
pub mod ground;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use super::failure::Failure;

/// How often whoever waits looks again.
pub const LOOK_PERIOD: Duration = Duration::from_millis(20);

/// The programs of a trial.
#[derive(Clone, Debug)]
pub struct Programs {
    pub florin: PathBuf,
    pub loadtest: PathBuf,
}

impl Programs {
    /// This program itself, and the load generator: the one that was named, or the one beside this program.
    pub fn find(loadtest: Option<&Path>) -> Result<Programs, Failure> {
        let florin = std::env::current_exe().map_err(Failure::Runtime)?;
        let loadtest = loadtest.map_or_else(|| florin.with_file_name("loadtest"), Path::to_owned);
        if !loadtest.is_file() {
            return Err(Failure::Usage(format!(
                "the load generator is not at {}: build it with `cargo build --release`, or say where it is with \
                 --loadtest",
                loadtest.display()
            )));
        }
        Ok(Programs { florin, loadtest })
    }
}

/// A signal only sets a flag. Everything that waits looks at it, so that children are ended and folders are
/// removed on the way out.
pub fn watch_for_signals() -> Result<Arc<AtomicBool>, Failure> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
    let guard = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::Runtime)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Runtime)?;
    drop(guard);
    let watching = move || {
        runtime.block_on(async {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        });
        flag.store(true, Ordering::Relaxed);
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(watching).map_err(Failure::Runtime)?;
    Ok(interrupted)
}

pub fn read_json(path: &Path) -> Result<Value, Failure> {
    let text = std::fs::read(path).map_err(Failure::file("read", path))?;
    serde_json::from_slice(&text).map_err(|error| Failure::file("read", path)(error.into()))
}
