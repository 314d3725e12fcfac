//! What every part of a change and of a snapshot must keep to: checked before it is written and after it was
//! read, so that nobody stores what the others would refuse. Each check names what is wrong.

use std::collections::BTreeSet;

use super::{Dot, HybridClock, OriginHave, SchemaChange, SqlValue, Version};
use crate::codec::check_count;
use crate::{COLUMNS_MAX, HOLES_MAX, ORIGINS_MAX, SQL_BYTES_MAX, SQL_NAME_BYTES_MAX};

/// Nobody deletes and inserts a row so often.
const LIFE_MAX: u64 = 1 << 48;

pub(super) type Check = Result<(), &'static str>;

pub(super) const fn holds(what: &'static str, is_so: bool) -> Check {
    if is_so { Ok(()) } else { Err(what) }
}

/// SQLite holds no greater integer, and a smaller one in its place would be another number.
pub(super) const fn number(what: &'static str, number: u64) -> Check {
    holds(what, number <= HybridClock::MAX.0)
}

pub(super) fn dot(dot: &Dot) -> Check {
    holds("sequence", (1..=HybridClock::MAX.0).contains(&dot.sequence))
}

/// Births and deaths of a row. Databases count on from what they are told: far from where SQLite's numbers end.
pub(super) fn life(life: u64) -> Check {
    holds("life", (1..=LIFE_MAX).contains(&life))
}

pub(super) fn version(version: &Version) -> Check {
    life(version.life)?;
    number("clock", version.clock.0)?;
    dot(&version.dot())
}

/// What somebody has.
pub(super) fn have(origins: &[OriginHave]) -> Check {
    check_count("origins", origins.len(), ORIGINS_MAX)?;
    origins.iter().try_for_each(|have| {
        check_count("holes", have.holes.len(), HOLES_MAX)?;
        number("sequence", have.upto)?;
        number("sequence", have.floor)?;
        have.holes.iter().try_for_each(|hole| number("sequence", *hole))
    })
}

/// The key columns of a row: at least one.
pub(super) fn key(key: &[SqlValue]) -> Check {
    holds("key", !key.is_empty())?;
    check_count("key", key.len(), COLUMNS_MAX)
}

/// The same for a row that is to be written. None of its key is NULL, in whose place each database would put
/// a number of its own; what is not a number becomes NULL.
pub(super) fn written_key(key: &[SqlValue]) -> Check {
    let is_null = |value: &SqlValue| match value {
        SqlValue::Null => true,
        SqlValue::Real(number) => number.is_nan(),
        SqlValue::Integer(_) | SqlValue::Text(_) | SqlValue::Blob(_) | SqlValue::RawText(_) => {
            false
        }
    };
    holds("key", !key.iter().any(is_null))?;
    self::key(key)
}

pub(super) const fn name(name: &str) -> Check {
    check_count("name", name.len(), SQL_NAME_BYTES_MAX)
}

const fn statement(sql: &str) -> Check {
    check_count("statement", sql.len(), SQL_BYTES_MAX)
}

/// Names of columns: each once, in SQLite's sense of equal names, or values would stand in two places.
pub(super) fn columns(columns: &[String]) -> Check {
    check_count("columns", columns.len(), COLUMNS_MAX)?;
    columns.iter().try_for_each(|column| name(column))?;
    let distinct: BTreeSet<String> = columns.iter().map(|name| name.to_ascii_lowercase()).collect();
    holds("columns", distinct.len() == columns.len())
}

pub(super) fn schema(change: &SchemaChange) -> Check {
    match change {
        SchemaChange::CreateTable { table: _, name: text, sql, replaces: _ }
        | SchemaChange::CreateIndex { table: _, name: text, sql } => {
            name(text)?;
            statement(sql)
        }
        SchemaChange::AddColumn { table: _, column, definition } => {
            name(column)?;
            statement(definition)
        }
        SchemaChange::DropTable { table: _, name: text } => name(text),
    }
}
