//! What is known of rows, and what becomes of them, many rows at a time.
//!
//! Statements come in few sizes, so that few are prepared however many rows there are.

mod losers;
mod read;
mod write;

use mesh_protocol::{LoserFacts, MergePlan, RowFacts, SqlValue, Version};
use sqlx::SqliteConnection;

pub(crate) use self::losers::{drop_losers, id_of, loser_facts, read_losers};
pub(crate) use self::read::{read_facts, read_row_facts, uncovered};
pub(crate) use self::write::{read_values, write_plans};
use crate::TablesError;
use crate::catalog::{Column, Table};
use crate::sql::{execute, listed, number, quoted};
use crate::state::Origins;

/// Rows per statement, the most first.
const ROWS_PER_STATEMENT: [usize; 3] = [64, 8, 1];

/// Most values that one statement binds; SQLite's own bound is 32,766.
const VALUES_MAX: usize = 16_384;

/// What there is of a row.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowRead {
    pub(crate) facts: RowFacts,
    /// The row's key has other bytes than the one that was asked for: letters in another case, 1 for 1.0.
    pub(crate) is_key_different: bool,
}

/// What should become of a row, with everything that is needed to carry it out.
#[derive(Clone, Debug, Default)]
pub(crate) struct PlannedRow {
    pub(crate) key: Vec<SqlValue>,
    /// Numbers of the incoming columns.
    pub(crate) columns: Vec<u16>,
    /// One per incoming column.
    pub(crate) values: Vec<SqlValue>,
    pub(crate) before: RowRead,
    pub(crate) plan: MergePlan,
    /// Losers that somebody else knows of, to be listed as well.
    pub(crate) adopted: Vec<(LoserFacts, SqlValue)>,
    /// Columns that go back to their default.
    pub(crate) defaulted: Vec<u16>,
    /// The row goes without a trace.
    pub(crate) forget: bool,
}

/// What readers see of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visible {
    /// The row is there anew.
    Birth,
    /// It is gone.
    Death,
    /// Some columns have other values.
    Edit,
    /// Nothing.
    Nothing,
}

impl PlannedRow {
    pub(crate) fn visible(&self) -> Visible {
        let before = self.before.facts.version.as_ref();
        let was_alive = before.is_some_and(Version::is_alive);
        match &self.plan.row {
            _ if self.forget && was_alive => Visible::Death,
            _ if self.forget => Visible::Nothing,
            Some(after) if !after.is_alive() => {
                if was_alive {
                    Visible::Death
                } else {
                    Visible::Nothing
                }
            }
            // Whoever has forgotten a deletion begins at the first life again, below the one remembered here.
            Some(after) if before.is_none_or(|before| !was_alive || before.life < after.life) => {
                Visible::Birth
            }
            Some(_) | None if self.plan.write.is_empty() && self.defaulted.is_empty() => {
                Visible::Nothing
            }
            Some(_) | None => Visible::Edit,
        }
    }

    /// The columns that are written with their values.
    fn written(&self) -> impl Iterator<Item = (u16, &SqlValue)> {
        self.plan
            .write
            .iter()
            .filter_map(|index| Some((*self.columns.get(*index)?, self.values.get(*index)?)))
    }
}

/// Tells the triggers whether the agent writes: nothing is captured then.
pub(crate) async fn set_applying(
    conn: &mut SqliteConnection,
    is_applying: bool,
) -> Result<(), TablesError> {
    let sql = "UPDATE mesh_state SET applying = ? WHERE id = 1";
    execute(conn, sql, [SqlValue::Integer(is_applying.into())]).await.map(drop)
}

/// Parts of `items` of a few fixed lengths, for statements that bind `width` values per item.
pub(crate) fn portions<T>(items: &[T], width: usize) -> impl Iterator<Item = &[T]> {
    let mut rest = items;
    std::iter::from_fn(move || {
        let fits = |rows: &usize| *rows <= rest.len() && *rows * width <= VALUES_MAX;
        let rows = ROWS_PER_STATEMENT.into_iter().find(fits).unwrap_or(1);
        let (portion, after) = rest.split_at_checked(rows)?;
        rest = after;
        Some(portion)
    })
}

/// Tuples of parameters, one per row. Text that is not UTF-8 is bound as bytes and becomes text again.
pub(crate) fn tuples(rows: &[Vec<SqlValue>]) -> String {
    listed(rows, |row| format!("({})", parameters(row)))
}

/// As [`tuples`], each behind the number of its row.
fn numbered_tuples(rows: &[Vec<SqlValue>]) -> String {
    listed(rows.iter().enumerate(), |(index, row)| format!("({index},{})", parameters(row)))
}

fn parameters(row: &[SqlValue]) -> String {
    listed(row, |value| match value {
        SqlValue::RawText(_) => "CAST(? AS TEXT)".to_owned(),
        SqlValue::Null
        | SqlValue::Integer(_)
        | SqlValue::Real(_)
        | SqlValue::Text(_)
        | SqlValue::Blob(_) => "?".to_owned(),
    })
}

/// The rows of values for [`portions`]: a row with text that is not UTF-8 needs a statement of its own, because
/// its cast would give the other rows of the list an affinity.
fn portions_of(rows: &[Vec<SqlValue>]) -> impl Iterator<Item = &[Vec<SqlValue>]> {
    let is_raw =
        |row: &Vec<SqlValue>| row.iter().any(|value| matches!(value, SqlValue::RawText(_)));
    let width = rows.first().map_or(1, Vec::len);
    rows.chunk_by(move |one, two| !is_raw(one) && !is_raw(two))
        .flat_map(move |alike| portions(alike, width))
}

pub(crate) fn bound(rows: &[Vec<SqlValue>]) -> impl Iterator<Item = SqlValue> {
    rows.iter().flatten().cloned()
}

/// The names of columns, quoted.
fn names(columns: &[Column]) -> String {
    listed(columns, |column| quoted(&column.name))
}

/// `r.key = k.c0 AND …`, for the key of the table that goes by `alias` and the list `__mesh_k`.
fn same_key(table: &Table, alias: &str) -> String {
    let equals = table
        .key
        .iter()
        .enumerate()
        .map(|(index, column)| format!("{alias}.{} = __mesh_k.c{index}", quoted(&column.name)));
    equals.collect::<Vec<_>>().join(" AND ")
}

/// `__mesh_k(i,c0,c1,…)` with `count` columns.
fn list_head(count: usize) -> String {
    format!("__mesh_k(i,{})", listed(0..count, |index| format!("c{index}")))
}

/// A version as it lies in a table of versions.
fn version_values(origins: &Origins, version: &Version) -> Result<[SqlValue; 4], TablesError> {
    let origin = origins.no(&version.origin).ok_or(TablesError::Malformed { what: "origin" })?;
    Ok([
        number(version.life),
        number(version.clock.0),
        SqlValue::Integer(origin),
        number(version.sequence),
    ])
}
