//! Connections that read: a few for queries, a few for the agent itself. Opened when first needed, kept, and
//! given up when they fail.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, SqliteConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::task::TaskTracker;

use crate::log::Trimmed;
use crate::outlet::Followers;
use crate::sql::execute;
use crate::state::Have;
use crate::stats::LogCount;
use crate::{TablesConfig, TablesError};

/// Connections for the agent's own reading: feeds, digests and figures never wait for users' queries.
const OWN_READERS: usize = 2;

/// How many steps of its program SQLite takes between two looks at whether it should stop: some
/// microseconds.
const STEPS_PER_LOOK: i32 = 1000;

/// Everything that reading takes. It does not hold the database open.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// For queries of users.
    pub(crate) queries: Arc<Readers>,
    /// For the agent.
    pub(crate) own: Arc<Readers>,
    pub(crate) tracker: TaskTracker,
    /// Closed when the database is.
    pub(crate) have: watch::Receiver<Arc<Have>>,
    pub(crate) log_count: Arc<LogCount>,
    pub(crate) trimmed: Arc<Trimmed>,
    /// Who follows the changes.
    pub(crate) followers: Arc<Followers>,
}

impl Reading {
    pub(crate) fn new(
        options: SqliteConnectOptions,
        config: &TablesConfig,
        tracker: TaskTracker,
        have: watch::Receiver<Arc<Have>>,
    ) -> Self {
        let queries = options
            .clone()
            // What is sorted or kept for joins goes to files without a name rather than into memory.
            .pragma("temp_store", "FILE")
            // Values that a query makes cannot be bounded one by one. This holds for the whole process and
            // can only be lowered. What else asks for memory while a query is at the bound is refused too, and
            // sqlx gives up the connection of a query whose row it cannot copy, with the message of a panic.
            .pragma("hard_heap_limit", config.heap_bytes_max.to_string())
            // A statement is prepared in the view that it reads: a cached one may know older columns.
            .statement_cache_capacity(0)
            .row_buffer_size(16);
        let count = usize::try_from(config.readers).unwrap_or(1).max(1);
        Self {
            queries: Arc::new(Readers::new(queries, count)),
            own: Arc::new(Readers::new(options, OWN_READERS)),
            tracker,
            have,
            log_count: Arc::default(),
            trimmed: Arc::default(),
            followers: Arc::default(),
        }
    }
}

/// A pool of connections.
pub(crate) struct Readers {
    options: SqliteConnectOptions,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Reader>>,
}

/// A connection, and how to stop what runs on it.
struct Reader {
    conn: SqliteConnection,
    stop: Arc<AtomicBool>,
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").finish_non_exhaustive()
    }
}

impl Readers {
    fn new(options: SqliteConnectOptions, count: usize) -> Self {
        let permits = Arc::new(Semaphore::new(count));
        Self { options, permits, idle: Mutex::new(Vec::new()) }
    }

    /// Lends a connection in a transaction: everything that is read is of one moment, which begins here.
    pub(crate) async fn lend(self: &Arc<Self>) -> Result<Lent, TablesError> {
        let permits = Arc::clone(&self.permits);
        let permit = permits.acquire_owned().await.map_err(|_| TablesError::Closed)?;
        let idle = self.lock().pop();
        let reader = match idle {
            Some(reader) => reader,
            None => Reader::open(&self.options).await?,
        };
        let mut lent = Lent { reader: Some(reader), pool: Arc::clone(self), _permit: permit };
        // The view begins with the first read, which takes in the schema of that moment as well.
        execute(lent.conn()?, "BEGIN;SELECT 1 FROM sqlite_schema LIMIT 1", []).await?;
        Ok(lent)
    }

    /// Lends a connection to `work`, in one view.
    pub(crate) async fn read<T, F>(self: &Arc<Self>, work: F) -> Result<T, TablesError>
    where
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, TablesError>>,
    {
        let mut lent = self.lend().await?;
        let value = work(lent.conn()?).await?;
        lent.give_back().await?;
        Ok(value)
    }

    /// Closes the connections that are not lent.
    pub(crate) fn rest(&self) {
        let idle = std::mem::take(&mut *self.lock());
        drop(idle);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Reader>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    async fn open(options: &SqliteConnectOptions) -> Result<Self, TablesError> {
        let mut conn = options.connect().await?;
        let stop = Arc::new(AtomicBool::new(false));
        let is_stopped = Arc::clone(&stop);
        let goes_on = move || !is_stopped.load(Ordering::Relaxed);
        conn.lock_handle().await?.set_progress_handler(STEPS_PER_LOOK, goes_on);
        Ok(Self { conn, stop })
    }
}

/// A connection that is lent. When it is dropped instead of given back, what runs on it is interrupted and
/// it is closed.
pub(crate) struct Lent {
    reader: Option<Reader>,
    pool: Arc<Readers>,
    _permit: OwnedSemaphorePermit,
}

impl Lent {
    pub(crate) fn conn(&mut self) -> Result<&mut SqliteConnection, TablesError> {
        self.reader.as_mut().map(|reader| &mut reader.conn).ok_or(TablesError::Closed)
    }

    /// Ends the view and leaves the connection to the next one.
    pub(crate) async fn give_back(mut self) -> Result<(), TablesError> {
        execute(self.conn()?, "ROLLBACK", []).await?;
        if let Some(reader) = self.reader.take() {
            self.pool.lock().push(reader);
        }
        Ok(())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(reader) = &self.reader {
            reader.stop.store(true, Ordering::Relaxed);
        }
    }
}
