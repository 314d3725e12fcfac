//! One transaction of one database, in parts of bounded size.

use serde::{Deserialize, Serialize};

use super::check::{self, Check, holds};
use super::{Dot, HybridClock, SqlValue, Version};
use crate::codec::{check_count, compact, list};
use crate::{
    CHANGES_PER_PART_MAX, COLUMNS_MAX, DATA_PART_BYTES_MAX, DecodeError, EncodeError, HOLES_MAX,
    ORIGINS_MAX, OriginId, RESOLVED_MAX, SCHEMA_CHANGES_MAX, SECTIONS_PER_PART_MAX, TableId,
};

/// What is known of a transaction before its changes are read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionHeader {
    /// The latest clock of its changes.
    pub clock: HybridClock,
    /// What its database had applied of others when it was made, where that is more than at the
    /// transaction before: whoever applies this one must have applied those first.
    #[serde(deserialize_with = "list::<_, _, ORIGINS_MAX>")]
    pub advanced: Vec<(OriginId, u64)>,
    /// All transactions below those numbers that its database had not applied, because it could not.
    #[serde(deserialize_with = "list::<_, _, HOLES_MAX>")]
    pub holes: Vec<Dot>,
    /// Changes of tables themselves; they come before the changes of rows.
    #[serde(deserialize_with = "list::<_, _, SCHEMA_CHANGES_MAX>")]
    pub schema: Vec<SchemaChange>,
    /// Conflicts that the transaction settles.
    #[serde(deserialize_with = "list::<_, _, RESOLVED_MAX>")]
    pub resolved: Vec<Resolved>,
}

/// A change of a table itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SchemaChange {
    /// A table is there.
    CreateTable {
        /// Its id.
        table: TableId,
        /// Its name.
        name: String,
        /// The statement as its maker wrote it.
        sql: String,
        /// The dropped table of the same name that it follows.
        replaces: Option<TableId>,
    },
    /// A table has one more column; rows have its default there.
    AddColumn {
        /// Which table.
        table: TableId,
        /// Its name.
        column: String,
        /// The column as it stands behind `ADD COLUMN`.
        definition: String,
    },
    /// A table has an index.
    CreateIndex {
        /// Which table.
        table: TableId,
        /// Its name.
        name: String,
        /// The statement.
        sql: String,
    },
    /// A table is gone with everything in it.
    DropTable {
        /// Which table.
        table: TableId,
        /// Its name.
        name: String,
    },
}

/// A loser of a conflict that is a conflict no more, because somebody decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The table.
    pub table: TableId,
    /// The row.
    #[serde(deserialize_with = "list::<_, _, COLUMNS_MAX>")]
    pub key: Vec<SqlValue>,
    /// The column; none for the deletion of the row.
    pub column: Option<String>,
    /// The write that lost.
    pub version: Version,
}

/// Changes of rows of one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// The table.
    pub table: TableId,
    /// Names of the columns beside the key that its maker had, in order. A whole row covers these.
    #[serde(deserialize_with = "list::<_, _, COLUMNS_MAX>")]
    pub columns: Vec<String>,
    /// At most one per row in a transaction.
    #[serde(deserialize_with = "list::<_, _, CHANGES_PER_PART_MAX>")]
    pub changes: Vec<RowChange>,
    /// Which of the columns that the changes write had losers of conflicts.
    #[serde(deserialize_with = "list::<_, _, CHANGES_PER_PART_MAX>")]
    pub listed: Vec<Listed>,
}

/// A column that was written while losers of conflicts were listed for it. Its maker saw another value than
/// theirs, so the write replaces that one and leaves them listed. Nobody else could tell which it saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Index into [`Section::changes`].
    pub change: u32,
    /// Index into [`Section::columns`].
    pub column: u16,
    /// The greatest of the losers.
    pub version: Version,
}

/// A column that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellWrite {
    /// Index into [`Section::columns`].
    pub column: u16,
    /// When.
    pub clock: HybridClock,
    /// What is in it.
    pub value: SqlValue,
}

/// What became of one row in one transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RowChange {
    /// The row was written whole: inserted, or replaced.
    Put {
        /// The key columns, in the order of the primary key.
        #[serde(deserialize_with = "list::<_, _, COLUMNS_MAX>")]
        key: Vec<SqlValue>,
        /// Odd.
        life: u64,
        /// When.
        clock: HybridClock,
        /// One per column of the section, in its order.
        #[serde(deserialize_with = "list::<_, _, COLUMNS_MAX>")]
        values: Vec<SqlValue>,
    },
    /// The row was deleted.
    Delete {
        /// The key columns.
        #[serde(deserialize_with = "list::<_, _, COLUMNS_MAX>")]
        key: Vec<SqlValue>,
        /// Even.
        life: u64,
        /// When.
        clock: HybridClock,
    },
    /// Some columns of the row were written.
    Edit {
        /// The key columns.
        #[serde(deserialize_with = "list::<_, _, COLUMNS_MAX>")]
        key: Vec<SqlValue>,
        /// Odd.
        life: u64,
        /// The columns, each once, in ascending order.
        #[serde(deserialize_with = "list::<_, _, COLUMNS_MAX>")]
        cells: Vec<CellWrite>,
    },
}

impl RowChange {
    /// The key columns, in the order of the primary key.
    #[must_use]
    pub const fn key(&self) -> &Vec<SqlValue> {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } | Self::Edit { key, .. } => key,
        }
    }

    /// Births and deaths of the row with this change.
    #[must_use]
    pub const fn life(&self) -> u64 {
        match self {
            Self::Put { life, .. } | Self::Delete { life, .. } | Self::Edit { life, .. } => *life,
        }
    }

    /// The latest clock in it.
    #[must_use]
    pub fn clock(&self) -> HybridClock {
        match self {
            Self::Put { clock, .. } | Self::Delete { clock, .. } => *clock,
            Self::Edit { cells, .. } => {
                cells.iter().map(|cell| cell.clock).max().unwrap_or_default()
            }
        }
    }

    /// About how many bytes it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let key: usize = self.key().iter().map(SqlValue::bytes).sum();
        let rest: usize = match self {
            Self::Put { values, .. } => values.iter().map(SqlValue::bytes).sum(),
            Self::Delete { .. } => 0,
            Self::Edit { cells, .. } => cells.iter().map(|cell| cell.value.bytes() + 12).sum(),
        };
        key + rest + 16
    }
}

/// One part of a transaction: a frame carries one, the log of a database holds one per row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionPart {
    /// The transaction.
    pub dot: Dot,
    /// Number of the part, from 0.
    pub part: u32,
    /// Whether it is the last one.
    pub is_last: bool,
    /// Stands in part 0 alone.
    pub header: Option<TransactionHeader>,
    /// The changes.
    #[serde(deserialize_with = "list::<_, _, SECTIONS_PER_PART_MAX>")]
    pub sections: Vec<Section>,
}

impl TransactionPart {
    /// The compact form: what the log stores and [`SyncParts`](super::SyncParts) carries.
    ///
    /// # Errors
    /// [`EncodeError`] when it exceeds [`DATA_PART_BYTES_MAX`], or is what [`TransactionPart::decode`] refuses.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        self.check().map_err(|what| EncodeError::FieldTooLarge { what })?;
        compact::encode(self, DATA_PART_BYTES_MAX)
    }

    /// Reads which transaction an encoded part belongs to and whether it is all of it, and nothing else; none
    /// when it is no part.
    #[must_use]
    pub fn peek(bytes: &[u8]) -> Option<(Dot, bool)> {
        let (dot, part, is_last): (Dot, u32, bool) = compact::decode_prefix(bytes)?;
        Some((dot, part == 0 && is_last))
    }

    /// Reads the compact form and checks that its parts fit together: header in part 0, lives odd or even
    /// as they must be, one value per column, numbers that SQLite can hold.
    ///
    /// Parts after the first do not know the header: [`TransactionPart::clock`] says what to compare with it.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let part: Self = compact::decode("transaction", bytes, DATA_PART_BYTES_MAX)?;
        part.check().map_err(|what| DecodeError::Malformed { what })?;
        Ok(part)
    }

    /// The latest clock of its changes; the header's is no earlier.
    #[must_use]
    pub fn clock(&self) -> HybridClock {
        let changes = self.sections.iter().flat_map(|section| &section.changes);
        changes.map(RowChange::clock).max().unwrap_or_default()
    }

    fn check(&self) -> Check {
        check::dot(&self.dot)?;
        holds("header", self.header.is_some() == (self.part == 0))?;
        let clock_max = self.header.as_ref().map_or(HybridClock::MAX, |header| header.clock);
        holds("clock", self.clock() <= clock_max)?;
        self.header.as_ref().map_or(Ok(()), TransactionHeader::check)?;
        check_count("sections", self.sections.len(), SECTIONS_PER_PART_MAX)?;
        self.sections.iter().try_for_each(Section::check)
    }
}

impl TransactionHeader {
    fn check(&self) -> Check {
        check::number("clock", self.clock.0)?;
        check_count("origins", self.advanced.len(), ORIGINS_MAX)?;
        // Whoever says nothing of a database does not name it: names are kept.
        self.advanced.iter().try_for_each(|(_, upto)| {
            holds("sequence", *upto > 0)?;
            check::number("sequence", *upto)
        })?;
        check_count("holes", self.holes.len(), HOLES_MAX)?;
        self.holes.iter().try_for_each(check::dot)?;
        check_count("schema", self.schema.len(), SCHEMA_CHANGES_MAX)?;
        self.schema.iter().try_for_each(check::schema)?;
        check_count("resolved", self.resolved.len(), RESOLVED_MAX)?;
        self.resolved.iter().try_for_each(|resolved| {
            check::key(&resolved.key)?;
            resolved.column.as_deref().map_or(Ok(()), check::name)?;
            check::version(&resolved.version)
        })
    }
}

impl Section {
    fn check(&self) -> Check {
        check::columns(&self.columns)?;
        check_count("changes", self.changes.len(), CHANGES_PER_PART_MAX)?;
        self.changes.iter().try_for_each(|change| change.check(self.columns.len()))?;
        check_count("listed", self.listed.len(), CHANGES_PER_PART_MAX)?;
        self.listed.iter().try_for_each(|listed| {
            let change = usize::try_from(listed.change).unwrap_or(usize::MAX);
            holds("listed", change < self.changes.len())?;
            holds("listed", usize::from(listed.column) < self.columns.len())?;
            check::version(&listed.version)
        })
    }
}

impl RowChange {
    fn check(&self, columns: usize) -> Check {
        check::written_key(self.key())?;
        let life = self.life();
        check::life(life)?;
        check::number("clock", self.clock().0)?;
        match self {
            Self::Put { values, .. } => {
                holds("life", life % 2 == 1)?;
                holds("values", values.len() == columns)
            }
            Self::Delete { .. } => holds("life", life.is_multiple_of(2)),
            Self::Edit { cells, .. } => {
                holds("life", life % 2 == 1)?;
                let is_column = |cell: &CellWrite| usize::from(cell.column) < columns;
                holds("cells", cells.iter().all(is_column))?;
                holds("cells", cells.is_sorted_by(|one, two| one.column < two.column))
            }
        }
    }
}
