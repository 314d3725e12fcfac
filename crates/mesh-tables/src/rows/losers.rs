use std::collections::BTreeMap;

use mesh_protocol::{HybridClock, LoserFacts, SqlValue, UnixMillis, Version};
use sqlx::SqliteConnection;

use super::{RowRead, bound, portions, tuples, version_values};
use crate::TablesError;
use crate::catalog::Table;
use crate::key::{self, KeyHash};
use crate::sql::{Columns, execute, fetch_all, listed, number};
use crate::state::Origins;

/// A write that lost, with what it wrote.
#[derive(Clone, Debug)]
pub(crate) struct Loser {
    pub(crate) key: Vec<SqlValue>,
    pub(crate) facts: LoserFacts,
    /// NULL for a deletion.
    pub(crate) value: SqlValue,
}

/// Adds the losers of the rows with these keys.
pub(crate) async fn read_losers(
    conn: &mut SqliteConnection,
    origins: &Origins,
    table: &Table,
    keys: &[Vec<SqlValue>],
    rows: &mut [RowRead],
) -> Result<(), TablesError> {
    let any = "SELECT 1 FROM mesh_conflicts WHERE table_no = ? LIMIT 1";
    if fetch_all(conn, any, [SqlValue::Integer(table.no)]).await?.is_empty() {
        return Ok(());
    }
    let hashes: Vec<KeyHash> = keys.iter().map(|key| key::hash(table, key)).collect();
    let mut losers: BTreeMap<KeyHash, Vec<LoserFacts>> = BTreeMap::new();
    for portion in portions(&hashes, 1) {
        let sql = format!(
            "SELECT key_hash, column, life, clock, origin, sequence FROM mesh_conflicts \
             WHERE table_no = ? AND key_hash IN ({}) ORDER BY id",
            listed(portion, |_| "?".to_owned())
        );
        let values = portion.iter().map(|hash| SqlValue::Blob(hash.to_vec()));
        let values = std::iter::once(SqlValue::Integer(table.no)).chain(values);
        for found in fetch_all(conn, sql, values).await? {
            let mut columns = Columns::of(&found);
            let hash = columns.array("digest of a key")?;
            losers.entry(hash).or_default().push(loser_facts(&mut columns, origins)?);
        }
    }
    for (hash, row) in hashes.iter().zip(rows) {
        if let Some(losers) = losers.get(hash) {
            row.facts.losers.clone_from(losers);
        }
    }
    Ok(())
}

/// Reads column, life, clock, origin and sequence.
pub(crate) fn loser_facts(
    columns: &mut Columns<'_>,
    origins: &Origins,
) -> Result<LoserFacts, TablesError> {
    let column = columns.int_or_none()?.map(u16::try_from).transpose();
    let column = column.map_err(|_| TablesError::Malformed { what: "number of a column" })?;
    let life = columns.count()?;
    let clock = HybridClock(columns.count()?);
    let origin = origins.id(columns.int()?)?;
    let version = Version { life, clock, origin, sequence: columns.count()? };
    Ok(LoserFacts { column, version })
}

/// The name of a loser; none when its column is not known.
pub(crate) fn id_of(table: &Table, key: &[SqlValue], facts: &LoserFacts) -> Option<String> {
    let column = match facts.column {
        None => None,
        Some(no) => Some((table.columns.iter()).find(|column| column.no == no)?.name.as_str()),
    };
    Some(key::loser_id(table, key, column, &facts.version))
}

/// Lists losers; those that are listed stay as they are. Says how many were not.
pub(super) async fn list_losers(
    conn: &mut SqliteConnection,
    origins: &Origins,
    table: &Table,
    losers: &[Loser],
    at: UnixMillis,
) -> Result<u64, TablesError> {
    let mut rows = Vec::with_capacity(losers.len());
    for loser in losers {
        let Some(id) = id_of(table, &loser.key, &loser.facts) else { continue };
        let [life, clock, origin, sequence] = version_values(origins, &loser.facts.version)?;
        let column = loser.facts.column.map_or(SqlValue::Null, |no| SqlValue::Integer(no.into()));
        rows.push(vec![
            SqlValue::Text(id),
            SqlValue::Integer(table.no),
            SqlValue::Blob(key::hash(table, &loser.key).to_vec()),
            SqlValue::Blob(key::encode_values(&loser.key)),
            column,
            life,
            clock,
            origin,
            sequence,
            SqlValue::Blob(key::encode_values(std::slice::from_ref(&loser.value))),
            number(at.0),
        ]);
    }
    let mut count = 0;
    for portion in portions(&rows, 11) {
        let sql = format!(
            "INSERT OR IGNORE INTO mesh_conflicts (id, table_no, key_hash, key, column, life, clock, \
             origin, sequence, value, listed_at) VALUES {}",
            tuples(portion)
        );
        count += execute(conn, sql, bound(portion)).await?;
    }
    Ok(count)
}

/// Takes losers off the list.
pub(crate) async fn drop_losers(
    conn: &mut SqliteConnection,
    ids: &[String],
) -> Result<(), TablesError> {
    for portion in portions(ids, 1) {
        let sql = format!(
            "DELETE FROM mesh_conflicts WHERE id IN ({})",
            listed(portion, |_| "?".to_owned())
        );
        execute(conn, sql, portion.iter().cloned().map(SqlValue::Text)).await?;
    }
    Ok(())
}
