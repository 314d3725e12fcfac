//! The replicated tables as this program knows them.

use std::collections::BTreeMap;

use mesh_protocol::{SqlValue, TableId};
use sqlx::SqliteConnection;

use crate::TablesError;
use crate::introspect::{self, TableFacts};
use crate::key::Collation;
use crate::sql::{Columns, fetch_all};

/// A column of a replicated table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    /// Its number in the table; never given to another column.
    pub(crate) no: u16,
    pub(crate) name: String,
    /// How the primary key compares its text; of no account in other columns.
    pub(crate) collation: Collation,
    /// Stands for NULL in a column that was added and is never NULL here: the definition of whoever wrote it
    /// allowed that, and another one counts.
    pub(crate) stand_in: Option<SqlValue>,
}

/// A replicated table whose rows are kept here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    /// Its number in this database.
    pub(crate) no: i64,
    pub(crate) id: TableId,
    pub(crate) name: String,
    /// The statement that creates it.
    pub(crate) sql: String,
    /// The key columns, in the order of the primary key.
    pub(crate) key: Vec<Column>,
    /// The other columns that are stored, in order; generated ones are not.
    pub(crate) columns: Vec<Column>,
    /// Columns that were added later, with the transactions from which on whole rows cover them: origin
    /// number to sequence. A column that is not in here is covered by every row.
    pub(crate) coverage: BTreeMap<u16, BTreeMap<i64, u64>>,
}

/// Every table that is live.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Catalog {
    pub(crate) tables: BTreeMap<TableId, Table>,
    /// Tables by name.
    pub(crate) names: BTreeMap<String, TableId>,
}

impl Catalog {
    /// Reads every live table. One that another program took away or made unusable is left out.
    pub(crate) async fn load(conn: &mut SqliteConnection) -> Result<Self, TablesError> {
        let mut catalog = Self::default();
        let sql =
            "SELECT no, table_id, name, sql FROM mesh_tables WHERE state = 'live' ORDER BY no";
        for row in fetch_all(conn, sql, []).await? {
            let mut row = Columns::of(&row);
            let no = row.int()?;
            let id = TableId::from_bytes(row.array("table id")?);
            let (name, sql) = (row.text()?, row.text()?);
            let Some(facts) = introspect::read(conn, &name).await? else { continue };
            let (key, columns, coverage) = (Vec::new(), Vec::new(), BTreeMap::new());
            let table = Table { no, id, name, sql, key, columns, coverage };
            if let Some(table) = load_columns(conn, table, &facts).await? {
                catalog.insert(table);
            }
        }
        Ok(catalog)
    }

    /// The live table of that name, in SQLite's sense of equal names.
    pub(crate) fn named(&self, name: &str) -> Option<&Table> {
        let id = self.names.get(&name.to_ascii_lowercase())?;
        self.tables.get(id)
    }

    pub(crate) fn insert(&mut self, table: Table) {
        self.names.insert(table.name.to_ascii_lowercase(), table.id);
        self.tables.insert(table.id, table);
    }
}

/// Fills in the columns; none when one of them is not in the database any more.
async fn load_columns(
    conn: &mut SqliteConnection,
    mut table: Table,
    facts: &TableFacts,
) -> Result<Option<Table>, TablesError> {
    let sql = "SELECT no, name, key_place, definition IS NOT NULL FROM mesh_columns WHERE table_no = ? \
         ORDER BY key_place, no";
    for row in fetch_all(conn, sql, [SqlValue::Integer(table.no)]).await? {
        let mut row = Columns::of(&row);
        let no = row.count()?;
        let no = u16::try_from(no).map_err(|_| TablesError::Malformed { what: "column" })?;
        let (name, place, is_added) = (row.text()?, row.int()?, row.flag()?);
        let (there, list) = if place == 0 {
            (&facts.columns, &mut table.columns)
        } else {
            (&facts.key, &mut table.key)
        };
        let Some(there) = there.iter().find(|one| one.name.eq_ignore_ascii_case(&name)) else {
            return Ok(None);
        };
        let is_filled = is_added && there.is_never_null;
        let stand_in = match there.default.as_deref().filter(|_| is_filled) {
            Some(default) => {
                let row = fetch_all(conn, format!("SELECT ({default})"), []).await?;
                row.first().map(|row| Columns::of(row).value()).transpose()?
            }
            None => None,
        };
        list.push(Column { no, name, collation: there.collation, stand_in });
    }
    let sql = "SELECT column, origin, sequence FROM mesh_coverage WHERE table_no = ?";
    for row in fetch_all(conn, sql, [SqlValue::Integer(table.no)]).await? {
        let mut row = Columns::of(&row);
        let no = row.count()?;
        let no = u16::try_from(no).map_err(|_| TablesError::Malformed { what: "column" })?;
        table.coverage.entry(no).or_default().insert(row.int()?, row.count()?);
    }
    Ok((!table.key.is_empty() && table.key.len() == facts.key.len()).then_some(table))
}

impl Table {
    /// Name of the table that holds the versions of its rows.
    pub(crate) fn row_table(&self) -> String {
        format!("{}__mesh_row", self.name)
    }

    /// Name of the table that holds the columns' own versions.
    pub(crate) fn cell_table(&self) -> String {
        format!("{}__mesh_cell", self.name)
    }

    /// Name of the table that holds what was captured and not sealed yet.
    pub(crate) fn new_table(&self) -> String {
        format!("{}__mesh_new", self.name)
    }
}
