//! Which of the entries that do not go together is seen.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use crate::{ConfigKey, Entry};

type Pair<'s> = (&'s ConfigKey, &'s Entry);

/// Keys that are not seen, each with one that stands instead. `entries` are in the order of their keys.
///
/// A value cannot stand where another has members. Such pairs come of changes that were made at once. The
/// entry with the greatest (version, author, key) stands, then the greatest of those that go together with
/// all that stand, and so on: one rule for any number of them, and the same for everybody.
pub(crate) fn hidden<'s>(
    entries: impl Iterator<Item = Pair<'s>>,
) -> BTreeMap<&'s ConfigKey, &'s ConfigKey> {
    let mut hidden = BTreeMap::new();
    // What is within a key follows it at once.
    let mut group: Vec<Pair<'s>> = Vec::new();
    for pair in entries {
        if !group.first().is_some_and(|(outer, _)| pair.0.is_within(outer)) {
            settle(&mut group, &mut hidden);
        }
        group.push(pair);
    }
    settle(&mut group, &mut hidden);
    hidden
}

fn settle<'s>(group: &mut Vec<Pair<'s>>, hidden: &mut BTreeMap<&'s ConfigKey, &'s ConfigKey>) {
    if group.len() < 2 {
        group.clear();
        return;
    }
    let mut group = mem::take(group);
    group.sort_unstable_by(|(left_key, left), (right_key, right)| {
        (right.change(), right_key).cmp(&(left.change(), left_key))
    });
    let mut standing: BTreeSet<&ConfigKey> = BTreeSet::new();
    for (key, _) in group {
        // Of those that stand none is within another, so these two are the only ones that can be in the way.
        let before = standing.range::<ConfigKey, _>(..=key).next_back();
        let behind = standing.range::<ConfigKey, _>(key..).next();
        let above = before.filter(|outer| key.is_within(outer));
        if let Some(other) = above.or(behind.filter(|inner| inner.is_within(key))) {
            hidden.insert(key, other);
        } else {
            standing.insert(key);
        }
    }
}
