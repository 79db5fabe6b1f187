//! The one integration-test binary: each file below tests one thing from the outside.

mod engine_model;
mod http_api;
mod http_money;
mod rig;
