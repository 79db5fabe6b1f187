//! One connection to the database and a little runtime of its own, so that
//! threads which may wait can use it. No step waits without a limit: the
//! server ends a statement that takes too long, and if the server itself does
//! not answer, this side gives up.

use std::fmt;
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{ConnectOptions as _, raw_sql};
use tokio::runtime::Runtime;

use super::{Address, schema};
use crate::{Error, Result};

/// For what reads or writes little.
pub(super) const SHORT_SECONDS: u64 = 30;
/// For what moves some megabytes, or removes a whole snapshot.
pub(super) const LONG_SECONDS: u64 = 120;

const CONNECT_SECONDS: u64 = 5;
/// What this side waits longer than the server, so that the server's own
/// answer, which says more, comes first.
const GRACE_SECONDS: u64 = 5;

/// The limits that the server keeps by itself: of a statement, of a lock that
/// another client holds, and of a client that began something and went away.
const LIMITS: &str = "SET statement_timeout = '120s'; SET lock_timeout = '10s'; \
                      SET idle_in_transaction_session_timeout = '60s'; SET client_min_messages = 'warning'";

pub(super) struct Session {
    // Before the runtime, which it needs until it is gone.
    connection: PgConnection,
    runtime: Runtime,
    place: String,
}

impl Session {
    pub(super) fn connect(address: &Address) -> Result<Session> {
        let place = address.to_string();
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Database {
            doing: "connect to",
            place: place.clone(),
            source,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| failed(error.into()))?;
        let limit = Duration::from_secs(CONNECT_SECONDS);
        let connecting = async { tokio::time::timeout(limit, address.options().connect()).await };
        let connection = runtime
            .block_on(connecting)
            .map_err(|_| failed(NoAnswer(CONNECT_SECONDS).into()))?
            .map_err(|error| failed(error.into()))?;
        let mut session = Session { connection, runtime, place };
        session.run("set the limits of a session with", SHORT_SECONDS, async |connection| {
            raw_sql(LIMITS).execute(connection).await
        })?;
        let version = session.run("make the tables in", SHORT_SECONDS, schema::migrate)?;
        if version > schema::VERSION {
            return Err(Error::Version {
                path: format!("the schema in {}", session.place).into(),
                version: version.unsigned_abs(),
                known: schema::VERSION.unsigned_abs(),
            });
        }
        Ok(session)
    }

    /// Does one thing within so many seconds. After an error nothing is known
    /// of the connection: the session is to be dropped, which ends whatever
    /// transaction it was in.
    pub(super) fn run<T>(
        &mut self,
        doing: &'static str,
        seconds_max: u64,
        work: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
    ) -> Result<T> {
        let limit = Duration::from_secs(seconds_max + GRACE_SECONDS);
        let connection = &mut self.connection;
        let outcome = self.runtime.block_on(async { tokio::time::timeout(limit, work(connection)).await });
        let failed = |source| Error::Database { doing, place: self.place.clone(), source };
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(failed(error.into())),
            Err(_) => Err(failed(NoAnswer(limit.as_secs()).into())),
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Session({})", self.place)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no answer within {0} seconds")]
struct NoAnswer(u64);
