//! Replicated tables: what changes are made of, and the order among writes.
//!
//! A database numbers its transactions without gaps; a [`Dot`] names one of them. Every write of a column
//! carries a [`Version`], and versions are totally ordered: the greatest one known is what a reader sees.

mod check;
mod exchange;
mod merge;
mod snapshot;
mod transaction;

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::codec::ByteCount;
use crate::{OriginId, UnixMillis};

pub use exchange::{OriginHave, OriginOwners, SyncHave, SyncParts, TableDigest, TableDigests};
pub use merge::{
    Incoming, JoinPlan, LoserFacts, MergePlan, Readiness, RowFacts, TheirRow, VersionVector,
};
pub use snapshot::{
    CellState, Coverage, LoserState, OriginContext, RowState, SnapshotChunk, SnapshotPosition,
    SnapshotRequest,
};
pub use transaction::{
    CellWrite, Listed, Resolved, RowChange, SchemaChange, Section, TransactionHeader,
    TransactionPart,
};

/// Hybrid logical clock: Unix milliseconds `<< 16`, then a counter. Fits SQLite's integer until the year 6429.
///
/// Source of the rules: Kulkarni et al., "Logical Physical Clocks" (2014).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct HybridClock(pub u64);

impl HybridClock {
    /// The largest value that SQLite can hold.
    pub const MAX: Self = Self(i64::MAX.cast_unsigned());

    /// The earliest clock of a millisecond.
    #[must_use]
    pub const fn at(time: UnixMillis) -> Self {
        Self(if time.0 > Self::MAX.0 >> 16 { Self::MAX.0 } else { time.0 << 16 })
    }

    /// The millisecond.
    #[must_use]
    pub const fn time(self) -> UnixMillis {
        UnixMillis(self.0 >> 16)
    }
}

/// One transaction: the database that made it and its number there, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Dot {
    /// The database.
    pub origin: OriginId,
    /// Its number.
    pub sequence: u64,
}

/// The place of a write in the order of all writes to the same column: by life, then clock, then origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version {
    /// Births and deaths of the row until then: odd alive, even deleted.
    pub life: u64,
    /// When it was written.
    pub clock: HybridClock,
    /// Where it was written.
    pub origin: OriginId,
    /// In which transaction of `origin`.
    pub sequence: u64,
}

impl Version {
    /// The transaction.
    #[must_use]
    pub const fn dot(&self) -> Dot {
        Dot { origin: self.origin, sequence: self.sequence }
    }

    /// Whether the row is alive at this version.
    #[must_use]
    pub const fn is_alive(&self) -> bool {
        self.life % 2 == 1
    }
}

/// A value of SQLite, exactly. There is no NaN: SQLite stores it as NULL.
#[derive(Clone, Default, Serialize, Deserialize)]
pub enum SqlValue {
    /// NULL.
    #[default]
    Null,
    /// A whole number.
    Integer(i64),
    /// A floating-point number.
    Real(#[serde(deserialize_with = "real")] f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(#[serde(with = "serde_bytes")] Vec<u8>),
    /// What is stored as text and is not UTF-8.
    RawText(
        #[serde(serialize_with = "serde_bytes::serialize", deserialize_with = "raw_text")] Vec<u8>,
    ),
}

/// SQLite would keep NULL in the place of NaN, and two peers would hold different values.
fn real<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = f64::deserialize(deserializer)?;
    if value.is_nan() { Err(D::Error::custom("not a number")) } else { Ok(value) }
}

/// What is UTF-8 is [`SqlValue::Text`]: equal values have one form.
fn raw_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let bytes: Vec<u8> = serde_bytes::deserialize(deserializer)?;
    if str::from_utf8(&bytes).is_ok() { Err(D::Error::custom("text")) } else { Ok(bytes) }
}

impl SqlValue {
    /// About how many bytes it takes in a frame.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        match self {
            Self::Null => 1,
            Self::Integer(_) | Self::Real(_) => 9,
            Self::Text(text) => text.len() + 6,
            Self::Blob(bytes) | Self::RawText(bytes) => bytes.len() + 6,
        }
    }
}

impl PartialEq for SqlValue {
    /// Equal when they are the same bytes in the database: 1 is not 1.0, and 0.0 is not -0.0.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Integer(one), Self::Integer(two)) => one == two,
            (Self::Real(one), Self::Real(two)) => one.to_bits() == two.to_bits(),
            (Self::Text(one), Self::Text(two)) => one == two,
            (Self::Blob(one), Self::Blob(two)) | (Self::RawText(one), Self::RawText(two)) => {
                one == two
            }
            (
                Self::Null
                | Self::Integer(_)
                | Self::Real(_)
                | Self::Text(_)
                | Self::Blob(_)
                | Self::RawText(_),
                _,
            ) => false,
        }
    }
}

impl Eq for SqlValue {}

impl fmt::Debug for SqlValue {
    /// Shows kind and size: what a value says is the user's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("Null"),
            Self::Integer(_) => f.write_str("Integer"),
            Self::Real(_) => f.write_str("Real"),
            Self::Text(text) => f.debug_tuple("Text").field(&ByteCount(text.len())).finish(),
            Self::Blob(bytes) => f.debug_tuple("Blob").field(&ByteCount(bytes.len())).finish(),
            Self::RawText(bytes) => {
                f.debug_tuple("RawText").field(&ByteCount(bytes.len())).finish()
            }
        }
    }
}
