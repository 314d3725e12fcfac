use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{HOSTNAME_BYTES_MAX, ParseError};

/// A member's label: 1 to 63 of `a-z 0-9 - _ .`, starting and ending with a letter or digit.
///
/// Parsing lowers the case, so two names that differ by case alone are the same name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hostname(String);

impl Hostname {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Hostname {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        const WHAT: &str = "hostname";
        if text.is_empty() || text.len() > HOSTNAME_BYTES_MAX {
            return Err(ParseError::Length { what: WHAT, bytes: text.len() });
        }
        let name = text.to_ascii_lowercase();
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = name.as_bytes();
        if !bytes.iter().copied().all(inner) || !edge(bytes.first()) || !edge(bytes.last()) {
            return Err(ParseError::Characters { what: WHAT });
        }
        Ok(Self(name))
    }
}

impl TryFrom<String> for Hostname {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<Hostname> for String {
    fn from(name: Hostname) -> Self {
        name.0
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
