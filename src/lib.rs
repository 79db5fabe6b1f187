//! Florin, a payment processor: each wallet is an actor, a transfer is a two-phase conversation
//! between wallets in the order of their ids, and a write-ahead log makes it last.
//! Each module imports only from those beneath it; `tests/it/tree.rs` checks that.

pub mod config;
pub mod engine;
pub mod gateways;
pub mod http;
pub mod ledger;
pub mod services;
pub mod store;
pub mod views;
