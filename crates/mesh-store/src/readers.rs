//! A small pool of connections that read. Opened when first needed, kept, and given up when they fail.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tokio::sync::Semaphore;

use crate::StoreError;

pub(crate) struct Readers {
    options: SqliteConnectOptions,
    permits: Semaphore,
    connections_max: usize,
    idle: Mutex<Vec<SqliteConnection>>,
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers")
            .field("connections_max", &self.connections_max)
            .finish_non_exhaustive()
    }
}

impl Readers {
    pub(crate) fn new(options: SqliteConnectOptions, connections_max: u32) -> Self {
        let connections_max = usize::try_from(connections_max).unwrap_or(1).max(1);
        Self {
            options,
            permits: Semaphore::new(connections_max),
            connections_max,
            idle: Mutex::new(Vec::new()),
        }
    }

    /// Lends a connection to `work`, waiting for one when all are in use. Each statement sees the last
    /// commit before it began.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>>,
    {
        let _permit = self.permits.acquire().await.map_err(|_| StoreError::Closed)?;
        let idle = self.lock().pop();
        let mut conn = match idle {
            Some(conn) => conn,
            None => self.options.connect().await?,
        };
        let result = work(&mut conn).await;
        // A connection that failed, or whose caller went away, is dropped rather than trusted.
        if result.is_ok() && !self.permits.is_closed() {
            self.lock().push(conn);
        }
        result
    }

    /// Whether nobody reads at the moment.
    pub(crate) fn are_idle(&self) -> bool {
        self.permits.available_permits() == self.connections_max
    }

    /// Turns later readers away and closes the idle connections.
    pub(crate) async fn close(&self) {
        self.permits.close();
        let idle = std::mem::take(&mut *self.lock());
        for conn in idle {
            if let Err(error) = conn.close().await {
                tracing::debug!(%error, "a reading connection did not close cleanly");
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<SqliteConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
