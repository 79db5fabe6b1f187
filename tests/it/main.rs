//! The one integration-test binary: each file below tests one thing from the outside.

mod cli_backup;
mod cli_replay;
mod cli_rig;
mod cli_serve;
mod cli_verify;
mod engine_limits;
mod engine_model;
mod fuzz_corpus;
mod http_api;
mod http_bulk;
mod http_limits;
mod http_money;
mod http_openapi;
mod http_overload;
mod http_overload_answers;
mod http_overload_http2;
mod http_overload_twice;
mod http_read_only;
mod http_server;
mod http_tls;
mod http_wrong_input;
mod operations;
mod people_accounts;
mod people_backup;
mod people_codes;
mod people_passwords;
mod people_rates;
mod people_rig;
#[path = "../../snapshots/tests/snapshots/postgres_server.rs"]
mod postgres_server;
mod recovery;
mod replay;
mod rig;
mod snapshots_postgres;
mod tree;
