use mesh_protocol::UnixMillis;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::state::tests::{any_state, document, entry, key, peer, sealed_entry, state, state_with};
use crate::{Change, flatten};

fn flat(document: &Value) -> Flat {
    flatten(None, document).unwrap()
}

fn merge(state: &ConfigState, base: Option<&Value>, file: &Value) -> FileMerge {
    let base = base.map(flat);
    state.merge_file(base.as_ref(), &flat(file), None, &LocalKeys::new([])).unwrap()
}

fn change(state: &ConfigState, merge: &FileMerge) -> Change {
    let (edits, over) = (merge.edits.clone(), merge.over.clone());
    state.plan(edits, over, peer(9), UnixMillis(77), None).unwrap()
}

/// What is there after `file`, which was made from `base`, was saved while there was `ours`.
fn merged(base: Option<Value>, ours: &Value, file: Value) -> (Value, Vec<String>) {
    let state = state_with(ours, 3);
    let merge = merge(&state, base.as_ref(), &file);
    let over = merge.over.iter().map(|(key, _)| key.to_string()).collect();
    (state.after(&change(&state, &merge)), over)
}

/// Values of keys of which none can be inside another.
fn values() -> impl Strategy<Value = Flat> {
    prop::collection::btree_map(
        "[ab]\\.[abc]".prop_map(|text| key(&text)),
        (0..3).prop_map(Value::from),
        0..6,
    )
}

proptest! {
    #[test]
    fn a_file_made_from_what_is_there_applies_to_the_letter(state in any_state(), file in document()) {
        let base = state.document(None).unwrap();
        let merge = merge(&state, Some(&base), &file);
        prop_assert_eq!(state.after(&change(&state, &merge)), file);
        prop_assert_eq!(&merge.over, &vec![]);
        prop_assert!(merge.revived.is_empty() && merge.kept.is_empty());
    }

    #[test]
    fn a_file_that_shows_what_is_there_asks_for_nothing(
        state in any_state(),
        base in prop::option::of(document()),
    ) {
        let merge = merge(&state, base.as_ref(), &state.document(None).unwrap());
        prop_assert_eq!(merge, FileMerge::default());
    }

    #[test]
    fn a_file_that_was_not_edited_asks_for_nothing(state in any_state(), file in document()) {
        prop_assert_eq!(merge(&state, Some(&file), &file), FileMerge::default());
    }

    #[test]
    fn what_one_side_touched_applies_and_what_both_did_is_the_files(
        base in values(),
        ours in values(),
        file in values(),
    ) {
        let mut state = ConfigState::default();
        for (key, value) in &ours {
            state.put(&key.to_string(), Some(&entry(value.clone(), 1, 1).to_text())).unwrap();
        }
        let merge = state.merge_file(Some(&base), &file, None, &LocalKeys::new([])).unwrap();
        let after = flat(&state.after(&change(&state, &merge)));
        for text in ["a.a", "a.b", "a.c", "b.a", "b.b", "b.c"].map(key) {
            let (b, o, f) = (base.get(&text), ours.get(&text), file.get(&text));
            prop_assert_eq!(after.get(&text), if f == b { o } else { f });
            let is_conflict = f != b && o != b && f != o;
            let is_over = merge.over.iter().any(|(key, _)| *key == text);
            prop_assert_eq!(is_over, is_conflict && o.is_some());
            prop_assert_eq!(merge.revived.contains(&text), is_conflict && o.is_none());
        }
    }

    #[test]
    fn nothing_that_the_file_did_not_know_is_lost_silently(
        base in prop::option::of(document()),
        ours in any_state(),
        file in document(),
    ) {
        let merge = merge(&ours, base.as_ref(), &file);
        let after = flat(&ours.after(&change(&ours, &merge)));
        let base_values = base.as_ref().map(flat);
        for (key, entry) in ours.standing() {
            let value = entry.value.shown();
            let is_known = match &base_values {
                Some(base) => base.get(key) == Some(&value),
                None => flat(&file).contains_key(key),
            };
            let is_over = merge.over.contains(&(key.clone(), entry.clone()));
            let is_there = after.get(key) == Some(&value);
            prop_assert!(is_there || is_known || is_over || is_empty_object(&value));
        }
        for (key, value) in flat(&file) {
            let is_edited = base_values.as_ref().is_none_or(|base| base.get(&key) != Some(&value));
            let has_members = after.keys().any(|inner| inner.is_within(&key) && *inner != key);
            let is_there = after.get(&key) == Some(&value) || is_empty_object(&value) && has_members;
            prop_assert!(!is_edited || is_there, "{} is not {}", key, value);
        }
    }
}

#[test]
fn a_value_set_there_and_members_set_here_become_the_files_with_all_that_it_has() {
    let (base, ours) = (json!({ "a": { "c": 1 } }), json!({ "a": "x" }));
    let (after, over) = merged(Some(base), &ours, json!({ "a": { "b": 2, "c": 1 } }));
    assert_eq!((after, over), (json!({ "a": { "b": 2, "c": 1 } }), vec!["a".to_owned()]));
}

#[test]
fn members_set_there_give_way_to_a_value_set_here_and_are_kept() {
    let (base, ours) =
        (json!({ "a": { "c": 1, "d": 1 } }), json!({ "a": { "c": 2, "d": 1, "e": 3 } }));
    let (after, over) = merged(Some(base), &ours, json!({ "a": "x" }));
    assert_eq!((after, over), (json!({ "a": "x" }), vec!["a.c".to_owned(), "a.e".to_owned()]));
}

#[test]
fn a_change_of_shape_on_one_side_alone_applies() {
    let (leaf, tree) = (json!({ "a": 1, "z": 1 }), json!({ "a": { "b": 1 }, "z": 1 }));
    for (base, new) in [(&leaf, &tree), (&tree, &leaf)] {
        let here = merged(Some(base.clone()), base, new.clone());
        assert_eq!(here, (new.clone(), vec![]));
        let there = merged(Some(base.clone()), new, base.clone());
        assert_eq!(there, (new.clone(), vec![]));
    }
}

#[test]
fn an_object_emptied_here_keeps_what_others_put_into_it() {
    let base = json!({ "a": { "b": 1 } });
    let ours = json!({ "a": { "b": 1, "c": 2 } });
    let (after, over) = merged(Some(base.clone()), &ours, json!({ "a": {} }));
    assert_eq!((after, over), (json!({ "a": { "c": 2 } }), vec![]));
    let (after, over) =
        merged(Some(base.clone()), &json!({ "a": {} }), json!({ "a": { "b": 1, "c": 3 } }));
    assert_eq!((after, over), (json!({ "a": { "c": 3 } }), vec![]));
    let (after, over) = merged(Some(base), &json!({ "a": { "b": 2 } }), json!({ "a": {} }));
    assert_eq!((after, over), (json!({ "a": {} }), vec!["a.b".to_owned()]));
}

#[test]
fn without_a_base_nothing_is_removed_but_what_cannot_stay() {
    let ours = json!({ "a": 1, "b": { "x": 1, "y": 2 }, "c": { "z": 1 }, "d": 4 });
    let state = state_with(&ours, 3);
    let merge = merge(&state, None, &json!({ "a": 2, "b": { "x": 1 }, "c": 5 }));
    let after = state.after(&change(&state, &merge));
    assert_eq!(after, json!({ "a": 2, "b": { "x": 1, "y": 2 }, "c": 5, "d": 4 }));
    assert_eq!(merge.kept, [key("b.y"), key("d")]);
    let over: Vec<_> = merge.over.iter().map(|(key, _)| key.to_string()).collect();
    assert_eq!(over, ["a", "c.z"]);
}

#[test]
fn the_change_says_what_was_there_unknown_to_it() {
    let state = state_with(&json!({ "a": 1, "b": 1, "c": 1 }), 3);
    let base = json!({ "a": 0, "b": 0, "c": 1 });
    let merge = merge(&state, Some(&base), &json!({ "a": 2 }));
    let change = change(&state, &merge);
    let one = Some(entry(json!(1), 3, 1));
    let items: Vec<_> = change.items.iter().map(|item| (item.new.is_some(), &item.over)).collect();
    assert_eq!(items, [(true, &one), (false, &one), (false, &None)]);
    assert!(change.items.iter().all(|item| item.old == one));
}

#[test]
fn local_keys_are_in_no_edit_whatever_was_shared_before() {
    let state = state_with(&json!({ "a": 1, "paths": { "home": "there" } }), 3);
    let base = flat(&json!({ "a": 1, "cron": { "x": 0 }, "paths": { "home": "there" } }));
    let file = flat(&json!({ "a": 2, "cron": { "x": 1 }, "paths": { "home": "here" } }));
    let local = LocalKeys::new([key("paths")]);
    let merge = state.merge_file(Some(&base), &file, None, &local).unwrap();
    assert_eq!(merge.edits.len(), 1);
    assert_eq!(merge.local, flat(&json!({ "cron": { "x": 1 }, "paths": { "home": "here" } })));
    let without = flat(&json!({ "a": 1 }));
    let merge = state.merge_file(Some(&base), &without, None, &local).unwrap();
    assert_eq!(merge, FileMerge::default());
}

#[test]
fn a_view_changes_what_it_shows() {
    let state = state_with(&json!({ "a": { "x": 1, "y": 1 }, "b": 1 }), 3);
    let (at, none) = (key("a"), LocalKeys::new([]));
    let view = |document: Value| flatten(Some(&at), &document).unwrap();
    let base = view(json!({ "x": 1, "y": 1 }));
    let after = |file: Value| {
        let merge = state.merge_file(Some(&base), &view(file), Some(&at), &none).unwrap();
        state.after(&change(&state, &merge))
    };
    assert_eq!(after(json!({ "x": 2 })), json!({ "a": { "x": 2 }, "b": 1 }));
    assert_eq!(after(json!({})), json!({ "b": 1 }));
    let unknown = state.merge_file(None, &view(json!({ "x": 1 })), Some(&at), &none).unwrap();
    assert_eq!((unknown.edits, unknown.kept), (vec![], vec![key("a.y")]));
    let outside = state.merge_file(Some(&base), &flat(&json!({ "b": 2 })), Some(&at), &none);
    assert!(matches!(outside, Err(ConfigError::Outside { .. })));
}

#[test]
fn a_view_of_nothing_is_empty_and_asks_for_nothing() {
    let at = key("a.b");
    let file = flatten(Some(&at), &json!({})).unwrap();
    for (ours, is_shown) in
        [(json!({}), false), (json!({ "a": 1 }), false), (json!({ "a": { "b": {} } }), true)]
    {
        let state = state_with(&ours, 3);
        assert_eq!(state.document(Some(&at)).is_some(), is_shown);
        for base in [None, Some(&file)] {
            let merge = state.merge_file(base, &file, Some(&at), &LocalKeys::new([])).unwrap();
            assert_eq!(merge, FileMerge::default());
        }
    }
}

#[test]
fn what_a_view_sets_beneath_a_value_that_it_does_not_show_is_a_conflict() {
    let state = state_with(&json!({ "a": 1 }), 3);
    let at = key("a.b");
    let file = flatten(Some(&at), &json!({ "c": 2 })).unwrap();
    let merge =
        state.merge_file(Some(&Flat::new()), &file, Some(&at), &LocalKeys::new([])).unwrap();
    assert_eq!(merge.over, [(key("a"), entry(json!(1), 3, 1))]);
    assert_eq!(state.after(&change(&state, &merge)), json!({ "a": { "b": { "c": 2 } } }));
}

#[test]
fn what_stands_for_a_sealed_value_stays_as_it_is_shown() {
    let state = state(&[("a.b", sealed_entry("abc", 1)), ("a.c", entry(json!(1), 1, 1))]);
    let shown = state.document(None).unwrap();
    let edited = |pointer: &str, value: Value| {
        let mut file = shown.clone();
        *file.pointer_mut(pointer).unwrap() = value;
        let base = flat(&shown);
        [Some(&base), None]
            .map(|base| state.merge_file(base, &flat(&file), None, &LocalKeys::new([])))
    };
    for merge in edited("/a/c", json!(2)) {
        assert_eq!(merge.unwrap().edits.len(), 1);
    }
    for merge in edited("/a/b", json!("plain")) {
        assert_eq!(merge.unwrap().edits.len(), 1);
    }
    for (pointer, value) in [
        ("/a/c", shown["a"]["b"].clone()),
        ("/a/b/$sealed/to", json!([])),
        ("/a/b/$sealed", json!(null)),
        ("/a/b", json!({ "$sealed": shown["a"]["b"]["$sealed"], "x": 1 })),
    ] {
        for merge in edited(pointer, value.clone()) {
            assert!(matches!(merge, Err(ConfigError::Placeholder { .. })), "{pointer}: {merge:?}");
        }
    }
    let at_root = json!({ "$sealed": { "to": [] } });
    let refused = state.merge_file(None, &flat(&at_root), None, &LocalKeys::new([]));
    assert!(matches!(refused, Err(ConfigError::Placeholder { .. })));
}

#[test]
fn a_value_sealed_anew_by_another_stays_when_the_file_still_shows_the_former() {
    let before = state(&[("a", sealed_entry("abc", 1)), ("b", entry(json!(1), 1, 1))]);
    let mut now = before.clone();
    now.put("a", Some(&entry(json!("plain"), 2, 2).to_text())).unwrap();
    let base = before.document(None).unwrap();
    let mut file = base.clone();
    file["b"] = json!(2);
    let merge = merge(&now, Some(&base), &file);
    assert_eq!(now.after(&change(&now, &merge)), json!({ "a": "plain", "b": 2 }));
}
