//! Changes of the tables themselves, local ones and those of others alike.
//!
//! What tables there are is a function of the set of changes, whatever their order: a dropped table stays
//! dropped, and of several definitions of one name that were not dropped the earliest holds the name.

mod aside;
mod bounds;
mod columns;
mod indexes;
mod lost;
mod redefine;
mod standing;

use std::sync::Arc;

use mesh_protocol::{SchemaChange, SqlValue, TABLES_MAX, TableId, Version};

use sqlx::Connection as _;

use crate::TablesError;
use crate::builtin::is_built_in;
use crate::catalog::{Catalog, Table};
use crate::desk::Desk;
use crate::introspect;
use crate::sql::{Columns, execute, fetch_all, fetch_optional, number, quoted};

pub(crate) use aside::{forget_aside, read_aside};
pub(crate) use bounds::{exceeds, name_exceeds};
pub(crate) use columns::note_added;
pub(crate) use lost::lost;
pub(crate) use standing::{foreign_triggers, is_taken, make_triggers};

pub(crate) use crate::write::adopt;

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SchemaOutcome {
    /// It is carried out.
    Applied,
    /// It was carried out before.
    Same,
    /// It is noted, and a table of the same name with another definition is, or now is, set aside.
    SetAside {
        /// The table that has lost its name.
        table: TableId,
    },
    /// The table that it changes is not here, or does not hold its name: it has to wait.
    UnknownTable {
        /// Which.
        table: TableId,
    },
    /// It cannot be carried out here, for now.
    Impossible {
        /// Why.
        detail: String,
    },
}

/// A row of `mesh_tables`.
struct Known {
    no: i64,
    state: String,
    name: String,
    clock: u64,
    origin: i64,
}

/// Carries out `change`, which was made in `version`, within a transaction. Repeating it is harmless.
///
/// What this database captured must have been sealed before, unless the change is its own.
pub(crate) async fn apply_schema(
    desk: &mut Desk,
    change: &SchemaChange,
    version: Version,
) -> Result<SchemaOutcome, TablesError> {
    if let Some(detail) = exceeds(change) {
        return Ok(SchemaOutcome::Impossible { detail });
    }
    if let Some(name) = built_in(desk, change) {
        let detail = format!("the table {name:?} belongs to the agents, and stays what it is");
        return Ok(SchemaOutcome::Impossible { detail });
    }
    let outcome = match change {
        SchemaChange::CreateTable { table, name, sql, replaces } => {
            let created = Created { id: *table, name, sql, replaces: *replaces };
            create_table(desk, &created, version).await?
        }
        SchemaChange::AddColumn { table, column, definition } => {
            columns::add_column(desk, *table, column, definition, version).await?
        }
        SchemaChange::CreateIndex { table, name, sql } => {
            indexes::create_index(desk, *table, name, sql, version).await?
        }
        SchemaChange::DropTable { table, .. } => drop_table(desk, *table).await?,
    };
    match &outcome {
        SchemaOutcome::Applied | SchemaOutcome::SetAside { .. } => reload(desk).await?,
        SchemaOutcome::Same
        | SchemaOutcome::UnknownTable { .. }
        | SchemaOutcome::Impossible { .. } => {}
    }
    Ok(outcome)
}

/// The name of the built-in table that `change` would alter or drop.
fn built_in(desk: &Desk, change: &SchemaChange) -> Option<String> {
    let table = match change {
        SchemaChange::CreateTable { .. } => return None,
        SchemaChange::AddColumn { table, .. }
        | SchemaChange::CreateIndex { table, .. }
        | SchemaChange::DropTable { table, .. } => table,
    };
    let table = desk.state.catalog.tables.get(table)?;
    is_built_in(&table.name).then(|| table.name.clone())
}

/// Reads the tables anew, after they were changed.
pub(crate) async fn reload(desk: &mut Desk) -> Result<(), TablesError> {
    desk.state.catalog = Arc::new(Catalog::load(&mut desk.conn).await?);
    desk.state.schema_version = schema_version(&mut desk.conn).await?;
    // A statement that is kept would tell the columns of before, where it names none (RETURNING *).
    desk.conn.clear_cached_statements().await?;
    Ok(())
}

/// SQLite's own count of changes of tables, by whatever program.
pub(crate) async fn schema_version(conn: &mut sqlx::SqliteConnection) -> Result<i64, TablesError> {
    let row = fetch_optional(conn, "PRAGMA schema_version", []).await?;
    row.map_or(Err(TablesError::Malformed { what: "schema version" }), |row| {
        Columns::of(&row).int()
    })
}

/// The dropped table that a new one of that name follows.
pub(crate) async fn predecessor(
    desk: &mut Desk,
    name: &str,
) -> Result<Option<TableId>, TablesError> {
    // Of several the one that nobody followed yet: each names the one before.
    let sql = "SELECT table_id FROM mesh_tables t WHERE name = ?1 COLLATE NOCASE AND state = 'dropped' \
               AND NOT EXISTS (SELECT 1 FROM mesh_tables n WHERE n.replaces = t.table_id) \
               ORDER BY clock DESC, table_id DESC LIMIT 1";
    let row = fetch_optional(&mut desk.conn, sql, [SqlValue::Text(name.to_owned())]).await?;
    row.map(|row| Ok(TableId::from_bytes(Columns::of(&row).array("table id")?))).transpose()
}

/// A CreateTable.
struct Created<'c> {
    id: TableId,
    name: &'c str,
    sql: &'c str,
    replaces: Option<TableId>,
}

async fn create_table(
    desk: &mut Desk,
    created: &Created<'_>,
    version: Version,
) -> Result<SchemaOutcome, TablesError> {
    if let Some(known) = known(desk, created.id).await? {
        return again(desk, &known, version).await;
    }
    let impossible = |detail: String| Ok(SchemaOutcome::Impossible { detail });
    let facts = match introspect::table(created.sql).await {
        Ok(facts) => facts,
        Err(error @ (TablesError::Refused { .. } | TablesError::Statement { .. })) => {
            return impossible(error.to_string());
        }
        Err(error) => return Err(error),
    };
    let is_its_own = introspect::table_id(&facts, created.replaces)? == created.id;
    if !is_its_own || !facts.name.eq_ignore_ascii_case(created.name) {
        return impossible(
            "the definition is not the one that the table's id stands for".to_owned(),
        );
    }
    let is_free = desk.state.catalog.named(&facts.name).is_none();
    if is_free {
        indexes::give_up_index(desk, &facts.name).await?;
    }
    if is_free && is_taken(desk, &facts.name).await? {
        return impossible(format!(
            "something that is not replicated has the name {:?}",
            facts.name
        ));
    }
    let count =
        fetch_all(&mut desk.conn, "SELECT no FROM mesh_tables WHERE state <> 'dropped'", []);
    if count.await?.len() >= TABLES_MAX {
        return impossible(format!("there are {TABLES_MAX} tables, and more are not possible"));
    }
    let origin = desk.state.origin_no(&mut desk.conn, version.origin).await?;
    let sql = "INSERT INTO mesh_tables \
               (table_id, name, sql, state, stored_as, replaces, clock, origin, sequence) \
               VALUES (?, ?, ?, 'aside', NULL, ?, ?, ?, ?) RETURNING no";
    let replaces = created.replaces.map_or(SqlValue::Null, |id| blob(&id));
    let values = [
        blob(&created.id),
        SqlValue::Text(facts.name.clone()),
        SqlValue::Text(created.sql.to_owned()),
        replaces,
        number(version.clock.0),
        SqlValue::Integer(origin),
        number(version.sequence),
    ];
    let row = fetch_optional(&mut desk.conn, sql, values).await?;
    let no =
        row.map_or(Err(TablesError::Malformed { what: "table" }), |row| Columns::of(&row).int())?;
    columns::note_first(desk, no, &facts, origin, version).await?;
    let lost = standing::settle(desk, &facts.name).await?;
    Ok(lost.map_or(SchemaOutcome::Applied, |table| SchemaOutcome::SetAside { table }))
}

/// The same table was created by somebody else: the earlier time counts, everywhere.
async fn again(
    desk: &mut Desk,
    known: &Known,
    version: Version,
) -> Result<SchemaOutcome, TablesError> {
    let before = (known.clock, desk.state.origins.id(known.origin)?);
    if known.state == "dropped" || before <= (version.clock.0, version.origin) {
        return Ok(SchemaOutcome::Same);
    }
    let origin = desk.state.origin_no(&mut desk.conn, version.origin).await?;
    let sql = "UPDATE mesh_tables SET clock = ?2, origin = ?3, sequence = ?4 WHERE no = ?1";
    let values = [
        SqlValue::Integer(known.no),
        number(version.clock.0),
        SqlValue::Integer(origin),
        number(version.sequence),
    ];
    execute(&mut desk.conn, sql, values).await?;
    let lost = standing::settle(desk, &known.name).await?;
    Ok(lost.map_or(SchemaOutcome::Same, |table| SchemaOutcome::SetAside { table }))
}

async fn drop_table(desk: &mut Desk, id: TableId) -> Result<SchemaOutcome, TablesError> {
    let Some(known) = known(desk, id).await? else {
        return Ok(SchemaOutcome::UnknownTable { table: id });
    };
    if known.state == "dropped" {
        return Ok(SchemaOutcome::Same);
    }
    let indexes = standing::indexes(desk, known.no).await?;
    standing::forget(desk, known.no).await?;
    // Another table may have one of that name that was never made.
    for (name, _) in indexes {
        indexes::settle_index(desk, &name, None).await?;
    }
    let oddities = Arc::make_mut(&mut desk.state.oddities);
    oddities.retain(|odd| !odd.table.eq_ignore_ascii_case(&known.name));
    standing::settle(desk, &known.name).await?;
    Ok(SchemaOutcome::Applied)
}

async fn known(desk: &mut Desk, id: TableId) -> Result<Option<Known>, TablesError> {
    let sql = "SELECT no, state, name, clock, origin FROM mesh_tables WHERE table_id = ?";
    let row = fetch_optional(&mut desk.conn, sql, [blob(&id)]).await?;
    row.map(|row| {
        let mut row = Columns::of(&row);
        Ok(Known {
            no: row.int()?,
            state: row.text()?,
            name: row.text()?,
            clock: row.count()?,
            origin: row.int()?,
        })
    })
    .transpose()
}

fn blob(id: &TableId) -> SqlValue {
    SqlValue::Blob(id.as_bytes().to_vec())
}

/// The live table of that id.
fn live(desk: &Desk, id: TableId) -> Option<Table> {
    desk.state.catalog.tables.get(&id).cloned()
}

/// Drops a table, index or trigger by a name that was put together, unless another program has given that
/// name to something else.
async fn drop_if_there(desk: &mut Desk, kind: &str, name: &str) -> Result<(), TablesError> {
    let other = "SELECT 1 FROM sqlite_schema WHERE name = ?1 COLLATE NOCASE AND type <> lower(?2) \
                 AND NOT EXISTS (SELECT 1 FROM sqlite_schema \
                                 WHERE name = ?1 COLLATE NOCASE AND type = lower(?2))";
    let values = [SqlValue::Text(name.to_owned()), SqlValue::Text(kind.to_owned())];
    if fetch_optional(&mut desk.conn, other, values).await?.is_some() {
        return Ok(());
    }
    let sql = format!("DROP {kind} IF EXISTS {}", quoted(name));
    execute(&mut desk.conn, sql, []).await.map(drop)
}

#[cfg(test)]
mod tests;
