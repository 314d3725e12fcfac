use crate::ConfigKey;

/// Why something cannot be done to the configuration. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not a key.
    #[error("{text:?} is no key of the configuration: {reason}")]
    Key {
        /// What was given, shortened.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A value that is too large.
    #[error("the value of {key} has {bytes} bytes, at most {max} are possible")]
    ValueTooLarge {
        /// Whose value it is.
        key: ConfigKey,
        /// Its size as JSON.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// More than fits.
    #[error("{what}: {count}, at most {max} are possible")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How much there would be.
        count: usize,
        /// The bound.
        max: usize,
    },
    /// An entry that is not what this version writes.
    #[error("the entry of {key:?} cannot be read: {reason}")]
    Entry {
        /// The key as it stands in the table.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}
