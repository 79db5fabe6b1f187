//! The address of a database. It may hold a password, so nothing that prints
//! it prints more than host, port and name of the database.

use std::fmt;
use std::str::FromStr as _;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

use crate::{Error, Result};

/// `postgres://user:password@host:port/database?sslmode=...`. What is left out
/// comes from the environment (`PGUSER`, `PGPASSWORD` and so on) or `.pgpass`.
#[derive(Clone)]
pub struct Address {
    options: Box<PgConnectOptions>,
    name: String,
}

/// The driver passes over what it does not know, and tells the log of it with
/// the value. A mistyped `sslmode` must not mean no encryption, and a mistyped
/// `password` must not be written to the log, so others are refused here.
const PARAMETERS: [&str; 13] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
    "statement-cache-capacity",
];

impl Address {
    pub fn parse(url: &SecretString) -> Result<Address> {
        let url = url.expose_secret();
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(Error::Address("it does not begin with postgres://".to_owned()));
        }
        let parameters = url.split_once('?').map_or("", |(_, parameters)| parameters);
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            let name = parameter.split('=').next().unwrap_or_default();
            if !PARAMETERS.contains(&name) {
                return Err(Error::Address(format!("there is no parameter `{name}`")));
            }
        }
        let options = PgConnectOptions::from_str(url).map_err(|error| Error::Address(error.to_string()))?;
        let options = options.application_name("florin").disable_statement_logging();
        let database = options.get_database().unwrap_or(options.get_username());
        let name = match options.get_socket() {
            Some(socket) => format!("postgres://[{}]:{}/{database}", socket.display(), options.get_port()),
            None => format!("postgres://{}:{}/{database}", options.get_host(), options.get_port()),
        };
        Ok(Address { options: Box::new(options), name })
    }

    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.options
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.name)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Address({})", self.name)
    }
}
