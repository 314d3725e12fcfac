//! Everything that is known.

use std::collections::BTreeMap;
use std::ops::Bound;

use serde_json::Value;

use crate::text::{SHOWN_BYTES_AROUND, shown_bytes};
use crate::{CONFIG_BYTES_MAX, ConfigError, ConfigKey, Entry, KEYS_MAX, unflatten};

mod problem;
pub(crate) mod row;
mod standing;

pub use problem::Problem;
pub(crate) use standing::hidden;

/// Greatest number of a change: what every reader of JSON can count to. An entry with a greater one is not
/// read, and no change is numbered beyond it. To bring a mesh there takes two million rows, as nobody counts on
/// from a number that is more than [`VERSION_JUMP_MAX`] ahead.
pub const VERSION_MAX: u64 = (1 << 53) - 1;

/// How far a number may be ahead of the greatest that is known, to be counted on from. Nobody makes so many
/// changes while another is away. One row with the greatest of all numbers would otherwise leave none for the
/// changes to come, which would then share a name and overwrite each other in the history.
pub const VERSION_JUMP_MAX: u64 = 1 << 32;

/// Rows that are held. More than one change may bring, as members that do not hear of each other may each
/// fill what is allowed.
const HELD_ROWS_MAX: usize = 2 * KEYS_MAX;

/// Bytes of keys and values that are held.
const HELD_BYTES_MAX: usize = 2 * CONFIG_BYTES_MAX;

/// The entries of all keys, as they stand in the table, whether or not they go together.
///
/// What it is depends on the rows alone and not on the order in which they came, nor on rows that were there
/// before: two members with the same rows have the same state, and so has one that starts again. (Only
/// [`ConfigState::version`] remembers.) Therefore a row that cannot be read takes the place of the entry
/// that was there: the key has no entry, and a [`Problem`] says so until the row is replaced or removed.
///
/// It holds twice of what a change may fill. Rows beyond it are left out, and [`Problem::Overfull`] says so
/// from then on: such a state is not the configuration.
#[derive(Clone, Debug, Default)]
pub struct ConfigState {
    entries: BTreeMap<ConfigKey, Held>,
    /// By the key's text, which may be no key.
    unreadable: BTreeMap<String, String>,
    /// Of keys and values.
    bytes: usize,
    /// What a file shows of each key, if it showed that key alone.
    shown_bytes: usize,
    unreadable_bytes: usize,
    version: u64,
    is_overfull: bool,
}

#[derive(Clone, Debug)]
struct Held {
    entry: Entry,
    /// Of key and value.
    bytes: usize,
    shown_bytes: usize,
}

/// What a row made of a key's entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The key.
    pub key: ConfigKey,
    /// What it had.
    pub old: Option<Entry>,
    /// What it has.
    pub new: Option<Entry>,
}

impl ConfigState {
    /// A state without rows, of a member that has counted up to `version`.
    #[must_use]
    pub fn numbered_from(version: u64) -> Self {
        Self { version: version.min(VERSION_MAX), ..Self::default() }
    }

    /// Takes a row of the table that appeared, changed or vanished. Repeating it is harmless.
    ///
    /// # Errors
    /// [`ConfigError`] when the row cannot be read or there is no room: the key has no entry then, and
    /// [`ConfigState::problems`] names it.
    pub fn put(&mut self, key: &str, entry: Option<&str>) -> Result<Option<Changed>, ConfigError> {
        if let Some(reason) = self.unreadable.remove(key) {
            self.unreadable_bytes -= key.len() + reason.len();
        }
        let Some(text) = entry else {
            let Ok(key) = row::read_key(key) else { return Ok(None) };
            let old = self.take(&key);
            return Ok(old.map(|old| Changed { key, old: Some(old), new: None }));
        };
        match row::read(key, text) {
            Ok(row) => self.hold(row),
            Err(error) => {
                if let Ok(key) = row::read_key(key) {
                    self.take(&key);
                }
                self.hold_unreadable(key, &error);
                Err(error)
            }
        }
    }

    fn hold(&mut self, row: row::Row) -> Result<Option<Changed>, ConfigError> {
        let row::Row { key, entry, bytes } = row;
        self.note_version(entry.version);
        if self.entries.get(&key).is_some_and(|held| held.entry == entry) {
            return Ok(None);
        }
        let old = self.take(&key);
        self.check_room(bytes)?;
        let shown_bytes = shown_bytes(&key, &entry.value);
        self.bytes += bytes;
        self.shown_bytes += shown_bytes;
        self.entries.insert(key.clone(), Held { entry: entry.clone(), bytes, shown_bytes });
        Ok(Some(Changed { key, old, new: Some(entry) }))
    }

    fn hold_unreadable(&mut self, key: &str, error: &ConfigError) {
        let reason = error.to_string();
        let bytes = key.len() + reason.len();
        if self.check_room(bytes).is_ok() {
            self.unreadable_bytes += bytes;
            self.unreadable.insert(key.to_owned(), reason);
        }
    }

    fn check_room(&mut self, bytes: usize) -> Result<(), ConfigError> {
        let too_many = |what, count, max| Err(ConfigError::TooMany { what, count, max });
        let rows = self.entries.len() + self.unreadable.len() + 1;
        let bytes = self.bytes + self.unreadable_bytes + bytes;
        self.is_overfull |= rows > HELD_ROWS_MAX || bytes > HELD_BYTES_MAX;
        if rows > HELD_ROWS_MAX {
            return too_many("keys of the configuration", rows, HELD_ROWS_MAX);
        }
        if bytes > HELD_BYTES_MAX {
            return too_many("bytes of the configuration", bytes, HELD_BYTES_MAX);
        }
        Ok(())
    }

    fn take(&mut self, key: &ConfigKey) -> Option<Entry> {
        let held = self.entries.remove(key)?;
        self.bytes -= held.bytes;
        self.shown_bytes -= held.shown_bytes;
        Some(held.entry)
    }

    /// What is known of `key`.
    #[must_use]
    pub fn entry(&self, key: &ConfigKey) -> Option<&Entry> {
        self.entries.get(key).map(|held| &held.entry)
    }

    /// All entries in the order of their keys, also those that others hide in the document.
    pub fn entries(&self) -> impl Iterator<Item = (&ConfigKey, &Entry)> + Clone {
        self.entries.iter().map(|(key, held)| (key, &held.entry))
    }

    /// The entries at `key` and beneath it, in the order of their keys.
    pub fn within<'s>(
        &'s self,
        key: &'s ConfigKey,
    ) -> impl Iterator<Item = (&'s ConfigKey, &'s Entry)> {
        self.entries
            .range((Bound::Included(key), Bound::Unbounded))
            .take_while(move |(inner, _)| inner.is_within(key))
            .map(|(key, held)| (key, &held.entry))
    }

    /// The entries that make up the document, in the order of their keys. Of two entries of which one would
    /// have to be inside the other the one with the greater change stands, everywhere the same.
    #[must_use]
    pub fn standing(&self) -> BTreeMap<&ConfigKey, &Entry> {
        let hidden = hidden(self.entries());
        self.entries().filter(|(key, _)| !hidden.contains_key(key)).collect()
    }

    /// The document, or what of it is at `prefix`: `None` when nothing is. Sealed values are as
    /// [`EntryValue::shown`](crate::EntryValue::shown) has them.
    #[must_use]
    pub fn document(&self, prefix: Option<&ConfigKey>) -> Option<Value> {
        document_of(self.entries(), prefix)
    }

    /// Whether there are more rows than are held: it is to be built anew from all of them, in the order of their
    /// keys, whenever they change.
    #[must_use]
    pub const fn is_overfull(&self) -> bool {
        self.is_overfull
    }

    /// What does not go together, and what cannot be read.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.is_overfull {
            problems.push(Problem::Overfull { keys: self.keys(), bytes: self.bytes });
        }
        for (hidden, standing) in hidden(self.entries()) {
            if let Some(entry) = self.entry(hidden) {
                let (key, by_key) = (hidden.clone(), standing.clone());
                let (version, by) = entry.change();
                problems.push(Problem::Hidden { key, by_key, version, by });
            }
        }
        let unreadable = self.unreadable.iter().map(|(row, reason)| Problem::Unreadable {
            row: problem::shown_row(row),
            key: row::read_key(row).ok().filter(|key| row::check_key(key).is_ok()),
            reason: reason.clone(),
        });
        problems.extend(unreadable);
        problems
    }

    /// Rows that are no key's and of which [`Problem::Unreadable`] shows `shown`, as they stand in the table. No edit
    /// names them, so they are removed by what they have for a key.
    #[must_use]
    pub fn rows_without_key(&self, shown: &str) -> Vec<String> {
        let rows = self.unreadable.keys();
        let is_named =
            |row: &&String| problem::shown_row(row) == shown && row::read_key(row).is_err();
        rows.filter(is_named).cloned().collect()
    }

    /// Greatest number of a change that is known and is not too far ahead ([`VERSION_JUMP_MAX`]); the next change
    /// has the one after it.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Notes a change that is known from the history: what it set may have been removed since. One that is more
    /// than [`VERSION_JUMP_MAX`] ahead is not counted on from; an entry of it stands like any other, with its number.
    pub fn note_version(&mut self, version: u64) {
        if version <= VERSION_MAX && version <= self.version.saturating_add(VERSION_JUMP_MAX) {
            self.version = self.version.max(version);
        }
    }

    /// How many keys have an entry.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of keys and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of `key` and its value; nothing without an entry.
    pub(crate) fn bytes_of(&self, key: &ConfigKey) -> usize {
        self.entries.get(key).map_or(0, |held| held.bytes)
    }

    /// At least what a file has that shows all of it.
    pub(crate) fn shown_bytes(&self) -> usize {
        SHOWN_BYTES_AROUND + self.shown_bytes
    }

    /// Whether the row of `key` is there and cannot be read.
    pub(crate) fn is_unreadable(&self, key: &ConfigKey) -> bool {
        !self.unreadable.is_empty() && self.unreadable.contains_key(&key.to_string())
    }

    /// Rows at `key` and beneath it that cannot be read.
    pub(crate) fn unreadable_within(&self, key: &ConfigKey) -> Vec<ConfigKey> {
        let keys = self.unreadable.keys().filter_map(|row| row::read_key(row).ok());
        keys.filter(|inner| inner.is_within(key)).collect()
    }

    /// Entries of which `key` would have to be inside, or that would have to be inside `key`.
    pub(crate) fn clashing(&self, key: &ConfigKey) -> Vec<(&ConfigKey, &Entry)> {
        let known = |outer: ConfigKey| self.entries.get_key_value(&outer);
        let above = key.ancestors().filter_map(known).map(|(key, held)| (key, &held.entry));
        let beneath = self
            .entries
            .range((Bound::Excluded(key), Bound::Unbounded))
            .take_while(|(inner, _)| inner.is_within(key))
            .map(|(key, held)| (key, &held.entry));
        above.chain(beneath).collect()
    }
}

/// The document of these entries, which are in the order of their keys.
pub(crate) fn document_of<'s>(
    entries: impl Iterator<Item = (&'s ConfigKey, &'s Entry)> + Clone,
    prefix: Option<&ConfigKey>,
) -> Option<Value> {
    let hidden = hidden(entries.clone());
    let seen = entries
        .filter(|(key, _)| !hidden.contains_key(key) && prefix.is_none_or(|at| key.is_within(at)));
    let whole = unflatten(seen.map(|(key, entry)| (key, entry.value.shown())));
    let Some(prefix) = prefix else { return Some(whole) };
    let mut inner = whole;
    for name in prefix.segments() {
        inner = match inner {
            Value::Object(mut members) => members.remove(name)?,
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => return None,
        };
    }
    Some(inner)
}

#[cfg(test)]
pub(crate) mod tests;
