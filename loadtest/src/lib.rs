//! The load generator and auditor of Florin: it speaks HTTP and shares no code with the server. Modules stand
//! in reading order, from the command line and the wire up to what each command does.

pub mod args;

pub mod client;
pub mod crew;
pub mod endpoint;
pub mod hpack;
pub mod http;
pub mod http2;

pub mod answers;
pub mod ids;
pub mod money;
pub mod wire;

pub mod mix;
pub mod pace;
pub mod pairs;

pub mod acknowledged;
pub mod progress;
pub mod stats;

pub mod audit;
pub mod csv;
pub mod load;
pub mod report;
pub mod run;
pub mod setup;
