//! The state of the tables, piece by piece, for a member that cannot be served change by change.

use serde::{Deserialize, Deserializer, Serialize};

use super::check::{self, Check, holds};
use super::{Dot, OriginHave, SchemaChange, SqlValue, Version};
use crate::codec::{check_count, compact, list};
use crate::{
    CHANGES_PER_PART_MAX, COLUMNS_MAX, DIGEST_BUCKETS, DecodeError, EncodeError,
    LOSERS_PER_CHUNK_MAX, ORIGIN_CONTEXTS_MAX, ORIGINS_MAX, OriginId, SCHEMA_CHANGES_MAX,
    SNAPSHOT_CHUNK_BYTES_MAX, TableId,
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
    /// One per column of the chunk while the row is alive, else empty. Empty as well when a piece before this
    /// one had them, or when their sender cannot give them: then the row counts for its losers alone.
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
    /// What it wrote; NULL for a deletion. None when it stands in another piece, because all losers of the
    /// row together are too large for one.
    pub value: Option<SqlValue>,
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

/// What one origin had applied of another one at its latest transaction. Of an origin of which the sender keeps something
/// aside, each pair stands twice: first as of the first transaction that is kept aside.
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
    #[serde(deserialize_with = "optional_key")]
    pub after: Option<Vec<SqlValue>>,
    /// How much of what comes before the next row was sent already, and of that row's losers, where one
    /// piece could not hold it all. Means something to the view that it comes from alone.
    pub sent: u64,
}

impl SnapshotPosition {
    /// Before the first row of a table.
    #[must_use]
    pub const fn start_of(table: TableId) -> Self {
        Self { table, after: None, sent: 0 }
    }
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
    #[serde(deserialize_with = "list::<_, _, DIGEST_BUCKETS>")]
    pub buckets: Vec<u16>,
}

impl SnapshotRequest {
    pub(crate) fn check_bounds(&self) -> Result<(), &'static str> {
        check_position(self.position.as_ref())?;
        check_count("ranges of keys", self.buckets.len(), DIGEST_BUCKETS)?;
        let is_range = |range: &u16| usize::from(*range) < DIGEST_BUCKETS;
        holds("ranges of keys", self.buckets.iter().all(is_range))?;
        // They are ranges of one table.
        holds("ranges of keys", self.buckets.is_empty() || self.position.is_some())
    }
}

fn check_position(position: Option<&SnapshotPosition>) -> Check {
    position.and_then(|position| position.after.as_deref()).map_or(Ok(()), check::key)
}

fn optional_key<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<SqlValue>>, D::Error> {
    #[derive(Deserialize)]
    struct Key(#[serde(deserialize_with = "list::<_, _, COLUMNS_MAX>")] Vec<SqlValue>);
    Ok(Option::<Key>::deserialize(deserializer)?.map(|key| key.0))
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
    #[serde(deserialize_with = "list::<_, _, ORIGIN_CONTEXTS_MAX>")]
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
    /// [`EncodeError`] when it exceeds [`SNAPSHOT_CHUNK_BYTES_MAX`], or is what [`SnapshotChunk::decode`]
    /// refuses.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        self.check().map_err(|what| EncodeError::FieldTooLarge { what })?;
        compact::encode(self, SNAPSHOT_CHUNK_BYTES_MAX)
    }

    /// Reads the compact form.
    ///
    /// # Errors
    /// [`DecodeError`]; also when a row does not fit the columns or its versions do not fit each other.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let chunk: Self = compact::decode("snapshot", bytes, SNAPSHOT_CHUNK_BYTES_MAX)?;
        chunk.check().map_err(|what| DecodeError::Malformed { what })?;
        Ok(chunk)
    }

    fn check(&self) -> Check {
        check::have(&self.have)?;
        check_count("contexts", self.contexts.len(), ORIGIN_CONTEXTS_MAX)?;
        self.contexts.iter().try_for_each(|context| check::number("sequence", context.upto))?;
        check_count("schema", self.schema.len(), SCHEMA_CHANGES_MAX)?;
        self.schema.iter().try_for_each(|(version, change)| {
            check::version(version)?;
            check::schema(change)
        })?;
        check_count("coverage", self.coverage.len(), SCHEMA_CHANGES_MAX)?;
        self.coverage.iter().try_for_each(|coverage| {
            check::name(&coverage.column)?;
            check::dot(&coverage.from)
        })?;
        check_position(self.from.as_ref())?;
        check_position(self.next.as_ref())?;
        self.check_rows()
    }

    fn check_rows(&self) -> Check {
        check::columns(&self.columns)?;
        // Rows are rows of the table that the range is in.
        let has_none = self.rows.is_empty() && self.losers.is_empty();
        holds("rows", has_none || self.from.is_some())?;
        check_count("rows", self.rows.len(), CHANGES_PER_PART_MAX)?;
        self.rows.iter().try_for_each(|row| row.check(self.columns.len()))?;
        check_count("losers", self.losers.len(), LOSERS_PER_CHUNK_MAX)?;
        self.losers.iter().try_for_each(|loser| {
            check::key(&loser.key)?;
            loser.column.as_deref().map_or(Ok(()), check::name)?;
            check::version(&loser.version)
        })
    }
}

impl RowState {
    fn check(&self, columns: usize) -> Check {
        check::written_key(&self.key)?;
        check::version(&self.version)?;
        let is_alive = self.version.is_alive();
        let is_whole = is_alive && self.values.len() == columns;
        holds("values", is_whole || self.values.is_empty())?;
        holds("cells", is_alive || self.cells.is_empty())?;
        holds("cells", self.cells.is_sorted_by(|one, two| one.column < two.column))?;
        self.cells.iter().try_for_each(|cell| {
            holds("cells", usize::from(cell.column) < columns)?;
            holds("life", cell.version.life == self.version.life)?;
            check::version(&cell.version)
        })
    }
}
