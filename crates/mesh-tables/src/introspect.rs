//! What a CREATE TABLE means: SQLite itself is asked, in a scratch database in memory.
//!
//! A table that two members cannot keep in step is refused here, with the reason and what would do instead.

mod column;

use mesh_protocol::{COLUMNS_MAX, TableId};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use crate::TablesError;
use crate::builtin;
use crate::key::Collation;
use crate::schema;
use crate::sql::{Columns, execute, fetch_all, fetch_optional, quoted};
use crate::statement::{self, FOREIGN_KEY, Statement};

pub(crate) use column::{is_same_column, makes};

/// A column that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ColumnFacts {
    pub(crate) name: String,
    /// Its declared type, as it was written.
    pub(crate) kind: String,
    pub(crate) collation: Collation,
    pub(crate) is_never_null: bool,
    /// The expression of its default.
    pub(crate) default: Option<String>,
}

/// A table as SQLite understands it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableFacts {
    pub(crate) name: String,
    /// The key columns, in the order of the primary key.
    pub(crate) key: Vec<ColumnFacts>,
    /// The other columns that are stored, in order.
    pub(crate) columns: Vec<ColumnFacts>,
    /// Columns that are computed from others.
    pub(crate) generated: Vec<String>,
    /// Whether the key is SQLite's own row number: a single INTEGER PRIMARY KEY.
    pub(crate) is_rowid_key: bool,
    pub(crate) is_without_rowid: bool,
    pub(crate) is_strict: bool,
    /// The statement as SQLite keeps it.
    pub(crate) sql: String,
}

/// What `sql`, a CREATE TABLE, means.
pub(crate) async fn table(sql: &str) -> Result<TableFacts, TablesError> {
    let name = match builtin::defined_by(sql) {
        Some(name) => name.to_owned(),
        None => created_by(sql)?,
    };
    let mut scratch = scratch().await?;
    let facts = match execute(&mut scratch, sql, []).await {
        Ok(_) => match read(&mut scratch, &name).await {
            Ok(Some(facts)) => check(&mut scratch, &facts).await.map(|()| facts),
            Ok(None) => Err(TablesError::Malformed { what: "table" }),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    scratch.close().await?;
    facts
}

/// The name of the table that a user's statement creates.
fn created_by(sql: &str) -> Result<String, TablesError> {
    match statement::classify(sql) {
        Statement::CreateTable { name, .. } => Ok(name),
        Statement::Refused { reason } => Err(TablesError::Refused { reason }),
        Statement::Read
        | Statement::Write { .. }
        | Statement::AddColumn { .. }
        | Statement::CreateIndex { .. }
        | Statement::DropTable { .. } => Err(refused("this is not a CREATE TABLE")),
    }
}

fn refused(reason: impl Into<String>) -> TablesError {
    TablesError::Refused { reason: reason.into() }
}

async fn scratch() -> Result<SqliteConnection, TablesError> {
    Ok(SqliteConnectOptions::new()
        .filename(":memory:")
        .disable_statement_logging()
        .thread_name(|_| "mesh-tables-scratch".to_owned())
        .connect()
        .await?)
}

/// What a table of the database is; none when there is none of that name.
pub(crate) async fn read(
    conn: &mut SqliteConnection,
    name: &str,
) -> Result<Option<TableFacts>, TablesError> {
    let sql = "SELECT s.name, s.sql, l.wr, l.strict FROM sqlite_schema s \
               JOIN pragma_table_list(s.name) l ON l.schema = 'main' \
               WHERE s.type = 'table' AND s.name = ? COLLATE NOCASE AND l.type = 'table'";
    let text = mesh_protocol::SqlValue::Text(name.to_owned());
    let Some(row) = fetch_optional(conn, sql, [text]).await? else { return Ok(None) };
    let mut row = Columns::of(&row);
    let (name, sql) = (row.text()?, row.text()?);
    let (is_without_rowid, is_strict) = (row.flag()?, row.flag()?);
    let collations = key_collations(conn, &name).await?;
    let (mut key, mut columns, mut generated) = (Vec::new(), Vec::new(), Vec::new());
    for row in fetch_all(conn, format!("PRAGMA table_xinfo({})", quoted(&name)), []).await? {
        let mut row = Columns::of(&row);
        row.int()?;
        let (name, kind, is_never_null) = (row.text()?, row.text()?, row.flag()?);
        let (default, place, hidden) = (row.text_or_none()?, row.count()?, row.int()?);
        if hidden != 0 {
            generated.push(name);
            continue;
        }
        let collation = collations.as_ref().map_or(Ok(Collation::Binary), |list| {
            let named = list.iter().find(|(column, _)| column.eq_ignore_ascii_case(&name));
            named.map_or(Ok(Collation::Binary), |(_, collation)| known_collation(collation))
        })?;
        let facts = ColumnFacts { name, kind, collation, is_never_null, default };
        if place == 0 {
            columns.push(facts);
        } else {
            key.push((place, facts));
        }
    }
    key.sort_by_key(|(place, _)| *place);
    let key: Vec<_> = key.into_iter().map(|(_, facts)| facts).collect();
    // A key without an index of its own is the table's row number.
    let is_rowid_key = collations.is_none() && !is_without_rowid && key.len() == 1;
    Ok(Some(TableFacts {
        name,
        key,
        columns,
        generated,
        is_rowid_key,
        is_without_rowid,
        is_strict,
        sql,
    }))
}

/// How the columns of the primary key compare text; none when the key has no index.
async fn key_collations(
    conn: &mut SqliteConnection,
    table: &str,
) -> Result<Option<Vec<(String, String)>>, TablesError> {
    let mut index = None;
    for row in fetch_all(conn, format!("PRAGMA index_list({})", quoted(table)), []).await? {
        let mut row = Columns::of(&row);
        row.int()?;
        let name = row.text()?;
        row.int()?;
        if row.text()? == "pk" {
            index = Some(name);
        }
    }
    let Some(index) = index else { return Ok(None) };
    let mut collations = Vec::new();
    for row in fetch_all(conn, format!("PRAGMA index_xinfo({})", quoted(&index)), []).await? {
        let mut row = Columns::of(&row);
        row.int()?;
        row.int()?;
        let column = row.text_or_none()?;
        row.int()?;
        let (collation, is_key) = (row.text()?, row.flag()?);
        if let (Some(column), true) = (column, is_key) {
            collations.push((column, collation));
        }
    }
    Ok(Some(collations))
}

fn known_collation(name: &str) -> Result<Collation, TablesError> {
    match name.to_ascii_uppercase().as_str() {
        "BINARY" => Ok(Collation::Binary),
        "NOCASE" => Ok(Collation::NoCase),
        "RTRIM" => Ok(Collation::RTrim),
        _ => Err(refused(format!(
            "the collation {name:?} is not on every member; use BINARY, NOCASE or RTRIM"
        ))),
    }
}

/// Refuses a table that cannot be kept in step.
async fn check(conn: &mut SqliteConnection, facts: &TableFacts) -> Result<(), TablesError> {
    check_columns(facts)?;
    let table = quoted(&facts.name);
    for row in fetch_all(conn, format!("PRAGMA index_list({table})"), []).await? {
        let mut row = Columns::of(&row);
        row.int()?;
        row.text()?;
        if row.flag()? && row.text()? != "pk" {
            return Err(refused(
                "UNIQUE beyond the primary key is not possible: two members could each be right and \
                 the merge wrong; make those columns the primary key, or leave out UNIQUE",
            ));
        }
    }
    if !fetch_all(conn, format!("PRAGMA foreign_key_list({table})"), []).await?.is_empty() {
        return Err(refused(FOREIGN_KEY));
    }
    let counts = "SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'";
    if fetch_optional(conn, counts, []).await?.is_some() {
        return Err(refused(
            "AUTOINCREMENT is not possible: each member would count by itself and give out the same \
             numbers; use a random or composed key, such as hex(randomblob(16))",
        ));
    }
    Ok(())
}

fn check_columns(facts: &TableFacts) -> Result<(), TablesError> {
    let count = facts.key.len() + facts.columns.len() + facts.generated.len();
    if count > COLUMNS_MAX {
        return Err(refused(format!("a table has at most {COLUMNS_MAX} columns, not {count}")));
    }
    if facts.key.is_empty() {
        return Err(refused(
            "a table needs a primary key: it tells which rows of two members are the same; \
             add `PRIMARY KEY (…)`",
        ));
    }
    let names = (facts.key.iter().chain(&facts.columns).map(|column| &column.name))
        .chain(&facts.generated)
        .chain(std::iter::once(&facts.name));
    if let Some(reason) = names.into_iter().find_map(|name| schema::name_exceeds(name)) {
        return Err(refused(reason));
    }
    let is_nullable = |column: &&ColumnFacts| !column.is_never_null && !facts.is_rowid_key;
    if let Some(column) = facts.key.iter().find(is_nullable) {
        return Err(refused(format!(
            "the key column {:?} may be NULL, and NULL is equal to nothing; add NOT NULL",
            column.name
        )));
    }
    let is_taken = |column: &&ColumnFacts| {
        ["life", "clock", "origin", "seq", "col"]
            .iter()
            .any(|name| column.name.eq_ignore_ascii_case(name))
    };
    if let Some(column) = facts.key.iter().find(is_taken) {
        return Err(refused(format!(
            "a key column cannot be called {:?}: the bookkeeping has a column of that name beside the \
             key; choose another name",
            column.name
        )));
    }
    Ok(())
}

/// The id of a table: the same for the same name, definition and predecessor, whoever creates it.
pub(crate) fn table_id(
    facts: &TableFacts,
    replaces: Option<TableId>,
) -> Result<TableId, TablesError> {
    // Behind the words CREATE TABLE and the name.
    let definition = statement::normalised(&facts.sql, 3)
        .ok_or(TablesError::Malformed { what: "definition of a table" })?;
    let mut hasher = blake3::Hasher::new_derive_key("agent mesh 2026 replicated table");
    for part in [facts.name.to_ascii_lowercase().as_bytes(), definition.as_bytes()] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    if let Some(replaces) = replaces {
        hasher.update(replaces.as_bytes());
    }
    let mut id = [0; 16];
    hasher.finalize_xof().fill(&mut id);
    Ok(TableId::from_bytes(id))
}

#[cfg(test)]
mod tests;
