//! Reads the rows of a table in the order of its primary key, a page at a time.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use mesh_protocol::{CellState, HybridClock, RowState, SqlValue, Version};
use sqlx::SqliteConnection;

use super::place::compare_keys;
use crate::TablesError;
use crate::catalog::Table;
use crate::sql::{Columns, fetch, fetch_all, fetch_optional, listed, quoted};
use crate::state::Origins;

/// Rows with larger keys are not in snapshots: a piece names up to three keys beside its rows.
pub(super) const KEY_BYTES_MAX: usize = 128 << 10;

/// What a row takes beside its values and keys, at most.
const ROW_BYTES: usize = 64;

/// What a column takes beside the bytes of its value, at most.
const VALUE_BYTES: usize = 12;

/// What a version of a column takes, at most.
const CELL_BYTES: usize = 52;

/// A part of a table, in key order: behind one key and up to another one; none are the ends of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range<'k> {
    pub(super) after: Option<&'k [SqlValue]>,
    pub(super) upto: Option<&'k [SqlValue]>,
}

impl Range<'_> {
    /// Whether a key is in it.
    pub(super) fn holds(&self, table: &Table, key: &[SqlValue]) -> bool {
        let is_behind = |after: &[SqlValue]| compare_keys(&table.key, after, key) == Ordering::Less;
        self.after.is_none_or(is_behind) && self.upto.is_none_or(|upto| !is_behind(upto))
    }

    /// The condition for rows of the table that goes by `alias`, and what it binds.
    fn condition(&self, table: &Table, alias: &str) -> (String, Vec<SqlValue>) {
        let names = key_of(table, alias);
        let sizes = size_of(table, alias, &table.key);
        let mut sql = format!("{sizes} <= {KEY_BYTES_MAX}");
        let mut values = Vec::new();
        for (key, compares) in [(self.after, ">"), (self.upto, "<=")] {
            let Some(key) = key else { continue };
            let places = listed(key, |value| parameter(value).to_owned());
            sql.push_str(&format!(" AND ({names}) {compares} ({places})"));
            values.extend_from_slice(key);
        }
        (sql, values)
    }
}

/// Text that is not UTF-8 is bound as bytes and becomes text again.
const fn parameter(value: &SqlValue) -> &'static str {
    match value {
        SqlValue::RawText(_) => "CAST(? AS TEXT)",
        SqlValue::Null
        | SqlValue::Integer(_)
        | SqlValue::Real(_)
        | SqlValue::Text(_)
        | SqlValue::Blob(_) => "?",
    }
}

fn key_of(table: &Table, alias: &str) -> String {
    listed(&table.key, |column| format!("{alias}.{}", quoted(&column.name)))
}

/// About how many bytes columns take.
fn size_of(_table: &Table, alias: &str, columns: &[crate::catalog::Column]) -> String {
    let sizes = columns
        .iter()
        .map(|column| format!("coalesce(octet_length({alias}.{}),0)", quoted(&column.name)));
    let sizes: Vec<String> = sizes.chain(["0".to_owned()]).collect();
    format!("({})", sizes.join("+"))
}

/// `r`, the versions, with `t`, the rows that go with them.
fn source(table: &Table) -> String {
    let same = table.key.iter().map(|column| {
        let name = quoted(&column.name);
        format!("t.{name} = r.{name}")
    });
    format!(
        "{} AS r LEFT JOIN {} AS t ON {}",
        quoted(&table.row_table()),
        quoted(&table.name),
        same.collect::<Vec<_>>().join(" AND ")
    )
}

/// A row as it is sent, and about how many bytes it takes.
#[derive(Debug)]
pub(super) struct PageRow {
    pub(super) state: RowState,
    pub(super) bytes: usize,
}

/// Where a page ends.
#[derive(Debug)]
pub(super) struct PageEnd {
    /// The key of its last row.
    pub(super) key: Vec<SqlValue>,
    pub(super) rows: u64,
    /// What its values take.
    pub(super) bytes: usize,
}

/// The end of the page of at most `rows_max` rows and about `bytes_max` bytes that begins behind `after`;
/// one row at least. None when there are no rows.
///
/// SQLite adds up the sizes, so that no more is read into memory than is sent.
pub(super) async fn page_end(
    conn: &mut SqliteConnection,
    table: &Table,
    after: Option<&[SqlValue]>,
    rows_max: u64,
    bytes_max: usize,
) -> Result<Option<PageEnd>, TablesError> {
    let range = Range { after, upto: None };
    let (condition, mut values) = range.condition(table, "r");
    let fixed = ROW_BYTES + VALUE_BYTES * (table.key.len() + table.columns.len());
    let sql = format!(
        "SELECT {keys}, n, total FROM (\
           SELECT {names}, row_number() OVER w AS n, sum(size) OVER w AS total FROM (\
             SELECT {rkeys}, {fixed} + {key_size} + {size} AS size \
             FROM {source} WHERE {condition} ORDER BY {order} LIMIT {rows_max}) AS p \
           WINDOW w AS (ORDER BY {porder} ROWS UNBOUNDED PRECEDING)) AS s \
         WHERE total <= {bytes_max} OR n = 1 ORDER BY n DESC LIMIT 1",
        keys = listed(0..table.key.len(), |index| format!("s.k{index}")),
        names = listed(0..table.key.len(), |index| format!("p.k{index} AS k{index}")),
        rkeys = listed(table.key.iter().enumerate(), |(index, column)| {
            format!("r.{} AS k{index}", quoted(&column.name))
        }),
        key_size = size_of(table, "r", &table.key),
        size = size_of(table, "t", &table.columns),
        source = source(table),
        order = key_of(table, "r"),
        porder = listed(0..table.key.len(), |index| format!("p.k{index}")),
    );
    values.shrink_to_fit();
    let Some(row) = fetch_optional(conn, sql, values).await? else { return Ok(None) };
    let mut row = Columns::of(&row);
    let key = row.values(table.key.len())?;
    let rows = row.count()?;
    let bytes = usize::try_from(row.count()?).unwrap_or(usize::MAX);
    Ok(Some(PageEnd { key, rows, bytes }))
}

/// Whether there is a row behind a key.
pub(super) async fn has_rows_behind(
    conn: &mut SqliteConnection,
    table: &Table,
    after: &[SqlValue],
) -> Result<bool, TablesError> {
    let (condition, values) = Range { after: Some(after), upto: None }.condition(table, "r");
    let sql =
        format!("SELECT 1 FROM {} AS r WHERE {condition} LIMIT 1", quoted(&table.row_table()));
    Ok(fetch_optional(conn, sql, values).await?.is_some())
}

/// How many rows there are up to a key; without one, in all.
pub(super) async fn count_rows(
    conn: &mut SqliteConnection,
    table: &Table,
    upto: Option<&[SqlValue]>,
) -> Result<u64, TablesError> {
    let versions = quoted(&table.row_table());
    let (sql, values) = match upto {
        None => (format!("SELECT count(*) FROM {versions}"), Vec::new()),
        Some(_) => {
            let (condition, values) = Range { after: None, upto }.condition(table, "r");
            (format!("SELECT count(*) FROM {versions} AS r WHERE {condition}"), values)
        }
    };
    let row = fetch_optional(conn, sql, values).await?;
    row.map_or(Ok(0), |row| Columns::of(&row).count())
}

/// The keys of the rows in a range, the first `rows_max` of them.
pub(super) async fn read_keys(
    conn: &mut SqliteConnection,
    table: &Table,
    range: Range<'_>,
    rows_max: usize,
) -> Result<Vec<Vec<SqlValue>>, TablesError> {
    let (condition, values) = range.condition(table, "r");
    let names = key_of(table, "r");
    let sql = format!(
        "SELECT {names} FROM {} AS r WHERE {condition} ORDER BY {names} LIMIT {rows_max}",
        quoted(&table.row_table())
    );
    let rows = fetch_all(conn, sql, values).await?;
    rows.iter().map(|row| Columns::of(row).values(table.key.len())).collect()
}

/// The rows of a range, with their values if these are asked for.
pub(super) async fn read_rows(
    conn: &mut SqliteConnection,
    origins: &Origins,
    table: &Table,
    range: Range<'_>,
    with_values: bool,
) -> Result<Vec<PageRow>, TablesError> {
    let (condition, values) = range.condition(table, "r");
    let mut first = listed(&table.key, |column| {
        let name = quoted(&column.name);
        format!("coalesce(t.{name},r.{name})")
    });
    if with_values {
        for column in &table.columns {
            first.push_str(&format!(",t.{}", quoted(&column.name)));
        }
    }
    let is_there = table.key.first().map(|column| quoted(&column.name)).unwrap_or_default();
    let sql = format!(
        "SELECT r.life, r.clock, r.origin, r.seq, t.{is_there} IS NOT NULL, {first} \
         FROM {} WHERE {condition} ORDER BY {}",
        source(table),
        key_of(table, "r"),
    );
    let width = if with_values { table.columns.len() } else { 0 };
    let mut found = fetch(conn, sql, values)?;
    let mut rows = Vec::new();
    while let Some(row) = found.next().await {
        let row = row?;
        let mut row = Columns::of(&row);
        let (life, clock) = (row.count()?, HybridClock(row.count()?));
        let origin = origins.id(row.int()?)?;
        let version = Version { life, clock, origin, sequence: row.count()? };
        let is_there = row.flag()? && version.is_alive();
        let key = row.values(table.key.len())?;
        let values = if is_there { row.values(width)? } else { Vec::new() };
        let state = RowState { key, version, values, cells: Vec::new() };
        rows.push(PageRow { bytes: row_bytes(&state), state });
    }
    drop(found);
    read_cells(conn, origins, table, range, &mut rows).await?;
    Ok(rows)
}

pub(super) fn key_bytes(key: &[SqlValue]) -> usize {
    key.iter().map(|value| value.bytes() + 2).sum()
}

fn row_bytes(state: &RowState) -> usize {
    ROW_BYTES + key_bytes(&state.key) + key_bytes(&state.values) + CELL_BYTES * state.cells.len()
}

/// Adds the versions that columns have of their own. Both are in the order of the key.
async fn read_cells(
    conn: &mut SqliteConnection,
    origins: &Origins,
    table: &Table,
    range: Range<'_>,
    rows: &mut [PageRow],
) -> Result<(), TablesError> {
    let indices: BTreeMap<u16, u16> =
        (0_u16..).zip(&table.columns).map(|(index, column)| (column.no, index)).collect();
    let (condition, values) = range.condition(table, "c");
    let names = key_of(table, "c");
    let sql = format!(
        "SELECT c.col, c.clock, c.origin, c.seq, {names} FROM {} AS c WHERE {condition} \
         ORDER BY {names}, c.col",
        quoted(&table.cell_table())
    );
    let mut found = fetch(conn, sql, values)?;
    let mut rest = rows.iter_mut().peekable();
    while let Some(cell) = found.next().await {
        let cell = cell?;
        let mut cell = Columns::of(&cell);
        let no = cell.int()?;
        let (clock, origin, sequence) = (HybridClock(cell.count()?), cell.int()?, cell.count()?);
        let key = cell.values(table.key.len())?;
        let is_past =
            |row: &&mut PageRow| compare_keys(&table.key, &row.state.key, &key) == Ordering::Less;
        while rest.next_if(is_past).is_some() {}
        let Some(row) = rest.peek_mut() else { break };
        let index = u16::try_from(no).ok().and_then(|no| indices.get(&no).copied());
        let is_its = compare_keys(&table.key, &row.state.key, &key) == Ordering::Equal;
        // A column's version without a living row means nothing.
        if let (Some(column), true, true) = (index, is_its, row.state.version.is_alive()) {
            let origin = origins.id(origin)?;
            let version = Version { life: row.state.version.life, clock, origin, sequence };
            row.state.cells.push(CellState { column, version });
            row.bytes += CELL_BYTES;
        }
    }
    drop(found);
    for row in rows {
        // Numbers of columns grow as columns come, their places among the columns do too; still, who reads
        // this relies on the order.
        row.state.cells.sort_by_key(|cell| cell.column);
    }
    Ok(())
}
