//! What an edited file means.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use serde_json::Value;

use crate::edit::{Draft, fold, is_empty_object, is_placeholder, shows};
use crate::{ConfigError, ConfigKey, ConfigState, Edit, Entry, EntryValue, Flat, LocalKeys};

/// What a file asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileMerge {
    /// What the file changes in the configuration.
    pub edits: Vec<Edit>,
    /// Entries that the file replaces or removes and that whoever edited it had not seen. Without a base, all
    /// that it replaces: what the editor had seen is not known.
    pub over: Vec<(ConfigKey, Entry)>,
    /// Keys that the file sets and that others removed since: their removal has no entry to keep.
    pub revived: Vec<ConfigKey>,
    /// The part of the file that stays on this machine.
    pub local: Flat,
    /// Keys that the file lacks and that stay, as what the file was based on is not known.
    pub kept: Vec<ConfigKey>,
}

impl ConfigState {
    /// What `file` asks for, whose text began as `base`: what it changed applies, what others changed since
    /// stays. Where both did, the file's is the later intention: it applies, and what it replaces is in
    /// [`FileMerge::over`]. Where a value became members on one side and the other side changed one of the
    /// two, the same holds for all of it.
    ///
    /// Without a base nothing is removed but what cannot stand beside the file's values. `base` and `file`
    /// have whole keys, also when the file shows `prefix` alone.
    ///
    /// # Errors
    /// [`ConfigError::Placeholder`] where the file sets what stands for a sealed value to anything but what
    /// is shown, [`ConfigError::Outside`] for a key that is not within `prefix`.
    pub fn merge_file(
        &self,
        base: Option<&Flat>,
        file: &Flat,
        prefix: Option<&ConfigKey>,
        local: &LocalKeys,
    ) -> Result<FileMerge, ConfigError> {
        if let Some(prefix) = prefix
            && let Some(key) = file.keys().find(|key| !key.is_within(prefix))
        {
            return Err(ConfigError::Outside { key: key.clone(), prefix: prefix.clone() });
        }
        let (shared, local_part) = local.split(file);
        let standing = self.standing();
        let is_seen = |key: &ConfigKey| {
            !local.is_local(key) && prefix.is_none_or(|prefix| key.is_within(prefix))
        };
        let ours = standing.iter().filter(|(key, _)| is_seen(key));
        let ours: BTreeMap<&ConfigKey, &Entry> = ours.map(|(key, entry)| (*key, *entry)).collect();
        let mut file = fold(&shared)?;
        // A base that nobody can have been shown is as good as none.
        let mut base = base.and_then(|base| fold(&local.split(base).0).ok());
        if let Some(prefix) = prefix
            && !ours.get(prefix).is_some_and(|entry| is_empty(&entry.value))
        {
            // A view of nothing is an empty document, as the whole is when there is nothing.
            for values in [Some(&mut file), base.as_mut()].into_iter().flatten() {
                if values.get(prefix).is_some_and(is_empty_object) {
                    values.remove(prefix);
                }
            }
        }
        let merger = Merger {
            state: self,
            standing: &standing,
            ours: &ours,
            base: base.as_ref(),
            file: &file,
            set: BTreeSet::new(),
            gone: BTreeSet::new(),
            over: BTreeMap::new(),
            revived: BTreeSet::new(),
        };
        merger.merge(local_part)
    }
}

/// A merge under way: `set` gets the file's values, `gone` goes.
struct Merger<'m> {
    state: &'m ConfigState,
    /// All that is seen in the document.
    standing: &'m BTreeMap<&'m ConfigKey, &'m Entry>,
    /// What of it the file shows.
    ours: &'m BTreeMap<&'m ConfigKey, &'m Entry>,
    base: Option<&'m Flat>,
    file: &'m Flat,
    set: BTreeSet<&'m ConfigKey>,
    gone: BTreeSet<&'m ConfigKey>,
    over: BTreeMap<&'m ConfigKey, &'m Entry>,
    revived: BTreeSet<&'m ConfigKey>,
}

impl<'m> Merger<'m> {
    fn merge(mut self, local: Flat) -> Result<FileMerge, ConfigError> {
        for (key, value) in self.file {
            self.compare_present(key, value);
        }
        for (key, entry) in self.ours {
            if !self.file.contains_key(*key) {
                self.compare_missing(key, entry);
            }
        }
        self.drop_empty_objects();
        self.make_room();
        self.remove_hidden();
        let mut draft = Draft::new(self.state);
        for key in &self.set {
            let Some(value) = self.file.get(*key) else { continue };
            if is_placeholder(value) {
                return Err(ConfigError::Placeholder { key: (*key).clone() });
            }
            draft.set(key, EntryValue::Plain(value.clone()));
        }
        for key in &self.gone {
            draft.remove(key);
        }
        let missing = self.ours.keys().filter(|key| !self.file.contains_key(**key));
        let kept = missing.filter(|key| self.base.is_none() && !self.gone.contains(**key));
        let kept = kept.map(|key| (*key).clone()).collect();
        let over = self.over.iter().map(|(key, entry)| ((*key).clone(), (*entry).clone()));
        let over = over.collect();
        let revived = self.revived.into_iter().cloned().collect();
        Ok(FileMerge { edits: draft.finish(), over, revived, local, kept })
    }

    /// A key that the file has.
    fn compare_present(&mut self, key: &'m ConfigKey, value: &Value) {
        let present = self.ours.get(key).copied();
        if present.is_some_and(|entry| shows(&entry.value, value)) {
            return;
        }
        let before = self.base.and_then(|base| base.get(key));
        if before == Some(value) {
            return;
        }
        match (present, before) {
            (Some(entry), Some(before)) if shows(&entry.value, before) => {}
            (Some(entry), _) => {
                self.over.insert(key, entry);
            }
            (None, Some(_)) => {
                self.revived.insert(key);
            }
            (None, None) => {}
        }
        self.set.insert(key);
    }

    /// A key that the file does not have.
    fn compare_missing(&mut self, key: &'m ConfigKey, entry: &'m Entry) {
        // Without a base, or when others added it, the file says nothing of it.
        let Some(before) = self.base.and_then(|base| base.get(key)) else { return };
        self.gone.insert(key);
        if !shows(&entry.value, before) {
            self.over.insert(key, entry);
        }
    }

    /// An object of which the file knows no members is not empty while others have given it some.
    fn drop_empty_objects(&mut self) {
        let (standing, gone) = (self.standing, &self.gone);
        let has_members = |key: &ConfigKey| {
            let behind = (Bound::Excluded(key), Bound::Unbounded);
            let inner = standing.range::<ConfigKey, _>(behind).map(|(inner, _)| *inner);
            inner.take_while(|inner| inner.is_within(key)).any(|inner| !gone.contains(inner))
        };
        let file = self.file;
        let is_dropped =
            |key: &ConfigKey| file.get(key).is_some_and(is_empty_object) && has_members(key);
        let dropped: Vec<&ConfigKey> =
            self.set.iter().copied().filter(|key| is_dropped(key)).collect();
        for key in dropped {
            self.set.remove(key);
            self.revived.remove(key);
        }
    }

    /// Removes what cannot stand beside what the file sets. Where that is a value that others put in the
    /// place of members, the members that the file still has come back with the one that it changed.
    fn make_room(&mut self) {
        let set: Vec<&ConfigKey> = self.set.iter().copied().collect();
        for key in set {
            for (other, entry) in self.state.clashing(key) {
                if !self.standing.contains_key(other) || self.gone.contains(other) {
                    continue;
                }
                self.gone.insert(other);
                if is_empty(&entry.value) {
                    continue;
                }
                self.over.insert(other, entry);
                if key.is_within(other) {
                    self.bring_back(other);
                }
            }
        }
    }

    fn bring_back(&mut self, outer: &ConfigKey) {
        let file = self.file;
        let within = file.range(outer..).take_while(|(key, _)| key.is_within(outer));
        for (key, value) in within {
            // A sealed value cannot come back from what stands for it.
            if !is_placeholder(value) && self.set.insert(key) {
                self.revived.insert(key);
            }
        }
    }

    /// Whoever decides about a key decides about what the document does not show because of it: else that
    /// would appear.
    fn remove_hidden(&mut self) {
        let touched: Vec<&ConfigKey> = self.set.union(&self.gone).copied().collect();
        for key in touched {
            let clashing = self.state.clashing(key).into_iter().map(|(other, _)| other);
            self.gone.extend(clashing.filter(|other| !self.standing.contains_key(other)));
        }
    }
}

fn is_empty(value: &EntryValue) -> bool {
    match value {
        EntryValue::Plain(value) => is_empty_object(value),
        EntryValue::Sealed(_) => false,
    }
}

#[cfg(test)]
mod tests;
