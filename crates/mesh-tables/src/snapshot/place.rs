//! The order in which a snapshot goes through the rows: by table id, within a table by primary key.

use std::cmp::Ordering;

use mesh_protocol::{SnapshotPosition, SqlValue, TableId};

use crate::TablesError;
use crate::catalog::{Column, Table};
use crate::key::{Collation, decode_values, encode_values};

/// A place between rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Before everything.
    Start,
    /// Behind a row, or at the start of a table.
    At(SnapshotPosition),
    /// Behind everything.
    End,
}

impl Place {
    /// Where the next piece begins.
    pub(crate) fn next(position: Option<SnapshotPosition>) -> Self {
        position.map_or(Self::End, Self::At)
    }

    /// Whether both are before the same row.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Start, Self::Start) | (Self::End, Self::End) => true,
            (Self::At(one), Self::At(two)) => one.table == two.table && one.after == two.after,
            (Self::Start | Self::At(_) | Self::End, _) => false,
        }
    }

    /// Whether a row comes later than this place.
    pub(crate) fn is_before(&self, table: &Table, key: &[SqlValue]) -> bool {
        match self {
            Self::Start => true,
            Self::End => false,
            Self::At(position) => match position.table.cmp(&table.id) {
                Ordering::Less => true,
                Ordering::Greater => false,
                Ordering::Equal => (position.after.as_ref())
                    .is_none_or(|after| compare_keys(&table.key, after, key) == Ordering::Less),
            },
        }
    }

    /// The form in which the bookkeeping holds it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Start => vec![0],
            Self::End => vec![2],
            Self::At(position) => {
                let mut bytes = vec![1];
                bytes.extend_from_slice(position.table.as_bytes());
                bytes.extend_from_slice(&position.sent.to_be_bytes());
                if let Some(after) = &position.after {
                    bytes.push(1);
                    bytes.extend_from_slice(&encode_values(after));
                }
                bytes
            }
        }
    }

    /// Reads what [`Place::encode`] wrote.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, TablesError> {
        Self::read(bytes).ok_or(TablesError::Malformed { what: "place in a snapshot" })
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (0, []) => Some(Self::Start),
            (2, []) => Some(Self::End),
            (1, rest) => {
                let (table, rest) = rest.split_first_chunk::<16>()?;
                let (sent, rest) = rest.split_first_chunk::<8>()?;
                let after = match rest.split_first() {
                    None => None,
                    Some((_, key)) => Some(decode_values(key).ok()?),
                };
                Some(Self::At(SnapshotPosition {
                    table: TableId::from_bytes(*table),
                    after,
                    sent: u64::from_be_bytes(*sent),
                }))
            }
            (_, _) => None,
        }
    }
}

/// The order of two keys in the index of the primary key.
pub(crate) fn compare_keys(columns: &[Column], one: &[SqlValue], two: &[SqlValue]) -> Ordering {
    (one.iter().zip(two).zip(columns))
        .map(|((one, two), column)| compare(one, two, column.collation))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// NULL before numbers before text before bytes, as SQLite sorts.
const fn class(value: &SqlValue) -> u8 {
    match value {
        SqlValue::Null => 0,
        SqlValue::Integer(_) | SqlValue::Real(_) => 1,
        SqlValue::Text(_) | SqlValue::RawText(_) => 2,
        SqlValue::Blob(_) => 3,
    }
}

/// Bytes of text; empty for what is none.
fn bytes_of(value: &SqlValue) -> &[u8] {
    match value {
        SqlValue::Text(text) => text.as_bytes(),
        SqlValue::Blob(bytes) | SqlValue::RawText(bytes) => bytes,
        SqlValue::Null | SqlValue::Integer(_) | SqlValue::Real(_) => &[],
    }
}

fn compare(one: &SqlValue, two: &SqlValue, collation: Collation) -> Ordering {
    match (one, two) {
        (SqlValue::Integer(one), SqlValue::Integer(two)) => one.cmp(two),
        (SqlValue::Real(one), SqlValue::Real(two)) => {
            one.partial_cmp(two).unwrap_or(Ordering::Equal)
        }
        (SqlValue::Integer(one), SqlValue::Real(two)) => compare_mixed(*one, *two),
        (SqlValue::Real(one), SqlValue::Integer(two)) => compare_mixed(*two, *one).reverse(),
        (SqlValue::Blob(one), SqlValue::Blob(two)) => one.cmp(two),
        (
            SqlValue::Null
            | SqlValue::Integer(_)
            | SqlValue::Real(_)
            | SqlValue::Text(_)
            | SqlValue::Blob(_)
            | SqlValue::RawText(_),
            _,
        ) => class(one)
            .cmp(&class(two))
            .then_with(|| compare_text(bytes_of(one), bytes_of(two), collation)),
    }
}

fn compare_text(one: &[u8], two: &[u8], collation: Collation) -> Ordering {
    match collation {
        Collation::Binary => one.cmp(two),
        Collation::NoCase => {
            let folded = |text: &[u8]| text.to_ascii_lowercase();
            folded(one).cmp(&folded(two))
        }
        Collation::RTrim => trimmed(one).cmp(trimmed(two)),
    }
}

fn trimmed(text: &[u8]) -> &[u8] {
    let spaces = text.iter().rev().take_while(|byte| **byte == b' ').count();
    text.get(..text.len().saturating_sub(spaces)).unwrap_or(text)
}

/// A whole number against a floating-point one, without rounding the whole one.
fn compare_mixed(whole: i64, real: f64) -> Ordering {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    if real < -TWO_TO_63 {
        return Ordering::Greater;
    }
    if real >= TWO_TO_63 {
        return Ordering::Less;
    }
    #[expect(clippy::cast_possible_truncation, reason = "it is in range, and meant to be cut")]
    let cut = real.trunc() as i64;
    whole.cmp(&cut).then_with(|| 0.0.partial_cmp(&real.fract()).unwrap_or(Ordering::Equal))
}

#[cfg(test)]
mod tests;
