//! Keys that seal what lies on disk. Data keys stand in a file, each wrapped by a master key that lies elsewhere, and
//! are rotated without a stop; sealing is AES-256-GCM of aws-lc-rs. The layout stands in docs/formats.md.
//! Not in here: any idea of money, logs, snapshots or rows, and any cryptography of our own.

mod keyring;
mod master;
mod seal;

mod error;
mod file;
mod random;

pub use error::Error;
pub use keyring::{KeyInfo, Keyring};
pub use master::{MASTER_FILE_NAME, MasterKey, MasterSource};
pub use seal::{DataKey, KeyId, SEAL_BYTES, SealKey};

pub type Result<T> = std::result::Result<T, Error>;

/// The keyring's name in a data folder.
pub const KEYS_FILE_NAME: &str = "keys.json";

/// What a data key is for. Keys of one purpose open nothing of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Segments of the log.
    Log,
    Snapshots,
    /// Runs of the indexes.
    Indexes,
    /// Columns of the store that are sensitive.
    Store,
    /// Finding a sealed value again by what it is: never rotated, because that would lose what is to be found.
    Lookup,
    /// Signatures of access tokens.
    Tokens,
}

impl Purpose {
    pub const ALL: [Purpose; 6] =
        [Purpose::Log, Purpose::Snapshots, Purpose::Indexes, Purpose::Store, Purpose::Lookup, Purpose::Tokens];

    pub fn name(self) -> &'static str {
        match self {
            Purpose::Log => "log",
            Purpose::Snapshots => "snapshots",
            Purpose::Indexes => "indexes",
            Purpose::Store => "store",
            Purpose::Lookup => "lookup",
            Purpose::Tokens => "tokens",
        }
    }

    pub fn parse(name: &str) -> Option<Purpose> {
        Purpose::ALL.into_iter().find(|purpose| purpose.name() == name)
    }

    pub fn rotates(self) -> bool {
        self != Purpose::Lookup
    }
}

/// Which keys somebody has who keeps files, and whether what is new is to be encrypted.
#[derive(Clone, Debug, Default)]
pub enum Encryption {
    /// No keys: what is encrypted cannot be read.
    #[default]
    Without,
    /// Reads what is encrypted, and writes in clear.
    ReadOnly(Keyring),
    /// What is new is encrypted; what is old and in clear is read.
    On(Keyring),
}

impl Encryption {
    pub fn keys(&self) -> Option<&Keyring> {
        match self {
            Encryption::Without => None,
            Encryption::ReadOnly(keys) | Encryption::On(keys) => Some(keys),
        }
    }

    /// The keys to encrypt with, if that is wanted.
    pub fn writes(&self) -> Option<&Keyring> {
        match self {
            Encryption::Without | Encryption::ReadOnly(_) => None,
            Encryption::On(keys) => Some(keys),
        }
    }

    /// The key that something names which was sealed.
    pub fn by_id(&self, id: KeyId) -> Result<DataKey> {
        self.keys().ok_or(Error::NoKeys { id })?.by_id(id)
    }
}
