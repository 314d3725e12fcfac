//! Dotted keys.

use std::fmt;
use std::str::FromStr;

use crate::{ConfigError, KEY_BYTES_MAX, KEY_SEGMENTS_MAX};

/// Where a value stands: the names of the objects around it and its own, outermost first.
///
/// As text the names are joined by dots; a name other than letters, digits, `_` and `-` is written as a
/// JSON string: `agents."a.b".webhook`. Keys are ordered by their names, so that what stands beneath a key
/// follows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConfigKey(Vec<String>);

impl ConfigKey {
    /// A key of these names.
    ///
    /// # Errors
    /// [`ConfigError::Key`] when there is none, there are more than [`KEY_SEGMENTS_MAX`], or the text is
    /// longer than [`KEY_BYTES_MAX`].
    pub fn new(segments: Vec<String>) -> Result<Self, ConfigError> {
        let key = Self(segments);
        let text = key.to_string();
        let reason = if key.0.is_empty() {
            "it is empty"
        } else if key.0.len() > KEY_SEGMENTS_MAX {
            "it has more than 16 names"
        } else if text.len() > KEY_BYTES_MAX {
            "it is longer than 512 bytes"
        } else {
            return Ok(key);
        };
        let text = text.chars().take(80).collect();
        Err(ConfigError::Key { text, reason })
    }

    /// Its names, outermost first; at least one.
    #[must_use]
    pub fn segments(&self) -> &[String] {
        &self.0
    }

    /// The key one name further in.
    ///
    /// # Errors
    /// As [`ConfigKey::new`].
    pub fn child(&self, name: &str) -> Result<Self, ConfigError> {
        let mut segments = self.0.clone();
        segments.push(name.to_owned());
        Self::new(segments)
    }

    /// Whether it is `other` or stands beneath it.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// The keys around it, outermost first.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> + '_ {
        (1..self.0.len()).filter_map(|count| self.0.get(..count).map(|names| Self(names.to_vec())))
    }
}

fn is_plain(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    !name.is_empty() && name.bytes().all(is_letter)
}

impl fmt::Display for ConfigKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            if is_plain(name) {
                f.write_str(name)?;
            } else {
                write!(f, "{}", serde_json::Value::from(name.as_str()))?;
            }
        }
        Ok(())
    }
}

impl FromStr for ConfigKey {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let wrong = |reason| ConfigError::Key { text: text.chars().take(80).collect(), reason };
        if text.len() > KEY_BYTES_MAX {
            return Err(wrong("it is longer than 512 bytes"));
        }
        let mut segments = Vec::new();
        let mut rest = text;
        loop {
            let (name, behind) = if rest.starts_with('"') {
                let mut names = serde_json::Deserializer::from_str(rest).into_iter::<String>();
                let name = names.next().and_then(Result::ok);
                let name = name.ok_or_else(|| wrong("a quoted name is no JSON string"))?;
                (name, rest.get(names.byte_offset()..).unwrap_or_default())
            } else {
                let end = rest.find('.').unwrap_or(rest.len());
                let (name, behind) = rest.split_at(end);
                if !is_plain(name) {
                    return Err(wrong(
                        "a name between dots has letters, digits, _ and -, or is in double quotes",
                    ));
                }
                (name.to_owned(), behind)
            };
            segments.push(name);
            if behind.is_empty() {
                return Self::new(segments);
            }
            rest = behind.strip_prefix('.').ok_or_else(|| wrong("a dot is missing"))?;
        }
    }
}

#[cfg(test)]
mod tests;
