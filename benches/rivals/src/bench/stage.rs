//! What the sides of one row need while the row runs: servers with ledgers of a size, a bare endpoint, Postgres. Each is
//! made when it is asked for first, used by all turns, and taken down with its data at the end of the row.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use loadtest::endpoint::Endpoint;
use loadtest::http::read_answer;
use loadtest::ids::Wallets;
use serde_json::Value;

use super::Settings;
use super::postgres::{self, Postgres};
use super::process::{self, Server};
use crate::error::Error;

/// Any key will do: the ledger is gone when the row is over.
pub const KEY: &str = "flk_00000000000000000000000000000000";
pub const SEED: u64 = 1;
/// Of the folders in which ledgers are kept while they are needed.
pub const FOLDER_PREFIX: &str = "data-";

pub struct Stage<'s> {
    pub settings: &'s Settings,
    pub row: &'s str,
    folder: tempfile::TempDir,
    florins: BTreeMap<u32, Florin>,
    /// Wallets belong to a merchant who can be signed in: set before anything is made.
    pub has_merchant: bool,
    /// Of the merchant's, made once.
    pub merchant_key: Option<String>,
    bare: Option<Bare>,
    postgres: Option<Postgres>,
    /// Rates that the sides of this row have reached, for those that are run at a share of it.
    pub rates: Vec<f64>,
    /// Why a side cannot be run here.
    pub lacking: Option<String>,
}

/// A running server of Florin's.
pub struct Florin {
    pub server: Server,
    pub url: String,
    pub ready: Value,
}

/// A running bare endpoint.
pub struct Bare {
    pub server: Server,
    pub url: String,
}

impl Stage<'_> {
    pub fn new<'s>(settings: &'s Settings, row: &'s str) -> Result<Stage<'s>, Error> {
        let prefix = format!("{FOLDER_PREFIX}{row}-");
        // Postgres runs as another user, who has to get through.
        let others = std::fs::Permissions::from_mode(0o755);
        let folder = tempfile::Builder::new().prefix(&prefix).permissions(others).tempdir_in(&settings.dir);
        let folder = folder.map_err(Error::io("make a data folder"))?;
        Ok(Stage {
            settings,
            row,
            folder,
            florins: BTreeMap::new(),
            has_merchant: false,
            merchant_key: None,
            bare: None,
            postgres: None,
            rates: Vec::new(),
            lacking: None,
        })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn data_dir(&self, wallets: u32) -> PathBuf {
        self.path(&format!("ledger-{wallets}"))
    }

    /// A server with so many wallets, all funded.
    pub fn florin(&mut self, wallets: u32) -> Result<&Florin, Error> {
        if !self.florins.contains_key(&wallets) {
            let florin = self.serve(wallets)?;
            self.florins.insert(wallets, florin);
        }
        Ok(&self.florins[&wallets])
    }

    /// Stops it in good order, if it runs: its ledger stays.
    pub fn stop_florin(&mut self, wallets: u32) -> Result<(), Error> {
        self.florins.remove(&wallets).map_or(Ok(()), |florin| florin.server.finish())
    }

    /// A server that is not shared, with a ledger that is made if it is not there.
    pub fn serve(&self, wallets: u32) -> Result<Florin, Error> {
        let data_dir = self.data_dir(wallets);
        if !data_dir.exists() {
            self.write_ledger(wallets, &data_dir)?;
        }
        let mut command = Command::new(self.settings.programs.join("florin"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--json", "--stop-with-stdin", "--log-level", "warn"]);
        command.args(["--snapshot-period", "off", "--data-dir"]).arg(&data_dir);
        // Limited, as a server is, and by more than it can do.
        command.args(["--rate-per-key", "100000000/1m", "--rate-per-person", "100000000/1m"]);
        command.env("FLORIN_API_KEY", KEY).env_remove("RUST_LOG").env_remove("FLORIN_SNAPSHOTS");
        let mut server = Server::start(command, &self.path("florin.log"))?;
        let url = server.line("listening")?["url"].as_str().unwrap_or_default().to_owned();
        let ready = server.line("ready")?;
        Ok(Florin { server, url, ready })
    }

    fn write_ledger(&self, wallets: u32, data_dir: &Path) -> Result<(), Error> {
        let arguments = ["ledger", "--wallets", &wallets.to_string(), "--seed", &SEED.to_string(), "--dir"];
        let mut arguments: Vec<String> = arguments.map(str::to_owned).to_vec();
        arguments.push(data_dir.display().to_string());
        arguments.extend(self.has_merchant.then(|| "--merchant".to_owned()));
        process::output(&mut process::own(&arguments)?).map(drop)
    }

    /// A database with so many wallets; `None`, and a reason in `lacking`, where Postgres is not installed.
    pub fn postgres(&mut self, wallets: u32) -> Result<Option<&Postgres>, Error> {
        if self.postgres.is_none() {
            let Some(programs) = postgres::programs() else {
                let why = "no Postgres with pgbench in /usr/lib/postgresql (Debian: apt-get install postgresql)";
                self.lacking = Some(why.to_owned());
                return Ok(None);
            };
            self.postgres = Some(Postgres::start(programs, self.path("postgres"), wallets)?);
        }
        Ok(self.postgres.as_ref())
    }

    /// The bare endpoint, made to answer what Florin answers.
    pub fn bare(&mut self) -> Result<&Bare, Error> {
        if self.bare.is_none() {
            let wallets = self.florins.keys().next().copied().unwrap_or(self.settings.small);
            let url = self.florin(wallets)?.url.clone();
            let like = self.path("answer.http");
            let answer = transfer(&url, wallets)?;
            std::fs::write(&like, &answer).map_err(Error::io("write the answer to imitate"))?;
            let mut command = process::own(&["bare".to_owned(), "--like".to_owned()])?;
            command.arg(&like);
            let mut server = Server::start(command, &self.path("bare.log"))?;
            let url = server.line("listening")?["url"].as_str().unwrap_or_default().to_owned();
            let imitated = transfer(&url, wallets)?;
            if imitated.len() != answer.len() {
                let (is, was) = (imitated.len(), answer.len());
                return Err(Error::Failed(format!("the bare endpoint answers {is} bytes, and Florin {was}")));
            }
            self.bare = Some(Bare { server, url });
        }
        Ok(self.bare.as_ref().expect("made above"))
    }
}

/// Makes one transfer between the first two wallets; the whole answer as it came.
fn transfer(url: &str, wallets: u32) -> Result<Vec<u8>, Error> {
    let wallets = Wallets { seed: SEED, count: wallets };
    let (id, from, to) = (uuid::Uuid::now_v7(), wallets.id(0), wallets.id(1));
    let body = format!(r#"{{"from":"{from}","to":"{to}","amount":{{"amount":"5.00","currency":"INR"}}}}"#);
    post(url, "/v1/transfers", Some(&id.to_string()), body.as_bytes(), 201)
}

/// One request; the whole answer as it came, if it has this status.
pub fn post(url: &str, path: &str, key: Option<&str>, body: &[u8], status: u16) -> Result<Vec<u8>, Error> {
    post_as(KEY, url, path, key, body, status)
}

pub fn post_as(
    token: &str,
    url: &str,
    path: &str,
    key: Option<&str>,
    body: &[u8],
    status: u16,
) -> Result<Vec<u8>, Error> {
    let endpoint = Endpoint::new(url, token).map_err(|error| Error::Failed(error.to_string()))?;
    let mut stream = TcpStream::connect(&endpoint.address).map_err(Error::io(format!("connect to {url}")))?;
    let mut request = Vec::new();
    endpoint.post(path, key, body, &mut request);
    stream.write_all(&request).map_err(Error::io("send a request"))?;
    let (mut received, mut part, mut scratch) = (Vec::new(), [0; 4096], Vec::new());
    loop {
        let count = stream.read(&mut part).map_err(Error::io("read an answer"))?;
        if count == 0 {
            return Err(Error::Failed(format!("{url} closed the connection within an answer")));
        }
        received.extend_from_slice(&part[..count]);
        let found = read_answer(&received, &mut scratch).map_err(|error| Error::Failed(error.to_string()))?;
        match found {
            Some((answer, _)) if answer.status == status => return Ok(received),
            Some(_) => {
                return Err(Error::Failed(format!("{path} was answered {}", String::from_utf8_lossy(&received))));
            }
            None => {}
        }
    }
}
