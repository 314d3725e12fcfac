//! A bounded map that forgets what was used longest ago.

use std::collections::BTreeMap;

/// Contexts of as many pairs of keys are kept. One more costs the pair that was silent longest two
/// scalar multiplications when it speaks again. About 1.5 KiB each.
pub(crate) const CONTEXTS_MAX: usize = 256;

pub(crate) struct ContextCache<K, V> {
    slots: BTreeMap<K, Slot<V>>,
    uses: u64,
}

struct Slot<V> {
    used_at: u64,
    // Boxed: the tree moves its entries about, and each move of a context would leave a copy of its keys.
    context: Box<V>,
}

impl<K: Ord + Copy, V> ContextCache<K, V> {
    pub(crate) const fn new() -> Self {
        Self { slots: BTreeMap::new(), uses: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn get(&mut self, key: &K) -> Option<&mut V> {
        self.uses = self.uses.saturating_add(1);
        let slot = self.slots.get_mut(key)?;
        slot.used_at = self.uses;
        Some(&mut slot.context)
    }

    /// Keeps `context`; in a full cache the one that was used longest ago gives way.
    pub(crate) fn insert(&mut self, key: K, context: Box<V>) {
        self.uses = self.uses.saturating_add(1);
        if self.slots.len() >= CONTEXTS_MAX && !self.slots.contains_key(&key) {
            let oldest = self.slots.iter().min_by_key(|(_, slot)| slot.used_at);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                self.slots.remove(&oldest);
            }
        }
        self.slots.insert(key, Slot { used_at: self.uses, context });
    }

    pub(crate) fn retain(&mut self, mut is_kept: impl FnMut(&K) -> bool) {
        self.slots.retain(|key, _| is_kept(key));
    }

    pub(crate) fn clear(&mut self) {
        self.slots.clear();
    }
}

#[cfg(test)]
mod tests;
