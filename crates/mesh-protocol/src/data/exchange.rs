//! What members tell each other of what they have.

use serde::{Deserialize, Deserializer, Serialize};

use super::check;
use crate::codec::{ByteCount, check_count, list};
use crate::{
    DATA_PART_BYTES_MAX, DIGEST_BUCKETS, HOLES_MAX, ORIGINS_MAX, OriginId, PARTS_PER_FRAME_MAX,
    PeerId, TABLES_MAX, TableId,
};

/// How much of one database's transactions somebody has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginHave {
    /// The database.
    pub origin: OriginId,
    /// Everything up to this number, but for `holes`.
    pub upto: u64,
    /// What is kept aside, because it cannot be applied: it need not be sent again and counts as not had.
    #[serde(deserialize_with = "list::<_, _, HOLES_MAX>")]
    pub holes: Vec<u64>,
    /// Transactions up to this number cannot be served one by one any more, only as a part of the state.
    pub floor: u64,
}

/// What a member has. Sent when a link comes up, every half minute, when something is missing, and soon
/// after something was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncHave {
    /// The member that this is about: the sender, or one that the sender heard it from.
    pub member: PeerId,
    /// That member's own database at the moment.
    pub database: OriginId,
    /// Of two frames about a member the one with the greater number is newer: Unix milliseconds of its making,
    /// or one more than before where that is more.
    pub revision: u64,
    /// What it has.
    #[serde(deserialize_with = "list::<_, _, ORIGINS_MAX>")]
    pub origins: Vec<OriginHave>,
    /// Whether the receiver should say the same of itself.
    pub wants_answer: bool,
    /// Whether `origins` is everything; otherwise it is what has changed.
    pub is_whole: bool,
    /// Whether what is missing should be sent: not while the member takes in a snapshot.
    pub wants_changes: bool,
}

impl SyncHave {
    pub(crate) fn check_bounds(&self) -> Result<(), &'static str> {
        check::have(&self.origins)
    }
}

/// Asks whose databases some origins are, or answers that: one may have what a member wrote that left before it came,
/// or before it took a new origin. Sent when something is unknown, to who has said all that it has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginOwners {
    /// Origins that the sender knows nobody for. Whoever does names them.
    #[serde(deserialize_with = "list::<_, _, ORIGINS_MAX>")]
    pub unknown: Vec<OriginId>,
    /// Whose databases these are or were, as far as the sender knows.
    #[serde(deserialize_with = "list::<_, _, ORIGINS_MAX>")]
    pub known: Vec<(OriginId, PeerId)>,
}

impl OriginOwners {
    pub(crate) fn check_bounds(&self) -> Result<(), &'static str> {
        check_count("unknown", self.unknown.len(), ORIGINS_MAX)?;
        check_count("known", self.known.len(), ORIGINS_MAX)
    }
}

/// Parts of transactions, in the order in which the sender applied them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncParts {
    /// Encoded [`TransactionPart`](super::TransactionPart)s.
    #[serde(deserialize_with = "list::<_, _, PARTS_PER_FRAME_MAX>")]
    pub parts: Vec<serde_bytes::ByteBuf>,
}

impl SyncParts {
    pub(crate) fn check_bounds(&self) -> Result<(), &'static str> {
        check_count("parts", self.parts.len(), PARTS_PER_FRAME_MAX)?;
        self.parts.iter().try_for_each(|part| check_count("part", part.len(), DATA_PART_BYTES_MAX))
    }
}

impl std::fmt::Debug for SyncParts {
    /// Shows sizes alone: changes are the user's.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes = self.parts.iter().map(|part| part.len()).sum();
        f.debug_struct("SyncParts")
            .field("parts", &self.parts.len())
            .field("bytes", &ByteCount(bytes))
            .finish()
    }
}

/// The content of one table as digests: equal digests mean equal rows, versions and values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDigest {
    /// The table.
    pub table: TableId,
    /// How many rows it has.
    pub rows: u64,
    /// One per range of key digests, at most [`DIGEST_BUCKETS`] of them, each the sum of its rows' digests.
    #[serde(deserialize_with = "list::<_, _, DIGEST_BUCKETS>")]
    pub buckets: Vec<[u8; 16]>,
}

/// Asks for, or answers with, the digests of every table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDigests {
    /// Comes back in the answer.
    pub request_id: u64,
    /// None asks; some answers.
    #[serde(deserialize_with = "optional_tables")]
    pub tables: Option<Vec<TableDigest>>,
}

impl TableDigests {
    pub(crate) fn check_bounds(&self) -> Result<(), &'static str> {
        let tables = self.tables.as_deref().unwrap_or_default();
        check_count("tables", tables.len(), TABLES_MAX)?;
        tables
            .iter()
            .try_for_each(|table| check_count("digests", table.buckets.len(), DIGEST_BUCKETS))
    }
}

fn optional_tables<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<TableDigest>>, D::Error> {
    #[derive(Deserialize)]
    struct Tables(#[serde(deserialize_with = "list::<_, _, TABLES_MAX>")] Vec<TableDigest>);
    Ok(Option::<Tables>::deserialize(deserializer)?.map(|tables| tables.0))
}
