//! The HTTP API: a server that listens before the engine has recovered, the routes under /v1, and
//! what operators look at. Nothing beneath imports this floor; the ledger's rules are not here.

pub mod access;
mod answer;
mod audit;
pub mod auth;
mod body;
mod bulk;
mod bulk_binary;
mod call;
mod connection;
mod counted;
mod credentials;
mod described;
mod door;
mod exchange;
mod held;
mod holds;
mod ledger;
mod me;
mod meters;
pub mod openapi;
mod ops;
pub mod problem;
mod problem_services;
pub mod proxies;
mod rates;
pub mod route;
pub mod server;
mod sign_in;
mod spending;
pub mod state;
mod tls;
mod transfers;
mod wallets;
pub mod wire;
mod within;

pub use auth::OperatorKeys;
pub use bulk::{Form, Item, bulk_items};
pub use call::{Purpose, Query, key_id, key_text};
pub use proxies::{ProxyHeader, TrustedProxies};
pub use server::{Server, ServerConfig, ServerError};
pub use state::State;
pub use tls::{TlsError, TlsFiles};
