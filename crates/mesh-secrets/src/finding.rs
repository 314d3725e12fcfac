use std::fmt;

use serde::{Serialize, Serializer};

/// The stable name of a rule, such as `telegram_bot_token`. Allow lists and scripts depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub(crate) &'static str);

impl RuleId {
    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Serialize for RuleId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

/// Says that something looks like a secret, and where. It never holds any part of the value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Finding {
    /// The file, message or dotted key. A part of it that is itself a secret is replaced by `[secret]`.
    pub name: String,
    /// The line, from 1; 0 when the name alone is what was found.
    pub line: u64,
    /// The byte within the line, from 1; 0 when the name alone is what was found.
    pub column: u64,
    /// The rule that found it.
    pub rule: RuleId,
    /// What it looks like, with its article: `a Telegram bot token`.
    pub what: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {} (rule {})", self.what, self.rule)
    }
}
