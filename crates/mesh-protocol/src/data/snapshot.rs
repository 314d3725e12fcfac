//! The state of the tables, piece by piece, for a member that cannot be served change by change.

use serde::{Deserialize, Serialize};

use super::{Dot, OriginHave, SchemaChange, SqlValue, Version};
use crate::codec::{check_count, compact, list};
use crate::{
    CHANGES_PER_PART_MAX, COLUMNS_MAX, DecodeError, EncodeError, LOSERS_PER_CHUNK_MAX, ORIGINS_MAX,
    OriginId, SCHEMA_CHANGES_MAX, SNAPSHOT_CHUNK_BYTES_MAX, TableId,
};

/// A column with a version of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellState {
    /// Index into [`SnapshotChunk::columns`].
    pub column: u16,
    /// Its version; the life is the row's.
    pub version: Version,
}

/// A row with its versions: alive with its values, or what is remembered of one that was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowState {
    /// The key columns.
    #[serde(deserialize_with = "list::<_, _, COLUMNS_MAX>")]
    pub key: Vec<SqlValue>,
    /// Version of the row, and of every column that has none of its own and is covered by it.
    pub version: Version,
    /// One per column of the chunk while the row is alive, else empty.
    #[serde(deserialize_with = "list::<_, _, COLUMNS_MAX>")]
    pub values: Vec<SqlValue>,
    /// Columns with versions of their own, ascending.
    #[serde(deserialize_with = "list::<_, _, COLUMNS_MAX>")]
    pub cells: Vec<CellState>,
}

/// A write that lost against a concurrent one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoserState {
    /// The row.
    #[serde(deserialize_with = "list::<_, _, COLUMNS_MAX>")]
    pub key: Vec<SqlValue>,
    /// The column; none for a deletion.
    pub column: Option<String>,
    /// Its version.
    pub version: Version,
    /// What it wrote; NULL for a deletion.
    pub value: SqlValue,
}

/// From which transaction of an origin on a whole row covers a column that was added to its table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// The table.
    pub table: TableId,
    /// The column's name.
    pub column: String,
    /// The first transaction that covers it.
    pub from: Dot,
}

/// What one origin had applied of another one at its latest transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginContext {
    /// Who had it.
    pub origin: OriginId,
    /// Of whom.
    pub other: OriginId,
    /// Up to where.
    pub upto: u64,
}

/// Where a snapshot goes on: behind a row of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotPosition {
    /// The table.
    pub table: TableId,
    /// The last key that was sent; none at the table's start.
    pub after: Option<Vec<SqlValue>>,
}

/// Asks for the next piece of the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRequest {
    /// Comes back in the answer.
    pub request_id: u64,
    /// The view of the state that the asker reads; 0 asks for a new one.
    pub session: u64,
    /// Where to go on; none at the beginning.
    pub position: Option<SnapshotPosition>,
    /// Only rows of these ranges of key digests, in the table of `position` alone; empty means all.
    #[serde(deserialize_with = "list::<_, _, { crate::DIGEST_BUCKETS }>")]
    pub buckets: Vec<u16>,
}

impl SnapshotRequest {
    pub(crate) fn check_bounds(&self) -> Result<(), &'static str> {
        let key = self.position.as_ref().and_then(|position| position.after.as_ref());
        check_count("key columns", key.map_or(0, Vec::len), COLUMNS_MAX)?;
        check_count("ranges of keys", self.buckets.len(), crate::DIGEST_BUCKETS)
    }
}

/// A piece of the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotChunk {
    /// Which request it answers.
    pub request_id: u64,
    /// The view that it was read from; another one than asked for when that has ended.
    pub session: u64,
    /// What this view of the state holds.
    #[serde(deserialize_with = "list::<_, _, ORIGINS_MAX>")]
    pub have: Vec<OriginHave>,
    /// In the first chunk of a session: what the origins had applied of each other.
    #[serde(deserialize_with = "list::<_, _, { ORIGINS_MAX * 16 }>")]
    pub contexts: Vec<OriginContext>,
    /// In the first chunk of a session: every table, column and index, each with the transaction and clock of its making.
    #[serde(deserialize_with = "list::<_, _, SCHEMA_CHANGES_MAX>")]
    pub schema: Vec<(Version, SchemaChange)>,
    /// In the first chunk of a session.
    #[serde(deserialize_with = "list::<_, _, SCHEMA_CHANGES_MAX>")]
    pub coverage: Vec<Coverage>,
    /// The range of keys: behind this one.
    pub from: Option<SnapshotPosition>,
    /// Names of the columns beside the key.
    #[serde(deserialize_with = "list::<_, _, COLUMNS_MAX>")]
    pub columns: Vec<String>,
    /// Every row of the range, in the order of the primary key.
    #[serde(deserialize_with = "list::<_, _, CHANGES_PER_PART_MAX>")]
    pub rows: Vec<RowState>,
    /// Every loser whose row is in the range.
    #[serde(deserialize_with = "list::<_, _, LOSERS_PER_CHUNK_MAX>")]
    pub losers: Vec<LoserState>,
    /// Whether the range ends with the table rather than with the last row.
    pub is_table_end: bool,
    /// Where the next piece begins; none after the last one.
    pub next: Option<SnapshotPosition>,
    /// Rows sent in this snapshot so far, and how many there are, as well as the sender knows.
    pub progress: (u64, u64),
}

impl SnapshotChunk {
    /// The compact form, which a frame carries.
    ///
    /// # Errors
    /// [`EncodeError`] when it exceeds [`SNAPSHOT_CHUNK_BYTES_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        compact::encode(self, SNAPSHOT_CHUNK_BYTES_MAX)
    }

    /// Reads the compact form.
    ///
    /// # Errors
    /// [`DecodeError`]; also when a row does not fit the columns.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        const WHAT: &str = "snapshot";
        let chunk: Self = compact::decode(WHAT, bytes, SNAPSHOT_CHUNK_BYTES_MAX)?;
        let columns = chunk.columns.len();
        let is_sound = chunk.rows.iter().all(|row| {
            let values = if row.version.is_alive() { columns } else { 0 };
            row.values.len() == values
                && row.version.life > 0
                && row.cells.iter().all(|cell| usize::from(cell.column) < columns)
        });
        if is_sound { Ok(chunk) } else { Err(DecodeError::Malformed { what: WHAT }) }
    }
}
