//! An added column of which there are two definitions: the one with the smaller (clock, origin) counts.
//!
//! The text of the table is changed in place. Nothing else about the table has to be made anew then: neither views
//! nor triggers of other programs, nor rows, which only show the new default where nobody ever wrote.

use mesh_protocol::SqlValue;

use crate::TablesError;
use crate::catalog::{Column, Table};
use crate::desk::Desk;
use crate::introspect::{self, ColumnFacts, TableFacts};
use crate::sql::{execute, listed, quoted};
use crate::statement;
use crate::triggers::Affinity;
use crate::{feed, schema};

/// Gives a column another definition, with the values that were written to it. Says why it cannot be done, if so;
/// whatever was done has to be rolled back then.
pub(super) async fn redefine(
    desk: &mut Desk,
    table: &Table,
    column: &Column,
    definition: &str,
) -> Result<Option<String>, TablesError> {
    let gone = TablesError::Malformed { what: "table" };
    let before = introspect::read(&mut desk.conn, &table.name).await?.ok_or(gone.clone())?;
    let not_understood = || Ok(Some("the definition of the table is not understood".to_owned()));
    let Some(create) = statement::redefined(&before.sql, &column.name, definition) else {
        return not_understood();
    };
    let columns: Vec<&str> = before.columns.iter().map(|column| column.name.as_str()).collect();
    if !introspect::makes(&create, &before.name, &columns).await? {
        return not_understood();
    }
    let replaced = replace_text(desk, &before.name, create).await;
    // Also when it failed: the connection must not stay able to do it.
    execute(&mut desk.conn, "PRAGMA writable_schema = RESET", []).await?;
    replaced?;
    let after = introspect::read(&mut desk.conn, &table.name).await?.ok_or(gone.clone())?;
    let named = |facts: &TableFacts| {
        let mut columns = facts.columns.iter();
        columns.find(|one| one.name.eq_ignore_ascii_case(&column.name)).cloned()
    };
    let (was, is) = (named(&before).ok_or(gone.clone())?, named(&after).ok_or(gone)?);
    // What is in an index follows from the definition as much as from the rows.
    execute(&mut desk.conn, format!("REINDEX main.{}", quoted(&table.name)), []).await?;
    let kinds = (Affinity::of(&was, before.is_strict), Affinity::of(&is, after.is_strict));
    for (sql, values) in [never_written(table, column, &is), written(table, &is, kinds, &after)] {
        match execute(&mut desk.conn, sql, values).await {
            Ok(_) => {}
            Err(TablesError::Statement { detail } | TablesError::Constraint { detail, .. }) => {
                return Ok(Some(format!(
                    "an earlier definition of the column {:?} does not take the values that are here: {detail}",
                    column.name
                )));
            }
            Err(error) => return Err(error),
        }
    }
    // Readers of changes were told of none of these.
    let Desk { conn, state, .. } = desk;
    feed::note_resync(conn, state, table.no).await?;
    Ok(None)
}

/// Other programs, and this one if it is rolled back, find out by the number of the schema.
async fn replace_text(desk: &mut Desk, table: &str, create: String) -> Result<(), TablesError> {
    execute(&mut desk.conn, "PRAGMA writable_schema = ON", []).await?;
    let sql = "UPDATE sqlite_schema SET sql = ? WHERE type = 'table' AND name = ?";
    let values = [SqlValue::Text(create), SqlValue::Text(table.to_owned())];
    execute(&mut desk.conn, sql, values).await?;
    let next = schema::schema_version(&mut desk.conn).await?.wrapping_add(1);
    execute(&mut desk.conn, format!("PRAGMA schema_version = {next}"), []).await.map(drop)
}

/// Rows where nobody wrote the column show its default, whatever lies there.
fn never_written(table: &Table, column: &Column, is: &ColumnFacts) -> (String, Vec<SqlValue>) {
    let same = |alias: &str| {
        let equals = table.key.iter().map(|key| format!("{alias}.{0} = t.{0}", quoted(&key.name)));
        equals.collect::<Vec<_>>().join(" AND ")
    };
    let sql = format!(
        "UPDATE {} AS t SET {} = ({}) WHERE \
         NOT EXISTS (SELECT 1 FROM {} c WHERE {} AND c.col = ?1) AND \
         NOT EXISTS (SELECT 1 FROM {} r JOIN mesh_coverage k ON k.table_no = ?2 AND k.column = ?1 \
                     AND k.origin = r.origin AND k.sequence <= r.seq WHERE {})",
        quoted(&table.name),
        quoted(&is.name),
        is.default.as_deref().unwrap_or("NULL"),
        quoted(&table.cell_table()),
        same("c"),
        quoted(&table.row_table()),
        same("r"),
    );
    (sql, vec![SqlValue::Integer(column.no.into()), SqlValue::Integer(table.no)])
}

/// Values become what they would have become, had they come from another member.
fn written(
    table: &Table,
    is: &ColumnFacts,
    (was_kind, is_kind): (Affinity, Affinity),
    facts: &TableFacts,
) -> (String, Vec<SqlValue>) {
    let name = quoted(&is.name);
    let mut kinds: Vec<&str> = match is_kind {
        // In a STRICT table this fails where the value is of another type, as it has to.
        _ if facts.is_strict => vec!["integer", "real", "text", "blob"],
        Affinity::Integer | Affinity::Numeric => vec!["text", "real"],
        Affinity::Text => vec!["integer", "real"],
        Affinity::Real => vec!["text"],
        Affinity::Blob => Vec::new(),
    };
    // SQLite keeps whole numbers of a REAL column as integers.
    let value = if was_kind == Affinity::Real && is_kind != Affinity::Real {
        kinds.push("integer");
        format!("CASE typeof({name}) WHEN 'integer' THEN CAST({name} AS REAL) ELSE {name} END")
    } else {
        name.clone()
    };
    let value = match &is.default {
        Some(default) if is.is_never_null => {
            kinds.push("null");
            format!("coalesce({value}, ({default}))")
        }
        Some(_) | None => value,
    };
    let kinds = listed(kinds, |kind| format!("'{kind}'"));
    let table = quoted(&table.name);
    (format!("UPDATE {table} SET {name} = {value} WHERE typeof({name}) IN ({kinds})"), Vec::new())
}
