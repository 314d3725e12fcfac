//! Indexes. Their names are one for the whole database, and of several definitions of a name the one with the
//! smallest (clock, origin) is made.

use mesh_protocol::{SqlValue, TableId, Version};

use super::aside::{Defined, note_aside};
use super::{SchemaOutcome, drop_if_there, live, standing};
use crate::TablesError;
use crate::desk::Desk;
use crate::sql::{Columns, execute, fetch_all, fetch_optional, number};
use crate::statement::{self, Statement};

/// Most indexes of one table.
pub(super) const INDEXES_MAX: usize = 64;

/// Takes a replicated index away whose name a table needs. Where the table came first the index was never made.
pub(super) async fn give_up_index(desk: &mut Desk, name: &str) -> Result<(), TablesError> {
    let sql = "SELECT 1 FROM mesh_indexes WHERE name = ? COLLATE NOCASE LIMIT 1";
    let row = fetch_optional(&mut desk.conn, sql, [SqlValue::Text(name.to_owned())]).await?;
    match row {
        Some(_) if standing::is_index(desk, name).await? => {
            drop_if_there(desk, "INDEX", name).await
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
    let mut superseded = None;
    match known(desk, table.no, name).await? {
        Some(known) if is_same(&known.sql, sql) && !known.is_later(desk, version)? => {
            return Ok(SchemaOutcome::Same);
        }
        Some(known) if !known.is_later(desk, version)? => {
            note_aside(desk, table.no, Defined::Index, name, sql).await?;
            return Ok(SchemaOutcome::Same);
        }
        Some(known) => {
            if !is_same(&known.sql, sql) {
                note_aside(desk, table.no, Defined::Index, name, &known.sql).await?;
            }
            let gone = "DELETE FROM mesh_indexes WHERE table_no = ? AND name = ?";
            let values = [SqlValue::Integer(table.no), SqlValue::Text(known.name)];
            execute(&mut desk.conn, gone, values).await?;
            superseded = Some(known.sql);
        }
        None => {
            let count = "SELECT count(*) FROM mesh_indexes WHERE table_no = ?";
            let row = fetch_optional(&mut desk.conn, count, [SqlValue::Integer(table.no)]).await?;
            if row.map_or(Ok(0), |row| Columns::of(&row).count())? >= INDEXES_MAX as u64 {
                return impossible(format!("a table has at most {INDEXES_MAX} indexes"));
            }
        }
    }
    note_index(desk, table.no, name, sql, version).await?;
    match settle_index(desk, name, superseded.as_deref()).await {
        Ok(()) => Ok(SchemaOutcome::Applied),
        Err(TablesError::Statement { detail }) => impossible(detail),
        Err(error) => Err(error),
    }
}

/// A row of `mesh_indexes`.
struct Known {
    name: String,
    sql: String,
    clock: u64,
    origin: i64,
}

impl Known {
    /// Whether it was made after `version`.
    fn is_later(&self, desk: &Desk, version: Version) -> Result<bool, TablesError> {
        let ours = (self.clock, desk.state.origins.id(self.origin)?);
        Ok((version.clock.0, version.origin) < ours)
    }
}

async fn known(desk: &mut Desk, table_no: i64, name: &str) -> Result<Option<Known>, TablesError> {
    let sql = "SELECT name, sql, clock, origin FROM mesh_indexes \
               WHERE table_no = ? AND name = ? COLLATE NOCASE";
    let values = [SqlValue::Integer(table_no), SqlValue::Text(name.to_owned())];
    let row = fetch_optional(&mut desk.conn, sql, values).await?;
    row.map(|row| {
        let mut row = Columns::of(&row);
        let (name, sql) = (row.text()?, row.text()?);
        Ok(Known { name, sql, clock: row.count()?, origin: row.int()? })
    })
    .transpose()
}

fn is_same(one: &str, two: &str) -> bool {
    statement::normalised_index(one) == statement::normalised_index(two)
}

async fn note_index(
    desk: &mut Desk,
    table_no: i64,
    name: &str,
    sql: &str,
    version: Version,
) -> Result<(), TablesError> {
    let origin = desk.state.origin_no(&mut desk.conn, version.origin).await?;
    let note = "INSERT INTO mesh_indexes (table_no, name, sql, clock, origin, sequence) \
                VALUES (?, ?, ?, ?, ?, ?)";
    let values = [
        SqlValue::Integer(table_no),
        SqlValue::Text(name.to_owned()),
        SqlValue::Text(sql.to_owned()),
        number(version.clock.0),
        SqlValue::Integer(origin),
        number(version.sequence),
    ];
    execute(&mut desk.conn, note, values).await.map(drop)
}

/// Makes the index of that name what it has to be, which may be there as `superseded`. An index is a help for
/// readers: where its name is taken by something that is not replicated, nothing is wrong.
pub(super) async fn settle_index(
    desk: &mut Desk,
    name: &str,
    superseded: Option<&str>,
) -> Result<(), TablesError> {
    const STANDING: &str = "SELECT i.table_no, i.sql FROM mesh_indexes i \
                            JOIN mesh_tables t ON t.no = i.table_no \
                            JOIN mesh_origins o ON o.id = i.origin \
                            WHERE i.name = ? COLLATE NOCASE AND t.state = 'live' \
                            ORDER BY i.clock, o.origin";
    const OURS: &str = "SELECT sql FROM mesh_indexes WHERE name = ? COLLATE NOCASE";
    let named = || [SqlValue::Text(name.to_owned())];
    let mut standing = Vec::new();
    for row in fetch_all(&mut desk.conn, STANDING, named()).await? {
        let mut row = Columns::of(&row);
        standing.push((row.int()?, row.text()?));
    }
    let Some(((_, first), others)) = standing.split_first() else { return Ok(()) };
    for (table_no, sql) in others {
        note_aside(desk, *table_no, Defined::Index, name, sql).await?;
    }
    let there = "SELECT sql FROM sqlite_schema WHERE name = ? COLLATE NOCASE AND type = 'index'";
    let there = fetch_optional(&mut desk.conn, there, named()).await?;
    if let Some(row) = there {
        let there = Columns::of(&row).text_or_none()?.unwrap_or_default();
        let mut is_ours = superseded.is_some_and(|one| is_same(one, &there));
        for row in fetch_all(&mut desk.conn, OURS, named()).await? {
            is_ours |= is_same(&Columns::of(&row).text()?, &there);
        }
        if !is_ours || is_same(first, &there) {
            return Ok(());
        }
        drop_if_there(desk, "INDEX", name).await?;
    }
    if !standing::is_taken(desk, name).await? {
        execute(&mut desk.conn, first.as_str(), []).await?;
    }
    Ok(())
}
