use std::collections::BTreeMap;

use mesh_protocol::{LoserFacts, SqlValue, UnixMillis};
use sqlx::SqliteConnection;

use super::losers::{Loser, drop_losers, id_of, list_losers};
use super::{
    PlannedRow, Visible, bound, list_head, names, numbered_tuples, portions_of, same_key, tuples,
    version_values,
};
use crate::TablesError;
use crate::catalog::Table;
use crate::sql::{Columns, execute, fetch_all, fetch_optional, listed, quoted};
use crate::state::Origins;

/// Rows of values by the columns that they are for, and whether the key takes other bytes.
type Groups = BTreeMap<(Vec<u16>, bool), Vec<Vec<SqlValue>>>;

/// Statements of so many values are written together: few rows, of which the trips to SQLite's thread are most.
const VALUES_TOGETHER: usize = 64;

/// Statements that return nothing, on their way to SQLite's thread.
struct Trip<'c> {
    conn: &'c mut SqliteConnection,
    sql: String,
    values: Vec<SqlValue>,
}

impl<'c> Trip<'c> {
    const fn new(conn: &'c mut SqliteConnection) -> Self {
        Self { conn, sql: String::new(), values: Vec::new() }
    }

    /// Adds a statement, whose parameters have neither names nor numbers.
    async fn add(
        &mut self,
        sql: String,
        values: impl Iterator<Item = SqlValue>,
    ) -> Result<(), TablesError> {
        let before = self.values.len();
        self.values.extend(values);
        if self.values.len() > VALUES_TOGETHER && before > 0 {
            let values = self.values.split_off(before);
            self.go().await?;
            self.values = values;
        }
        if !self.sql.is_empty() {
            self.sql.push(';');
        }
        self.sql.push_str(&sql);
        Ok(())
    }

    /// Runs what was added.
    async fn go(&mut self) -> Result<(), TablesError> {
        let (sql, values) = (std::mem::take(&mut self.sql), std::mem::take(&mut self.values));
        if sql.is_empty() { Ok(()) } else { execute(self.conn, sql, values).await.map(drop) }
    }
}

/// Carries out what was planned. No two of `rows` are the same row. `mesh_state.applying` must be set, and
/// every origin must have its number. Says how many losers it listed.
pub(crate) async fn write_plans(
    conn: &mut SqliteConnection,
    origins: &Origins,
    table: &Table,
    rows: &[PlannedRow],
    at: UnixMillis,
) -> Result<u64, TablesError> {
    // Before they are overwritten.
    let losers = gather_losers(conn, table, rows).await?;
    let mut keys_gone = Vec::new();
    let (mut births, mut edits) = (Groups::new(), Groups::new());
    for row in rows {
        match row.visible() {
            Visible::Death => keys_gone.push(row.key.clone()),
            Visible::Birth => group(&mut births, table, row),
            Visible::Edit if !row.plan.write.is_empty() => group(&mut edits, table, row),
            Visible::Edit | Visible::Nothing if takes_key(row) => group(&mut edits, table, row),
            Visible::Edit | Visible::Nothing => {}
        }
    }
    let mut trip = Trip::new(conn);
    delete_keys(&mut trip, &quoted(&table.name), &names(&table.key), &keys_gone).await?;
    for ((columns, _), values) in births {
        insert(&mut trip, table, &columns, &values).await?;
    }
    for ((columns, with_key), values) in edits {
        update(&mut trip, table, &columns, with_key, &values).await?;
    }
    for row in rows {
        reset(&mut trip, table, &row.key, &row.defaulted).await?;
    }
    write_versions(&mut trip, origins, table, rows).await?;
    write_cells(&mut trip, origins, table, rows).await?;
    trip.go().await?;
    let settled: Vec<String> = rows.iter().flat_map(|row| settled(table, row)).collect();
    drop_losers(conn, &settled).await?;
    list_losers(conn, origins, table, &losers, at).await
}

fn group(groups: &mut Groups, table: &Table, row: &PlannedRow) {
    let columns: Vec<u16> = row.written().map(|(no, _)| no).collect();
    let mut values = row.key.clone();
    values.extend(row.written().map(|(no, value)| fitted(table, no, value)));
    groups.entry((columns, takes_key(row))).or_default().push(values);
}

/// The value as the column takes it.
fn fitted(table: &Table, no: u16, value: &SqlValue) -> SqlValue {
    let column = || table.columns.iter().find(|column| column.no == no);
    match value {
        SqlValue::Null => column().and_then(|column| column.stand_in.clone()).unwrap_or_default(),
        SqlValue::Integer(_)
        | SqlValue::Real(_)
        | SqlValue::Text(_)
        | SqlValue::Blob(_)
        | SqlValue::RawText(_) => value.clone(),
    }
}

/// Whether the key is written anew: only who writes the whole row says with which bytes.
fn takes_key(row: &PlannedRow) -> bool {
    row.before.is_key_different && row.plan.row.is_some_and(|version| version.is_alive())
}

fn settled(table: &Table, row: &PlannedRow) -> Vec<String> {
    (row.plan.settled.iter())
        .filter_map(|index| row.before.facts.losers.get(*index))
        .filter_map(|facts| id_of(table, &row.key, facts))
        .collect()
}

async fn gather_losers(
    conn: &mut SqliteConnection,
    table: &Table,
    rows: &[PlannedRow],
) -> Result<Vec<Loser>, TablesError> {
    let mut losers = Vec::new();
    for row in rows {
        let mut add = |facts, value| losers.push(Loser { key: row.key.clone(), facts, value });
        for (facts, value) in &row.adopted {
            add(*facts, value.clone());
        }
        for (index, version) in &row.plan.lost_incoming {
            let column = index.and_then(|index| row.columns.get(index)).copied();
            let value = index.and_then(|index| row.values.get(index)).cloned();
            add(LoserFacts { column, version: *version }, value.unwrap_or_default());
        }
        if row.plan.lost_here.is_empty() {
            continue;
        }
        let lost: Vec<u16> = row.plan.lost_here.iter().filter_map(|lost| lost.column).collect();
        let mut values = read_values(conn, table, &row.key, &lost).await?.into_iter();
        for lost in &row.plan.lost_here {
            let value = lost.column.and_then(|_| values.next()).unwrap_or_default();
            add(*lost, value);
        }
    }
    Ok(losers)
}

/// Values of some columns of a row, in order; none when the row is not there.
pub(crate) async fn read_values(
    conn: &mut SqliteConnection,
    table: &Table,
    key: &[SqlValue],
    columns: &[u16],
) -> Result<Vec<SqlValue>, TablesError> {
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    let key = [key.to_vec()];
    let sql = format!(
        "SELECT {} FROM {} WHERE ({}) = {}",
        listed(columns, |no| column_name(table, *no)),
        quoted(&table.name),
        names(&table.key),
        tuples(&key),
    );
    let row = fetch_optional(conn, sql, bound(&key)).await?;
    row.map_or_else(|| Ok(Vec::new()), |row| Columns::of(&row).values(columns.len()))
}

fn column_name(table: &Table, no: u16) -> String {
    let column = table.columns.iter().find(|column| column.no == no);
    column.map_or_else(|| "NULL".to_owned(), |column| quoted(&column.name))
}

/// Deletes by key; `names` are the columns of the key.
async fn delete_keys(
    trip: &mut Trip<'_>,
    table: &str,
    names: &str,
    keys: &[Vec<SqlValue>],
) -> Result<(), TablesError> {
    for portion in portions_of(keys) {
        let sql = format!("DELETE FROM {table} WHERE ({names}) IN (VALUES {})", tuples(portion));
        trip.add(sql, bound(portion)).await?;
    }
    Ok(())
}

/// Inserts rows; where there is one, it is written over as if it were new.
async fn insert(
    trip: &mut Trip<'_>,
    table: &Table,
    columns: &[u16],
    rows: &[Vec<SqlValue>],
) -> Result<(), TablesError> {
    let key = names(&table.key);
    let all = table.key.iter().chain(&table.columns);
    // For a column that is not inserted `excluded` holds the default.
    let anew = listed(all, |column| format!("{0} = excluded.{0}", quoted(&column.name)));
    let comma = if columns.is_empty() { "" } else { "," };
    let columns = listed(columns, |no| column_name(table, *no));
    for portion in portions_of(rows) {
        let sql = format!(
            "INSERT INTO {} ({key}{comma}{columns}) VALUES {} ON CONFLICT ({key}) DO UPDATE SET {anew}",
            quoted(&table.name),
            tuples(portion),
        );
        trip.add(sql, bound(portion)).await?;
    }
    Ok(())
}

/// Writes some columns of rows that are there. Not by an upsert: its insertion would need all columns that
/// must not be NULL.
async fn update(
    trip: &mut Trip<'_>,
    table: &Table,
    columns: &[u16],
    with_key: bool,
    rows: &[Vec<SqlValue>],
) -> Result<(), TablesError> {
    let keys = table.key.len();
    let mut sets: Vec<String> = (columns.iter().enumerate())
        .map(|(index, no)| format!("{} = __mesh_k.c{}", column_name(table, *no), keys + index))
        .collect();
    if with_key {
        let key = table.key.iter().enumerate();
        sets.extend(key.map(|(index, key)| format!("{} = __mesh_k.c{index}", quoted(&key.name))));
    }
    for portion in portions_of(rows) {
        let sql = format!(
            "WITH {} AS (VALUES {}) UPDATE {} AS t SET {} FROM __mesh_k WHERE {}",
            list_head(keys + columns.len()),
            numbered_tuples(portion),
            quoted(&table.name),
            sets.join(","),
            same_key(table, "t"),
        );
        trip.add(sql, bound(portion)).await?;
    }
    Ok(())
}

/// Sets columns to their default, for which UPDATE has no word.
async fn reset(
    trip: &mut Trip<'_>,
    table: &Table,
    key: &[SqlValue],
    columns: &[u16],
) -> Result<(), TablesError> {
    if columns.is_empty() {
        return Ok(());
    }
    let mut defaults = BTreeMap::new();
    let sql = "SELECT name, dflt_value FROM pragma_table_info(?)";
    trip.go().await?;
    for row in fetch_all(trip.conn, sql, [SqlValue::Text(table.name.clone())]).await? {
        let mut columns = Columns::of(&row);
        defaults.insert(quoted(&columns.text()?), columns.text_or_none()?);
    }
    let sets = listed(columns, |no| {
        let name = column_name(table, *no);
        let default = defaults.get(&name).and_then(Option::as_deref).unwrap_or("NULL");
        format!("{name} = ({default})")
    });
    let key = [key.to_vec()];
    let sql = format!(
        "UPDATE {} SET {sets} WHERE ({}) = {}",
        quoted(&table.name),
        names(&table.key),
        tuples(&key)
    );
    trip.add(sql, bound(&key)).await
}

async fn write_versions(
    trip: &mut Trip<'_>,
    origins: &Origins,
    table: &Table,
    rows: &[PlannedRow],
) -> Result<(), TablesError> {
    let versions = quoted(&table.row_table());
    let key = names(&table.key);
    let (mut same, mut different, mut gone) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        if row.forget {
            gone.push(row.key.clone());
        } else if let Some(version) = &row.plan.row {
            let mut values = row.key.clone();
            values.extend(version_values(origins, version)?);
            let rows = if row.before.is_key_different { &mut different } else { &mut same };
            rows.push(values);
        }
    }
    delete_keys(trip, &versions, &key, &gone).await?;
    let key_anew = listed(&table.key, |key| format!("{0} = excluded.{0}", quoted(&key.name)));
    for (rows, key_anew) in [(same, String::new()), (different, format!("{key_anew},"))] {
        for portion in portions_of(&rows) {
            let sql = format!(
                "INSERT INTO {versions} ({key},life,clock,origin,seq) VALUES {} \
                 ON CONFLICT ({key}) DO UPDATE SET {key_anew} life = excluded.life, \
                 clock = excluded.clock, origin = excluded.origin, seq = excluded.seq",
                tuples(portion)
            );
            trip.add(sql, bound(portion)).await?;
        }
    }
    Ok(())
}

/// The columns that have no version of their own any more.
fn cleared(row: &PlannedRow) -> Vec<u16> {
    let before = &row.before.facts;
    let is_anew = match (&before.version, &row.plan.row) {
        (Some(before), Some(after)) => before.life < after.life,
        (None | Some(_), None) | (None, Some(_)) => false,
    };
    if row.forget || is_anew {
        return before.cells.keys().copied().collect();
    }
    row.plan.cells_cleared.clone()
}

async fn write_cells(
    trip: &mut Trip<'_>,
    origins: &Origins,
    table: &Table,
    rows: &[PlannedRow],
) -> Result<(), TablesError> {
    let cells = quoted(&table.cell_table());
    let key = names(&table.key);
    let (mut gone, mut set) = (Vec::new(), Vec::new());
    let named = |row: &PlannedRow, column: u16| {
        let mut values = row.key.clone();
        values.push(SqlValue::Integer(column.into()));
        values
    };
    for row in rows {
        gone.extend(cleared(row).into_iter().map(|column| named(row, column)));
        for (column, version) in &row.plan.cells_set {
            let mut values = named(row, *column);
            let [_, rest @ ..] = version_values(origins, version)?;
            values.extend(rest);
            set.push(values);
        }
    }
    delete_keys(trip, &cells, &format!("{key},col"), &gone).await?;
    for portion in portions_of(&set) {
        let sql = format!(
            "INSERT OR REPLACE INTO {cells} ({key},col,clock,origin,seq) VALUES {}",
            tuples(portion)
        );
        trip.add(sql, bound(portion)).await?;
    }
    Ok(())
}
