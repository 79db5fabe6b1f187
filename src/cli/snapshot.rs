//! `florin snapshot`: asks a running server to take a snapshot, or takes one of a stopped data folder.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use florin::engine::{Engine, EngineConfig};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::ask::{KeyArgs, ask};
use vault::Encryption;

use super::failure::Failure;
use super::keys::MasterArgs;
use super::tape::Tape;
use super::{Verdict, screen};

pub const EXAMPLES: &str = "\
Examples:
  export FLORIN_API_KEY=flk_...
  florin snapshot                              of the server on http://127.0.0.1:8080
  florin snapshot --url http://10.0.0.5:8080 --key-file key --json
  florin snapshot --data-dir ./data            of a folder that no server has open

A server goes on working while it takes a snapshot. Only http:// is spoken here; for a server with TLS, send \
    POST /v1/snapshots with another client.

Exit code: 0 taken; 1 the log is damaged; 2 not taken.";

#[derive(Args, Clone, Debug)]
pub struct SnapshotArgs {
    /// The running server
    #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "URL", conflicts_with = "data_dir")]
    url: String,
    #[command(flatten)]
    key: KeyArgs,
    /// A data folder that no server has open: it is recovered, its snapshot taken, and closed again
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// With --data-dir: the Postgres database that keeps its snapshots; see florin serve --help
    #[arg(long, env = "FLORIN_SNAPSHOTS", hide_env_values = true, value_name = "URL")]
    snapshots: Option<SecretString>,
    #[command(flatten)]
    master: MasterArgs,
    /// With --data-dir: encrypt the snapshot, and what is written to the log from now on, as is done without being asked
    /// where the log is encrypted; see florin serve --help
    #[arg(long, env = "FLORIN_ENCRYPT", value_parser = clap::builder::FalseyValueParser::new())]
    encrypt: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: &SnapshotArgs) -> Result<Verdict, Failure> {
    let taken = match &args.data_dir {
        Some(data_dir) => {
            let mut config = EngineConfig::new(data_dir);
            // Opening a folder that has no ledger would begin one there.
            if !config.log_dir().is_dir() {
                return Err(Failure::NoLedger { data_dir: data_dir.clone() });
            }
            config.snapshot_period = None;
            config.snapshots_in = args.snapshots.as_ref().map(snapshots::postgres::Address::parse).transpose()?;
            config.encryption = match args.encrypt {
                true => args.master.to_serve(data_dir, true)?,
                // What comes out of an encrypted log is not put beside it in clear.
                false => match args.master.to_read(data_dir)? {
                    Encryption::ReadOnly(keys)
                        if Tape::open(data_dir, &Encryption::Without)?.reader().is_encrypted() =>
                    {
                        Encryption::On(keys)
                    }
                    other => other,
                },
            };
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
            runtime.map_err(Failure::Runtime)?.block_on(take(config))?
        }
        None => ask("POST", &args.url, "/v1/snapshots", &args.key.read()?)?,
    };
    screen::print(&if args.json { format!("{taken}\n") } else { table(&taken) })?;
    Ok(Verdict::Fine)
}

async fn take(config: EngineConfig) -> Result<Value, Failure> {
    let engine = Engine::start(config, |_| {}).await?;
    let taken = engine.snapshot().await;
    engine.stop().await;
    let taken = taken?;
    Ok(json!({
        "lsn": taken.lsn,
        "bytes": taken.bytes,
        "wallets": taken.wallets,
        "state_hash": taken.state_hash.to_string(),
        "duration_ms": taken.duration_micros / 1000,
    }))
}

fn table(taken: &Value) -> String {
    let number = |name: &str| taken[name].as_u64().unwrap_or_default();
    let mut out = String::new();
    for (name, value) in [
        ("position", screen::grouped(number("lsn"))),
        ("wallets", screen::grouped(number("wallets"))),
        ("bytes", screen::grouped(number("bytes"))),
        ("state hash", taken["state_hash"].as_str().unwrap_or_default().to_owned()),
        ("time", screen::seconds(Duration::from_millis(number("duration_ms")))),
    ] {
        out.push_str(&format!("{name:<12}{value}\n"));
    }
    out
}
