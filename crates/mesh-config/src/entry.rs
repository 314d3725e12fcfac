//! What is known of a key.

use std::fmt;

use mesh_protocol::{PeerId, UnixMillis};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{ConfigError, ConfigKey, VALUE_BYTES_MAX};

/// The value of a key, and who set it when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The value.
    #[serde(flatten)]
    pub value: EntryValue,
    /// The number of the change that set it.
    pub version: u64,
    /// Who made that change.
    pub by: PeerId,
    /// When, by the maker's clock.
    pub at: UnixMillis,
}

/// A value that everybody can read, or one for some members.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryValue {
    /// A scalar, an array or an empty object.
    #[serde(rename = "value")]
    Plain(Value),
    /// Readable by the members that it names.
    Sealed(SealedValue),
}

/// A value sealed to some members.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedValue {
    /// One for each member that can read it, in the order of their ids.
    pub envelopes: Vec<Envelope>,
}

/// A value sealed to one member.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Who can open it.
    pub to: PeerId,
    /// The sealed bytes, base64.
    pub data: String,
}

impl fmt::Debug for EntryValue {
    /// Shows the kind: values are the users'.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(_) => f.write_str("Plain"),
            Self::Sealed(sealed) => write!(f, "Sealed for {}", sealed.envelopes.len()),
        }
    }
}

impl fmt::Debug for SealedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedValue for {}", self.envelopes.len())
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope").field("to", &self.to).finish_non_exhaustive()
    }
}

impl Entry {
    /// Reads an entry as it stands in the table.
    ///
    /// # Errors
    /// [`ConfigError::Entry`] when it is none.
    pub fn parse(key: &str, text: &str) -> Result<Self, ConfigError> {
        let wrong = |reason: String| ConfigError::Entry { key: key.to_owned(), reason };
        // Twice, as a sealed value has an envelope for each member.
        if text.len() > 2 * VALUE_BYTES_MAX {
            return Err(wrong("it is too large".to_owned()));
        }
        serde_json::from_str(text).map_err(|error| wrong(error.to_string()))
    }

    /// As it stands in the table.
    #[must_use]
    pub fn to_text(&self) -> String {
        // Neither a map with other keys than strings nor a failing writer is involved.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Names the change that set it, in the order in which changes stand.
    #[must_use]
    pub const fn change(&self) -> (u64, PeerId) {
        (self.version, self.by)
    }
}

impl EntryValue {
    /// How it looks in a document: a sealed value as `{"$sealed": {"to": […]}}` with the ids of the members.
    #[must_use]
    pub fn shown(&self) -> Value {
        match self {
            Self::Plain(value) => value.clone(),
            Self::Sealed(sealed) => {
                let to: Vec<String> =
                    sealed.envelopes.iter().map(|envelope| envelope.to.to_string()).collect();
                serde_json::json!({ "$sealed": { "to": to } })
            }
        }
    }

    /// The size of it as JSON, bytes.
    ///
    /// # Errors
    /// [`ConfigError::ValueTooLarge`] when that is more than [`VALUE_BYTES_MAX`].
    pub fn bytes(&self, key: &ConfigKey) -> Result<usize, ConfigError> {
        let bytes = match self {
            Self::Plain(value) => value.to_string().len(),
            Self::Sealed(sealed) => sealed.envelopes.iter().map(|one| one.data.len() + 64).sum(),
        };
        if bytes > VALUE_BYTES_MAX {
            return Err(ConfigError::ValueTooLarge {
                key: key.clone(),
                bytes,
                max: VALUE_BYTES_MAX,
            });
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests;
