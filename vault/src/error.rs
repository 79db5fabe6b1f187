//! What can go wrong with keys, each with what to do about it. No message shows a key.

use std::io;
use std::path::PathBuf;

use crate::KeyId;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {doing} {}", path.display())]
    File { doing: &'static str, path: PathBuf, source: io::Error },

    #[error("there are no keys in {}: this file is needed to read what was sealed; bring it back from a copy", path.display())]
    NoKeyFile { path: PathBuf },

    #[error("{} is not a file of keys that this program can read: {what}", path.display())]
    KeyFile { path: PathBuf, what: String },

    #[error(
        "the keys in {} are wrapped by the master key {wrapped_by}, and the one given is {given}. Give the right one, or \
         wrap them anew with `florin keys rewrap`",
        path.display()
    )]
    OtherMaster { path: PathBuf, wrapped_by: String, given: String },

    #[error("key {id} in {} does not open with its master key: the file is damaged or was changed; bring it back from a copy", path.display())]
    Wrapped { path: PathBuf, id: KeyId },

    #[error("a master key is 32 bytes, as 64 hexadecimal digits or in base64; {place} holds something else")]
    MasterFormat { place: String },

    #[error(
        "the master key file {} has the mode {mode:03o}, so others than its owner and group may read or change it: chmod 600",
        path.display()
    )]
    MasterExposed { path: PathBuf, mode: u32 },

    #[error("this was sealed with the key {id}, which is not in {place}; bring the file of keys back from a copy")]
    NoSuchKey { id: KeyId, place: String },

    #[error(
        "this is sealed with the key {id}, and no keys were given: name the master key with --master-key-file or \
         FLORIN_MASTER_KEY"
    )]
    NoKeys { id: KeyId },

    #[error("what was sealed does not open: it was damaged, changed, or put in another place")]
    Seal,

    #[error("keys for {purpose} are never rotated: what was written with them could not be found any more")]
    NeverRotated { purpose: &'static str },

    #[error("the cryptographic library refused to work")]
    Library,
}

impl Error {
    pub(crate) fn file(doing: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::File { doing, path, source }
    }
}

impl From<aws_lc_rs::error::Unspecified> for Error {
    fn from(_: aws_lc_rs::error::Unspecified) -> Error {
        Error::Library
    }
}
