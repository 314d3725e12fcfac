//! Columns and indexes of tables.

use mesh_protocol::{COLUMNS_MAX, OriginId, SqlValue, TableId, Version};

use super::{SchemaOutcome, live, make_triggers, standing};
use crate::TablesError;
use crate::catalog::{Catalog, Table};
use crate::desk::Desk;
use crate::introspect::TableFacts;
use crate::sql::{Columns, execute, fetch_optional, number, quoted};
use crate::statement::{self, Statement};

/// Most indexes of one table.
pub(super) const INDEXES_MAX: usize = 64;

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
    if let Some(known) = table.columns.iter().find(|one| one.name.eq_ignore_ascii_case(column)) {
        cover(desk, table.no, known.no, version.origin, version.sequence).await?;
        super::reload(desk).await?;
        return Ok(SchemaOutcome::Same);
    }
    let alter = format!("ALTER TABLE {} ADD COLUMN {definition}", quoted(&table.name));
    match statement::classify(&alter) {
        Statement::AddColumn { column: name, .. } if name.eq_ignore_ascii_case(column) => {}
        Statement::Refused { reason } => return impossible(reason),
        Statement::Read
        | Statement::Write { .. }
        | Statement::CreateTable { .. }
        | Statement::AddColumn { .. }
        | Statement::CreateIndex { .. }
        | Statement::DropTable { .. } => {
            return impossible("the definition is not that of the column".to_owned());
        }
    }
    if table.key.len() + table.columns.len() >= COLUMNS_MAX {
        return impossible(format!("a table has at most {COLUMNS_MAX} columns"));
    }
    match execute(&mut desk.conn, alter, []).await {
        Ok(_) => {}
        Err(TablesError::Statement { detail }) => return impossible(detail),
        Err(error) => return Err(error),
    }
    note_added(desk, &table, column, definition, version).await?;
    Ok(SchemaOutcome::Applied)
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

/// Takes a replicated index away whose name a table needs. Where the table came first the index was never made.
pub(super) async fn give_up_index(desk: &mut Desk, name: &str) -> Result<(), TablesError> {
    let sql = "SELECT 1 FROM mesh_indexes WHERE name = ? COLLATE NOCASE LIMIT 1";
    let row = fetch_optional(&mut desk.conn, sql, [SqlValue::Text(name.to_owned())]).await?;
    match row {
        Some(_) if standing::is_index(desk, name).await? => {
            super::drop_if_there(desk, "INDEX", name).await
        }
        Some(_) | None => Ok(()),
    }
}

pub(super) async fn create_index(
    desk: &mut Desk,
    id: TableId,
    name: &str,
    sql: &str,
    version: Version,
) -> Result<SchemaOutcome, TablesError> {
    let Some(table) = live(desk, id) else {
        return Ok(SchemaOutcome::UnknownTable { table: id });
    };
    let impossible = |detail: String| Ok(SchemaOutcome::Impossible { detail });
    match statement::classify(sql) {
        Statement::CreateIndex { name: one, table: on, .. }
            if one.eq_ignore_ascii_case(name) && on.eq_ignore_ascii_case(&table.name) => {}
        Statement::Refused { reason } => return impossible(reason),
        Statement::Read
        | Statement::Write { .. }
        | Statement::CreateTable { .. }
        | Statement::AddColumn { .. }
        | Statement::CreateIndex { .. }
        | Statement::DropTable { .. } => {
            return impossible("the statement is not that of the index".to_owned());
        }
    }
    let find = "SELECT (SELECT count(*) FROM mesh_indexes WHERE table_no = ?1), \
                EXISTS (SELECT 1 FROM mesh_indexes WHERE table_no = ?1 AND name = ?2 COLLATE NOCASE)";
    let values = [SqlValue::Integer(table.no), SqlValue::Text(name.to_owned())];
    if let Some(row) = fetch_optional(&mut desk.conn, find, values).await? {
        let mut row = Columns::of(&row);
        if row.count()? >= INDEXES_MAX as u64 {
            return impossible(format!("a table has at most {INDEXES_MAX} indexes"));
        }
        if row.flag()? {
            return Ok(SchemaOutcome::Same);
        }
    }
    // An index is a help for readers: where its name is taken by something else, nothing is wrong.
    if !standing::is_taken(desk, name).await? {
        match execute(&mut desk.conn, sql, []).await {
            Ok(_) => {}
            Err(TablesError::Statement { detail }) => return impossible(detail),
            Err(error) => return Err(error),
        }
    }
    let origin = desk.state.origin_no(&mut desk.conn, version.origin).await?;
    let note = "INSERT INTO mesh_indexes (table_no, name, sql, clock, origin, sequence) \
                VALUES (?, ?, ?, ?, ?, ?)";
    let values = [
        SqlValue::Integer(table.no),
        SqlValue::Text(name.to_owned()),
        SqlValue::Text(sql.to_owned()),
        number(version.clock.0),
        SqlValue::Integer(origin),
        number(version.sequence),
    ];
    execute(&mut desk.conn, note, values).await?;
    Ok(SchemaOutcome::Applied)
}
