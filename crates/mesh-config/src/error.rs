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
    /// A value that cannot stand at a key.
    #[error("the value of {key} is not possible: {reason}")]
    Value {
        /// Whose value it is.
        key: ConfigKey,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// What stands for a sealed value was put where that value is not, or was edited.
    #[error(
        "{key} is shown as a sealed value and is not one of these members: a document cannot set it, \
         only sealing a value does"
    )]
    Placeholder {
        /// Where it stands.
        key: ConfigKey,
    },
    /// Two values of which one would have to be inside the other.
    #[error("{inner} cannot be set, as {outer} has a value of its own")]
    Clash {
        /// The value around it.
        outer: ConfigKey,
        /// The value inside.
        inner: ConfigKey,
    },
    /// A key that does not belong to the part of the configuration that a file shows.
    #[error("{key} is not within {prefix}, which is all that the file shows")]
    Outside {
        /// The key.
        key: ConfigKey,
        /// What the file shows.
        prefix: ConfigKey,
    },
}

/// Why a change cannot be undone. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevertError {
    /// Nothing is known of that change.
    #[error("the change is not in the history")]
    Unknown,
    /// Other changes were made to what would have to be undone.
    #[error("changed since by others: {}", listed(.keys))]
    ChangedSince {
        /// The keys, in their order.
        keys: Vec<ConfigKey>,
    },
}

/// The first of `keys`, and how many more there are.
fn listed(keys: &[ConfigKey]) -> String {
    const SHOWN: usize = 5;
    let mut text: Vec<String> = keys.iter().take(SHOWN).map(ConfigKey::to_string).collect();
    if keys.len() > SHOWN {
        text.push(format!("and {} more", keys.len() - SHOWN));
    }
    text.join(", ")
}
