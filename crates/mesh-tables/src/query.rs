//! Queries of users: one statement that reads, with bounds on time, rows and memory.
//!
//! What keeps them harmless, from the outside in: the statement is parsed, and anything but one that reads
//! is refused; the connection opens the file for reading only; it runs in a transaction that is rolled
//! back; a task beside the consumer ends it when its time is over, whether it runs or waits to be read.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{FutureExt as _, Stream, StreamExt as _};
use mesh_protocol::SqlValue;
use sqlx::sqlite::SqliteRow;
use sqlx::{
    AssertSqlSafe, Column as _, Either, Executor as _, Row as _, SqlSafeStr as _, SqliteConnection,
    Statement as _, query_with,
};
use tokio::sync::{mpsc, oneshot};

use crate::error::{primary_code, sqlite_code};
use crate::readers::Lent;
use crate::sql::{Columns, arguments};
use crate::statement::{Statement, bindable, classify};
use crate::{Tables, TablesError};

/// Rows go to the consumer when so many bytes of them are together, or when no more are ready.
const BATCH_BYTES: usize = 64 << 10;

/// Batches that wait for the consumer.
const BATCHES_WAITING: usize = 2;

/// Largest row of a result. Rows of replicated tables have at most 2 MiB; joins may put several together.
const ROW_BYTES_MAX: usize = 64 << 20;

/// A question.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// One statement that reads.
    pub sql: String,
    /// By SQLite's numbers of the parameters: `?` and names are numbered in the order in which they first
    /// stand in the statement. What is missing is NULL.
    pub params: Vec<SqlValue>,
    /// Most rows, if fewer than the database allows.
    pub rows_max: Option<u64>,
    /// Longest time from the call to the last row that is read, if shorter than the database allows.
    pub time_max: Option<Duration>,
}

/// The answer to a query: a stream of rows.
///
/// After an error nothing follows. Dropping it ends the query.
#[derive(Debug)]
pub struct Rows {
    columns: Vec<String>,
    batches: mpsc::Receiver<Vec<Vec<SqlValue>>>,
    batch: std::vec::IntoIter<Vec<SqlValue>>,
    /// How the query ended; none once that was told.
    end: Option<oneshot::Receiver<Result<(), TablesError>>>,
}

impl Rows {
    /// Names of the columns, as the statement names them; two may be the same.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }
}

impl Stream for Rows {
    type Item = Result<Vec<SqlValue>, TablesError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(row) = self.batch.next() {
                return Poll::Ready(Some(Ok(row)));
            }
            match ready!(self.batches.poll_recv(cx)) {
                Some(batch) => self.batch = batch.into_iter(),
                None => break,
            }
        }
        let Some(end) = &mut self.end else { return Poll::Ready(None) };
        let end = ready!(end.poll_unpin(cx)).unwrap_or(Err(TablesError::Closed));
        self.end = None;
        Poll::Ready(end.err().map(Err))
    }
}

impl Tables {
    /// Answers a query from the last commit before it. Columns are known when this returns, rows follow as
    /// they are read.
    ///
    /// The time runs while nobody reads the rows, too: a consumer that stalls must not keep the WAL from
    /// being emptied.
    ///
    /// # Errors
    /// [`TablesError::Refused`] when it is not one statement that reads, or its result takes too much
    /// memory; [`TablesError::Statement`] when SQLite cannot make sense of it;
    /// [`TablesError::TookTooLong`] and [`TablesError::TooManyRows`] when it exceeds its bounds. All of
    /// them may come after some of the rows.
    pub async fn query(&self, query: Query) -> Result<Rows, TablesError> {
        check(&query.sql)?;
        let (sql, params) = bindable(&query.sql, &query.params)?;
        let query = Query { sql, params, ..query };
        let config = self.config();
        let time_max = query.time_max.unwrap_or(Duration::MAX).min(config.query_time_max);
        let rows_max = query.rows_max.unwrap_or(u64::MAX).min(config.query_rows_max);
        let (heading, columns) = oneshot::channel();
        let (output, batches) = mpsc::channel(BATCHES_WAITING);
        let (ending, end) = oneshot::channel();
        let reading = self.reading().clone();
        let mut asked = Asked { query, rows_max, heading: Some(heading), output: output.clone() };
        reading.tracker.clone().spawn(async move {
            let mut have = reading.have.clone();
            let ended = tokio::select! {
                ended = async { asked.answer(reading.queries.lend().await?).await } => ended,
                () = tokio::time::sleep(time_max) => {
                    Err(TablesError::TookTooLong { is_write: false, seconds: time_max.as_secs() })
                }
                () = async { while have.changed().await.is_ok() {} } => Err(TablesError::Closed),
                () = output.closed() => Err(TablesError::Closed),
            };
            match (asked.heading.take(), ended) {
                (Some(heading), Err(error)) => drop(heading.send(Err(error))),
                (Some(_) | None, ended) => drop(ending.send(ended)),
            }
        });
        let columns = columns.await.unwrap_or(Err(TablesError::Closed))?;
        Ok(Rows { columns, batches, batch: Vec::new().into_iter(), end: Some(end) })
    }
}

/// Whether it is one statement that reads.
fn check(sql: &str) -> Result<(), TablesError> {
    let reason = match classify(sql) {
        Statement::Read => return Ok(()),
        Statement::Refused { reason } => reason,
        Statement::Write { .. }
        | Statement::CreateTable { .. }
        | Statement::AddColumn { .. }
        | Statement::CreateIndex { .. }
        | Statement::DropTable { .. } => {
            "a query can only read; what writes is given as a transaction".to_owned()
        }
    };
    Err(TablesError::Refused { reason })
}

/// A query under way.
struct Asked {
    query: Query,
    rows_max: u64,
    /// Who waits for the columns.
    heading: Option<oneshot::Sender<Result<Vec<String>, TablesError>>>,
    output: mpsc::Sender<Vec<Vec<SqlValue>>>,
}

impl Asked {
    async fn answer(&mut self, mut lent: Lent) -> Result<(), TablesError> {
        self.head(lent.conn()?).await?;
        self.rows(lent.conn()?).await?;
        lent.give_back().await
    }

    async fn head(&mut self, conn: &mut SqliteConnection) -> Result<(), TablesError> {
        let sql = AssertSqlSafe(self.query.sql.as_str()).into_sql_str();
        let statement = conn.prepare(sql).await.map_err(refused)?;
        let columns = statement.columns().iter().map(|column| column.name().to_owned()).collect();
        if let Some(heading) = self.heading.take() {
            // Who went away is noticed by the closed output.
            drop(heading.send(Ok(columns)));
        }
        Ok(())
    }

    async fn rows(&mut self, conn: &mut SqliteConnection) -> Result<(), TablesError> {
        let values = arguments(std::mem::take(&mut self.query.params))?;
        let sql = AssertSqlSafe(std::mem::take(&mut self.query.sql));
        // The deprecated name is the only way to learn of the end as well as of the rows: without one,
        // SQLite's thread has given up, and the rows are not all of them.
        #[expect(deprecated, reason = "there is one statement, and its end must be seen")]
        let mut items = query_with(sql, values).fetch_many(conn);
        let (mut batch, mut bytes, mut count, mut is_ended) = (Vec::new(), 0, 0, false);
        loop {
            let item = match items.next().now_or_never() {
                Some(item) => item,
                None => {
                    self.send(&mut batch, &mut bytes).await?;
                    items.next().await
                }
            };
            let ended = match item {
                Some(Ok(Either::Right(row))) if count < self.rows_max => {
                    count += 1;
                    values_of(&row).map(|row| {
                        bytes += row_bytes(&row);
                        batch.push(row);
                    })
                }
                Some(Ok(Either::Right(_))) => {
                    Err(TablesError::TooManyRows { rows_max: self.rows_max })
                }
                Some(Ok(Either::Left(_))) => {
                    is_ended = true;
                    Ok(())
                }
                Some(Err(error)) => Err(refused(error)),
                None => break,
            };
            if bytes >= BATCH_BYTES || ended.is_err() {
                self.send(&mut batch, &mut bytes).await?;
            }
            ended?;
        }
        self.send(&mut batch, &mut bytes).await?;
        if is_ended { Ok(()) } else { Err(too_large()) }
    }

    /// Hands a batch over, waiting for the consumer to make room.
    async fn send(
        &self,
        batch: &mut Vec<Vec<SqlValue>>,
        bytes: &mut usize,
    ) -> Result<(), TablesError> {
        *bytes = 0;
        if batch.is_empty() {
            return Ok(());
        }
        self.output.send(std::mem::take(batch)).await.map_err(|_| TablesError::Closed)
    }
}

/// Every row costs something even when its values are small.
fn row_bytes(row: &[SqlValue]) -> usize {
    32 + row.iter().map(SqlValue::bytes).sum::<usize>()
}

fn values_of(row: &SqliteRow) -> Result<Vec<SqlValue>, TablesError> {
    let mut columns = Columns::of(row);
    let mut values = Vec::with_capacity(row.len());
    let mut bytes = 0;
    for _ in 0..row.len() {
        let value = columns.value()?;
        bytes += value.bytes();
        if bytes > ROW_BYTES_MAX {
            return Err(too_large());
        }
        values.push(value);
    }
    Ok(values)
}

fn too_large() -> TablesError {
    let reason = "the result has values that take more memory than a query may use";
    TablesError::Refused { reason: reason.to_owned() }
}

/// What SQLite says of a statement that was allowed to run.
fn refused(error: sqlx::Error) -> TablesError {
    match primary_code(&error) {
        Some(sqlite_code::NOMEM | sqlite_code::TOO_BIG) => too_large(),
        Some(sqlite_code::READONLY | sqlite_code::AUTH) => {
            TablesError::Refused { reason: "a query can only read".to_owned() }
        }
        Some(_) | None => TablesError::from(error),
    }
}
