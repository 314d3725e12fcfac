use std::fmt;

use mesh_protocol::PeerId;

use crate::ConfigKey;

/// What is shown of a row's key that may be none.
pub(super) fn shown_row(row: &str) -> String {
    row.chars().take(80).collect()
}

/// Why the table is not quite a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Two members made changes at once that do not go together: one set a value where the other set
    /// members. The document shows the later change; this entry is not in it. Setting or removing either key
    /// ends it.
    Hidden {
        /// The key that is not seen.
        key: ConfigKey,
        /// The key that stands instead.
        by_key: ConfigKey,
        /// The change that set the one not seen.
        version: u64,
        /// Who made that.
        by: PeerId,
    },
    /// A row that cannot be read: its key has no entry until it is set again or removed.
    Unreadable {
        /// What the row has for a key, shortened.
        row: String,
        /// The key, if it is one. Of a row without one nothing is missing; it is removed by what it has for a key
        /// ([`ConfigState::rows_without_key`](crate::ConfigState::rows_without_key)).
        key: Option<ConfigKey>,
        /// What is wrong.
        reason: String,
    },
    /// There are more rows than are held: what is known is not all.
    Overfull {
        /// Keys that are held.
        keys: usize,
        /// Bytes of them.
        bytes: usize,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hidden { key, by_key, version, by } => write!(
                f,
                "{key} (version {version} by {}) is not seen: {by_key} was set at the same time and is later",
                by.short()
            ),
            Self::Unreadable { row: _, key: _, reason } => f.write_str(reason),
            Self::Overfull { keys, bytes } => write!(
                f,
                "there is more than can be held; {keys} keys with {bytes} bytes are, others are not"
            ),
        }
    }
}
