//! The keys of a data folder: where commands find the master key, and `florin keys`, which lists, rotates and wraps anew.
//! What the keys do is in the crate `vault`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use secrecy::SecretString;
use serde_json::json;
use vault::{Encryption, KEYS_FILE_NAME, Keyring, MASTER_FILE_NAME, MasterKey, MasterSource, Purpose};

use super::failure::Failure;
use super::{Verdict, screen};

pub const EXAMPLES: &str = "\
Examples:
  openssl rand -hex 32 > /etc/florin/master.key && chmod 600 /etc/florin/master.key
  florin serve --encrypt --master-key-file /etc/florin/master.key
  florin keys list --data-dir ./data --master-key-file /etc/florin/master.key
  florin keys rotate --data-dir ./data --master-key-file /etc/florin/master.key
  florin keys rewrap --data-dir ./data --old-key-file old.key --new-key-file new.key

A running server need not stop for any of these: it takes a new key with the next segment of the log and the next \
    snapshot, and what was written with an old key stays readable. After rewrap, put the new master key where the \
    server finds it before its next start.

Exit code: 0 done; 2 could not run.";

const VARIABLE: &str = "FLORIN_MASTER_KEY";

/// Where the master key is.
#[derive(Args, Clone, Debug)]
pub struct MasterArgs {
    /// The file with the master key of what is encrypted: 32 bytes, as 64 hexadecimal digits or in base64, readable by
    /// its owner and group only; or give the key itself by FLORIN_MASTER_KEY
    #[arg(long, value_name = "FILE")]
    master_key_file: Option<PathBuf>,
    // Only as a variable: others can read a command line.
    #[arg(long, env = VARIABLE, hide = true, hide_env_values = true, value_name = "KEY")]
    master_key: Option<SecretString>,
}

impl MasterArgs {
    /// What the environment says, for commands that start others with it.
    pub fn of_environment() -> MasterArgs {
        let master_key = std::env::var(VARIABLE).ok().map(SecretString::from);
        MasterArgs { master_key_file: None, master_key }
    }

    /// For who only reads. Without a master key what is encrypted cannot be read, and is told when it is met.
    pub fn to_read(&self, data_dir: &Path) -> Result<Encryption, Failure> {
        let path = data_dir.join(KEYS_FILE_NAME);
        let own = data_dir.join(MASTER_FILE_NAME);
        let own = own.is_file().then_some(MasterSource::File(own));
        match self.source().or(own) {
            Some(master) if path.is_file() => Ok(Encryption::ReadOnly(Keyring::open(&path, master)?)),
            _ => Ok(Encryption::Without),
        }
    }

    /// For a server: it always has keys, since it seals what is sensitive of people. Without a master key it makes one in
    /// the data folder, which will do for that, and not for encrypting the log.
    pub fn to_serve(&self, data_dir: &Path, encrypt: bool) -> Result<Encryption, Failure> {
        let given = self.source();
        if encrypt && given.is_none() {
            let what = "--encrypt takes a master key: give --master-key-file, or set FLORIN_MASTER_KEY";
            return Err(Failure::Usage(what.to_owned()));
        }
        fs::create_dir_all(data_dir).map_err(Failure::file("make the folder", data_dir))?;
        if let Some(MasterSource::File(file)) = &given
            && encrypt
        {
            check_outside(file, data_dir)?;
        }
        let master = match given {
            Some(given) => given,
            None => {
                let (own, keys) = (data_dir.join(MASTER_FILE_NAME), data_dir.join(KEYS_FILE_NAME));
                if keys.is_file() && !own.is_file() {
                    return Err(Failure::Usage(format!(
                        "the keys in {} are wrapped by a master key that was not given: give --master-key-file, or set \
                         FLORIN_MASTER_KEY",
                        keys.display()
                    )));
                }
                MasterKey::make_file(&own)?;
                MasterSource::File(own)
            }
        };
        let keys = Keyring::open_or_create(&data_dir.join(KEYS_FILE_NAME), master)?;
        Ok(if encrypt { Encryption::On(keys) } else { Encryption::ReadOnly(keys) })
    }

    fn source(&self) -> Option<MasterSource> {
        match (&self.master_key_file, &self.master_key) {
            (Some(path), _) => Some(MasterSource::File(path.clone())),
            (None, Some(text)) => Some(MasterSource::Value { text: text.clone(), from: VARIABLE }),
            (None, None) => None,
        }
    }

    fn keyring(&self, data_dir: &Path) -> Result<Keyring, Failure> {
        let own = data_dir.join(MASTER_FILE_NAME);
        let own = own.is_file().then_some(MasterSource::File(own));
        let Some(master) = self.source().or(own) else {
            let what = "no master key: give --master-key-file, or set FLORIN_MASTER_KEY";
            return Err(Failure::Usage(what.to_owned()));
        };
        Ok(Keyring::open(&data_dir.join(KEYS_FILE_NAME), master)?)
    }
}

/// Whoever takes the data folder must not have taken the key with it.
fn check_outside(file: &Path, data_dir: &Path) -> Result<(), Failure> {
    let real = |path: &Path| fs::canonicalize(path).map_err(Failure::file("look for", path));
    if !real(file)?.starts_with(real(data_dir)?) {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "the master key file {} lies in the data folder, where it protects nothing: keep it elsewhere",
        file.display()
    )))
}

#[derive(Args, Clone, Debug)]
pub struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum KeysCommand {
    /// Print which keys there are, and nothing of what they are
    List(ListArgs),
    /// Make new keys, for what is written from now on
    Rotate(RotateArgs),
    /// Wrap the keys with another master key
    Rewrap(RewrapArgs),
}

#[derive(Args, Clone, Debug)]
struct ListArgs {
    /// The data folder of a server, running or not
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    #[command(flatten)]
    master: MasterArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args, Clone, Debug)]
struct RotateArgs {
    /// The data folder of a server, running or not
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    #[command(flatten)]
    master: MasterArgs,
    /// Only the key for this: log, snapshots or store; may be given several times [default: all]
    #[arg(long, value_name = "WHAT", value_parser = purpose)]
    only: Vec<Purpose>,
}

#[derive(Args, Clone, Debug)]
struct RewrapArgs {
    /// The data folder of a server, running or not
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The file with the master key as it was
    #[arg(long, value_name = "FILE")]
    old_key_file: PathBuf,
    /// The file with the master key as it is to be
    #[arg(long, value_name = "FILE")]
    new_key_file: PathBuf,
}

fn purpose(text: &str) -> Result<Purpose, String> {
    Purpose::parse(text)
        .filter(|purpose| purpose.rotates())
        .ok_or_else(|| "log, snapshots, indexes or store is wanted".to_owned())
}

pub fn run(args: &KeysArgs) -> Result<Verdict, Failure> {
    match &args.command {
        KeysCommand::List(args) => {
            let keys = args.master.keyring(&args.data_dir)?;
            screen::print(&if args.json { as_json(&keys) } else { table(&keys) })?;
        }
        KeysCommand::Rotate(args) => {
            let keys = args.master.keyring(&args.data_dir)?;
            let all = || Purpose::ALL.into_iter().filter(|purpose| purpose.rotates()).collect();
            let purposes: Vec<Purpose> = if args.only.is_empty() { all() } else { args.only.clone() };
            for purpose in purposes {
                keys.rotate(purpose)?;
            }
            screen::print(&table(&keys))?;
        }
        KeysCommand::Rewrap(args) => {
            let old = MasterKey::from_file(&args.old_key_file)?;
            let new = MasterKey::from_file(&args.new_key_file)?;
            let count = Keyring::rewrap(&args.data_dir.join(KEYS_FILE_NAME), &old, &new)?;
            screen::print(&format!("{count} keys are wrapped by the master key {}\n", new.name()))?;
        }
    }
    Ok(Verdict::Fine)
}

fn table(keys: &Keyring) -> String {
    let mut out = format!("{:<10}  {:<32}  {:<27}\n", "for", "key", "made");
    for key in keys.list() {
        let mark = if key.is_current { "current" } else { "" };
        let made = screen::time(key.created_micros);
        out.push_str(&format!("{:<10}  {:<32}  {made:<27}  {mark}\n", key.purpose.name(), key.id.to_string()));
    }
    out
}

fn as_json(keys: &Keyring) -> String {
    let key = |key: vault::KeyInfo| {
        json!({
            "id": key.id.to_string(),
            "purpose": key.purpose.name(),
            "created_at": screen::time(key.created_micros),
            "current": key.is_current,
        })
    };
    let listed: Vec<_> = keys.list().into_iter().map(key).collect();
    format!("{}\n", json!({ "keys": listed }))
}
