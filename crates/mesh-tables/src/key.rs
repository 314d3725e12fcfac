//! Keys of rows as the bookkeeping writes them, and when two of them name the same row.

use std::io;

use mesh_protocol::{SqlValue, Version};

use crate::TablesError;
use crate::catalog::{Column, Table};

/// How a key column compares text. SQLite has these three; a table with another one is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Collation {
    /// Byte by byte.
    #[default]
    Binary,
    /// The 26 letters of ASCII in either case are equal.
    NoCase,
    /// Spaces at the end are of no account.
    RTrim,
}

/// Digest of a key: equal for keys that SQLite takes to be the same.
pub(crate) type KeyHash = [u8; 16];

/// Whole numbers beyond this are not all representable as floating-point numbers.
const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;

const NULL: u8 = 0;
const INTEGER: u8 = 1;
const REAL: u8 = 2;
const TEXT: u8 = 3;
const BLOB: u8 = 4;
const RAW_TEXT: u8 = 5;

/// The values, exactly and in few bytes.
pub(crate) fn encode_values(values: &[SqlValue]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.iter().map(SqlValue::bytes).sum());
    for value in values {
        encode_value(value, &mut bytes);
    }
    bytes
}

/// Reads what [`encode_values`] wrote.
pub(crate) fn decode_values(bytes: &[u8]) -> Result<Vec<SqlValue>, TablesError> {
    let mut rest = bytes;
    let mut values = Vec::new();
    while !rest.is_empty() {
        let value = decode_value(&mut rest);
        values.push(value.map_err(|_| TablesError::Malformed { what: "value" })?);
    }
    Ok(values)
}

/// The form of a key that is equal for all keys that name the same row, encoded.
pub(crate) fn canonical(table: &Table, key: &[SqlValue]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(key.iter().map(SqlValue::bytes).sum());
    for (value, column) in key.iter().zip(&table.key) {
        canonical_value(value, column, &mut bytes);
    }
    bytes
}

/// Digest of [`canonical`].
pub(crate) fn hash(table: &Table, key: &[SqlValue]) -> KeyHash {
    hash_of(&canonical(table, key))
}

/// Digest of what [`canonical`] returned.
pub(crate) fn hash_of(canonical: &[u8]) -> KeyHash {
    first_half(&blake3::hash(canonical))
}

/// Name of a loser of a conflict, the same on every peer. The column is none for a deletion.
pub(crate) fn loser_id(
    table: &Table,
    key: &[SqlValue],
    column: Option<&str>,
    version: &Version,
) -> String {
    let canonical = canonical(table, key);
    let mut hasher = blake3::Hasher::new();
    hasher.update(table.id.as_bytes());
    hasher.update(&(canonical.len() as u64).to_le_bytes());
    hasher.update(&canonical);
    if let Some(column) = column {
        hasher.update(b"c");
        hasher.update(column.to_ascii_lowercase().as_bytes());
    }
    // No name holds a zero byte.
    hasher.update(b"\0");
    hasher.update(version.origin.as_bytes());
    hasher.update(&version.sequence.to_le_bytes());
    hasher.finalize().to_hex().chars().take(16).collect()
}

fn first_half(hash: &blake3::Hash) -> KeyHash {
    let [half, _] = hash.as_bytes().as_chunks::<16>().0 else { return [0; 16] };
    *half
}

fn canonical_value(value: &SqlValue, column: &Column, bytes: &mut Vec<u8>) {
    match (value, column.collation) {
        (SqlValue::Text(text), Collation::NoCase) => {
            text_into(TEXT, text.to_ascii_lowercase().as_bytes(), bytes);
        }
        (SqlValue::Text(text), Collation::RTrim) => {
            text_into(TEXT, text.trim_end_matches(' ').as_bytes(), bytes);
        }
        (SqlValue::RawText(raw), Collation::NoCase) => {
            text_into(RAW_TEXT, &raw.to_ascii_lowercase(), bytes);
        }
        (SqlValue::RawText(raw), Collation::RTrim) => {
            let spaces = raw.iter().rev().take_while(|byte| **byte == b' ').count();
            let trimmed = raw.len().saturating_sub(spaces);
            text_into(RAW_TEXT, raw.get(..trimmed).unwrap_or(raw), bytes);
        }
        // SQLite compares numbers by their value.
        (SqlValue::Real(real), _) => match whole(*real) {
            Some(integer) => encode_value(&SqlValue::Integer(integer), bytes),
            None => encode_value(value, bytes),
        },
        (
            SqlValue::Null
            | SqlValue::Integer(_)
            | SqlValue::Text(_)
            | SqlValue::Blob(_)
            | SqlValue::RawText(_),
            _,
        ) => encode_value(value, bytes),
    }
}

/// The whole number that equals `real`.
fn whole(real: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and in range")]
    (real.fract() == 0.0 && (-TWO_TO_63..TWO_TO_63).contains(&real)).then_some(real as i64)
}

fn encode_value(value: &SqlValue, bytes: &mut Vec<u8>) {
    match value {
        SqlValue::Null => bytes.push(NULL),
        SqlValue::Integer(number) => {
            bytes.push(INTEGER);
            // Small numbers of either sign become small ones without a sign.
            length_into(((number << 1) ^ (number >> 63)).cast_unsigned(), bytes);
        }
        SqlValue::Real(real) => {
            bytes.push(REAL);
            bytes.extend_from_slice(&real.to_bits().to_be_bytes());
        }
        SqlValue::Text(text) => text_into(TEXT, text.as_bytes(), bytes),
        SqlValue::Blob(blob) => text_into(BLOB, blob, bytes),
        SqlValue::RawText(raw) => text_into(RAW_TEXT, raw, bytes),
    }
}

fn text_into(tag: u8, text: &[u8], bytes: &mut Vec<u8>) {
    bytes.push(tag);
    length_into(text.len() as u64, bytes);
    bytes.extend_from_slice(text);
}

/// Seven bits per byte, the lowest first; all but the last have the eighth bit set.
fn length_into(mut length: u64, bytes: &mut Vec<u8>) {
    while let Some(more) = Some(length >> 7).filter(|more| *more > 0) {
        bytes.push((length & 0x7f) as u8 | 0x80);
        length = more;
    }
    bytes.push((length & 0x7f) as u8);
}

fn malformed() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

fn take<'b>(rest: &mut &'b [u8], count: usize) -> io::Result<&'b [u8]> {
    let (taken, left) = rest.split_at_checked(count).ok_or_else(malformed)?;
    *rest = left;
    Ok(taken)
}

fn take_length(rest: &mut &[u8]) -> io::Result<u64> {
    let mut length = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *take(rest, 1)?.first().ok_or_else(malformed)?;
        length |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(length);
        }
    }
    Err(malformed())
}

fn take_bytes(rest: &mut &[u8]) -> io::Result<Vec<u8>> {
    let count = usize::try_from(take_length(rest)?).map_err(|_| malformed())?;
    Ok(take(rest, count)?.to_vec())
}

fn decode_value(rest: &mut &[u8]) -> io::Result<SqlValue> {
    let tag = take(rest, 1)?.first().copied().ok_or_else(malformed)?;
    Ok(match tag {
        NULL => SqlValue::Null,
        INTEGER => {
            let folded = take_length(rest)?;
            SqlValue::Integer((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed())
        }
        REAL => {
            let bits = take(rest, 8)?.try_into().map_err(|_| malformed())?;
            SqlValue::Real(f64::from_bits(u64::from_be_bytes(bits)))
        }
        TEXT => SqlValue::Text(String::from_utf8(take_bytes(rest)?).map_err(|_| malformed())?),
        BLOB => SqlValue::Blob(take_bytes(rest)?),
        RAW_TEXT => SqlValue::RawText(take_bytes(rest)?),
        _ => return Err(malformed()),
    })
}

#[cfg(test)]
mod tests;
