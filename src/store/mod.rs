//! The SQL of everything that is not money: SQLite in the data folder by default, Postgres by URL, the same portable
//! statements for both. Rows in, rows out: who may do what, and why, is the services' business.

pub mod accounts;
pub mod adjustments;
pub mod api_keys;
pub mod audit;
pub mod bank_moves;
pub mod challenges;
pub mod confirmations;
pub mod deliveries;
pub mod devices;
pub mod factors;
pub mod feed;
mod migrations;
pub mod money_requests;
pub mod outbox;
pub mod paces;
pub mod promotions;
pub mod seal;
pub mod sessions;
pub mod spending_limits;
pub mod standing;
pub mod views;

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::any::AnyPoolOptions;
use sqlx::{Any, AnyConnection, AnyPool, Connection as _, Executor as _, Transaction};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use accounts::{Account, AccountState, AddressKind, Role};

pub const SQLITE_FILE: &str = "people.db";

const CONNECTIONS_MAX: u32 = 8;
/// How long a request waits for a connection before it is told that the database is too busy.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pool: AnyPool,
    /// SQLite has one writer at a time: whoever wants to be it waits here in order, where SQLite itself would try again
    /// and again.
    writer: Option<Arc<Semaphore>>,
}

/// A transaction that may write. Dropped without [`Tx::commit`], it is as if it had never been.
pub struct Tx {
    transaction: Transaction<'static, Any>,
    _writer: Option<OwnedSemaphorePermit>,
}

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database's address is not one: postgres://user@host:port/database is")]
    Address(#[source] sqlx::Error),
    #[error("the data folder {} cannot be made", path.display())]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("the database cannot be opened")]
    Open(#[source] sqlx::Error),
    #[error("the database's tables cannot be brought up to date")]
    Migration(#[from] sqlx::migrate::MigrateError),
    #[error("the database failed")]
    Failed(#[from] sqlx::Error),
    #[error("the database holds {what}, which this program did not write")]
    Content { what: String },
}

impl Store {
    /// Opens the database and brings its tables up to date.
    pub async fn open(data_dir: &Path, url: Option<&SecretString>) -> Result<Store, StoreError> {
        sqlx::any::install_default_drivers();
        let store = match url {
            None => {
                let folder = |source| StoreError::Folder { path: data_dir.to_owned(), source };
                std::fs::create_dir_all(data_dir).map_err(folder)?;
                Store::sqlite(&data_dir.join(SQLITE_FILE)).await?
            }
            Some(url) => Store::postgres(url).await?,
        };
        migrations::all().run(&store.pool).await?;
        Ok(store)
    }

    /// Copies the SQLite database of a data folder, of a running server's too, into a new file, as it is at one moment.
    /// False if there is none.
    pub async fn copy_sqlite(data_dir: &Path, to: &Path) -> Result<bool, StoreError> {
        let path = data_dir.join(SQLITE_FILE);
        if !path.exists() {
            return Ok(false);
        }
        sqlx::any::install_default_drivers();
        private_file(to).map_err(|source| StoreError::Folder { path: to.to_owned(), source })?;
        let mut connection = AnyConnection::connect(&sqlite_url(&path, "rw")).await.map_err(StoreError::Open)?;
        connection.execute("PRAGMA busy_timeout = 5000").await?;
        sqlx::query("VACUUM INTO $1").bind(to.display().to_string()).execute(&mut connection).await?;
        connection.close().await?;
        Ok(true)
    }

    async fn sqlite(path: &Path) -> Result<Store, StoreError> {
        private_file(path).map_err(|source| StoreError::Folder { path: path.to_owned(), source })?;
        let url = sqlite_url(path, "rwc");
        let pool = options().after_connect(|connection, _| {
            Box::pin(async move {
                // FULL: what was committed survives a power cut, as what the log acknowledged does.
                let pragmas = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
                               PRAGMA busy_timeout = 5000; PRAGMA secure_delete = ON;";
                connection.execute(pragmas).await.map(drop)
            })
        });
        let pool = pool.connect(&url).await.map_err(StoreError::Open)?;
        Ok(Store { pool, writer: Some(Arc::new(Semaphore::new(1))) })
    }

    async fn postgres(url: &SecretString) -> Result<Store, StoreError> {
        let text = url.expose_secret();
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            let other = "another scheme than postgres://".to_owned();
            return Err(StoreError::Address(sqlx::Error::Configuration(other.into())));
        }
        // One connection without the pool, which would try again and again and at last tell of its own patience only.
        let first = tokio::time::timeout(ACQUIRE_TIMEOUT, AnyConnection::connect(text)).await;
        let first = first.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map_err(StoreError::Open)?;
        first.close().await.map_err(StoreError::Open)?;
        let pool = options().connect(text).await.map_err(StoreError::Open)?;
        Ok(Store { pool, writer: None })
    }

    /// For reads. Writes go through [`Store::begin`].
    pub async fn read(&self) -> Result<sqlx::pool::PoolConnection<Any>, StoreError> {
        Ok(self.pool.acquire().await?)
    }

    pub async fn begin(&self) -> Result<Tx, StoreError> {
        let Some(writer) = &self.writer else {
            return Ok(Tx { transaction: self.pool.begin().await?, _writer: None });
        };
        let permit = Arc::clone(writer).acquire_owned().await.map_err(|_| sqlx::Error::PoolClosed)?;
        // A transaction that first reads and then writes could not become the writer after another has written.
        let transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        Ok(Tx { transaction, _writer: Some(permit) })
    }

    /// Whether rows can be locked one by one (`FOR UPDATE`); SQLite locks as a whole.
    pub fn is_postgres(&self) -> bool {
        self.writer.is_none()
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }
}

impl Tx {
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.transaction.commit().await?)
    }

    pub async fn rollback(self) -> Result<(), StoreError> {
        Ok(self.transaction.rollback().await?)
    }

    /// Runs statements of which a failure takes back only themselves.
    pub async fn savepoint(&mut self) -> Result<Transaction<'_, Any>, StoreError> {
        Ok(self.transaction.begin().await?)
    }
}

impl Deref for Tx {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.transaction
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }
}

impl StoreError {
    /// A row with the same key is there already.
    pub fn is_taken(&self) -> bool {
        matches!(self, StoreError::Failed(sqlx::Error::Database(error)) if error.is_unique_violation())
    }

    pub fn content(what: impl Into<String>) -> StoreError {
        StoreError::Content { what: what.into() }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("is_postgres", &self.is_postgres()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Tx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tx")
    }
}

fn options() -> AnyPoolOptions {
    AnyPoolOptions::new().max_connections(CONNECTIONS_MAX).acquire_timeout(ACQUIRE_TIMEOUT)
}

fn sqlite_url(path: &Path, mode: &str) -> String {
    // The characters that mean something in a URL, and the percent sign itself.
    let path: String = path.display().to_string().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    format!("sqlite://{path}?mode={mode}")
}

/// SQLite would make the file readable for all whom the umask lets.
fn private_file(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(drop)
}
