//! The JSON form of a payload: `{"type": "custom_json", "data": {…}}`.
//!
//! Documents inside are carried as text, never through a parsed value, which would round numbers and
//! sort keys.

use std::borrow::Cow;

use serde::de::Error as _;
use serde::ser::{Error as _, SerializeStruct as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{ConfigUpdate, Payload, Unknown};
use crate::codec::binary;
use crate::{DecodeError, JsonText, ParseError};

const WRONG: ParseError = ParseError::Characters { what: "payload" };

#[derive(Deserialize)]
struct RawPayload<'a> {
    #[serde(rename = "type", borrow)]
    type_name: Cow<'a, str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// The JSON form of a kind that has only a number.
#[derive(Serialize, Deserialize)]
struct RawUnknown {
    kind: u16,
    #[serde(with = "binary")]
    body: Vec<u8>,
}

impl Payload {
    /// Every name of a kind in JSON, `unknown` among them.
    const TYPE_NAMES: [&str; 10] = [
        "database_sync",
        "file_transfer",
        "media_stream",
        "config_update",
        "custom_json",
        "ping",
        "pong",
        "ack",
        "error",
        "unknown",
    ];

    /// The JSON form.
    ///
    /// A [`Value`] rounds numbers beyond 64 bits and sorts keys; serialising the payload itself does neither.
    #[must_use]
    pub fn to_json(&self) -> Value {
        // Every structure has string keys only, which is all that the conversion can fail on.
        serde_json::to_value(self).unwrap_or(Value::Null)
    }

    /// Reads the JSON form; a type that is not known is kept as it came.
    ///
    /// # Errors
    /// [`ParseError::Characters`] when the document has no `type`, or its `data` does not fit the type.
    pub fn from_json(document: &Value) -> Result<Self, ParseError> {
        Self::from_json_text(&document.to_string())
    }

    fn from_json_text(text: &str) -> Result<Self, ParseError> {
        let raw: RawPayload<'_> = serde_json::from_str(text).map_err(|_| WRONG)?;
        let data = raw.data.map_or("null", RawValue::get);
        Ok(match raw.type_name.as_ref() {
            "database_sync" => Self::DatabaseSync(read(data)?),
            "file_transfer" => Self::FileTransfer(read(data)?),
            "media_stream" => Self::MediaStream(read(data)?),
            "config_update" => Self::ConfigUpdate(read(data)?),
            "custom_json" => Self::CustomJson(read(data)?),
            "ping" => Self::Ping(read(data)?),
            "pong" => Self::Pong(read(data)?),
            "ack" => Self::Ack(read(data)?),
            "error" => Self::Error(read(data)?),
            "unknown" => {
                // The number may be known by now, to a program newer than the one that wrote this.
                let RawUnknown { kind, body } = read(data)?;
                Self::decode_body(kind, &body, false).map_err(|_: DecodeError| WRONG)?
            }
            _ => {
                let document = JsonText::parse(text)?;
                let body = document.as_str().as_bytes().to_vec();
                Self::Unknown(Unknown { kind: Unknown::KIND_NAMED, body })
            }
        })
    }
}

fn read<'a, T: Deserialize<'a>>(data: &'a str) -> Result<T, ParseError> {
    serde_json::from_str(data).map_err(|_| WRONG)
}

/// The document of a payload that is known by name alone; none when the bytes are no such document.
fn named_document(unknown: &Unknown) -> Option<JsonText> {
    if unknown.kind != Unknown::KIND_NAMED {
        return None;
    }
    let document = JsonText::parse(std::str::from_utf8(&unknown.body).ok()?).ok()?;
    let raw: RawPayload<'_> = serde_json::from_str(document.as_str()).ok()?;
    // A name that is known would read back as that kind, which is not what the message said.
    let is_known = Payload::TYPE_NAMES.contains(&raw.type_name.as_ref());
    (!is_known).then_some(document)
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return Err(S::Error::custom("a payload has a binary form inside a message only"));
        }
        if let Self::Unknown(unknown) = self
            && let Some(document) = named_document(unknown)
        {
            return document.serialize(serializer);
        }
        let mut tagged = serializer.serialize_struct("Payload", 2)?;
        tagged.serialize_field("type", self.type_name())?;
        match self {
            Self::DatabaseSync(body) => tagged.serialize_field("data", body)?,
            Self::FileTransfer(body) => tagged.serialize_field("data", body)?,
            Self::MediaStream(body) => tagged.serialize_field("data", body)?,
            Self::ConfigUpdate(body) => tagged.serialize_field("data", body)?,
            Self::CustomJson(body) => tagged.serialize_field("data", body)?,
            Self::Ping(body) => tagged.serialize_field("data", body)?,
            Self::Pong(body) => tagged.serialize_field("data", body)?,
            Self::Ack(body) => tagged.serialize_field("data", body)?,
            Self::Error(body) => tagged.serialize_field("data", body)?,
            Self::Unknown(Unknown { kind, body }) => {
                let raw = RawUnknown { kind: *kind, body: body.clone() };
                tagged.serialize_field("data", &raw)?;
            }
        }
        tagged.end()
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let document = Box::<RawValue>::deserialize(deserializer)?;
        Self::from_json_text(document.get()).map_err(D::Error::custom)
    }
}

impl Serialize for ConfigUpdate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let is_left_out = serializer.is_human_readable() && self.value.is_none();
        let mut update = serializer.serialize_struct("ConfigUpdate", 5)?;
        update.serialize_field("key", &self.key)?;
        if is_left_out {
            update.skip_field("value")?;
        } else {
            update.serialize_field("value", &self.value)?;
        }
        update.serialize_field("version", &self.version)?;
        update.serialize_field("author", &self.author)?;
        update.serialize_field("stamp", &self.stamp)?;
        update.end()
    }
}

/// Reads an optional document, where a JSON `null` that stands there is a document too.
pub(super) fn present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<JsonText>, D::Error> {
    if deserializer.is_human_readable() {
        JsonText::deserialize(deserializer).map(Some)
    } else {
        Option::deserialize(deserializer)
    }
}
