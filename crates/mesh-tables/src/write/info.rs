//! Which tables there are.

use mesh_protocol::{SqlValue, TableId};
use sqlx::SqliteConnection;

use crate::builtin::is_built_in;
use crate::introspect;
use crate::sql::{Columns, fetch_all, fetch_optional, quoted};
use crate::{Tables, TablesError};

/// A replicated table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableInfo {
    /// Its name.
    pub name: String,
    /// Its id, the same on every member.
    pub id: TableId,
    /// Names of its columns: those of the key, then the others that are stored.
    pub columns: Vec<String>,
    /// Names of the key columns, in the order of the primary key.
    pub primary_key: Vec<String>,
    /// How many rows it has.
    pub rows: u64,
    /// Where its rows are kept when another table has its name, because it was created earlier with another
    /// definition; empty when it was never filled here. None for a table that holds its name.
    pub aside: Option<String>,
    /// Whether the agents alone write it.
    pub is_built_in: bool,
}

impl Tables {
    /// Every replicated table that was not dropped, by name.
    ///
    /// # Errors
    /// [`TablesError`] of the database.
    pub async fn tables(&self) -> Result<Vec<TableInfo>, TablesError> {
        self.reading().own.read(|conn| Box::pin(read(conn))).await
    }
}

async fn read(conn: &mut SqliteConnection) -> Result<Vec<TableInfo>, TablesError> {
    let sql = "SELECT no, table_id, name, state, stored_as FROM mesh_tables \
               WHERE state <> 'dropped' ORDER BY name COLLATE NOCASE, state = 'aside', clock, table_id";
    let mut infos = Vec::new();
    for row in fetch_all(conn, sql, []).await? {
        let mut row = Columns::of(&row);
        let (no, id) = (row.int()?, TableId::from_bytes(row.array("table id")?));
        let (name, state, stored_as) = (row.text()?, row.text()?, row.text_or_none()?);
        let (mut columns, mut key) = (Vec::new(), Vec::new());
        let list = "SELECT name, key_place FROM mesh_columns WHERE table_no = ? ORDER BY no";
        for row in fetch_all(conn, list, [SqlValue::Integer(no)]).await? {
            let mut row = Columns::of(&row);
            let (column, place) = (row.text()?, row.int()?);
            if place > 0 {
                key.push((place, column.clone()));
            }
            columns.push(column);
        }
        key.sort();
        let rows = match &stored_as {
            Some(stored_as) => count(conn, stored_as).await?,
            None => 0,
        };
        let primary_key = key.into_iter().map(|(_, column)| column).collect();
        let aside = (state == "aside").then(|| stored_as.unwrap_or_default());
        let is_built_in = is_built_in(&name);
        infos.push(TableInfo { name, id, columns, primary_key, rows, aside, is_built_in });
    }
    Ok(infos)
}

/// Rows of a table; none when another program took it away.
async fn count(conn: &mut SqliteConnection, table: &str) -> Result<u64, TablesError> {
    if introspect::read(conn, table).await?.is_none() {
        return Ok(0);
    }
    let sql = format!("SELECT count(*) FROM {}", quoted(table));
    let row = fetch_optional(conn, sql, []).await?;
    row.map_or(Ok(0), |row| Columns::of(&row).count())
}
