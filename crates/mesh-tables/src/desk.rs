//! The writing connection with what goes with it.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use mesh_protocol::SqlValue;
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection as _, SqliteConnection};

use crate::recent::{NewEntry, Recent, Uncommitted};
use crate::seal;
use crate::sql::{Columns, execute, fetch_all};
use crate::state::State;
use crate::{Rules, TablesConfig, TablesError};

/// The writing connection, the state that is true for it, the bounds and the rules.
pub(crate) struct Desk {
    pub(crate) conn: SqliteConnection,
    pub(crate) state: State,
    pub(crate) config: TablesConfig,
    pub(crate) rules: Arc<dyn Rules>,
    /// The newest entries of the log, and those of the transaction that is open.
    pub(crate) recent: Recent,
    pub(crate) uncommitted: Uncommitted,
    /// What [`seal::status`] reads, read as the open transaction began.
    pub(crate) begun: Option<SqliteRow>,
    /// False when it is known that no loser of a conflict is listed.
    pub(crate) may_have_losers: bool,
    /// What travels to SQLite's thread together with the COMMIT.
    last: Option<Last>,
}

/// Statements at the end of a transaction.
pub(crate) struct Last {
    pub(crate) sql: String,
    pub(crate) values: Vec<SqlValue>,
    /// An entry of the log that they write; the first row that they return is its number.
    pub(crate) entry: Option<NewEntry>,
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
        self.may_have_losers = true;
        let result = match self.begin().await {
            Ok(()) => work(self).await,
            Err(error) => Err(error),
        };
        self.begun = None;
        let last = self.last.take();
        let result = match result {
            Ok(value) => self.commit(last).await.map(|()| value),
            Err(error) => Err(error),
        };
        if result.is_err() {
            if let Err(error) = execute(&mut self.conn, "ROLLBACK", []).await {
                tracing::debug!(%error, "nothing to roll back");
            }
            self.state = before;
            self.uncommitted.forget();
        }
        result
    }

    async fn begin(&mut self) -> Result<(), TablesError> {
        let sql = format!("BEGIN IMMEDIATE;{}", seal::STATUS);
        self.begun = fetch_all(&mut self.conn, sql, []).await?.pop();
        Ok(())
    }

    async fn commit(&mut self, last: Option<Last>) -> Result<(), TablesError> {
        match last {
            Some(Last { mut sql, values, entry }) => {
                sql.push_str(";COMMIT");
                self.write(Last { sql, values, entry }).await?;
            }
            None => {
                execute(&mut self.conn, "COMMIT", []).await?;
            }
        }
        self.recent.commit(&mut self.uncommitted, self.state.log_head);
        Ok(())
    }

    /// Leaves statements to the end of the transaction. There must be none yet, and nothing else may be
    /// written after this.
    pub(crate) fn write_last(&mut self, last: Last) {
        self.last = Some(last);
    }

    /// Runs statements, one of which may write an entry of the log.
    pub(crate) async fn write(&mut self, last: Last) -> Result<(), TablesError> {
        let Last { sql, values, entry } = last;
        let rows = fetch_all(&mut self.conn, sql, values).await?;
        if let (Some(row), Some(entry)) = (rows.first(), entry) {
            self.state.log_head = Columns::of(row).int()?;
            self.uncommitted.add(self.state.log_head, entry);
        }
        Ok(())
    }

    pub(crate) fn new(
        conn: SqliteConnection,
        state: State,
        config: TablesConfig,
        rules: Arc<dyn Rules>,
    ) -> Self {
        Self {
            conn,
            state,
            config,
            rules,
            recent: Recent::default(),
            uncommitted: Uncommitted::default(),
            begun: None,
            may_have_losers: true,
            last: None,
        }
    }

    /// Everything that was written is in the database file itself then, unless somebody still reads.
    pub(crate) async fn close(mut self) -> Result<(), TablesError> {
        execute(&mut self.conn, "PRAGMA wal_checkpoint(TRUNCATE)", []).await?;
        Ok(self.conn.close().await?)
    }
}
