//! The ledger's rules: money, ids, wallets, transfers, holds, events, refusals, and the book.
//! Pure: no I/O, no clock, no threads, no serde. Time and ids come in as arguments.

pub mod book;
pub mod civil;
pub mod currency;
pub mod event;
pub mod fingerprint;
pub mod hold;
pub mod ids;
pub mod limits;
pub mod money;
pub mod reject;
pub mod spending;
pub mod state_hash;
pub mod transfer;
pub mod wallet;

pub use book::{Book, Broken};
pub use civil::UtcOffset;
pub use currency::Currency;
pub use event::Event;
pub use hold::{Authorization, Capture, Hold, HoldEnd};
pub use ids::{HoldId, OwnerId, TransferId, WalletId};
pub use limits::{Limits, LimitsId, LimitsTable};
pub use money::Amount;
pub use reject::Reject;
pub use spending::{Spending, SpendingLimits, SpendingNow, SpentNow};
pub use state_hash::StateHash;
pub use transfer::{Leg, Legs, Transfer, TransferKind};
pub use wallet::{Kind, Opening, Status, Wallet};
