//! Reads what was captured of one table, in pages of its key, and makes changes of it.

use std::collections::BTreeMap;

use mesh_protocol::{CellWrite, DATA_PART_BYTES_TARGET, HybridClock, RowChange, SqlValue, Version};

use sqlx::sqlite::SqliteRow;

use super::Status;
use super::parts::Parts;
use super::unsent::{Unsent, note_unsent, send_unsent};
use crate::TablesError;
use crate::catalog::Table;
use crate::desk::Desk;
use crate::rows::{self, RowRead};
use crate::sql::{Columns, execute, fetch_all, listed, number, quoted};

/// Rows of the first page, and most rows of a page. How large they are is known behind the first one.
const ROWS_FIRST: usize = 16;
const ROWS_MAX: usize = 4096;

/// A row that was captured, as far as it was read.
struct Captured {
    key: Vec<SqlValue>,
    life: u64,
    clock: HybridClock,
    /// The row as a whole was written: its values, if it is alive.
    whole: Option<Vec<SqlValue>>,
    /// Columns by their places in the table, with clocks and values.
    cells: BTreeMap<u16, (HybridClock, SqlValue)>,
    /// Bytes of values that were left out because they are too many.
    bytes: usize,
    /// Columns were written after the row as a whole.
    is_late: bool,
}

/// The statement that reads the first page; it has no parameters.
pub(super) fn first(table: &Table) -> String {
    statement(table, None, ROWS_FIRST).0
}

/// Adds everything that was captured of `table` to `parts`. `first` is the first page, if it was read already.
pub(super) async fn seal_table(
    desk: &mut Desk,
    table: &Table,
    status: &Status,
    mut first: Option<Vec<SqliteRow>>,
    parts: &mut Parts,
) -> Result<(), TablesError> {
    let mut rows = ROWS_FIRST;
    let mut after: Option<(Vec<SqlValue>, i64)> = None;
    let mut open: Option<Captured> = None;
    if status.has_unsent {
        send_unsent(desk, table).await?;
        first = None;
    }
    loop {
        let page = match first.take() {
            Some(page) => page,
            None => {
                let (sql, values) = statement(table, after.as_ref(), rows);
                fetch_all(&mut desk.conn, sql, values).await?
            }
        };
        let (count, mut bytes) = (page.len(), 0);
        let mut complete = Vec::new();
        for row in &page {
            let noted = Noted::read(table, row)?;
            bytes += noted.bytes.min(DATA_PART_BYTES_TARGET);
            after = Some((noted.key.clone(), noted.column));
            match open.as_mut().filter(|open| open.key == noted.key) {
                Some(open) => open.add(noted, table),
                None => complete.extend(open.replace(Captured::of(noted, table))),
            }
        }
        drop(page);
        if count < rows {
            complete.extend(open.take());
        }
        write(desk, table, parts, complete, status.has_losers).await?;
        if count < rows {
            return Ok(());
        }
        rows = (rows * DATA_PART_BYTES_TARGET / bytes.max(1)).clamp(1, ROWS_MAX).min(rows * 16);
    }
}

/// The page behind a key and column.
fn statement(
    table: &Table,
    after: Option<&(Vec<SqlValue>, i64)>,
    rows: usize,
) -> (String, Vec<SqlValue>) {
    let keys =
        |alias: &str| listed(&table.key, |column| format!("{alias}.{}", quoted(&column.name)));
    let same = |alias: &str| {
        let each = table.key.iter().map(|column| {
            let name = quoted(&column.name);
            format!("{alias}.{name} = n.{name}")
        });
        each.collect::<Vec<_>>().join(" AND ")
    };
    let limit = Parts::row_bytes_max(table);
    // A value is read where it was written, and where it is not too large to travel anyway.
    let values = table.columns.iter().map(|column| {
        let (name, no) = (quoted(&column.name), column.no);
        format!(
            ",CASE WHEN n.col IN (-1, {no}) AND octet_length(t.{name}) <= {limit} THEN t.{name} END"
        )
    });
    let sizes = table.columns.iter().map(|column| {
        let (name, no) = (quoted(&column.name), column.no);
        format!(
            " + CASE WHEN n.col IN (-1, {no}) THEN ifnull(octet_length(t.{name}), 0) ELSE 0 END"
        )
    });
    let first = table.key.first().map_or_else(String::new, |column| quoted(&column.name));
    let mut sql = format!(
        "SELECT {}, n.col, r.life, r.clock, c.clock, t.{first} IS NOT NULL, 0{}{} \
         FROM {} n JOIN {} r ON {} LEFT JOIN {} c ON {} AND c.col = n.col LEFT JOIN {} t ON {}",
        keys("r"),
        sizes.collect::<String>(),
        values.collect::<String>(),
        quoted(&table.new_table()),
        quoted(&table.row_table()),
        same("r"),
        quoted(&table.cell_table()),
        same("c"),
        quoted(&table.name),
        same("t"),
    );
    let mut values = Vec::new();
    if let Some((key, column)) = after {
        let marks = listed(key, |value| match value {
            // Bytes are bound; text they have to be to be compared as text.
            SqlValue::RawText(_) => "CAST(? AS TEXT)".to_owned(),
            SqlValue::Null
            | SqlValue::Integer(_)
            | SqlValue::Real(_)
            | SqlValue::Text(_)
            | SqlValue::Blob(_) => "?".to_owned(),
        });
        sql.push_str(&format!(" WHERE ({}, n.col) > ({marks},?)", keys("n")));
        values.extend(key.iter().cloned());
        values.push(SqlValue::Integer(*column));
    }
    sql.push_str(&format!(" ORDER BY {}, n.col LIMIT {rows}", keys("n")));
    (sql, values)
}

/// One entry of what was captured.
struct Noted {
    key: Vec<SqlValue>,
    /// The column's number, or -1 for the row as a whole.
    column: i64,
    life: u64,
    row_clock: HybridClock,
    cell_clock: Option<HybridClock>,
    is_there: bool,
    bytes: usize,
    values: Vec<SqlValue>,
}

impl Noted {
    fn read(table: &Table, row: &SqliteRow) -> Result<Self, TablesError> {
        let mut row = Columns::of(row);
        let key = row.values(table.key.len())?;
        let (column, life, row_clock) = (row.int()?, row.count()?, HybridClock(row.count()?));
        let cell_clock = row.int_or_none()?.map(|clock| HybridClock(clock.cast_unsigned()));
        let (is_there, bytes) = (row.flag()?, row.count()?);
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let values = row.values(table.columns.len())?;
        Ok(Self { key, column, life, row_clock, cell_clock, is_there, bytes, values })
    }
}

impl Captured {
    fn of(noted: Noted, table: &Table) -> Self {
        let mut captured = Self {
            key: noted.key.clone(),
            life: noted.life,
            clock: noted.row_clock,
            whole: None,
            cells: BTreeMap::new(),
            bytes: 0,
            is_late: false,
        };
        captured.add(noted, table);
        captured
    }

    fn add(&mut self, noted: Noted, table: &Table) {
        self.bytes = self.bytes.saturating_add(noted.bytes);
        if noted.column < 0 {
            // A living row that is gone was taken away behind the triggers, with the table for one.
            self.whole = (noted.is_there || noted.life.is_multiple_of(2)).then_some(noted.values);
            return;
        }
        // A column that was written and then the row with it has no version of its own any more.
        let Some(clock) = noted.cell_clock else { return };
        let place = table.columns.iter().position(|column| i64::from(column.no) == noted.column);
        if self.whole.is_some() {
            self.clock = self.clock.max(clock);
            self.is_late = true;
        } else if let Some(place) = place.filter(|_| noted.is_there) {
            let value = noted.values.into_iter().nth(place).unwrap_or_default();
            self.cells.insert(u16::try_from(place).unwrap_or(u16::MAX), (clock, value));
        }
    }

    fn change(self) -> Option<RowChange> {
        let Self { key, life, clock, whole, cells, .. } = self;
        match whole {
            Some(_) if life % 2 == 0 => Some(RowChange::Delete { key, life, clock }),
            Some(values) => Some(RowChange::Put { key, life, clock, values }),
            None if cells.is_empty() || life % 2 == 0 => None,
            None => {
                let cells = cells.into_iter();
                let cells = cells
                    .map(|(column, (clock, value))| CellWrite { column, clock, value })
                    .collect();
                Some(RowChange::Edit { key, life, cells })
            }
        }
    }
}

/// Adds changes to the parts; rows that are too large are noted instead.
async fn write(
    desk: &mut Desk,
    table: &Table,
    parts: &mut Parts,
    rows: Vec<Captured>,
    has_losers: bool,
) -> Result<(), TablesError> {
    for late in rows.iter().filter(|row| row.is_late) {
        join_cells(desk, table, &late.key, late.clock).await?;
    }
    let mut losers: Vec<RowRead> = vec![RowRead::default(); rows.len()];
    if has_losers {
        let keys: Vec<_> = rows.iter().map(|row| row.key.clone()).collect();
        let origins = std::sync::Arc::clone(&desk.state.origins);
        rows::read_losers(&mut desk.conn, &origins, table, &keys, &mut losers).await?;
    }
    for (row, losers) in rows.into_iter().zip(losers) {
        let is_too_large = row.bytes > Parts::row_bytes_max(table);
        let key = row.key.clone();
        let Some(change) = row.change() else { continue };
        let listed = left_listed(table, &change, &losers);
        if is_too_large || !Parts::fits(table, &change, listed.len()) {
            parts.unsent += 1;
            note_unsent(desk, table, &key, Unsent::TooLarge, parts.at).await?;
        } else {
            settle_deletions(desk, table, &change, &losers).await?;
            parts.add(desk, table, change, &listed).await?;
        }
    }
    Ok(())
}

/// Who writes a row whole decides upon it: deletions that had lost are listed no more, here as wherever the
/// write is applied.
async fn settle_deletions(
    desk: &mut Desk,
    table: &Table,
    change: &RowChange,
    row: &RowRead,
) -> Result<(), TablesError> {
    if matches!(change, RowChange::Edit { .. }) {
        return Ok(());
    }
    let deletions = row.facts.losers.iter().filter(|loser| loser.column.is_none());
    let ids: Vec<_> =
        deletions.filter_map(|loser| rows::id_of(table, change.key(), loser)).collect();
    rows::drop_losers(&mut desk.conn, &ids).await
}

/// A row that was inserted and then edited is one write, of the later time.
async fn join_cells(
    desk: &mut Desk,
    table: &Table,
    key: &[SqlValue],
    clock: HybridClock,
) -> Result<(), TablesError> {
    let same = same_key(table, key);
    let sql = format!("UPDATE {} SET clock = ? WHERE {same}", quoted(&table.row_table()));
    let values = std::iter::once(number(clock.0)).chain(key.iter().cloned());
    execute(&mut desk.conn, sql, values).await?;
    let sql = format!("DELETE FROM {} WHERE {same}", quoted(&table.cell_table()));
    execute(&mut desk.conn, sql, key.iter().cloned()).await.map(drop)
}

pub(super) fn same_key(table: &Table, key: &[SqlValue]) -> String {
    let each = table.key.iter().zip(key).map(|(column, value)| {
        let mark = if matches!(value, SqlValue::RawText(_)) { "CAST(? AS TEXT)" } else { "?" };
        format!("{} = {mark}", quoted(&column.name))
    });
    each.collect::<Vec<_>>().join(" AND ")
}

/// The greatest loser of each column that a change writes, by the column's place.
fn left_listed(table: &Table, change: &RowChange, row: &RowRead) -> Vec<(u16, Version)> {
    let mut greatest: BTreeMap<u16, Version> = BTreeMap::new();
    for loser in &row.facts.losers {
        let place = table.columns.iter().position(|column| Some(column.no) == loser.column);
        let Some(place) = place.and_then(|place| u16::try_from(place).ok()) else { continue };
        let is_written = match change {
            RowChange::Put { .. } | RowChange::Delete { .. } => true,
            RowChange::Edit { cells, .. } => cells.iter().any(|cell| cell.column == place),
        };
        if is_written {
            let entry = greatest.entry(place).or_insert(loser.version);
            *entry = loser.version.max(*entry);
        }
    }
    greatest.into_iter().collect()
}
