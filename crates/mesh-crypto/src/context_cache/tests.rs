use super::*;

#[test]
fn a_full_cache_forgets_what_was_used_longest_ago() {
    let mut cache = ContextCache::new();
    for key in 0..CONTEXTS_MAX {
        cache.insert(key, Box::new(key));
    }
    assert!(cache.get(&0).is_some());
    cache.insert(CONTEXTS_MAX, Box::new(CONTEXTS_MAX));
    assert_eq!(cache.len(), CONTEXTS_MAX);
    assert!(cache.get(&0).is_some(), "it was used a moment ago");
    assert!(cache.get(&1).is_none(), "it was used longest ago");
    assert!(cache.get(&CONTEXTS_MAX).is_some());
}

#[test]
fn replacing_a_context_in_a_full_cache_costs_no_other() {
    let mut cache = ContextCache::new();
    for key in 0..CONTEXTS_MAX {
        cache.insert(key, Box::new(key));
    }
    cache.insert(7, Box::new(70));
    assert_eq!(cache.len(), CONTEXTS_MAX);
    assert_eq!(cache.get(&7).copied(), Some(70));
    assert!(cache.get(&0).is_some());
}

#[test]
fn what_is_not_kept_is_gone() {
    let mut cache = ContextCache::new();
    for key in 0..10 {
        cache.insert(key, Box::new(key));
    }
    cache.retain(|key| key % 2 == 0);
    assert_eq!(cache.len(), 5);
    cache.clear();
    assert_eq!(cache.len(), 0);
}
