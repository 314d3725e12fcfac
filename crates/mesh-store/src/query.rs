//! Runs one statement with its values.

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{SqliteConnection, query_with};

use crate::StoreError;
use crate::columns::Value;

/// Binds all of `values`, in order.
pub(crate) fn arguments(
    values: impl IntoIterator<Item = Value>,
) -> Result<SqliteArguments, StoreError> {
    let mut arguments = SqliteArguments::default();
    for value in values {
        value.bind_to(&mut arguments)?;
    }
    Ok(arguments)
}

/// Runs a statement that returns nothing; says how many rows it changed.
pub(crate) async fn execute(
    conn: &mut SqliteConnection,
    sql: &'static str,
    values: impl IntoIterator<Item = Value>,
) -> Result<u64, StoreError> {
    let arguments = arguments(values)?;
    Ok(query_with(sql, arguments).execute(conn).await?.rows_affected())
}

/// Runs a statement and collects its rows.
pub(crate) async fn fetch_all(
    conn: &mut SqliteConnection,
    sql: &'static str,
    values: impl IntoIterator<Item = Value>,
) -> Result<Vec<SqliteRow>, StoreError> {
    let arguments = arguments(values)?;
    Ok(query_with(sql, arguments).fetch_all(conn).await?)
}

/// Runs a statement that returns exactly one row, such as a count.
pub(crate) async fn fetch_one(
    conn: &mut SqliteConnection,
    sql: &'static str,
    values: impl IntoIterator<Item = Value>,
) -> Result<SqliteRow, StoreError> {
    let arguments = arguments(values)?;
    Ok(query_with(sql, arguments).fetch_one(conn).await?)
}

/// Runs a statement that returns at most one row.
pub(crate) async fn fetch_optional(
    conn: &mut SqliteConnection,
    sql: &'static str,
    values: impl IntoIterator<Item = Value>,
) -> Result<Option<SqliteRow>, StoreError> {
    let arguments = arguments(values)?;
    Ok(query_with(sql, arguments).fetch_optional(conn).await?)
}

/// Runs a statement whose rows may be large; dropping the stream stops it.
pub(crate) fn fetch<'c>(
    conn: &'c mut SqliteConnection,
    sql: &'static str,
    values: impl IntoIterator<Item = Value>,
) -> Result<BoxStream<'c, Result<SqliteRow, StoreError>>, StoreError> {
    let arguments = arguments(values)?;
    Ok(query_with(sql, arguments).fetch(conn).map(|row| Ok(row?)).boxed())
}
