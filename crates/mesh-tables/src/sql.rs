//! Runs statements with values, and knows how a value lies in a column.
//!
//! The names of tables and columns are the user's, so most statements are put together: names are quoted by
//! [`quoted`], values are always bound.

use std::fmt::Write as _;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use mesh_protocol::SqlValue;
use sqlx::sqlite::{SqliteArguments, SqliteRow, SqliteValueRef};
use sqlx::{
    Arguments as _, AssertSqlSafe, Decode, Row as _, SqliteConnection, TypeInfo as _,
    ValueRef as _, query_with,
};

use crate::TablesError;

/// A name as SQLite reads it, whatever is in it.
pub(crate) fn quoted(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 2);
    text.push('"');
    for letter in name.chars() {
        if letter == '"' {
            text.push('"');
        }
        text.push(letter);
    }
    text.push('"');
    text
}

/// `(?,?,…),(?,?,…),…`: `rows` rows of `width` values.
pub(crate) fn placeholders(rows: usize, width: usize) -> String {
    let row = format!("({})", vec!["?"; width].join(","));
    vec![row; rows].join(",")
}

/// Joins what `each` makes of the items by commas.
pub(crate) fn listed<T>(items: impl IntoIterator<Item = T>, each: impl Fn(T) -> String) -> String {
    let mut text = String::new();
    for (index, item) in items.into_iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        // Writing into a text cannot fail.
        let _written = write!(text, "{comma}{}", each(item));
    }
    text
}

/// Binds all of `values`, in order. [`SqlValue::RawText`] is bound as bytes: the statement has to cast it.
pub(crate) fn arguments(
    values: impl IntoIterator<Item = SqlValue>,
) -> Result<SqliteArguments, TablesError> {
    let mut arguments = SqliteArguments::default();
    for value in values {
        let bound = match value {
            SqlValue::Null => arguments.add(None::<i64>),
            SqlValue::Integer(number) => arguments.add(number),
            SqlValue::Real(number) => arguments.add(number),
            SqlValue::Text(text) => arguments.add(text),
            SqlValue::Blob(bytes) | SqlValue::RawText(bytes) => arguments.add(bytes),
        };
        bound.map_err(|error| TablesError::from(sqlx::Error::Encode(error)))?;
    }
    Ok(arguments)
}

/// Runs a statement that returns nothing; says how many rows it changed.
pub(crate) async fn execute(
    conn: &mut SqliteConnection,
    sql: impl Into<String>,
    values: impl IntoIterator<Item = SqlValue>,
) -> Result<u64, TablesError> {
    let arguments = arguments(values)?;
    let query = query_with(AssertSqlSafe(sql.into()), arguments);
    Ok(query.execute(conn).await?.rows_affected())
}

/// Runs a statement and collects its rows.
pub(crate) async fn fetch_all(
    conn: &mut SqliteConnection,
    sql: impl Into<String>,
    values: impl IntoIterator<Item = SqlValue>,
) -> Result<Vec<SqliteRow>, TablesError> {
    let arguments = arguments(values)?;
    Ok(query_with(AssertSqlSafe(sql.into()), arguments).fetch_all(conn).await?)
}

/// Runs a statement that returns at most one row.
pub(crate) async fn fetch_optional(
    conn: &mut SqliteConnection,
    sql: impl Into<String>,
    values: impl IntoIterator<Item = SqlValue>,
) -> Result<Option<SqliteRow>, TablesError> {
    let arguments = arguments(values)?;
    Ok(query_with(AssertSqlSafe(sql.into()), arguments).fetch_optional(conn).await?)
}

/// Runs a statement whose rows may be many; dropping the stream stops it.
pub(crate) fn fetch<'c>(
    conn: &'c mut SqliteConnection,
    sql: impl Into<String>,
    values: impl IntoIterator<Item = SqlValue>,
) -> Result<BoxStream<'c, Result<SqliteRow, TablesError>>, TablesError> {
    let arguments = arguments(values)?;
    let rows = query_with(AssertSqlSafe(sql.into()), arguments).fetch(conn);
    Ok(rows.map(|row| Ok(row?)).boxed())
}

/// A value of SQLite as it lies in the database.
pub(crate) fn value(cell: SqliteValueRef<'_>) -> Result<SqlValue, TablesError> {
    let decode = |source| TablesError::from(sqlx::Error::Decode(source));
    if cell.is_null() {
        return Ok(SqlValue::Null);
    }
    let kind = cell.type_info();
    Ok(match kind.name() {
        "INTEGER" | "BOOLEAN" => SqlValue::Integer(Decode::decode(cell).map_err(decode)?),
        "REAL" => SqlValue::Real(Decode::decode(cell).map_err(decode)?),
        "TEXT" | "DATETIME" | "DATE" | "TIME" => {
            let bytes: Vec<u8> = Decode::decode(cell).map_err(decode)?;
            String::from_utf8(bytes)
                .map_or_else(|error| SqlValue::RawText(error.into_bytes()), SqlValue::Text)
        }
        _ => SqlValue::Blob(Decode::decode(cell).map_err(decode)?),
    })
}

/// Reads the columns of a row from left to right.
pub(crate) struct Columns<'r> {
    row: &'r SqliteRow,
    next: usize,
}

impl<'r> Columns<'r> {
    pub(crate) const fn of(row: &'r SqliteRow) -> Self {
        Self { row, next: 0 }
    }

    /// Whatever is in the next column.
    pub(crate) fn value(&mut self) -> Result<SqlValue, TablesError> {
        let cell = self.row.try_get_raw(self.next)?;
        self.next += 1;
        value(cell)
    }

    /// The next `count` columns.
    pub(crate) fn values(&mut self, count: usize) -> Result<Vec<SqlValue>, TablesError> {
        (0..count).map(|_| self.value()).collect()
    }

    /// A whole number.
    pub(crate) fn int(&mut self) -> Result<i64, TablesError> {
        self.int_or_none()?.ok_or(TablesError::Malformed { what: "number" })
    }

    /// A whole number or NULL.
    pub(crate) fn int_or_none(&mut self) -> Result<Option<i64>, TablesError> {
        match self.value()? {
            SqlValue::Null => Ok(None),
            SqlValue::Integer(number) => Ok(Some(number)),
            SqlValue::Real(_) | SqlValue::Text(_) | SqlValue::Blob(_) | SqlValue::RawText(_) => {
                Err(TablesError::Malformed { what: "number" })
            }
        }
    }

    /// A number that is never negative.
    pub(crate) fn count(&mut self) -> Result<u64, TablesError> {
        u64::try_from(self.int()?).map_err(|_| TablesError::Malformed { what: "number" })
    }

    /// A yes or no.
    pub(crate) fn flag(&mut self) -> Result<bool, TablesError> {
        Ok(self.int()? != 0)
    }

    /// Text.
    pub(crate) fn text(&mut self) -> Result<String, TablesError> {
        self.text_or_none()?.ok_or(TablesError::Malformed { what: "text" })
    }

    /// Text or NULL.
    pub(crate) fn text_or_none(&mut self) -> Result<Option<String>, TablesError> {
        match self.value()? {
            SqlValue::Null => Ok(None),
            SqlValue::Text(text) => Ok(Some(text)),
            SqlValue::Real(_) | SqlValue::Integer(_) | SqlValue::Blob(_) | SqlValue::RawText(_) => {
                Err(TablesError::Malformed { what: "text" })
            }
        }
    }

    /// Bytes.
    pub(crate) fn blob(&mut self) -> Result<Vec<u8>, TablesError> {
        self.blob_or_none()?.ok_or(TablesError::Malformed { what: "byte string" })
    }

    /// Bytes or NULL.
    pub(crate) fn blob_or_none(&mut self) -> Result<Option<Vec<u8>>, TablesError> {
        match self.value()? {
            SqlValue::Null => Ok(None),
            SqlValue::Blob(bytes) => Ok(Some(bytes)),
            SqlValue::Real(_) | SqlValue::Integer(_) | SqlValue::Text(_) | SqlValue::RawText(_) => {
                Err(TablesError::Malformed { what: "byte string" })
            }
        }
    }

    /// Bytes of a fixed length.
    pub(crate) fn array<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], TablesError> {
        self.blob()?.try_into().map_err(|_| TablesError::Malformed { what })
    }
}

/// A count as SQLite stores it: what exceeds its largest number is as good as endless.
pub(crate) fn number(count: u64) -> SqlValue {
    SqlValue::Integer(i64::try_from(count).unwrap_or(i64::MAX))
}
