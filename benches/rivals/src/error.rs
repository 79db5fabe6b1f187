//! Why a program here could not do its work.

use std::io;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {what}")]
    Io { what: String, source: io::Error },
    #[error("{what} is not what was expected")]
    Json { what: String, source: serde_json::Error },
    #[error("the log cannot be read")]
    Log(#[from] wal::Error),
    #[error("the ledger does not start")]
    Start(#[from] florin::engine::StartError),
    #[error("{0}")]
    Failed(String),
}

impl Error {
    /// For `map_err`: what could not be done.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        let what = what.into();
        move |source| Error::Io { what, source }
    }
}

/// The error and all that led to it, on one line.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
