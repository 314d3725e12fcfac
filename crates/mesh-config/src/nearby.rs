use std::collections::BTreeMap;

use serde_json::Value;

use crate::state::document_of;
use crate::{Change, ConfigKey, ConfigState, Entry};

/// Names of a key that make an entry of a section, such as `agents.oak`.
const ENTRY_SEGMENTS: usize = 2;

impl ConfigState {
    /// As [`ConfigState::after`], but only the entries of the sections that `change` touches: all that the
    /// built-in schema needs to see, and much less than a large configuration.
    #[must_use]
    pub fn after_nearby(&self, change: &Change) -> Value {
        let mut near: BTreeMap<ConfigKey, Entry> = BTreeMap::new();
        let mut add = |(key, entry): (&ConfigKey, &Entry)| {
            near.insert(key.clone(), entry.clone());
        };
        for item in &change.items {
            for around in item.key.ancestors() {
                if let Some(entry) = self.entry(&around) {
                    add((&around, entry));
                }
            }
            let names = item.key.segments().iter().take(ENTRY_SEGMENTS).cloned().collect();
            if let Ok(section) = ConfigKey::new(names) {
                self.within(&section).for_each(&mut add);
            }
        }
        for (key, entry) in change.entries() {
            match entry {
                Some(entry) => near.insert(key.clone(), entry),
                None => near.remove(key),
            };
        }
        document_of(near.iter(), None).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use mesh_protocol::{PeerId, UnixMillis};
    use serde_json::json;

    use crate::ConfigState;

    #[test]
    fn it_has_the_touched_entries_whole_and_nothing_else() {
        let mut state = ConfigState::default();
        let by = PeerId::from_bytes([1; 32]);
        let set = |state: &mut ConfigState, key: &str, value| {
            let edits = state.edits_to_set(&key.parse().unwrap(), &value).unwrap();
            let change = state.plan(edits, Vec::new(), by, UnixMillis(1), None).unwrap();
            for (key, entry) in change.rows() {
                state.put(&key, entry.as_deref()).unwrap();
            }
        };
        set(&mut state, "agents.oak", json!({ "name": "oak", "deep": { "x": 1 } }));
        set(&mut state, "agents.mint.name", json!("mint"));
        set(&mut state, "top", json!(7));
        let edits = state.edits_to_set(&"agents.oak.deep.y".parse().unwrap(), &json!(2)).unwrap();
        let more = state.edits_to_set(&"top.a".parse().unwrap(), &json!(1)).unwrap();
        let edits = edits.into_iter().chain(more).collect();
        let change = state.plan(edits, Vec::new(), by, UnixMillis(1), None).unwrap();
        let near = json!({ "agents": { "oak": { "name": "oak", "deep": { "x": 1, "y": 2 } } }, "top": { "a": 1 } });
        assert_eq!(state.after_nearby(&change), near);
    }
}
