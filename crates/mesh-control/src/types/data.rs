use std::fmt;

use mesh_protocol::{OriginId, UnixMillis};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::SqlJson;

/// Values by column, in the table's order; an object in JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedValues(pub Vec<(String, SqlJson)>);

impl Serialize for NamedValues {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de> Deserialize<'de> for NamedValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NamedVisitor)
    }
}

struct NamedVisitor;

impl<'de> Visitor<'de> for NamedVisitor {
    type Value = NamedValues;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of columns and their values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NamedValues, A::Error> {
        let mut values = Vec::new();
        while let Some(entry) = map.next_entry()? {
            values.push(entry);
        }
        Ok(NamedValues(values))
    }
}

/// A replicated table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableView {
    /// Its name.
    pub name: String,
    /// Names of its columns, in their order.
    pub columns: Vec<String>,
    /// Names of the columns that identify a row, in the key's order.
    pub primary_key: Vec<String>,
    /// How many rows it has.
    pub rows: u64,
    /// Equal checksums mean equal rows, on whatever agent; none unless it was asked for.
    #[serde(default)]
    pub checksum: Option<String>,
}

/// How tables are to be listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableQuery {
    /// With a checksum each, for which every row is read.
    #[serde(default)]
    pub checksum: bool,
}

/// Makes a replicated table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableCreate {
    /// The `CREATE TABLE` statement.
    pub sql: String,
}

/// A statement of SQL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlStatement {
    /// One statement.
    pub sql: String,
    /// Values of its parameters `?1`, `?2`, … in their order.
    #[serde(default)]
    pub params: Vec<SqlJson>,
}

/// What one statement brought: rows, or the number of rows that it changed. One that changes rows and
/// returns some (`RETURNING`) brings both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SqlReply {
    /// Of a query.
    Rows {
        /// Names of the columns.
        columns: Vec<String>,
        /// As many values in each as there are columns.
        rows: Vec<Vec<SqlJson>>,
        /// Rows inserted, updated and deleted; none when the statement only reads.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        changes: Option<u64>,
    },
    /// Of a write.
    Changes {
        /// Rows inserted, updated and deleted.
        changes: u64,
    },
}

/// A piece of what one statement brings: the columns, then the rows, then the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum SqlItem {
    /// The first item.
    Columns {
        /// Names of the columns; none when the statement brings no rows.
        columns: Vec<String>,
    },
    /// Some rows.
    Rows {
        /// As many values in each as there are columns.
        rows: Vec<Vec<SqlJson>>,
    },
    /// The last item; without it the answer is not whole.
    Done {
        /// How many rows there were.
        rows: u64,
        /// Rows inserted, updated and deleted; none when the statement only reads.
        changes: Option<u64>,
    },
}

/// Statements that take effect together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionRequest {
    /// In their order; at most [`STATEMENTS_MAX`](crate::STATEMENTS_MAX).
    pub statements: Vec<SqlStatement>,
}

/// What a statement of a transaction brought.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementView {
    /// Rows inserted, updated and deleted.
    pub changes: u64,
    /// Names of the columns; none when it brings no rows.
    pub columns: Vec<String>,
    /// As many values in each as there are columns.
    pub rows: Vec<Vec<SqlJson>>,
}

/// Which changes to follow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchQuery {
    /// The table.
    pub table: String,
    /// Begins behind this position; none begins with what is committed next.
    #[serde(default)]
    pub from: Option<String>,
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeOperation {
    /// It is new.
    Insert,
    /// Some of its columns are.
    Update,
    /// It is gone.
    Delete,
    /// Rows changed that are not named one by one: whoever keeps a copy reads the table again.
    Resync,
}

impl ChangeOperation {
    /// The word of the JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Resync => "resync",
        }
    }
}

/// A committed change of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeView {
    /// Where to go on from; what it looks like is this agent's affair.
    pub position: String,
    /// The table.
    pub table: String,
    /// What became of the row.
    pub operation: ChangeOperation,
    /// The row's primary key; empty for [`ChangeOperation::Resync`].
    pub key: NamedValues,
    /// The columns beside the key that were written: all of them by an insert, some by an update.
    pub data: NamedValues,
    /// The member that wrote it: its hostname, or the id of the database when that is no member's. Empty
    /// for [`ChangeOperation::Resync`].
    pub origin: String,
    /// The clock of the write: Unix milliseconds times 65,536 and a counter. A text, since not every
    /// program that reads JSON has numbers that large. `0` for [`ChangeOperation::Resync`].
    pub stamp: String,
    /// When it was written, by the clock of its origin; of [`ChangeOperation::Resync`], when it is told.
    pub at: UnixMillis,
}

/// Which conflicts to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictQuery {
    /// Only those of this table.
    #[serde(default)]
    pub table: Option<String>,
}

/// One of two writes that knew nothing of each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictSide {
    /// What it wrote; null when it deleted the row, or when the conflict is about a whole row.
    pub value: SqlJson,
    /// Whether it deleted the row.
    #[serde(default)]
    pub deleted: bool,
    /// The member that wrote it: its hostname, or the id of the database when that is no member's.
    pub by: String,
    /// When, by that member's clock.
    pub at: UnixMillis,
}

/// A write that lost against another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictView {
    /// Names it, the same on every agent.
    pub id: String,
    /// The table.
    pub table: String,
    /// The row's primary key.
    pub key: NamedValues,
    /// The column; none when it is about the row as a whole.
    pub column: Option<String>,
    /// The write that is in the table.
    pub kept: ConflictSide,
    /// The write that is not.
    pub lost: ConflictSide,
    /// When it came about: the time of the later write.
    pub at: UnixMillis,
}

/// Writes again what lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictRestore {
    /// The conflict's id, or the first eight or more digits of it.
    pub id: String,
}

/// A transaction of another member that cannot be applied yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedView {
    /// The database that made it.
    pub origin: OriginId,
    /// Hostname of the member whose database that is; none when it is no member's.
    pub member: Option<String>,
    /// Its number there.
    pub sequence: u64,
    /// Why, as a stable word: `clock_skew`, `unknown_table`, `unknown_column`, `constraint`, `behind_parked`.
    pub reason: String,
    /// The same for people.
    pub detail: String,
    /// When it was put aside.
    pub at: UnixMillis,
    /// How far its clock is ahead of this agent's; 0 when it is not.
    pub ahead_seconds: u64,
}

/// Takes what a member wrote although its clock was ahead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedAccept {
    /// Hostname, peer id, the first eight or more digits of it, or the id of a database.
    pub host: String,
}

/// What accepting did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedAccepted {
    /// Transactions whose clock is no reason to wait any more.
    pub accepted: u64,
    /// How many of all that was parked were applied by it.
    pub applied: u64,
}

/// Whether the database of the replicated tables can be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataState {
    /// It is read and written.
    #[default]
    Ok,
    /// The state of another member is being taken in.
    Snapshot,
    /// The disk is full, or the database has reached its largest size: nothing can be written.
    DiskFull,
    /// The file cannot be written.
    ReadOnly,
    /// Another program keeps it locked.
    Locked,
    /// It refuses for another reason.
    Failed,
}

impl DataState {
    /// The word of the JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Snapshot => "snapshot",
            Self::DiskFull => "disk_full",
            Self::ReadOnly => "read_only",
            Self::Locked => "locked",
            Self::Failed => "failed",
        }
    }
}

/// A member whose clock is ahead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockSkewView {
    /// The member; the id of the database when that is no member's.
    pub hostname: String,
    /// How far, of what waits the most.
    pub ahead_seconds: u64,
    /// Transactions that wait for this agent's clock to reach theirs.
    pub transactions: u64,
}

/// The replicated tables at a glance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataView {
    /// Whether the database can be used.
    pub state: DataState,
    /// What is the matter with it; empty when nothing is.
    #[serde(default)]
    pub detail: String,
    /// Replicated tables.
    pub tables: u64,
    /// Bytes of the log of changes.
    pub log_bytes: u64,
    /// Transactions that cannot be applied yet.
    pub parked: u64,
    /// Writes that lost against others and have not been settled.
    pub conflicts: u64,
    /// Members whose clocks are ahead.
    #[serde(default)]
    pub clock_skew: Vec<ClockSkewView>,
    /// Transactions that this agent lacks, as far as members have told it.
    pub behind: u64,
    /// How much of a member's state has been taken in; none when none is.
    #[serde(default)]
    pub snapshot_percent: Option<u8>,
}
