//! Undoing a change.

use std::collections::{BTreeMap, BTreeSet};

use crate::edit::Draft;
use crate::{ConfigKey, ConfigState, Edit, EntryValue, HistoryItem, RevertError};

impl ConfigState {
    /// Edits after which what a change touched is what it was before: keys that it added go, those that it
    /// removed or set have their old value again. Items of several changes that follow one another are
    /// undone together. What is as it was before already is left alone.
    ///
    /// Sealed values come back as they were sealed, for the members that they were sealed for.
    ///
    /// # Errors
    /// [`RevertError::ChangedSince`] with the keys that others set or removed later, unless forced, and
    /// [`RevertError::Unknown`] without items.
    pub fn edits_to_revert(
        &self,
        items: &[HistoryItem],
        is_forced: bool,
    ) -> Result<Vec<Edit>, RevertError> {
        if items.is_empty() {
            return Err(RevertError::Unknown);
        }
        let spans = spans(items);
        let mut since: BTreeSet<ConfigKey> = BTreeSet::new();
        let mut draft = Draft::new(self);
        for (key, span) in &spans {
            if self.is_other_than(key, span) {
                since.insert((*key).clone());
            }
            let Some(value) = span.before() else {
                draft.remove(key);
                continue;
            };
            // What came in the way of it since, and is not of this change.
            let in_the_way = self.clashing(key).into_iter().map(|(other, _)| other);
            since.extend(in_the_way.filter(|other| !spans.contains_key(other)).cloned());
            draft.put(key, value.clone());
        }
        if !since.is_empty() && !is_forced {
            return Err(RevertError::ChangedSince { keys: since.into_iter().collect() });
        }
        Ok(draft.finish())
    }

    /// Whether `key` is neither as the changes left it nor as it was before them.
    fn is_other_than(&self, key: &ConfigKey, span: &Span<'_>) -> bool {
        let present = self.entry(key);
        let value: Option<&EntryValue> = present.map(|entry| &entry.value);
        if value == span.before() {
            return false;
        }
        let last = span.last;
        let is_by_it = present
            .is_none_or(|entry| entry.change() == (last.version, last.by) && entry.at == last.at);
        !is_by_it || value != last.new.as_ref()
    }
}

/// The first and the last of the items of a key.
struct Span<'i> {
    first: &'i HistoryItem,
    last: &'i HistoryItem,
}

impl<'i> Span<'i> {
    /// What was seen at the key before. What was not is not brought back: it would be in the way of what was.
    fn before(&self) -> Option<&'i EntryValue> {
        self.first.old.as_ref().filter(|_| !self.first.is_old_hidden)
    }
}

fn spans(items: &[HistoryItem]) -> BTreeMap<&ConfigKey, Span<'_>> {
    let mut spans: BTreeMap<&ConfigKey, Span<'_>> = BTreeMap::new();
    for item in items {
        let span = spans.entry(&item.key).or_insert(Span { first: item, last: item });
        if (item.version, item.by) < (span.first.version, span.first.by) {
            span.first = item;
        }
        if (item.version, item.by) > (span.last.version, span.last.by) {
            span.last = item;
        }
    }
    spans
}
