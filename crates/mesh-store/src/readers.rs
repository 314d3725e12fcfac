//! A small pool of connections that read. Opened when first needed, kept, and given up when they fail.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use crate::StoreError;

pub(crate) struct Readers {
    options: SqliteConnectOptions,
    tracker: TaskTracker,
    permits: Arc<Semaphore>,
    connections_max: u32,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    idle: Vec<SqliteConnection>,
    /// No longer trusted: their reader failed or went away. They hold the file open until they are closed.
    spent: Vec<SqliteConnection>,
}

/// A connection that is lent: spent, unless it is given back.
struct Lent {
    readers: Arc<Readers>,
    conn: Option<SqliteConnection>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            self.readers.lock().spent.push(conn);
        }
    }
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers")
            .field("connections_max", &self.connections_max)
            .finish_non_exhaustive()
    }
}

impl Readers {
    pub(crate) fn new(
        options: SqliteConnectOptions,
        connections_max: u32,
        tracker: &TaskTracker,
    ) -> Self {
        let connections_max = connections_max.max(1);
        Self {
            options,
            tracker: tracker.clone(),
            permits: Arc::new(Semaphore::new(usize::try_from(connections_max).unwrap_or(1))),
            connections_max,
            kept: Mutex::default(),
        }
    }

    /// Lends a connection to `work`, waiting for one when all are in use. Each statement sees the last
    /// commit before it began.
    pub(crate) async fn read<T, F>(self: &Arc<Self>, work: F) -> Result<T, StoreError>
    where
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>>,
    {
        let mut lent = self.lend().await?;
        let conn = lent.conn.as_mut().ok_or(StoreError::Closed)?;
        let value = work(conn).await?;
        self.lock().idle.extend(lent.conn.take());
        Ok(value)
    }

    async fn lend(self: &Arc<Self>) -> Result<Lent, StoreError> {
        let permits = Arc::clone(&self.permits);
        let permit = permits.acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let (idle, spent) = {
            let mut kept = self.lock();
            (kept.idle.pop(), std::mem::take(&mut kept.spent))
        };
        let mut lent = Lent { readers: Arc::clone(self), conn: idle, _permit: permit };
        if lent.conn.is_some() && spent.is_empty() {
            return Ok(lent);
        }
        // In a task of its own: a caller that goes away leaves nothing half open or half closed.
        let opening = self.tracker.spawn(async move {
            close_all(spent).await;
            if lent.conn.is_none() {
                lent.conn = Some(lent.readers.options.connect().await?);
            }
            Ok(lent)
        });
        opening.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Whether nobody reads at the moment.
    pub(crate) fn are_idle(&self) -> bool {
        self.permits.available_permits() == usize::try_from(self.connections_max).unwrap_or(1)
    }

    /// Waits for those that read, turns later readers away and closes every connection: whoever closes the
    /// last one of a database tidies up its WAL.
    pub(crate) async fn close(&self) {
        let _all = self.permits.acquire_many(self.connections_max).await;
        self.permits.close();
        let kept = std::mem::take(&mut *self.lock());
        close_all(kept.idle).await;
        close_all(kept.spent).await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn close_all(conns: Vec<SqliteConnection>) {
    for conn in conns {
        if let Err(error) = conn.close().await {
            tracing::debug!(%error, "a reading connection did not close cleanly");
        }
    }
}
