//! How values of SQLite stand in JSON, exactly.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD};
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use mesh_protocol::SqlValue;
use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const BLOB: &str = "$blob";
const TEXT: &str = "$text";
const REAL: &str = "$real";

const INFINITY: &str = "Infinity";
const MINUS_INFINITY: &str = "-Infinity";

const EXPECTED: &str = "null, a number, true, false, a text, {\"$blob\": BASE64}, {\"$text\": BASE64} or \
     {\"$real\": \"Infinity\" or \"-Infinity\"}";

/// Takes what other programs write, with padding or without.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A value of SQLite as JSON: null, numbers and texts as themselves, `{"$blob": BASE64}`,
/// `{"$text": BASE64}` for text that is not UTF-8, `{"$real": "Infinity"}` and `{"$real": "-Infinity"}`.
///
/// What is written reads as the same value again. A number with a point or an exponent is a real, another
/// one is an integer, unless it does not fit 64 bits with a sign: then it is a real, as in SQL. `true` and
/// `false` are read as 1 and 0.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SqlJson(pub SqlValue);

impl fmt::Debug for SqlJson {
    /// Shows kind and size alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<SqlValue> for SqlJson {
    fn from(value: SqlValue) -> Self {
        Self(value)
    }
}

impl From<SqlJson> for SqlValue {
    fn from(value: SqlJson) -> Self {
        value.0
    }
}

impl Serialize for SqlJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            SqlValue::Null => serializer.serialize_unit(),
            SqlValue::Integer(number) => serializer.serialize_i64(*number),
            SqlValue::Real(number) if number.is_finite() => serializer.serialize_f64(*number),
            // SQLite stores it as NULL.
            SqlValue::Real(number) if number.is_nan() => serializer.serialize_unit(),
            SqlValue::Real(number) => {
                let word = if *number > 0.0 { INFINITY } else { MINUS_INFINITY };
                marked(serializer, REAL, word)
            }
            SqlValue::Text(text) => serializer.serialize_str(text),
            SqlValue::Blob(bytes) => marked(serializer, BLOB, &STANDARD.encode(bytes)),
            SqlValue::RawText(bytes) => marked(serializer, TEXT, &STANDARD.encode(bytes)),
        }
    }
}

fn marked<S: Serializer>(serializer: S, mark: &str, value: &str) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(mark, value)?;
    map.end()
}

impl<'de> Deserialize<'de> for SqlJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor).map(Self)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = SqlValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_unit<E>(self) -> Result<SqlValue, E> {
        Ok(SqlValue::Null)
    }

    fn visit_bool<E>(self, is_true: bool) -> Result<SqlValue, E> {
        Ok(SqlValue::Integer(i64::from(is_true)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<SqlValue, E> {
        Ok(SqlValue::Integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<SqlValue, E> {
        Ok(match i64::try_from(number) {
            Ok(number) => SqlValue::Integer(number),
            #[expect(clippy::cast_precision_loss, reason = "as SQLite does it")]
            Err(_) => SqlValue::Real(number as f64),
        })
    }

    fn visit_f64<E>(self, number: f64) -> Result<SqlValue, E> {
        Ok(SqlValue::Real(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<SqlValue, E> {
        Ok(SqlValue::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<SqlValue, E> {
        Ok(SqlValue::Text(text))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SqlValue, A::Error> {
        let unknown =
            || de::Error::custom(format_args!("an object is no value here; it is {EXPECTED}"));
        let (mark, value) = map.next_entry::<String, String>()?.ok_or_else(unknown)?;
        let value = match mark.as_str() {
            BLOB => SqlValue::Blob(decode(&value)?),
            TEXT => SqlValue::RawText(decode(&value)?),
            REAL if value == INFINITY => SqlValue::Real(f64::INFINITY),
            REAL if value == MINUS_INFINITY => SqlValue::Real(f64::NEG_INFINITY),
            _ => return Err(unknown()),
        };
        match map.next_key::<String>()? {
            None => Ok(value),
            Some(_) => Err(unknown()),
        }
    }
}

fn decode<E: de::Error>(text: &str) -> Result<Vec<u8>, E> {
    LENIENT.decode(text).map_err(|error| de::Error::custom(format_args!("not Base64: {error}")))
}

#[cfg(test)]
mod tests;
