//! The writing connection with what goes with it.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::{Connection as _, SqliteConnection};

use crate::sql::execute;
use crate::state::State;
use crate::{Rules, TablesConfig, TablesError};

/// The writing connection, the state that is true for it, the bounds and the rules.
pub(crate) struct Desk {
    pub(crate) conn: SqliteConnection,
    pub(crate) state: State,
    pub(crate) config: TablesConfig,
    pub(crate) rules: Arc<dyn Rules>,
}

impl Desk {
    /// Runs `work` in a transaction. When it fails, neither the database nor the state has changed.
    ///
    /// The write lock is taken at the start: nobody else writes between what is read and what is written.
    pub(crate) async fn transaction<T, F>(&mut self, work: F) -> Result<T, TablesError>
    where
        F: for<'d> FnOnce(&'d mut Self) -> BoxFuture<'d, Result<T, TablesError>>,
    {
        let before = self.state.clone();
        let result = match execute(&mut self.conn, "BEGIN IMMEDIATE", []).await {
            Ok(_) => work(self).await,
            Err(error) => Err(error),
        };
        let result = match result {
            Ok(value) => execute(&mut self.conn, "COMMIT", []).await.map(|_| value),
            Err(error) => Err(error),
        };
        if result.is_err() {
            if let Err(error) = execute(&mut self.conn, "ROLLBACK", []).await {
                tracing::debug!(%error, "nothing to roll back");
            }
            self.state = before;
        }
        result
    }

    /// Everything that was written is in the database file itself then, unless somebody still reads.
    pub(crate) async fn close(mut self) -> Result<(), TablesError> {
        execute(&mut self.conn, "PRAGMA wal_checkpoint(TRUNCATE)", []).await?;
        Ok(self.conn.close().await?)
    }
}
