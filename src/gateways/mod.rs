//! The world outside: what is spoken to over a network that is not ours. One file for each connector; what is said, when, and how
//! often, is the services' business.

pub mod bank;
pub mod bank_http;
pub mod messages;
