//! What is to change, and the change that it becomes.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{ConfigError, ConfigKey, ConfigState, EntryValue, Flat, SealedValue, flatten};

mod change;
mod placeholder;
mod plan;

pub use change::{Change, ChangeItem};
pub(crate) use placeholder::{fold, is_placeholder};

/// A key that gets a value, or loses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The key.
    pub key: ConfigKey,
    /// What it is to have.
    pub value: Option<EntryValue>,
}

/// Edits in the making: one for each key, whatever the state has there.
#[derive(Debug)]
pub(crate) struct Draft<'s> {
    state: &'s ConfigState,
    edits: BTreeMap<ConfigKey, Option<EntryValue>>,
}

impl<'s> Draft<'s> {
    pub(crate) fn new(state: &'s ConfigState) -> Self {
        Self { state, edits: BTreeMap::new() }
    }

    pub(crate) fn set(&mut self, key: &ConfigKey, value: EntryValue) {
        self.edits.insert(key.clone(), Some(value));
    }

    /// Does not take back what is to be set.
    pub(crate) fn remove(&mut self, key: &ConfigKey) {
        self.edits.entry(key.clone()).or_insert(None);
    }

    /// Sets `key`, and removes what cannot stand beside it.
    pub(crate) fn put(&mut self, key: &ConfigKey, value: EntryValue) {
        for (other, _) in self.state.clashing(key) {
            self.remove(other);
        }
        self.set(key, value);
    }

    /// Without those that would change nothing.
    pub(crate) fn finish(self) -> Vec<Edit> {
        let state = self.state;
        let edits = self.edits.into_iter().map(|(key, value)| Edit { key, value });
        edits.filter(|edit| state.would_change(edit)).collect()
    }
}

impl ConfigState {
    /// Edits after which exactly `value` stands at `key`: what is at the key and beneath it goes, and so
    /// does a value around it. Keys that have the same value already are left alone; `null` is a value. The
    /// form in which a sealed value is shown stands for that value where it is.
    ///
    /// # Errors
    /// [`ConfigError::Key`] where names are too long or too deep, [`ConfigError::Placeholder`] for a sealed
    /// value that is not there.
    pub fn edits_to_set(&self, key: &ConfigKey, value: &Value) -> Result<Vec<Edit>, ConfigError> {
        let values = fold(&flatten(Some(key), value)?)?;
        let mut draft = Draft::new(self);
        for (inner, value) in &values {
            draft.put(inner, self.value_for(inner, value)?);
        }
        for (inner, _) in self.within(key) {
            draft.remove(inner);
        }
        for inner in self.unreadable_within(key) {
            draft.remove(&inner);
        }
        Ok(draft.finish())
    }

    /// Edits after which that sealed value stands at `key`, as [`ConfigState::edits_to_set`].
    #[must_use]
    pub fn edits_to_seal(&self, key: &ConfigKey, value: SealedValue) -> Vec<Edit> {
        self.edits_to_put(key, EntryValue::Sealed(value))
    }

    /// Edits after which that value stands at `key`, as [`ConfigState::edits_to_set`]: so comes back what
    /// lost a conflict, sealed or not.
    #[must_use]
    pub fn edits_to_put(&self, key: &ConfigKey, value: EntryValue) -> Vec<Edit> {
        let mut draft = Draft::new(self);
        draft.put(key, value);
        for inner in self.unreadable_within(key) {
            draft.remove(&inner);
        }
        draft.finish()
    }

    /// Edits after which nothing stands at `key` and beneath it, nor what was only hidden by that.
    #[must_use]
    pub fn edits_to_unset(&self, key: &ConfigKey) -> Vec<Edit> {
        let mut draft = Draft::new(self);
        let mut is_there = false;
        for (inner, _) in self.within(key) {
            is_there = true;
            draft.remove(inner);
        }
        if is_there {
            let standing = self.standing();
            for (other, _) in self.clashing(key) {
                if !standing.contains_key(other) {
                    draft.remove(other);
                }
            }
        }
        for inner in self.unreadable_within(key) {
            draft.remove(&inner);
        }
        draft.finish()
    }

    /// Edits that set each of these keys, and nothing else but what cannot stand beside them. An empty
    /// object is set where there is nothing beneath it.
    ///
    /// # Errors
    /// [`ConfigError::Placeholder`] as [`ConfigState::edits_to_set`].
    pub fn edits_to_merge(&self, values: &Flat) -> Result<Vec<Edit>, ConfigError> {
        let mut draft = Draft::new(self);
        for (key, value) in &fold(values)? {
            if is_empty_object(value) && self.within(key).any(|(inner, _)| inner != key) {
                continue;
            }
            draft.put(key, self.value_for(key, value)?);
        }
        Ok(draft.finish())
    }

    /// What a value of a document means at `key`.
    fn value_for(&self, key: &ConfigKey, value: &Value) -> Result<EntryValue, ConfigError> {
        if !is_placeholder(value) {
            return Ok(EntryValue::Plain(value.clone()));
        }
        match self.entry(key) {
            Some(entry) if shows(&entry.value, value) => Ok(entry.value.clone()),
            Some(_) | None => Err(ConfigError::Placeholder { key: key.clone() }),
        }
    }

    /// Whether `edit` asks for something else than what is there and seen.
    pub(crate) fn would_change(&self, edit: &Edit) -> bool {
        let present = self.entry(&edit.key).map(|entry| &entry.value);
        // A value that does not go together with another may not be seen. Whoever sets it makes it the later one, and
        // the history says so.
        let may_be_hidden = || edit.value.is_some() && !self.clashing(&edit.key).is_empty();
        present != edit.value.as_ref() || self.is_unreadable(&edit.key) || may_be_hidden()
    }
}

pub(crate) fn is_empty_object(value: &Value) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty)
}

/// Whether `entry` looks like `value` in a document.
pub(crate) fn shows(entry: &EntryValue, value: &Value) -> bool {
    match entry {
        EntryValue::Plain(plain) => plain == value,
        EntryValue::Sealed(_) => is_placeholder(value) && entry.shown() == *value,
    }
}

#[cfg(test)]
pub(crate) mod tests;
