//! Edits become a change, when it fits.

use std::collections::BTreeMap;

use mesh_protocol::{PeerId, UnixMillis};
use serde_json::Value;

use super::{Change, ChangeItem, Edit};
use crate::state::row::{check_key, check_value};
use crate::state::{document_of, hidden};
use crate::text::shown_bytes;
use crate::{
    CHANGE_KEYS_MAX, CONFIG_BYTES_MAX, CONFIG_SHOWN_BYTES_MAX, ConfigError, ConfigKey, ConfigState,
    Entry, EntryValue, KEYS_MAX, VERSION_MAX, render_text,
};

/// As long as every revision.
const NO_REVISION: &str = "0000000000000000";

/// Most bytes of what a change's maker says of it.
const NOTE_BYTES_MAX: usize = 4 << 10;

impl ConfigState {
    /// The change that these edits make. Of several edits of a key the last counts; those that change
    /// nothing are left out, all of them when there is nothing to do ([`Change::is_empty`]). `over` says
    /// which entries the edits replace unknowingly.
    ///
    /// # Errors
    /// [`ConfigError`] when it does not fit or does not go together. What only takes away fits also where there is
    /// more than may be; more than [`CHANGE_KEYS_MAX`] keys go in several changes, each of a part of them.
    pub fn plan(
        &self,
        edits: Vec<Edit>,
        over: Vec<(ConfigKey, Entry)>,
        by: PeerId,
        at: UnixMillis,
        note: Option<String>,
    ) -> Result<Change, ConfigError> {
        let note_bytes = note.as_ref().map_or(0, String::len);
        bound("bytes of the note", note_bytes, NOTE_BYTES_MAX)?;
        let edits: BTreeMap<ConfigKey, Option<EntryValue>> =
            edits.into_iter().map(|edit| (edit.key, edit.value)).collect();
        let mut over: BTreeMap<ConfigKey, Entry> = over.into_iter().collect();
        let hidden = hidden(self.entries());
        let mut items = Vec::new();
        for (key, value) in edits {
            let edit = Edit { key, value };
            if self.would_change(&edit) {
                let old = self.entry(&edit.key).cloned();
                let over = over.remove(&edit.key);
                let is_old_hidden = hidden.contains_key(&edit.key);
                let Edit { key, value: new } = edit;
                items.push(ChangeItem { key, old, is_old_hidden, new, over });
            }
        }
        bound("keys of a change", items.len(), CHANGE_KEYS_MAX)?;
        self.check_size(&items)?;
        self.check_clashes(&items)?;
        let version = self.version().saturating_add(1).min(VERSION_MAX);
        let change = Change { version, by, at, note, items };
        self.check_shown(&change)?;
        Ok(change)
    }

    fn check_size(&self, items: &[ChangeItem]) -> Result<(), ConfigError> {
        let (mut keys, mut bytes) = (self.keys(), self.bytes());
        for item in items {
            keys -= usize::from(item.old.is_some());
            bytes -= self.bytes_of(&item.key);
            if let Some(value) = &item.new {
                check_key(&item.key)?;
                keys += 1;
                bytes += check_value(&item.key, value)?;
            }
        }
        // Concurrent changes can bring more than that. Whoever then takes away need not reach it at once.
        bound("keys of the configuration", keys, KEYS_MAX.max(self.keys()))?;
        bound("bytes of the configuration", bytes, CONFIG_BYTES_MAX.max(self.bytes()))
    }

    /// The configuration is shown in a file: there it has to fit.
    fn check_shown(&self, change: &Change) -> Result<(), ConfigError> {
        let added =
            |item: &ChangeItem| item.new.as_ref().map_or(0, |value| shown_bytes(&item.key, value));
        let bytes = self.shown_bytes() + change.items.iter().map(added).sum::<usize>();
        let takes_away = change.items.iter().all(|item| item.new.is_none());
        if bytes <= CONFIG_SHOWN_BYTES_MAX || takes_away {
            return Ok(());
        }
        // What is replaced goes, and keys share the names around them, so it may be less: it is written to see.
        let written = |document: &Value| render_text(None, document, NO_REVISION).len();
        let after = written(&self.after(change));
        if after <= CONFIG_SHOWN_BYTES_MAX {
            return Ok(());
        }
        let before = written(&self.document(None).unwrap_or_default());
        bound("bytes of the configuration in a file", after, CONFIG_SHOWN_BYTES_MAX.max(before))
    }

    /// Members that change something at once may make a clash; a change by itself does not.
    fn check_clashes(&self, items: &[ChangeItem]) -> Result<(), ConfigError> {
        let planned: BTreeMap<&ConfigKey, bool> =
            items.iter().map(|item| (&item.key, item.new.is_some())).collect();
        let clash = |outer: &ConfigKey, inner: &ConfigKey| {
            Err(ConfigError::Clash { outer: outer.clone(), inner: inner.clone() })
        };
        for key in planned.iter().filter(|(_, is_set)| **is_set).map(|(key, _)| *key) {
            for outer in key.ancestors() {
                if planned.get(&outer) == Some(&true) {
                    return clash(&outer, key);
                }
            }
            for (other, _) in self.clashing(key) {
                if planned.contains_key(other) {
                    continue;
                }
                return if key.is_within(other) { clash(other, key) } else { clash(key, other) };
            }
        }
        Ok(())
    }

    /// The document that there would be after `change`.
    #[must_use]
    pub fn after(&self, change: &Change) -> Value {
        let planned: Vec<(&ConfigKey, Option<Entry>)> = change.entries().collect();
        let mut entries: BTreeMap<&ConfigKey, &Entry> = self.entries().collect();
        for (key, entry) in &planned {
            match entry {
                Some(entry) => entries.insert(key, entry),
                None => entries.remove(key),
            };
        }
        let entries = entries.iter().map(|(key, entry)| (*key, *entry));
        document_of(entries, None).unwrap_or_default()
    }
}

fn bound(what: &'static str, count: usize, max: usize) -> Result<(), ConfigError> {
    if count > max {
        return Err(ConfigError::TooMany { what, count, max });
    }
    Ok(())
}
