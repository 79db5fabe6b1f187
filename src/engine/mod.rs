//! The engine: wallets hosted by shards, the journal that makes their transfers last, and what is derived from
//! the log. `Engine` is its face; everything else is behind it.

pub mod batch;
pub mod claims;
pub mod clock;
pub mod config;
pub mod conversation;
pub mod desk;
mod face;
pub mod history;
pub mod host;
pub mod indexer;
pub mod journal;
mod life;
mod lookup;
pub mod messages;
mod pace;
pub mod placement;
mod recent;
pub mod record;
pub mod recovery;
mod replay;
pub mod runs;
pub mod shard;
pub mod snapshot;
pub mod snapshot_rows;
pub mod snapshotter;
pub mod status;
mod tail;

pub use config::EngineConfig;
pub use conversation::Failure;
pub use face::{AtomicRefusal, CaptureRequest, Outcome, Receipt, Refusal};
pub use history::{At, Direction, EntriesPage, EntriesQuery, EntryView};
pub use life::{Engine, Health};
pub use lookup::{Found, HoldView, Summary, WalletView, system_wallet_id};
pub use recovery::{Progress, Report, StartError};
pub use snapshotter::SnapshotSummary;
pub use tail::{Seen, Tail};
