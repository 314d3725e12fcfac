use mesh_protocol::{PeerId, UnixMillis};

use crate::history::change_text;
use crate::{ConfigKey, Entry, EntryValue};

/// A change of the configuration: all of it or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its number: one more than the greatest that its maker knew. Members that make changes at once may
    /// give them the same number; number and author name a change.
    pub version: u64,
    /// Who made it.
    pub by: PeerId,
    /// When, by the maker's clock.
    pub at: UnixMillis,
    /// What its maker says of it.
    pub note: Option<String>,
    /// What it changes, one for each key, in their order. Nothing when all was so already.
    pub items: Vec<ChangeItem>,
}

/// What a change does to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeItem {
    /// The key.
    pub key: ConfigKey,
    /// What it had.
    pub old: Option<Entry>,
    /// Whether that was not seen, as something else stood in its place.
    pub is_old_hidden: bool,
    /// What it has.
    pub new: Option<EntryValue>,
    /// What was there without the maker of the change knowing of it.
    pub over: Option<Entry>,
}

impl Change {
    /// Whether it changes nothing, and so is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Keys with what is known of them after the change.
    pub fn entries(&self) -> impl Iterator<Item = (&ConfigKey, Option<Entry>)> {
        self.items.iter().map(|item| {
            let entry = |value: &EntryValue| Entry {
                value: value.clone(),
                version: self.version,
                by: self.by,
                at: self.at,
            };
            (&item.key, item.new.as_ref().map(entry))
        })
    }

    /// Rows of the table of entries: key and entry; without an entry the row goes.
    #[must_use]
    pub fn rows(&self) -> Vec<(String, Option<String>)> {
        let row = |(key, entry): (&ConfigKey, Option<Entry>)| {
            (key.to_string(), entry.map(|entry| entry.to_text()))
        };
        self.entries().map(row).collect()
    }

    /// Rows of the history: key and what became of it.
    #[must_use]
    pub fn history(&self) -> Vec<(String, String)> {
        let row = |item| change_text(self, item);
        self.items.iter().map(|item| (item.key.to_string(), row(item))).collect()
    }
}
