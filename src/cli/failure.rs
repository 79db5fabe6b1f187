//! Why a command could not run or not finish, in a sentence for whoever typed it.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use florin::engine::record::RecordError;
use florin::engine::{self, StartError, runs};
use florin::gateways::bank_http::BankAddressError;
use florin::http::ServerError;
use florin::http::auth::AuthError;
use florin::ledger::Broken;
use florin::services::Fault;
use florin::store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error("there is no ledger in {}: no log was found in {}", data_dir.display(), data_dir.join("log").display())]
    NoLedger { data_dir: PathBuf },
    #[error(transparent)]
    Log(#[from] wal::Error),
    #[error("record {lsn} cannot be read")]
    Record { lsn: u64, source: RecordError },
    #[error(transparent)]
    Book(#[from] Broken),
    #[error(transparent)]
    Index(#[from] runs::Error),
    #[error(transparent)]
    Snapshots(#[from] snapshots::Error),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("cannot {doing} {}", path.display())]
    File { doing: &'static str, path: PathBuf, source: io::Error },
    #[error(transparent)]
    Engine(#[from] engine::Failure),
    #[error(transparent)]
    Server(ServerError),
    #[error(transparent)]
    Keys(#[from] AuthError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Vault(#[from] vault::Error),
    #[error(transparent)]
    Bank(#[from] BankAddressError),
    #[error("the people cannot be asked for")]
    People(#[from] Fault),
    #[error("the server at {url} cannot be asked")]
    Ask { url: String, source: io::Error },
    #[error("the operating system gives no threads or signals")]
    Runtime(#[source] io::Error),
    #[error("interrupted")]
    Interrupted,
    #[error("cannot write to the standard output")]
    Output(#[source] io::Error),
    /// Whoever read our output has seen enough, as `head` does.
    #[error("the reader of the standard output has gone away")]
    ReaderGone,
}

impl Failure {
    /// Whether something is wrong with what was looked at, rather than with the looking.
    pub fn is_finding(&self) -> bool {
        matches!(
            self,
            Failure::Log(wal::Error::Corrupt { .. })
                | Failure::Record { .. }
                | Failure::Book(_)
                | Failure::Start(StartError::Log(wal::Error::Corrupt { .. }) | StartError::RecordsMissing { .. })
        )
    }

    pub fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Failure {
        let path = path.to_owned();
        move |source| Failure::File { doing, path, source }
    }

    /// A failed write of what the command prints.
    pub fn output(source: io::Error) -> Failure {
        if source.kind() == io::ErrorKind::BrokenPipe { Failure::ReaderGone } else { Failure::Output(source) }
    }
}

/// The error and what caused it, on one line; causes that are told already are left out.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
