//! One statement with parameters, as most writes are: it travels to SQLite's thread together with what begins
//! its transaction.

use futures_util::TryStreamExt as _;
use mesh_protocol::UnixMillis;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Either, Executor as _, query_with};

use super::limit::Limit;
use super::{Budget, Prepared, Written, finished, returned, write};
use crate::TablesError;
use crate::catalog::Table;
use crate::desk::Desk;
use crate::seal::{self, Ahead};
use crate::sql::arguments;

/// Statements in front of the user's: BEGIN, and what reads the status.
const BEFORE: usize = 2;

/// Begins a transaction, runs the statement and seals what it wrote.
pub(super) async fn write_alone(
    desk: &mut Desk,
    statement: Prepared,
    at: UnixMillis,
) -> Result<Written, TablesError> {
    desk.check_whole()?;
    if let Some(table) = desk.state.catalog.named(&statement.table).cloned() {
        let limit = Limit::of(desk);
        let mut begun = None;
        let trip = limit.hold(first_trip(desk, &statement, &table, &mut begun)).await;
        let is_over = matches!(trip, Err(TablesError::TookTooLong { .. } | TablesError::Closed));
        if is_over || !seal::is_to_be_sealed(desk, begun.as_ref())? {
            let (written, ahead) = trip?;
            let sealed = seal::seal_ahead(desk, &table, ahead, at).await?;
            return finished(written, sealed);
        }
        // What other programs wrote before is a transaction of its own, whatever becomes of this one.
        desk.roll_back().await;
    }
    desk.begin().await?;
    let written = write(desk, vec![statement], at).await?;
    Ok(written.into_iter().next().unwrap_or_default())
}

/// `begun` becomes what [`seal::STATUS`] reads before the statement.
async fn first_trip(
    desk: &mut Desk,
    statement: &Prepared,
    table: &Table,
    begun: &mut Option<SqliteRow>,
) -> Result<(Written, Ahead), TablesError> {
    let sql = [&seal::begin(), &*statement.sql, &Ahead::sql(table)].join(";");
    let query = query_with(AssertSqlSafe(sql), arguments(statement.params.iter().cloned())?);
    let mut answers = desk.conn.fetch_many(query);
    let (mut written, mut ahead) = (Written::default(), Ahead::default());
    let (mut budget, mut ended) = (Budget::full(), 0);
    while let Some(answer) = answers.try_next().await? {
        match answer {
            Either::Left(done) => {
                if ended == BEFORE {
                    written.changes = done.rows_affected();
                }
                ended += 1;
            }
            Either::Right(row) if ended < BEFORE => *begun = Some(row),
            Either::Right(row) if ended == BEFORE => returned(&row, &mut written, &mut budget)?,
            Either::Right(row) => ahead.add(row),
        }
    }
    // The answers end early, and without a word, when SQLite's thread does.
    if ended > BEFORE { Ok((written, ahead)) } else { Err(sqlx::Error::WorkerCrashed.into()) }
}
