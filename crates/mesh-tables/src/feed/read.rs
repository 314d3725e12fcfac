//! Reads entries of the log with the names that belong to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt as _;
use mesh_protocol::{OriginId, PeerId, SqlValue, TableId, TransactionPart, UnixMillis};
use sqlx::SqliteConnection;

use crate::TablesError;
use crate::sql::{Columns, fetch, fetch_all};

/// Entries are read until there are about this many bytes of them.
const READ_BYTES: usize = 256 << 10;

/// What a table and its key columns are called.
#[derive(Debug)]
pub(super) struct TableNames {
    pub(super) name: String,
    pub(super) key: Vec<String>,
}

impl TableNames {
    /// Whether the table is among these.
    pub(super) fn are_in(&self, names: &[String]) -> bool {
        names.iter().any(|name| name.eq_ignore_ascii_case(&self.name))
    }
}

/// An entry of the log, or the note that stands in its place.
pub(super) struct Entry {
    pub(super) id: i64,
    pub(super) at: UnixMillis,
    pub(super) content: Content,
}

pub(super) enum Content {
    Part { origin: OriginId, member: Option<PeerId>, part: TransactionPart },
    Resync { table: TableId },
}

/// Entries from a position up to another one, without a gap, about [`READ_BYTES`] of them; at least one if
/// there is one.
pub(super) async fn entries(
    conn: &mut SqliteConnection,
    from: i64,
    upto: i64,
) -> Result<Vec<Entry>, TablesError> {
    let sql = "SELECT l.id, l.at, o.origin, o.member, coalesce(l.effect, l.body), NULL \
               FROM mesh_log AS l CROSS JOIN mesh_origins AS o ON o.id = l.origin WHERE l.id BETWEEN ?1 AND ?2 \
               UNION ALL \
               SELECT r.id, 0, NULL, NULL, NULL, t.table_id \
               FROM mesh_resyncs AS r CROSS JOIN mesh_tables AS t ON t.no = r.table_no WHERE r.id BETWEEN ?1 AND ?2 \
               ORDER BY 1";
    let mut rows = fetch(conn, sql, [from, upto].map(SqlValue::Integer))?;
    let (mut entries, mut bytes, mut expected) = (Vec::new(), 0, from);
    while bytes < READ_BYTES
        && let Some(row) = rows.next().await
    {
        let row = row?;
        let mut columns = Columns::of(&row);
        let id = columns.int()?;
        if id != expected {
            break;
        }
        expected += 1;
        let at = UnixMillis(columns.count()?);
        let origin =
            columns.blob_or_none()?.map(|bytes| bytes.try_into().map(OriginId::from_bytes));
        let member = columns.blob_or_none()?.map(|bytes| bytes.try_into().map(PeerId::from_bytes));
        let body = columns.blob_or_none()?;
        bytes += body.as_ref().map_or(0, Vec::len);
        let content = match (origin, body) {
            (Some(Ok(origin)), Some(body)) => {
                let part = TransactionPart::decode(&body)
                    .map_err(|_| TablesError::Malformed { what: "transaction" })?;
                Content::Part { origin, member: member.and_then(Result::ok), part }
            }
            _ => Content::Resync { table: TableId::from_bytes(columns.array("table")?) },
        };
        entries.push(Entry { id, at, content });
    }
    Ok(entries)
}

/// Learns the names of an entry's tables. Those that are not live any more have none.
pub(super) async fn name_tables(
    conn: &mut SqliteConnection,
    entry: &Entry,
    known: &mut BTreeMap<TableId, Arc<TableNames>>,
) -> Result<(), TablesError> {
    let tables: Vec<TableId> = match &entry.content {
        Content::Part { part, .. } => part.sections.iter().map(|section| section.table).collect(),
        Content::Resync { table } => vec![*table],
    };
    for table in tables {
        if known.contains_key(&table) {
            continue;
        }
        let sql = "SELECT t.name, c.name FROM mesh_tables AS t JOIN mesh_columns AS c ON c.table_no = t.no \
                   WHERE t.table_id = ? AND t.state = 'live' AND c.key_place > 0 ORDER BY c.key_place";
        let rows = fetch_all(conn, sql, [SqlValue::Blob(table.as_bytes().to_vec())]).await?;
        let mut names = TableNames { name: String::new(), key: Vec::new() };
        for row in &rows {
            let mut columns = Columns::of(row);
            names.name = columns.text()?;
            names.key.push(columns.text()?);
        }
        if !rows.is_empty() {
            known.insert(table, Arc::new(names));
        }
    }
    Ok(())
}
