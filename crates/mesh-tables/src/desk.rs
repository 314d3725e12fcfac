//! The writing connection with what goes with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use futures_util::TryStreamExt as _;
use futures_util::future::BoxFuture;
use mesh_protocol::SqlValue;
use sqlx::sqlite::SqliteRow;
use sqlx::{
    AssertSqlSafe, Connection as _, Either, Executor as _, SqliteConnection, query_with, raw_sql,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::durable::{Disk, Durability, Wal};
use crate::error::{primary_code, sqlite_code};
use crate::recent::{NewEntry, Recent, Uncommitted};
use crate::sql::{Columns, arguments, execute, fetch_all};
use crate::state::State;
use crate::{Rules, TablesConfig, TablesError, open, seal};

/// Whether the database is being closed.
pub(crate) type Closing = watch::Receiver<bool>;

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
    /// Set while what runs on the connection is to end.
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) closing: Closing,
    /// Cancelled when statements of users have been going on for too long since the database is being closed.
    pub(crate) is_over: CancellationToken,
    path: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
    /// What the connection was told last.
    pub(crate) durability: Durability,
    /// Rows of the configuration's history that were written since it was looked at.
    pub(crate) history_rows: usize,
    /// Counts commits that did not wait for the disk.
    pub(crate) commits_later: u64,
    /// Everything that was committed is on the disk.
    pub(crate) is_on_disk: bool,
    /// The disk has failed, and it is not known what is on it.
    pub(crate) is_unsure: bool,
    /// SQLite's thread has ended, so the connection is of no more use.
    is_dead: bool,
}

/// Statements at the end of a transaction.
pub(crate) struct Last {
    pub(crate) sql: String,
    pub(crate) values: Vec<SqlValue>,
    /// Entries of the log that they write; the first row that they return is the number of the last one.
    pub(crate) entries: Vec<NewEntry>,
}

impl Desk {
    /// Refuses what somebody wants to write between the pieces of a snapshot: what came with them is ahead of what the
    /// transaction would say that its maker knew. As long as none has come, a snapshot holds up nobody.
    ///
    /// # Errors
    /// [`TablesError::TakingOver`].
    pub(crate) fn check_whole(&self) -> Result<(), TablesError> {
        let mut parts = self.state.covered.of_this_snapshot();
        if parts.any(|part| !part.is_empty()) { Err(TablesError::TakingOver) } else { Ok(()) }
    }

    /// Runs `work` in a transaction. When it fails, neither the database nor the state has changed.
    ///
    /// The write lock is taken at the start: nobody else writes between what is read and what is written.
    pub(crate) async fn transaction<T, F>(
        &mut self,
        durability: Durability,
        work: F,
    ) -> Result<T, TablesError>
    where
        F: for<'d> FnOnce(&'d mut Self) -> BoxFuture<'d, Result<T, TablesError>>,
    {
        let begun_and = async |desk: &mut Self| {
            desk.begin().await?;
            work(desk).await
        };
        self.transaction_begun_by(durability, begun_and).await
    }

    /// Like [`Desk::transaction`] for `work` that begins it.
    pub(crate) async fn transaction_begun_by<T>(
        &mut self,
        durability: Durability,
        work: impl AsyncFnOnce(&mut Self) -> Result<T, TablesError>,
    ) -> Result<T, TablesError> {
        let before = self.state.clone();
        self.may_have_losers = true;
        let result = match self.be_durable(durability).await {
            Ok(()) => work(self).await,
            Err(error) => Err(error),
        };
        self.begun = None;
        let last = self.last.take();
        let result = match result {
            Ok(value) => self.commit(last).await.map(|()| value),
            Err(error) => Err(error),
        };
        if let Err(error) = &result {
            // The disk may have failed with what was committed before, and says so once.
            self.is_unsure |= !self.is_on_disk && is_of_writing(error);
            // What is sent to a thread that is ending is never answered.
            self.is_dead |= is_crash(error);
            if self.is_dead {
                tracing::debug!(%error, "the connection has ended, and its transaction with it");
            } else {
                self.roll_back().await;
            }
            self.state = before;
            self.uncommitted.forget();
        } else {
            self.note_commit(durability, before.log_head);
        }
        result
    }

    fn note_commit(&mut self, durability: Durability, log_head: i64) {
        match durability {
            Durability::Later => {
                self.commits_later += 1;
                self.is_on_disk = false;
            }
            // A commit that writes nothing does not wait for the disk. One that adds to the log writes.
            Durability::AtOnce => self.is_on_disk |= self.state.log_head != log_head,
        }
    }

    pub(crate) async fn begin(&mut self) -> Result<(), TablesError> {
        self.begun = fetch_all(&mut self.conn, seal::begin(), []).await?.pop();
        Ok(())
    }

    /// Takes back what was written, if a transaction is open.
    pub(crate) async fn roll_back(&mut self) {
        if let Err(error) = run_to_end(&mut self.conn, "ROLLBACK".to_owned(), []).await {
            self.is_dead = is_crash(&error);
            tracing::debug!(%error, "nothing to roll back");
        }
    }

    async fn commit(&mut self, last: Option<Last>) -> Result<(), TablesError> {
        match last {
            Some(Last { mut sql, values, entries }) => {
                sql.push_str(";COMMIT");
                self.write(Last { sql, values, entries }).await?;
            }
            None => {
                run_to_end(&mut self.conn, "COMMIT".to_owned(), []).await?;
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

    /// Runs statements, which may write entries of the log.
    pub(crate) async fn write(&mut self, last: Last) -> Result<(), TablesError> {
        let Last { sql, values, entries } = last;
        let row = run_to_end(&mut self.conn, sql, values).await?;
        if let Some(row) = row
            && !entries.is_empty()
        {
            self.logged(Columns::of(&row).int()?, entries);
        }
        Ok(())
    }

    /// Notes entries of the log that end at `head`: they are numbered one after the other.
    pub(crate) fn logged(&mut self, head: i64, entries: Vec<NewEntry>) {
        self.state.log_head = head;
        let first = head + 1 - i64::try_from(entries.len()).unwrap_or(i64::MAX);
        for (id, entry) in (first..).zip(entries) {
            self.uncommitted.add(id, entry);
        }
    }

    /// Opens the connection anew when SQLite's thread has ended, which sqlx lets happen when it runs out of
    /// memory. What was open is rolled back, and the state read again: a commit may have gone unseen.
    pub(crate) async fn mend(&mut self) {
        if !self.is_dead {
            return;
        }
        match self.reopen().await {
            Ok(()) => tracing::warn!("the writing connection had ended and was opened anew"),
            Err(error) => tracing::error!(%error, "the writing connection cannot be opened anew"),
        }
    }

    async fn reopen(&mut self) -> Result<(), TablesError> {
        self.conn = open::writer(&self.path, &self.config, &self.stop).await?;
        self.durability = Durability::AtOnce;
        self.commits_later += 1;
        self.is_on_disk = false;
        self.state = State::load(&mut self.conn, self.state.me).await?;
        self.recent.forget();
        self.is_dead = false;
        Ok(())
    }

    pub(crate) fn new(
        path: &Path,
        conn: SqliteConnection,
        state: State,
        config: TablesConfig,
        rules: Arc<dyn Rules>,
        stop: Arc<AtomicBool>,
        closing: Closing,
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
            stop,
            closing,
            is_over: CancellationToken::new(),
            path: path.to_owned(),
            disk: Arc::new(Wal::of(path)),
            durability: Durability::AtOnce,
            history_rows: 0,
            commits_later: 0,
            is_on_disk: false,
            is_unsure: false,
            is_dead: false,
        }
    }

    /// Gives back the memory that work has taken: compiled statements and pages of the file.
    pub(crate) async fn rest(&mut self) {
        let cleared = self.conn.clear_cached_statements().await;
        let shrunk = raw_sql("PRAGMA shrink_memory").execute(&mut self.conn).await.map(drop);
        if let Err(error) = cleared.and(shrunk) {
            tracing::debug!(%error, "the writing connection keeps its memory");
        }
    }

    /// Everything that was written is in the database file itself then, unless somebody still reads.
    pub(crate) async fn close(mut self) -> Result<(), TablesError> {
        execute(&mut self.conn, "PRAGMA wal_checkpoint(TRUNCATE)", []).await?;
        Ok(self.conn.close().await?)
    }
}

/// Runs statements and says which row came first. sqlx ends the answers without a word when SQLite's thread
/// ends: a COMMIT counts only when its end was seen.
async fn run_to_end(
    conn: &mut SqliteConnection,
    sql: String,
    values: impl IntoIterator<Item = SqlValue>,
) -> Result<Option<SqliteRow>, TablesError> {
    let mut answers = conn.fetch_many(query_with(AssertSqlSafe(sql), arguments(values)?));
    let (mut first, mut is_ended) = (None, false);
    while let Some(answer) = answers.try_next().await? {
        is_ended = answer.is_left();
        if let Either::Right(row) = answer {
            first.get_or_insert(row);
        }
    }
    if is_ended { Ok(first) } else { Err(sqlx::Error::WorkerCrashed.into()) }
}

fn is_of_writing(error: &TablesError) -> bool {
    matches!(error, TablesError::Database { source } if primary_code(source) == Some(sqlite_code::IOERR))
}

fn is_crash(error: &TablesError) -> bool {
    matches!(error, TablesError::Database { source } if matches!(**source, sqlx::Error::WorkerCrashed))
}
