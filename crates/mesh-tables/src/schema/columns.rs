//! Columns of tables.

use mesh_protocol::{COLUMNS_MAX, OriginId, SqlValue, TableId, Version};

use super::aside::{Defined, note_aside};
use super::redefine::redefine;
use super::{SchemaOutcome, live, make_triggers};
use crate::TablesError;
use crate::catalog::{Catalog, Column, Table};
use crate::desk::Desk;
use crate::introspect::{self, TableFacts};
use crate::sql::{Columns, execute, fetch_optional, number, quoted};
use crate::statement::{self, Statement};

/// Notes the columns of a table's first definition.
pub(super) async fn note_first(
    desk: &mut Desk,
    table_no: i64,
    facts: &TableFacts,
    origin: i64,
    version: Version,
) -> Result<(), TablesError> {
    let keys = facts.key.iter().zip(1_i64..);
    let others = facts.columns.iter().map(|column| (column, 0_i64));
    for ((column, place), no) in keys.chain(others).zip(0_i64..) {
        let noted = Noted { table_no, no, place, column: &column.name, definition: None };
        note_column(desk, &noted, origin, version).await?;
    }
    Ok(())
}

/// A row of `mesh_columns`.
struct Noted<'n> {
    table_no: i64,
    no: i64,
    place: i64,
    column: &'n str,
    definition: Option<&'n str>,
}

async fn note_column(
    desk: &mut Desk,
    noted: &Noted<'_>,
    origin: i64,
    version: Version,
) -> Result<(), TablesError> {
    let sql = "INSERT INTO mesh_columns \
               (table_no, no, name, key_place, definition, clock, origin, sequence) \
               VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    let definition =
        noted.definition.map_or(SqlValue::Null, |text| SqlValue::Text(text.to_owned()));
    let values = [
        SqlValue::Integer(noted.table_no),
        SqlValue::Integer(noted.no),
        SqlValue::Text(noted.column.to_owned()),
        SqlValue::Integer(noted.place),
        definition,
        number(version.clock.0),
        SqlValue::Integer(origin),
        number(version.sequence),
    ];
    execute(&mut desk.conn, sql, values).await.map(drop)
}

/// Adds a column, or notes that whole rows of `version.origin` cover it.
pub(super) async fn add_column(
    desk: &mut Desk,
    id: TableId,
    column: &str,
    definition: &str,
    version: Version,
) -> Result<SchemaOutcome, TablesError> {
    let Some(table) = live(desk, id) else {
        return Ok(SchemaOutcome::UnknownTable { table: id });
    };
    let impossible = |detail: String| Ok(SchemaOutcome::Impossible { detail });
    let alter = format!("ALTER TABLE {} ADD COLUMN {definition}", quoted(&table.name));
    let definition = match statement::classify(&alter) {
        Statement::AddColumn { column: name, definition, .. }
            if name.eq_ignore_ascii_case(column) =>
        {
            definition
        }
        Statement::Refused { reason } => return impossible(reason),
        Statement::Read
        | Statement::Write { .. }
        | Statement::CreateTable { .. }
        | Statement::AddColumn { .. }
        | Statement::CreateIndex { .. }
        | Statement::DropTable { .. } => {
            return impossible("the definition is not that of the column".to_owned());
        }
    };
    if let Some(known) = table.columns.iter().find(|one| one.name.eq_ignore_ascii_case(column)) {
        cover(desk, table.no, known.no, version.origin, version.sequence).await?;
        let outcome = meet(desk, &table, known, &definition, version).await?;
        super::reload(desk).await?;
        return Ok(outcome);
    }
    if table.key.len() + table.columns.len() >= COLUMNS_MAX {
        return impossible(format!("a table has at most {COLUMNS_MAX} columns"));
    }
    match execute(&mut desk.conn, alter, []).await {
        Ok(_) => {}
        Err(TablesError::Statement { detail }) => return impossible(detail),
        Err(error) => return Err(error),
    }
    note_added(desk, &table, column, &definition, version).await?;
    Ok(SchemaOutcome::Applied)
}

/// A definition meets the one that the column has: the earlier one counts, everywhere.
async fn meet(
    desk: &mut Desk,
    table: &Table,
    column: &Column,
    definition: &str,
    version: Version,
) -> Result<SchemaOutcome, TablesError> {
    let sql = "SELECT definition, clock, origin FROM mesh_columns WHERE table_no = ? AND no = ?";
    let values = [SqlValue::Integer(table.no), SqlValue::Integer(column.no.into())];
    let row = fetch_optional(&mut desk.conn, sql, values).await?;
    let row = row.ok_or(TablesError::Malformed { what: "column" })?;
    let mut row = Columns::of(&row);
    // A column of the table's own definition is the same everywhere.
    let Some(before) = row.text_or_none()? else { return Ok(SchemaOutcome::Same) };
    let (clock, origin) = (row.count()?, desk.state.origins.id(row.int()?)?);
    let is_earlier = (version.clock.0, version.origin) < (clock, origin);
    let is_same = match introspect::is_same_column(&column.name, &before, definition).await {
        Ok(is_same) => is_same,
        Err(TablesError::Statement { detail }) => return Ok(SchemaOutcome::Impossible { detail }),
        Err(error) => return Err(error),
    };
    if !is_same {
        let aside = if is_earlier { &before } else { definition };
        note_aside(desk, table.no, Defined::Column, &column.name, aside).await?;
    }
    if !is_earlier {
        return Ok(SchemaOutcome::Same);
    }
    if !is_same && let Some(detail) = redefine(desk, table, column, definition).await? {
        return Ok(SchemaOutcome::Impossible { detail });
    }
    let counts = if is_same { &before } else { definition };
    let origin = desk.state.origin_no(&mut desk.conn, version.origin).await?;
    let sql = "UPDATE mesh_columns SET definition = ?3, clock = ?4, origin = ?5, sequence = ?6 \
               WHERE table_no = ?1 AND no = ?2";
    let values = [
        SqlValue::Integer(table.no),
        SqlValue::Integer(column.no.into()),
        SqlValue::Text(counts.to_owned()),
        number(version.clock.0),
        SqlValue::Integer(origin),
        number(version.sequence),
    ];
    execute(&mut desk.conn, sql, values).await?;
    let catalog = Catalog::load(&mut desk.conn).await?;
    let table = catalog.tables.get(&table.id).ok_or(TablesError::Malformed { what: "table" })?;
    make_triggers(desk, table).await?;
    Ok(if is_same { SchemaOutcome::Same } else { SchemaOutcome::Applied })
}

/// Notes a column that is in the table already, and makes the triggers know it.
pub(crate) async fn note_added(
    desk: &mut Desk,
    table: &Table,
    column: &str,
    definition: &str,
    version: Version,
) -> Result<u16, TablesError> {
    let (id, table_no) = (table.id, table.no);
    let origin = desk.state.origin_no(&mut desk.conn, version.origin).await?;
    let next = "SELECT coalesce(max(no), -1) + 1 FROM mesh_columns WHERE table_no = ?";
    let row = fetch_optional(&mut desk.conn, next, [SqlValue::Integer(table_no)]).await?;
    let no = row.map_or(Ok(0), |row| Columns::of(&row).int())?;
    let noted = Noted { table_no, no, place: 0, column, definition: Some(definition) };
    note_column(desk, &noted, origin, version).await?;
    let no = u16::try_from(no).map_err(|_| TablesError::Malformed { what: "column" })?;
    cover(desk, table_no, no, version.origin, version.sequence).await?;
    // Everything that was captured here before is sealed, without the column.
    let me = desk.state.me;
    let open = desk.state.open_sequence();
    cover(desk, table_no, no, me, open).await?;
    let catalog = Catalog::load(&mut desk.conn).await?;
    let table = catalog.tables.get(&id).ok_or(TablesError::Malformed { what: "table" })?;
    make_triggers(desk, table).await?;
    Ok(no)
}

/// Whole rows of `origin` cover the column from that transaction on, unless they do from an earlier one.
async fn cover(
    desk: &mut Desk,
    table_no: i64,
    column: u16,
    origin: OriginId,
    sequence: u64,
) -> Result<(), TablesError> {
    let origin = desk.state.origin_no(&mut desk.conn, origin).await?;
    let sql = "INSERT INTO mesh_coverage (table_no, column, origin, sequence) \
               SELECT ?1, ?2, ?3, ?4 WHERE EXISTS \
               (SELECT 1 FROM mesh_columns WHERE table_no = ?1 AND no = ?2 AND definition IS NOT NULL) \
               ON CONFLICT (table_no, column, origin) DO UPDATE \
               SET sequence = min(sequence, excluded.sequence)";
    let values = [
        SqlValue::Integer(table_no),
        SqlValue::Integer(i64::from(column)),
        SqlValue::Integer(origin),
        number(sequence),
    ];
    execute(&mut desk.conn, sql, values).await.map(drop)
}
