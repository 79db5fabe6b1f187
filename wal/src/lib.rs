//! A write-ahead log: bytes in, bytes out, durable with one fdatasync a group.
//! The layout on disk stands in docs/formats.md; groups are encrypted where that is asked for. Not in here: what a
//! record means, when to group, and what time it is; a group's time comes in as an argument.

pub mod disk;
mod encryption;
mod error;
mod format;
mod group;
mod log;
mod options;
mod reader;
mod recovery;
mod segment;

pub use error::Error;
pub use format::{
    Chain, GROUP_BYTES_MAX, RECORD_BYTES_MAX, SEGMENT_BYTES_DEFAULT, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN,
};
pub use group::{GroupBuilder, PushError};
pub use log::{Appended, Log, Recovered, TornTail};
pub use options::{Identity, Options};
pub use reader::{GroupRange, GroupView, Reader, Record, Records, Scan, SegmentFile, Verified};
