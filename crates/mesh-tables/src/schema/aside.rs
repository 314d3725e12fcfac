//! Definitions that do not hold their name: told until somebody has compared the tables.

use std::sync::Arc;

use mesh_protocol::SqlValue;

use crate::TablesError;
use crate::desk::Desk;
use crate::oddity::Oddity;
use crate::sql::{Columns, execute, fetch_all};

/// Of so many definitions per table it is told: one who makes up more does not fill the database.
const TOLD_MAX: i64 = 64;

/// A definition is told up to this many letters.
const LETTERS_MAX: usize = 200;

/// What is defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Defined {
    Column,
    Index,
}

impl Defined {
    const fn word(self) -> &'static str {
        match self {
            Self::Column => "column",
            Self::Index => "index",
        }
    }
}

/// Notes that `definition` does not hold the name, and tells of it.
pub(super) async fn note_aside(
    desk: &mut Desk,
    table_no: i64,
    what: Defined,
    name: &str,
    definition: &str,
) -> Result<(), TablesError> {
    let sql = "INSERT INTO mesh_set_aside (table_no, kind, name, definition) \
               SELECT ?1, ?2, ?3, ?4 WHERE ?5 > \
               (SELECT count(*) FROM mesh_set_aside WHERE table_no = ?1) \
               ON CONFLICT DO NOTHING";
    let values = [
        SqlValue::Integer(table_no),
        SqlValue::Text(what.word().to_owned()),
        SqlValue::Text(name.to_ascii_lowercase()),
        SqlValue::Text(definition.to_owned()),
        SqlValue::Integer(TOLD_MAX),
    ];
    if execute(&mut desk.conn, sql, values).await? == 0 {
        return Ok(());
    }
    tracing::warn!(
        what = what.word(),
        name,
        "two members defined it differently: the earlier one counts"
    );
    let told = read_aside(desk).await?;
    let oddities = Arc::make_mut(&mut desk.state.oddities);
    for oddity in told {
        if !oddities.contains(&oddity) {
            oddities.push(oddity);
        }
    }
    Ok(())
}

/// What is to be told of definitions that do not hold their name.
pub(crate) async fn read_aside(desk: &mut Desk) -> Result<Vec<Oddity>, TablesError> {
    let sql = "SELECT t.name, a.kind, a.name, a.definition FROM mesh_set_aside a \
               JOIN mesh_tables t ON t.no = a.table_no \
               WHERE t.state = 'live' ORDER BY t.name, a.kind, a.name, a.definition";
    let rows = fetch_all(&mut desk.conn, sql, []).await?;
    let oddities = rows.iter().map(|row| {
        let mut row = Columns::of(row);
        let (table, kind, name, definition) = (row.text()?, row.text()?, row.text()?, row.text()?);
        let definition: String = definition.chars().take(LETTERS_MAX).collect();
        let what = format!(
            "members made the {kind} {name:?} with different definitions; the earliest one counts everywhere, \
             values that were written under another one are kept, and this one does not count: {definition}"
        );
        Ok(Oddity { table, what })
    });
    oddities.collect()
}

/// Tells of them no more.
pub(crate) async fn forget_aside(desk: &mut Desk) -> Result<(), TablesError> {
    execute(&mut desk.conn, "DELETE FROM mesh_set_aside", []).await.map(drop)
}
