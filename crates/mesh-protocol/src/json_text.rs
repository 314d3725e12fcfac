use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::{JSON_DEPTH_MAX, ParseError};

/// A JSON document kept as text: checked once, never re-parsed on its way through.
///
/// The text stays as it was written, so numbers of any length, the order of keys and what is written
/// twice survive. Inside another JSON document it stands without the white space between its tokens,
/// so that every document of ours is one line.
#[derive(Clone, PartialEq, Eq)]
pub struct JsonText {
    text: Arc<str>,
    is_too_deep: bool,
}

impl JsonText {
    /// Checks that `text` is one JSON document that [`JsonText::to_value`] can show, nested at most
    /// [`JSON_DEPTH_MAX`] deep.
    ///
    /// # Errors
    /// [`ParseError::Characters`] when it is not.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        Walk { levels_left: JSON_DEPTH_MAX }
            .deserialize(&mut deserializer)
            .and_then(|()| deserializer.end())
            .map_err(|_| ParseError::Characters { what: "JSON document" })?;
        Ok(Self { text: text.into(), is_too_deep: false })
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The parsed document. Numbers that fit neither 64 bits nor a float exactly are rounded.
    #[must_use]
    pub fn to_value(&self) -> Value {
        // `parse` accepts nothing that fails here.
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// Whether the document, made from a [`Value`], is nested deeper than a receiver would accept.
    pub(crate) const fn is_too_deep(&self) -> bool {
        self.is_too_deep
    }
}

impl From<&Value> for JsonText {
    fn from(value: &Value) -> Self {
        Self { text: value.to_string().into(), is_too_deep: depth_of(value) > JSON_DEPTH_MAX }
    }
}

fn depth_of(value: &Value) -> u32 {
    let deepest = match value {
        Value::Array(elements) => elements.iter().map(depth_of).max(),
        Value::Object(members) => members.values().map(depth_of).max(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return 0,
    };
    deepest.unwrap_or(0).saturating_add(1)
}

/// Walks over a document and keeps nothing of it.
///
/// `IgnoredAny` would not do: it accepts any depth, numbers beyond a float and half surrogate pairs,
/// and the document would then be unreadable for whoever asks for its value.
#[derive(Clone, Copy)]
struct Walk {
    levels_left: u32,
}

impl Walk {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        let levels_left = self.levels_left.checked_sub(1);
        levels_left
            .map(|levels_left| Self { levels_left })
            .ok_or_else(|| E::custom("nested too deeply"))
    }
}

impl<'de> DeserializeSeed<'de> for Walk {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON document")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while elements.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while members.next_key_seed(inner)?.is_some() {
            members.next_value_seed(inner)?;
        }
        Ok(())
    }
}

/// Drops the white space between tokens. Inside strings JSON allows no line break, so one line remains.
fn compact(text: &str) -> String {
    let mut is_in_string = false;
    let mut is_escaped = false;
    let is_kept = |character: &char| {
        if !is_in_string {
            is_in_string = *character == '"';
            return !matches!(character, ' ' | '\t' | '\n' | '\r');
        }
        if is_escaped {
            is_escaped = false;
        } else {
            is_escaped = *character == '\\';
            is_in_string = *character != '"';
        }
        true
    };
    text.chars().filter(is_kept).collect()
}

impl fmt::Debug for JsonText {
    /// Shows the length alone: the content is the user's and may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonText({} bytes)", self.text.len())
    }
}

impl Serialize for JsonText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            let text = compact(&self.text);
            let raw: &RawValue = serde_json::from_str(&text).map_err(S::Error::custom)?;
            raw.serialize(serializer)
        } else {
            serializer.serialize_str(&self.text)
        }
    }
}

impl<'de> Deserialize<'de> for JsonText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let raw = Box::<RawValue>::deserialize(deserializer)?;
            Self::parse(raw.get()).map_err(D::Error::custom)
        } else {
            let text = String::deserialize(deserializer)?;
            Self::parse(&text).map_err(D::Error::custom)
        }
    }
}
