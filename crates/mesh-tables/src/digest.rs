//! Tables as digests, to find out whether and where two databases differ.
//!
//! The digest of a range of keys is the sum of the digests of its rows and of the columns' own versions, so
//! it does not matter in which order they are read. Deleted rows do not count: databases forget them at
//! different moments. Nothing counts that is particular to one database, such as its numbers for origins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::StreamExt as _;
use mesh_protocol::{DIGEST_BUCKETS, OriginId, SqlValue, TableDigest, TableId};
use sqlx::SqliteConnection;

use crate::catalog::{Catalog, Column, Table};
use crate::key;
use crate::sql::{Columns, fetch, fetch_all, listed, quoted};
use crate::{Tables, TablesError};

/// A row, and a column's own version, never have the same digest by chance of form.
const ROW: &[u8] = b"row";
const CELL: &[u8] = b"cell";

impl Tables {
    /// The digests of all live tables, in the order of their ids. Each table is read in one view of its own,
    /// so that the WAL can be emptied in between.
    ///
    /// # Errors
    /// [`TablesError`] when the database cannot be read.
    pub async fn digests(&self) -> Result<Vec<TableDigest>, TablesError> {
        let readers = &self.reading().own;
        let mut schema = None;
        let mut catalog = Arc::new(Catalog::default());
        let mut done = BTreeSet::new();
        let mut digests = Vec::new();
        loop {
            let mut lent = readers.lend().await?;
            let conn = lent.conn()?;
            let found = schema_version(conn).await?;
            if schema != Some(found) {
                catalog = Arc::new(Catalog::load(conn).await?);
                schema = Some(found);
            }
            let next = catalog.tables.values().find(|table| !done.contains(&table.id));
            let Some(table) = next else {
                lent.give_back().await?;
                break;
            };
            digests.push(digest(conn, table).await?);
            done.insert(table.id);
            lent.give_back().await?;
        }
        digests.sort_by_key(|digest| digest.table);
        Ok(digests)
    }

    /// Names of the live tables by id, for those who show digests.
    ///
    /// # Errors
    /// [`TablesError`] when the database cannot be read.
    pub async fn table_names(&self) -> Result<BTreeMap<TableId, String>, TablesError> {
        let names = self.reading().own.read(|conn| {
            Box::pin(async move {
                let sql = "SELECT table_id, name FROM mesh_tables WHERE state = 'live'";
                let rows = fetch_all(conn, sql, []).await?;
                let named = rows.iter().map(|row| {
                    let mut columns = Columns::of(row);
                    Ok((TableId::from_bytes(columns.array("table id")?), columns.text()?))
                });
                named.collect()
            })
        });
        names.await
    }
}

/// The digest of a whole table for people: equal texts mean equal tables.
#[must_use]
pub fn checksum(digest: &TableDigest) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(digest.table.as_bytes());
    hasher.update(&digest.rows.to_le_bytes());
    for bucket in &digest.buckets {
        hasher.update(bucket);
    }
    hasher.finalize().to_hex().chars().take(32).collect()
}

async fn schema_version(conn: &mut SqliteConnection) -> Result<i64, TablesError> {
    let rows = fetch_all(conn, "PRAGMA schema_version", []).await?;
    let row = rows.first().ok_or(TablesError::Malformed { what: "schema version" })?;
    Columns::of(row).int()
}

/// The sums of a table, while it is read.
struct Sums<'t> {
    table: &'t Table,
    origins: BTreeMap<i64, OriginId>,
    buckets: Vec<u128>,
}

async fn digest(conn: &mut SqliteConnection, table: &Table) -> Result<TableDigest, TablesError> {
    let mut origins = BTreeMap::new();
    for row in fetch_all(conn, "SELECT id, origin FROM mesh_origins", []).await? {
        let mut columns = Columns::of(&row);
        origins.insert(columns.int()?, OriginId::from_bytes(columns.array("origin")?));
    }
    let mut sums = Sums { table, origins, buckets: vec![0; DIGEST_BUCKETS] };
    let rows = sums.add_rows(conn).await?;
    sums.add_cells(conn).await?;
    let buckets = sums.buckets.iter().map(|sum| sum.to_le_bytes()).collect();
    Ok(TableDigest { table: table.id, rows, buckets })
}

impl Sums<'_> {
    /// Adds every row with its version and values; says how many there are.
    async fn add_rows(&mut self, conn: &mut SqliteConnection) -> Result<u64, TablesError> {
        let table = self.table;
        let mut named: Vec<&Column> = table.columns.iter().collect();
        named.sort_by_key(|column| column.name.to_ascii_lowercase());
        // A row without a version was written behind the triggers; it counts all the same.
        let sql = format!(
            "SELECT {}, r.life, r.clock, r.origin, r.seq{} FROM {} AS t LEFT JOIN {} AS r ON {}",
            of_alias("t", &table.key),
            named.iter().map(|column| format!(",t.{}", quoted(&column.name))).collect::<String>(),
            quoted(&table.name),
            quoted(&table.row_table()),
            same_key("t", "r", &table.key),
        );
        let names: Vec<u8> = named
            .iter()
            .flat_map(|column| {
                let name = SqlValue::Text(column.name.to_ascii_lowercase());
                key::encode_values(&[name])
            })
            .collect();
        let mut count = 0;
        let mut rows = fetch(conn, sql, [])?;
        while let Some(row) = rows.next().await {
            let row = row?;
            let mut columns = Columns::of(&row);
            let found = columns.values(table.key.len())?;
            let life = columns.value()?;
            let version = self.version(&mut columns, life)?;
            let values = columns.values(named.len())?;
            let content = [key::encode_values(&found), version, key::encode_values(&values)];
            self.add(ROW, &found, &[&names, &content.concat()]);
            count += 1;
        }
        Ok(count)
    }

    /// Adds the columns' own versions. One that is the row's version says nothing new.
    async fn add_cells(&mut self, conn: &mut SqliteConnection) -> Result<(), TablesError> {
        let table = self.table;
        let sql = format!(
            "SELECT {}, c.col, r.life, c.clock, c.origin, c.seq FROM {} AS c JOIN {} AS r ON {} \
             WHERE r.life % 2 = 1 AND (c.clock, c.origin, c.seq) <> (r.clock, r.origin, r.seq)",
            of_alias("c", &table.key),
            quoted(&table.cell_table()),
            quoted(&table.row_table()),
            same_key("c", "r", &table.key),
        );
        let mut rows = fetch(conn, sql, [])?;
        while let Some(row) = rows.next().await {
            let row = row?;
            let mut columns = Columns::of(&row);
            let found = columns.values(table.key.len())?;
            let no = columns.count()?;
            let column = table.columns.iter().find(|column| u64::from(column.no) == no);
            let life = columns.value()?;
            let version = self.version(&mut columns, life)?;
            if let Some(column) = column {
                let name = SqlValue::Text(column.name.to_ascii_lowercase());
                self.add(CELL, &found, &[&key::encode_values(&[name]), &version]);
            }
        }
        Ok(())
    }

    /// Reads clock, origin and sequence.
    fn version(&self, columns: &mut Columns<'_>, life: SqlValue) -> Result<Vec<u8>, TablesError> {
        let clock = columns.value()?;
        let origin = columns.int_or_none()?.and_then(|no| self.origins.get(&no));
        let origin = origin.map_or(SqlValue::Null, |id| SqlValue::Blob(id.as_bytes().to_vec()));
        Ok(key::encode_values(&[life, clock, origin, columns.value()?]))
    }

    fn add(&mut self, form: &[u8], found: &[SqlValue], parts: &[&[u8]]) {
        let canonical = key::canonical(self.table, found);
        let mut hasher = blake3::Hasher::new();
        hasher.update(form);
        hasher.update(&(canonical.len() as u64).to_le_bytes());
        hasher.update(&canonical);
        for part in parts {
            hasher.update(part);
        }
        let bucket = bucket_of(&key::hash_of(&canonical));
        if let (Some(sum), Some(half)) =
            (self.buckets.get_mut(bucket), hasher.finalize().as_bytes().first_chunk::<16>())
        {
            *sum = sum.wrapping_add(u128::from_le_bytes(*half));
        }
    }
}

/// The range of keys that a key belongs to.
pub(crate) fn bucket_of(hash: &key::KeyHash) -> usize {
    usize::from(hash[0])
}

fn of_alias(alias: &str, columns: &[Column]) -> String {
    listed(columns, |column| format!("{alias}.{}", quoted(&column.name)))
}

fn same_key(one: &str, two: &str, columns: &[Column]) -> String {
    let same = columns.iter().map(|column| {
        let name = quoted(&column.name);
        format!("{one}.{name} = {two}.{name}")
    });
    same.collect::<Vec<_>>().join(" AND ")
}
