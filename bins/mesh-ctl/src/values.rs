//! How values of tables look to people, and in CSV.

use std::fmt::Write as _;

use mesh_control::{NamedValues, SqlJson};
use mesh_protocol::SqlValue;

use crate::text::{bytes, plain};

/// Bytes of a blob that are shown.
const BLOB_BYTES_SHOWN: usize = 32;

/// A value on one line: `NULL`, a number, the text, or `x'00ff'`.
pub(crate) fn shown(value: &SqlJson) -> String {
    match &value.0 {
        SqlValue::Null => "NULL".to_owned(),
        SqlValue::Integer(number) => number.to_string(),
        SqlValue::Real(number) => real(*number),
        SqlValue::Text(text) => plain(text),
        SqlValue::RawText(raw) => plain(&String::from_utf8_lossy(raw)),
        SqlValue::Blob(blob) => match blob.get(..BLOB_BYTES_SHOWN) {
            Some(start) if blob.len() > BLOB_BYTES_SHOWN => {
                format!("x'{}…' ({})", hex(start), bytes(blob.len() as u64))
            }
            Some(_) | None => format!("x'{}'", hex(blob)),
        },
    }
}

/// `id=a title=b`.
pub(crate) fn named(values: &NamedValues) -> String {
    let pairs = values.0.iter().map(|(name, value)| format!("{}={}", plain(name), shown(value)));
    pairs.collect::<Vec<_>>().join(" ")
}

/// Fields as a line of CSV (RFC 4180).
pub(crate) fn csv_line(fields: impl IntoIterator<Item = String>) -> String {
    let fields: Vec<String> = fields.into_iter().collect();
    format!("{}\r\n", fields.join(","))
}

/// A text as a field of CSV.
pub(crate) fn csv_text(text: &str) -> String {
    // Quotes tell an empty text from no value.
    if text.is_empty() || text.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// A value as a field of CSV: nothing for NULL, hexadecimal digits for bytes.
pub(crate) fn csv_value(value: &SqlJson) -> String {
    match &value.0 {
        SqlValue::Null => String::new(),
        SqlValue::Integer(number) => number.to_string(),
        SqlValue::Real(number) => real(*number),
        SqlValue::Text(text) => csv_text(text),
        SqlValue::Blob(bytes) | SqlValue::RawText(bytes) => hex(bytes),
    }
}

/// With a point or an exponent, so that it is told from an integer.
fn real(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    format!("{number:?}")
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests;
