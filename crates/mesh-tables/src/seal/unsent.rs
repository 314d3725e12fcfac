//! Rows that cannot travel stay here, and block nothing.

use mesh_protocol::{SqlValue, UnixMillis};

use super::page::same_key;
use crate::TablesError;
use crate::catalog::Table;
use crate::desk::Desk;
use crate::key;
use crate::sql::{Columns, execute, fetch_all, fetch_optional, listed, number, quoted};

/// Why a row stays here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsent {
    /// It is more than a part of a transaction can hold.
    TooLarge,
    /// Its bookkeeping is not what triggers write, and others would refuse it.
    Malformed,
}

impl Unsent {
    const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
        }
    }
}

/// Notes that a row stays here.
pub(super) async fn note_unsent(
    desk: &mut Desk,
    table: &Table,
    key: &[SqlValue],
    why: Unsent,
    at: UnixMillis,
) -> Result<(), TablesError> {
    let reason = why.as_str();
    tracing::warn!(table = table.name, reason, "a row cannot travel; it stays here alone");
    let sql = "INSERT INTO mesh_unsent (table_no, key, reason, at) VALUES (?, ?, ?, ?) \
               ON CONFLICT (table_no, key) DO UPDATE SET reason = excluded.reason, at = excluded.at";
    let values = [
        SqlValue::Integer(table.no),
        SqlValue::Blob(key::encode_values(key)),
        SqlValue::Text(reason.to_owned()),
        number(at.0),
    ];
    execute(&mut desk.conn, sql, values).await.map(drop)
}

/// Nobody else has the rows that could not travel: those of them that were written again go whole.
pub(super) async fn send_unsent(desk: &mut Desk, table: &Table) -> Result<(), TablesError> {
    let sql = "SELECT key FROM mesh_unsent WHERE table_no = ?";
    let rows = fetch_all(&mut desk.conn, sql, [SqlValue::Integer(table.no)]).await?;
    for row in rows {
        let bytes = Columns::of(&row).blob()?;
        let key = key::decode_values(&bytes)?;
        let same = same_key(table, &key);
        let new = quoted(&table.new_table());
        let find = format!("SELECT 1 FROM {new} WHERE {same} LIMIT 1");
        if fetch_optional(&mut desk.conn, find, key.iter().cloned()).await?.is_none() {
            continue;
        }
        let names = listed(&table.key, |column| quoted(&column.name));
        let row_table = quoted(&table.row_table());
        let note = format!(
            "INSERT INTO {new} ({names}, col) SELECT {names}, -1 FROM {row_table} WHERE {same} \
             ON CONFLICT ({names}, col) DO NOTHING"
        );
        execute(&mut desk.conn, note, key.iter().cloned()).await?;
        let cells = quoted(&table.cell_table());
        // What it replaces may be of an accepted moment that is ahead; other clocks that are ahead made it stay.
        let stamp = format!(
            "UPDATE {row_table} SET (clock, origin, seq) = (SELECT max(s.clock, ifnull((\
             SELECT min(max(clock), {}) + 1 FROM (SELECT clock FROM {row_table} WHERE {same} \
             UNION ALL SELECT clock FROM {cells} WHERE {same}) \
             WHERE clock >> 16 IN (SELECT millis FROM mesh_accepted)), 0)), s.origin, s.sequence \
             FROM mesh_state AS s WHERE s.id = 1) WHERE {same}",
            i64::MAX - 1
        );
        let values = std::iter::repeat_n(&key, 3).flatten().cloned();
        execute(&mut desk.conn, stamp, values).await?;
        let clear = format!("DELETE FROM {cells} WHERE {same}");
        execute(&mut desk.conn, clear, key.iter().cloned()).await?;
        let done = "DELETE FROM mesh_unsent WHERE table_no = ? AND key = ?";
        let values = [SqlValue::Integer(table.no), SqlValue::Blob(bytes)];
        execute(&mut desk.conn, done, values).await?;
    }
    Ok(())
}
