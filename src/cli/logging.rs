//! Log lines on stderr: how much of them, and in which form. What is printed for the user is no log line.

use std::io::IsTerminal as _;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Log lines")]
pub struct LogArgs {
    /// How much is logged to stderr: error, warn, info, debug, or per part such as info,florin::http=debug
    /// [default: info for serve, otherwise warn]
    #[arg(long, global = true, env = "RUST_LOG", value_name = "LEVEL")]
    log_level: Option<EnvFilter>,
    /// The form of log lines; json is one object a line
    #[arg(long, global = true, value_enum, default_value = "text")]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

impl LogArgs {
    pub fn start(self, default_level: &str) {
        let filter = self.log_level.unwrap_or_else(|| EnvFilter::new(default_level));
        // A line that cannot be written is lost, and nothing else. To tell of it would take stderr again and panic, and
        // the log file may lie on the very disk that has run full: just then the ledger has to go on to be read.
        let lines = tracing_subscriber::fmt().log_internal_errors(false);
        let lines = lines.with_env_filter(filter).with_writer(std::io::stderr);
        match self.log_format {
            LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).init(),
            LogFormat::Json => lines.json().init(),
        }
    }
}
