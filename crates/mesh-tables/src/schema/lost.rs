//! Replicated tables that another program dropped or made unusable: they can be dropped everywhere, or made
//! again in the form they had.

use std::sync::Arc;

use mesh_protocol::{SqlValue, TableId};

use super::reload;
use super::standing::{indexes, is_taken, make_triggers};
use crate::TablesError;
use crate::catalog::Catalog;
use crate::desk::Desk;
use crate::introspect::{self, TableFacts};
use crate::oddity::Oddity;
use crate::sql::{Columns, execute, fetch_all, fetch_optional, quoted};
use crate::triggers;

/// A table that should be there and cannot be used.
pub(crate) struct Lost {
    no: i64,
    pub(crate) id: TableId,
    pub(crate) name: String,
    sql: String,
    replaces: Option<TableId>,
}

/// The lost table of that name, if there is one.
pub(crate) async fn lost(desk: &mut Desk, name: &str) -> Result<Option<Lost>, TablesError> {
    if desk.state.catalog.named(name).is_some() {
        return Ok(None);
    }
    let sql = "SELECT no, table_id, name, sql, replaces FROM mesh_tables \
               WHERE name = ? COLLATE NOCASE AND state = 'live'";
    let row = fetch_optional(&mut desk.conn, sql, [SqlValue::Text(name.to_owned())]).await?;
    row.map(|row| {
        let mut row = Columns::of(&row);
        let (no, id) = (row.int()?, TableId::from_bytes(row.array("table id")?));
        let (name, sql) = (row.text()?, row.text()?);
        let replaces = row.blob_or_none()?.map(<[u8; 16]>::try_from).transpose();
        let replaces = replaces.map_err(|_| TablesError::Malformed { what: "table id" })?;
        Ok(Lost { no, id, name, sql, replaces: replaces.map(TableId::from_bytes) })
    })
    .transpose()
}

impl Lost {
    /// Makes the table again, with the columns that were added and its indexes. What is known of its rows is
    /// used further; the rows themselves come from other members when they are compared.
    pub(crate) async fn bring_back(
        &self,
        desk: &mut Desk,
        wanted: &TableFacts,
    ) -> Result<(), TablesError> {
        let refused = |reason: &str| Err(TablesError::Refused { reason: reason.to_owned() });
        if introspect::table_id(wanted, self.replaces)? != self.id {
            return refused(
                "another program dropped or changed the table of that name, which has another definition; \
                 create it as it was, or drop it first",
            );
        }
        if is_taken(desk, &self.name).await? {
            return refused(
                "another program changed the columns of that table; put them back, or drop the table",
            );
        }
        execute(&mut desk.conn, self.sql.as_str(), []).await?;
        let added = "SELECT definition FROM mesh_columns \
                     WHERE table_no = ? AND definition IS NOT NULL ORDER BY no";
        for row in fetch_all(&mut desk.conn, added, [SqlValue::Integer(self.no)]).await? {
            let definition = Columns::of(&row).text()?;
            let alter = format!("ALTER TABLE {} ADD COLUMN {definition}", quoted(&self.name));
            execute(&mut desk.conn, alter, []).await?;
        }
        let catalog = Catalog::load(&mut desk.conn).await?;
        let malformed = TablesError::Malformed { what: "table" };
        let table = catalog.tables.get(&self.id).ok_or(malformed.clone())?;
        let facts = introspect::read(&mut desk.conn, &self.name).await?.ok_or(malformed)?;
        for (name, sql) in triggers::create_shadows(table, &facts) {
            if !is_taken(desk, &name).await? {
                execute(&mut desk.conn, sql, []).await?;
            }
        }
        for (name, sql) in indexes(desk, self.no).await? {
            if !is_taken(desk, &name).await? {
                execute(&mut desk.conn, sql, []).await?;
            }
        }
        make_triggers(desk, table).await?;
        reload(desk).await?;
        self.tell(desk);
        Ok(())
    }

    /// Says what is still to be done.
    fn tell(&self, desk: &mut Desk) {
        let what = "another program had dropped it: the rows that were in it are not back; compare with the \
                    other members (sync --force)";
        tracing::warn!(table = self.name, what, "a replicated table is made again");
        let oddities = Arc::make_mut(&mut desk.state.oddities);
        oddities.retain(|odd| !odd.table.eq_ignore_ascii_case(&self.name));
        oddities.push(Oddity { table: self.name.clone(), what: what.to_owned() });
    }
}
