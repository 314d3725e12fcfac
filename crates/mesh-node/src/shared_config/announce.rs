//! Each change is told: as an event, in the log, and to whoever follows.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh_config::{Action, AnnouncedItem, ConfigKey, EntryValue, HistoryItem, announce};
use mesh_protocol::{PeerId, UnixMillis};
use serde_json::Value;

use super::SharedConfig;
use crate::clock;
use crate::shared::{Shared, lock};

/// What the note of an import begins with.
pub(super) const IMPORT_NOTE: &str = "import";

/// What the note of a revert begins with; the change that was undone follows.
pub(super) const REVERT_NOTE: &str = "revert of ";

/// What became of a key of the shared configuration.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigChange {
    /// The key.
    pub key: ConfigKey,
    /// Its value since then; none when it is gone.
    pub new: Option<EntryValue>,
    /// Its value before; none when it had none.
    pub old: Option<EntryValue>,
    /// The number of the change.
    pub version: u64,
    /// Who made it.
    pub by: PeerId,
    /// When, by that member's clock.
    pub at: UnixMillis,
    /// The change that it is a part of, for people.
    pub text: Arc<str>,
}

impl std::fmt::Debug for ConfigChange {
    /// Shows which change it is: values are the users'.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConfigChange")
            .field("key", &self.key)
            .field("version", &self.version)
            .field("by", &self.by)
            .finish_non_exhaustive()
    }
}

fn action_of(note: Option<&str>) -> Action {
    let Some(note) = note else { return Action::Edit };
    match note.strip_prefix(REVERT_NOTE) {
        Some(change) => Action::Revert { change: change.to_owned() },
        None if note.starts_with(IMPORT_NOTE) => Action::Import,
        None => Action::Edit,
    }
}

impl SharedConfig {
    /// Whether a value looks like a secret: it came past the check of the member that set it, and is not
    /// to be shown all the same.
    pub(super) fn is_secret(&self, key: &ConfigKey, value: &Value) -> bool {
        let now = i64::try_from(clock::now().wall.0 / 1000).unwrap_or(i64::MAX);
        let findings = self.scanner.scan_value(&key.to_string(), value, now);
        findings.map_or(true, |findings| !findings.is_empty())
    }
}

impl Shared {
    /// Tells of changes that were written, as far as they came into force.
    pub(super) fn announce_config(&self, items: Vec<HistoryItem>) {
        let mut made: BTreeMap<(u64, PeerId), Vec<HistoryItem>> = BTreeMap::new();
        {
            let mut state = lock(&self.shared_config.state);
            for item in items {
                state.note_version(item.version);
                let entry = state.entry(&item.key);
                // One that lost against another of the same moment is told as a conflict instead.
                let was_in_force = match (entry, &item.new) {
                    (None, _) => true,
                    (Some(entry), Some(_)) => {
                        entry.change() == (item.version, item.by) || entry.version > item.version
                    }
                    (Some(entry), None) => entry.version > item.version,
                };
                if was_in_force {
                    made.entry((item.version, item.by)).or_default().push(item);
                }
            }
        }
        for ((version, by), items) in made {
            self.announce_one(version, by, items);
        }
    }

    fn announce_one(&self, version: u64, by: PeerId, items: Vec<HistoryItem>) {
        let config = &self.shared_config;
        let who = self.view().label(&by);
        let action = action_of(items.first().and_then(|item| item.note.as_deref()));
        let announced: Vec<AnnouncedItem<'_>> = items
            .iter()
            .map(|item| AnnouncedItem {
                key: &item.key,
                old: item.old.as_ref(),
                new: item.new.as_ref(),
            })
            .collect();
        let is_secret = |key: &ConfigKey, value: &Value| config.is_secret(key, value);
        let told = announce(&who, &action, version, &announced, is_secret);
        let mut fields = told.fields;
        if let Value::Object(fields) = &mut fields {
            fields.insert("text".to_owned(), Value::from(told.text.clone()));
        }
        self.events.emit(clock::now().wall, "config_changed", fields);
        let text: Arc<str> = told.text.into();
        let changed = items.into_iter().map(|item| {
            let HistoryItem { key, new, old, version, by, at, .. } = item;
            Arc::new(ConfigChange { key, new, old, version, by, at, text: Arc::clone(&text) })
        });
        // Together, so that a large change leaves nobody behind who keeps up with small ones.
        let _nobody_follows = config.changes.send(Arc::new(changed.collect()));
    }
}
