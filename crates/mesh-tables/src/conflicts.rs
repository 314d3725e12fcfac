//! Writes that lost against concurrent ones. The list is kept in full and the same everywhere; what is of no
//! interest to anybody is left out when it is read.

mod restore;

use std::collections::BTreeMap;

use futures_util::FutureExt as _;
use mesh_protocol::{
    HybridClock, LoserFacts, OriginId, PeerId, RowFacts, SqlValue, UnixMillis, Version,
};
use sqlx::SqliteConnection;

pub use self::restore::Restored;
pub(crate) use self::restore::settle;
use crate::catalog::{Catalog, Table};
use crate::desk::Desk;
use crate::error::Thing;
use crate::key;
use crate::rows::{loser_facts, read_facts, read_values};
use crate::sql::{Columns, execute, fetch_all, number};
use crate::state::{Origins, load_origins, load_owners};
use crate::{Tables, TablesError};

/// A write that lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictInfo {
    /// Its name, the same on every member.
    pub id: String,
    /// The table.
    pub table: String,
    /// The row.
    pub key: Vec<(String, SqlValue)>,
    /// The column; none when a deletion lost.
    pub column: Option<String>,
    /// Whether the row is there. Otherwise it was deleted, and `kept` is NULL.
    pub is_row_there: bool,
    /// What is in the column.
    pub kept: SqlValue,
    /// Who wrote it, and when; none when nobody remembers.
    pub kept_by: Option<WriteInfo>,
    /// What was lost; NULL for a deletion.
    pub lost: SqlValue,
    /// Who wrote that, and when.
    pub lost_by: WriteInfo,
    /// When it was listed here.
    pub listed_at: UnixMillis,
}

/// Where and when something was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteInfo {
    /// In which database.
    pub origin: OriginId,
    /// Whose that is; none when it is not known.
    pub member: Option<PeerId>,
    /// When.
    pub clock: HybridClock,
}

impl Tables {
    /// The writes that lost and were not decided upon, of one table or of all, the oldest first. Left out are
    /// those whose value is there anyway, or was written once more by a later loser.
    ///
    /// # Errors
    /// [`TablesError::Unknown`] when there is no such table.
    pub async fn conflicts(&self, table: Option<String>) -> Result<Vec<ConflictInfo>, TablesError> {
        let own = &self.reading().own;
        own.read(move |conn| async move { list(conn, table.as_deref()).await }.boxed()).await
    }
}

/// A row of `mesh_conflicts`.
struct Listed {
    id: String,
    key: Vec<SqlValue>,
    facts: LoserFacts,
    value: SqlValue,
    listed_at: UnixMillis,
}

async fn list(
    conn: &mut SqliteConnection,
    table: Option<&str>,
) -> Result<Vec<ConflictInfo>, TablesError> {
    let origins = load_origins(conn).await?;
    let members = load_owners(conn, &origins).await?;
    let catalog = Catalog::load(conn).await?;
    let unknown = |name: &str| TablesError::Unknown { what: Thing::Table, name: name.to_owned() };
    let tables = match table {
        Some(name) => vec![catalog.named(name).ok_or_else(|| unknown(name))?],
        None => catalog.tables.values().collect(),
    };
    let mut infos = Vec::new();
    for table in tables {
        let mut rows: BTreeMap<Vec<u8>, Vec<Listed>> = BTreeMap::new();
        for listed in read_listed(conn, &origins, table).await? {
            rows.entry(key::canonical(table, &listed.key)).or_default().push(listed);
        }
        for listed in rows.into_values() {
            let Some(first) = listed.first() else { continue };
            let keys = [first.key.clone()];
            let mut read = read_facts(conn, &origins, table, &keys).await?;
            let Some(row) = read.pop() else { continue };
            let row = Row { facts: row.facts, table, members: &members };
            row.list(conn, listed, &mut infos).await?;
        }
    }
    infos.sort_by(|one, two| (one.listed_at, &one.id).cmp(&(two.listed_at, &two.id)));
    Ok(infos)
}

async fn read_listed(
    conn: &mut SqliteConnection,
    origins: &Origins,
    table: &Table,
) -> Result<Vec<Listed>, TablesError> {
    let sql = "SELECT id, key, value, listed_at, column, life, clock, origin, sequence \
               FROM mesh_conflicts WHERE table_no = ?";
    let rows = fetch_all(conn, sql, [SqlValue::Integer(table.no)]).await?;
    rows.iter().map(|row| read_one(&mut Columns::of(row), origins)).collect()
}

/// Reads id, key, value and moment, then the write.
fn read_one(columns: &mut Columns<'_>, origins: &Origins) -> Result<Listed, TablesError> {
    let id = columns.text()?;
    let key = key::decode_values(&columns.blob()?)?;
    let value = key::decode_values(&columns.blob()?)?.pop().unwrap_or_default();
    let listed_at = UnixMillis(columns.count()?);
    Ok(Listed { id, key, value, listed_at, facts: loser_facts(columns, origins)? })
}

/// The version of a column: its own, or the row's where that covers it.
fn version_of(facts: &RowFacts, column: u16) -> Option<Version> {
    let own = facts.cells.get(&column).copied();
    own.or_else(|| facts.version.filter(|_| !facts.uncovered.contains(&column)))
}

/// A row that has losers.
struct Row<'r> {
    facts: RowFacts,
    table: &'r Table,
    members: &'r BTreeMap<OriginId, PeerId>,
}

impl Row<'_> {
    async fn list(
        &self,
        conn: &mut SqliteConnection,
        listed: Vec<Listed>,
        infos: &mut Vec<ConflictInfo>,
    ) -> Result<(), TablesError> {
        let is_there = self.facts.version.is_some_and(|version| version.is_alive());
        for one in &listed {
            let column = one.facts.column;
            let kept = match column {
                Some(no) if is_there => {
                    read_values(conn, self.table, &one.key, &[no]).await?.pop().unwrap_or_default()
                }
                Some(_) | None => SqlValue::Null,
            };
            let is_said_later = listed.iter().any(|other| {
                other.facts.column == column
                    && other.facts.version > one.facts.version
                    && other.value == one.value
            });
            let is_kept = column.is_some() && is_there && kept == one.value;
            if is_kept || is_said_later || (column.is_none() && !is_there) {
                continue;
            }
            infos.push(self.info(one, is_there, kept));
        }
        Ok(())
    }

    fn info(&self, listed: &Listed, is_row_there: bool, kept: SqlValue) -> ConflictInfo {
        let version = match listed.facts.column {
            Some(column) => version_of(&self.facts, column),
            None => self.facts.version,
        };
        let written = |version: Version| WriteInfo {
            origin: version.origin,
            member: self.members.get(&version.origin).copied(),
            clock: version.clock,
        };
        let names = self.table.key.iter().map(|column| column.name.clone());
        let column = listed.facts.column.and_then(|no| column_name(self.table, no));
        ConflictInfo {
            id: listed.id.clone(),
            table: self.table.name.clone(),
            key: names.zip(listed.key.iter().cloned()).collect(),
            column: column.map(str::to_owned),
            is_row_there,
            kept,
            kept_by: version.map(written),
            lost: listed.value.clone(),
            lost_by: written(listed.facts.version),
            listed_at: listed.listed_at,
        }
    }
}

fn column_name(table: &Table, no: u16) -> Option<&str> {
    let column = table.columns.iter().find(|column| column.no == no)?;
    Some(&column.name)
}

/// Drops what is too old, and the oldest of what is too many.
pub(crate) async fn prune(desk: &mut Desk, at: UnixMillis) -> Result<(), TablesError> {
    let retention = u64::try_from(desk.config.retention.as_millis()).unwrap_or(u64::MAX);
    let before = number(at.0.saturating_sub(retention));
    execute(&mut desk.conn, "DELETE FROM mesh_conflicts WHERE listed_at < ?", [before]).await?;
    keep_bound(desk).await
}

/// So many more were listed: the oldest go when they are too many.
pub(crate) async fn note_listed(desk: &mut Desk, listed: u64) -> Result<(), TablesError> {
    if listed == 0 {
        return Ok(());
    }
    desk.state.losers_at_most = desk.state.losers_at_most.saturating_add(listed);
    keep_bound(desk).await
}

/// Losers are counted only when they may be too many, and a sixteenth more goes than has to, so that not
/// every one that follows has them counted again.
async fn keep_bound(desk: &mut Desk) -> Result<(), TablesError> {
    let most = desk.config.conflicts_max;
    if desk.state.losers_at_most <= most {
        return Ok(());
    }
    let rows = fetch_all(&mut desk.conn, "SELECT count(*) FROM mesh_conflicts", []).await?;
    let mut count = rows.first().map_or(Ok(0), |row| Columns::of(row).count())?;
    if count > most {
        let gone = count - (most - most / 16);
        let sql = "DELETE FROM mesh_conflicts WHERE id IN \
                   (SELECT id FROM mesh_conflicts ORDER BY listed_at, id LIMIT ?)";
        count -= execute(&mut desk.conn, sql, [number(gone)]).await?;
        tracing::warn!(gone, "the oldest losers of conflicts went: there are too many");
    }
    desk.state.losers_at_most = count;
    Ok(())
}
