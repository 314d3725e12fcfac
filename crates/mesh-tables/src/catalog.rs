//! The replicated tables as this program knows them.

use std::collections::BTreeMap;

use mesh_protocol::TableId;

use crate::key::Collation;

/// A column of a replicated table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    /// Its number in the table; never given to another column.
    pub(crate) no: u16,
    pub(crate) name: String,
    /// How the primary key compares its text; of no account in other columns.
    pub(crate) collation: Collation,
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
