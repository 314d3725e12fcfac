//! Keys that stay on this machine.

use std::collections::BTreeSet;

use crate::{ConfigKey, Flat};

/// Always local, whatever else is.
const ALWAYS: [&str; 2] = ["cron", "local"];

/// Never local, whatever a list says: what lies in it decides which keys are, and could not be taken back.
const NEVER: &str = "mesh";

/// Keys that lie in this machine's own file only, each with everything beneath it.
///
/// When the list becomes shorter, what was local must not be told to others by that alone: who renders
/// and merges a file keeps the keys that lie in it locally on the list until the user shares them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalKeys {
    /// None of them within another, so that the greatest that is not greater than a key is the only one
    /// that can be around it.
    keys: BTreeSet<ConfigKey>,
}

impl LocalKeys {
    /// `cron`, `local` and these, but for `mesh` and what is beneath it: the list itself stays shared.
    pub fn new(list: impl IntoIterator<Item = ConfigKey>) -> Self {
        let always = ALWAYS.iter().filter_map(|name| ConfigKey::new(vec![(*name).to_owned()]).ok());
        let list =
            list.into_iter().filter(|key| key.segments().first().is_none_or(|name| name != NEVER));
        let all: BTreeSet<ConfigKey> = always.chain(list).collect();
        let mut local = Self { keys: BTreeSet::new() };
        // Outer keys come before inner ones.
        for key in all {
            if !local.is_local(&key) {
                local.keys.insert(key);
            }
        }
        local
    }

    /// Whether `key` stays here.
    #[must_use]
    pub fn is_local(&self, key: &ConfigKey) -> bool {
        self.keys.range(..=key).next_back().is_some_and(|outer| key.is_within(outer))
    }

    /// What of `values` is shared, and what stays here.
    #[must_use]
    pub fn split(&self, values: &Flat) -> (Flat, Flat) {
        let copy = values.iter().map(|(key, value)| (key.clone(), value.clone()));
        copy.partition(|(key, _)| !self.is_local(key))
    }
}

#[cfg(test)]
mod tests;
