//! Which table holds a name, and what goes with it.

use mesh_protocol::{SqlValue, TableId};

use super::drop_if_there;
use super::indexes::settle_index;
use crate::TablesError;
use crate::catalog::{Catalog, Table};
use crate::desk::Desk;
use crate::introspect;
use crate::sql::{Columns, execute, fetch_all, fetch_optional, quoted};
use crate::triggers;

/// A table that was not dropped.
struct Standing {
    no: i64,
    id: TableId,
    name: String,
    sql: String,
    is_live: bool,
    stored_as: Option<String>,
}

/// Suffixes of the tables beside a replicated one.
const BESIDE: [&str; 4] = ["", "__mesh_row", "__mesh_cell", "__mesh_new"];

/// Whether anything at all has that name.
pub(crate) async fn is_taken(desk: &mut Desk, name: &str) -> Result<bool, TablesError> {
    let sql = "SELECT 1 FROM sqlite_schema WHERE name = ? COLLATE NOCASE AND type <> 'trigger'";
    let row = fetch_optional(&mut desk.conn, sql, [SqlValue::Text(name.to_owned())]).await?;
    Ok(row.is_some())
}

/// Whether an index has that name.
pub(super) async fn is_index(desk: &mut Desk, name: &str) -> Result<bool, TablesError> {
    let sql = "SELECT 1 FROM sqlite_schema WHERE name = ? COLLATE NOCASE AND type = 'index'";
    let row = fetch_optional(&mut desk.conn, sql, [SqlValue::Text(name.to_owned())]).await?;
    Ok(row.is_some())
}

/// Gives `name` to the earliest of its tables. Says which one has to do without it because of that, if any.
pub(super) async fn settle(desk: &mut Desk, name: &str) -> Result<Option<TableId>, TablesError> {
    let mut all = standing(desk, name).await?;
    if all.is_empty() {
        return Ok(None);
    }
    let earliest = all.remove(0);
    if earliest.is_live {
        return Ok(all.first().map(|other| other.id));
    }
    let mut lost = None;
    for other in all.iter().filter(|other| other.is_live) {
        set_aside(desk, other).await?;
        lost = Some(other.id);
    }
    raise(desk, &earliest).await?;
    for other in &all {
        for (name, _) in indexes(desk, other.no).await? {
            settle_index(desk, &name, None).await?;
        }
    }
    Ok(lost.or_else(|| all.first().map(|other| other.id)))
}

/// Tables of that name that were not dropped, the earliest first.
async fn standing(desk: &mut Desk, name: &str) -> Result<Vec<Standing>, TablesError> {
    let sql = "SELECT t.no, t.table_id, t.name, t.sql, t.state, t.stored_as FROM mesh_tables t \
               JOIN mesh_origins o ON o.id = t.origin \
               WHERE t.name = ? COLLATE NOCASE AND t.state <> 'dropped' ORDER BY t.clock, o.origin";
    let rows = fetch_all(&mut desk.conn, sql, [SqlValue::Text(name.to_owned())]).await?;
    rows.iter()
        .map(|row| {
            let mut row = Columns::of(row);
            Ok(Standing {
                no: row.int()?,
                id: TableId::from_bytes(row.array("table id")?),
                name: row.text()?,
                sql: row.text()?,
                is_live: row.text()? == "live",
                stored_as: row.text_or_none()?,
            })
        })
        .collect()
}

/// Keeps rows and versions of a table under another name.
async fn set_aside(desk: &mut Desk, table: &Standing) -> Result<(), TablesError> {
    let short: String = table.id.to_string().chars().take(8).collect();
    let aside = format!("{}__mesh_aside_{short}", table.name);
    // Names of indexes are one for the whole database; the other table may need them.
    for (index, _) in indexes(desk, table.no).await? {
        drop_if_there(desk, "INDEX", &index).await?;
    }
    drop_triggers(desk, &table.name).await?;
    rename(desk, &table.name, &aside).await?;
    tracing::warn!(table = table.name, aside, "a table was set aside: another one is older");
    note(desk, table.no, "aside", Some(&aside)).await
}

/// Gives a table its name, with the rows it had under another one, if any.
async fn raise(desk: &mut Desk, table: &Standing) -> Result<(), TablesError> {
    match &table.stored_as {
        Some(stored_as) => rename(desk, stored_as, &table.name).await?,
        None => {
            execute(&mut desk.conn, table.sql.as_str(), []).await?;
        }
    }
    note(desk, table.no, "live", Some(&table.name)).await?;
    let catalog = Catalog::load(&mut desk.conn).await?;
    let live = catalog.named(&table.name).ok_or(TablesError::Malformed { what: "table" })?;
    if table.stored_as.is_none() {
        let facts = introspect::read(&mut desk.conn, &table.name).await?;
        let facts = facts.ok_or(TablesError::Malformed { what: "table" })?;
        for (_, sql) in triggers::create_shadows(live, &facts) {
            execute(&mut desk.conn, sql, []).await?;
        }
    }
    make_triggers(desk, live).await?;
    for (name, _) in indexes(desk, table.no).await? {
        settle_index(desk, &name, None).await?;
    }
    Ok(())
}

/// Makes the triggers of a table what they have to be. Says whether any was gone.
pub(crate) async fn make_triggers(desk: &mut Desk, table: &Table) -> Result<bool, TablesError> {
    let facts = introspect::read(&mut desk.conn, &table.name).await?;
    let facts = facts.ok_or(TablesError::Malformed { what: "table" })?;
    let wanted = triggers::triggers(table, &facts);
    let mut is_gone = false;
    for (name, sql) in wanted {
        let find =
            "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND name = ? COLLATE NOCASE";
        let row = fetch_optional(&mut desk.conn, find, [SqlValue::Text(name.clone())]).await?;
        let there = row.map(|row| Columns::of(&row).text()).transpose()?;
        if there.as_deref() != Some(sql.as_str()) {
            drop_if_there(desk, "TRIGGER", &name).await?;
            execute(&mut desk.conn, sql, []).await?;
            is_gone |= there.is_none();
        }
    }
    Ok(is_gone)
}

/// Triggers of a table that other programs made.
pub(crate) async fn foreign_triggers(
    desk: &mut Desk,
    table: &Table,
) -> Result<Vec<String>, TablesError> {
    let facts = introspect::read(&mut desk.conn, &table.name).await?;
    let facts = facts.ok_or(TablesError::Malformed { what: "table" })?;
    let ours = triggers::triggers(table, &facts);
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'trigger' \
               AND tbl_name = ? COLLATE NOCASE ORDER BY name";
    let rows = fetch_all(&mut desk.conn, sql, [SqlValue::Text(table.name.clone())]).await?;
    let names: Result<Vec<_>, _> = rows.iter().map(|row| Columns::of(row).text()).collect();
    let is_ours = |name: &String| ours.iter().any(|(our, _)| our.eq_ignore_ascii_case(name));
    Ok(names?.into_iter().filter(|name| !is_ours(name)).collect())
}

async fn drop_triggers(desk: &mut Desk, table: &str) -> Result<(), TablesError> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE \
               AND name LIKE '%\\_\\_mesh\\_%' ESCAPE '\\'";
    for row in fetch_all(&mut desk.conn, sql, [SqlValue::Text(table.to_owned())]).await? {
        let name = Columns::of(&row).text()?;
        drop_if_there(desk, "TRIGGER", &name).await?;
    }
    Ok(())
}

/// Drops the triggers that were made for a table, even where another program has renamed it: they would write
/// to tables that are gone.
async fn drop_triggers_of(desk: &mut Desk, table: &str) -> Result<(), TablesError> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'trigger' \
               AND substr(name, 1, length(?1)) = ?1 COLLATE NOCASE";
    let prefix = SqlValue::Text(format!("{table}__mesh_"));
    for row in fetch_all(&mut desk.conn, sql, [prefix]).await? {
        let name = Columns::of(&row).text()?;
        drop_if_there(desk, "TRIGGER", &name).await?;
    }
    Ok(())
}

async fn rename(desk: &mut Desk, from: &str, to: &str) -> Result<(), TablesError> {
    for suffix in BESIDE {
        let (from, to) = (format!("{from}{suffix}"), format!("{to}{suffix}"));
        let sql = format!("ALTER TABLE {} RENAME TO {}", quoted(&from), quoted(&to));
        execute(&mut desk.conn, sql, []).await?;
    }
    Ok(())
}

/// Names and statements of the indexes of a table.
pub(super) async fn indexes(
    desk: &mut Desk,
    no: i64,
) -> Result<Vec<(String, String)>, TablesError> {
    let sql = "SELECT name, sql FROM mesh_indexes WHERE table_no = ? ORDER BY name";
    let rows = fetch_all(&mut desk.conn, sql, [SqlValue::Integer(no)]).await?;
    rows.iter()
        .map(|row| {
            let mut row = Columns::of(row);
            Ok((row.text()?, row.text()?))
        })
        .collect()
}

async fn note(
    desk: &mut Desk,
    no: i64,
    state: &str,
    stored_as: Option<&str>,
) -> Result<(), TablesError> {
    let stored_as = stored_as.map_or(SqlValue::Null, |name| SqlValue::Text(name.to_owned()));
    let sql = "UPDATE mesh_tables SET state = ?2, stored_as = ?3 WHERE no = ?1";
    let values = [SqlValue::Integer(no), SqlValue::Text(state.to_owned()), stored_as];
    execute(&mut desk.conn, sql, values).await.map(drop)
}

/// Drops a table with everything that goes with it. Only that there was such a table is remembered.
pub(super) async fn forget(desk: &mut Desk, no: i64) -> Result<(), TablesError> {
    let sql = "SELECT stored_as FROM mesh_tables WHERE no = ?";
    let row = fetch_optional(&mut desk.conn, sql, [SqlValue::Integer(no)]).await?;
    let stored_as = row.map_or(Ok(None), |row| Columns::of(&row).text_or_none())?;
    if let Some(stored_as) = stored_as {
        drop_triggers_of(desk, &stored_as).await?;
        for suffix in BESIDE {
            drop_if_there(desk, "TABLE", &format!("{stored_as}{suffix}")).await?;
        }
    }
    for table in [
        "mesh_columns",
        "mesh_coverage",
        "mesh_indexes",
        "mesh_set_aside",
        "mesh_conflicts",
        "mesh_unsent",
    ] {
        let sql = format!("DELETE FROM {table} WHERE table_no = ?");
        execute(&mut desk.conn, sql, [SqlValue::Integer(no)]).await?;
    }
    note(desk, no, "dropped", None).await
}
