//! The losers of conflicts of one table, by row, for pieces of the state.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use mesh_protocol::{LOSERS_PER_CHUNK_MAX, LoserState, SqlValue, Version};
use sqlx::SqliteConnection;

use super::page::{KEY_BYTES_MAX, PageRow, Range, key_bytes};
use super::place::compare_keys;
use crate::TablesError;
use crate::catalog::Table;
use crate::key::{self, KeyHash};
use crate::rows::{loser_facts, read_facts};
use crate::sql::{Columns, fetch_all, fetch_optional};
use crate::state::Origins;

/// Rows that are looked up at a time.
const LOOKED_UP: usize = 512;

/// What the losers of one row take without their values, at most: more of them are not sent.
const HEADS_BYTES_MAX: usize = 512 << 10;

/// Which rows of a table have losers.
#[derive(Clone, Debug, Default)]
pub(super) struct Losers {
    rows: Arc<BTreeSet<KeyHash>>,
    /// Keys of rows that are not remembered any more, in order.
    orphans: Arc<Vec<Vec<SqlValue>>>,
}

/// A row, or the key of losers that have outlived theirs.
#[derive(Debug)]
pub(super) enum Item {
    Row(PageRow),
    Orphans(Vec<SqlValue>),
}

impl Item {
    pub(super) const fn key(&self) -> &Vec<SqlValue> {
        match self {
            Self::Row(row) => &row.state.key,
            Self::Orphans(key) => key,
        }
    }
}

/// A loser without its value.
#[derive(Debug)]
pub(super) struct Listed {
    id: String,
    column: Option<String>,
    version: Version,
    /// What it takes without its value and key, at most.
    pub(super) head_bytes: usize,
    pub(super) value_bytes: usize,
}

impl Losers {
    pub(super) async fn read(
        conn: &mut SqliteConnection,
        origins: &Origins,
        table: &Table,
    ) -> Result<Self, TablesError> {
        const SQL: &str = "SELECT key_hash, key FROM mesh_conflicts \
                           WHERE table_no = ?1 AND key_hash > ?2 AND length(key) <= ?3 \
                           GROUP BY key_hash ORDER BY key_hash LIMIT ?4";
        let (mut hashes, mut orphans) = (BTreeSet::<KeyHash>::new(), Vec::new());
        loop {
            let last = hashes.last().map_or_else(Vec::new, |hash| hash.to_vec());
            let values = [
                SqlValue::Integer(table.no),
                SqlValue::Blob(last),
                SqlValue::Integer(KEY_BYTES_MAX as i64),
                SqlValue::Integer(LOOKED_UP as i64),
            ];
            let found = fetch_all(conn, SQL, values).await?;
            let mut keys = Vec::with_capacity(found.len());
            for row in &found {
                let mut row = Columns::of(row);
                hashes.insert(row.array("digest of a key")?);
                keys.push(key::decode_values(&row.blob()?)?);
            }
            let facts = read_facts(conn, origins, table, &keys).await?;
            let gone = keys.into_iter().zip(facts).filter(|(_, row)| row.facts.version.is_none());
            orphans.extend(gone.map(|(key, _)| key));
            if found.len() < LOOKED_UP {
                break;
            }
        }
        orphans.sort_by(|one, two| compare_keys(&table.key, one, two));
        Ok(Self { rows: Arc::new(hashes), orphans: Arc::new(orphans) })
    }

    /// The keys in a range of losers that have outlived their rows.
    pub(super) fn orphans(&self, table: &Table, range: Range<'_>) -> Vec<Vec<SqlValue>> {
        self.orphans.iter().filter(|key| range.holds(table, key)).cloned().collect()
    }

    /// `rows` of a range with the losers in it that have outlived theirs, in order.
    pub(super) fn join(&self, table: &Table, range: Range<'_>, rows: Vec<PageRow>) -> Vec<Item> {
        let mut orphans = self.orphans(table, range).into_iter().peekable();
        let mut items = Vec::with_capacity(rows.len());
        for row in rows {
            let is_before = |key: &Vec<SqlValue>| {
                compare_keys(&table.key, key, &row.state.key) == Ordering::Less
            };
            while let Some(key) = orphans.next_if(is_before) {
                items.push(Item::Orphans(key));
            }
            items.push(Item::Row(row));
        }
        items.extend(orphans.map(Item::Orphans));
        items
    }

    /// The losers of one row.
    pub(super) async fn of(
        &self,
        conn: &mut SqliteConnection,
        origins: &Origins,
        table: &Table,
        key: &[SqlValue],
    ) -> Result<Vec<Listed>, TablesError> {
        const SQL: &str = "SELECT id, length(value), column, life, clock, origin, sequence \
                           FROM mesh_conflicts WHERE table_no = ? AND key_hash = ? ORDER BY id LIMIT ?";
        if self.rows.is_empty() {
            return Ok(Vec::new());
        }
        let hash = key::hash(table, key);
        if !self.rows.contains(&hash) {
            return Ok(Vec::new());
        }
        let values = [
            SqlValue::Integer(table.no),
            SqlValue::Blob(hash.to_vec()),
            SqlValue::Integer(LOSERS_PER_CHUNK_MAX as i64),
        ];
        let mut listed = Vec::new();
        let mut left = HEADS_BYTES_MAX;
        for row in fetch_all(conn, SQL, values).await? {
            let mut row = Columns::of(&row);
            let id = row.text()?;
            let value_bytes = usize::try_from(row.count()?).unwrap_or(usize::MAX);
            let facts = loser_facts(&mut row, origins)?;
            let named = |no| table.columns.iter().find(|column| column.no == no);
            let column = facts.column.and_then(named).map(|column| column.name.clone());
            if facts.column.is_some() && column.is_none() {
                continue;
            }
            let head_bytes = 72 + column.as_ref().map_or(0, String::len) + key_bytes(key);
            let Some(rest) = left.checked_sub(head_bytes) else { break };
            left = rest;
            let version = facts.version;
            listed.push(Listed { id, column, version, head_bytes, value_bytes: value_bytes + 8 });
        }
        Ok(listed)
    }
}

impl Listed {
    pub(super) async fn read_value(
        &self,
        conn: &mut SqliteConnection,
    ) -> Result<SqlValue, TablesError> {
        let sql = "SELECT value FROM mesh_conflicts WHERE id = ?";
        let row = fetch_optional(conn, sql, [SqlValue::Text(self.id.clone())]).await?;
        let value = row.map_or_else(|| Ok(Vec::new()), |row| Columns::of(&row).blob())?;
        Ok(key::decode_values(&value)?.into_iter().next().unwrap_or_default())
    }

    pub(super) fn into_state(self, key: Vec<SqlValue>, value: Option<SqlValue>) -> LoserState {
        LoserState { key, column: self.column, version: self.version, value }
    }
}
