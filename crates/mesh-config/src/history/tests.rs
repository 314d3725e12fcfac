use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::edit::tests::{apply, plan};
use crate::state::tests::{any_state, document, entry, key, peer, sealed_entry, state};
use crate::{ConfigState, Edit, LocalKeys, RevertError, flatten};

fn items(change: &Change) -> Vec<HistoryItem> {
    let rows = change.history().into_iter();
    rows.map(|(key, text)| HistoryItem::parse(change.version, change.by, &key, &text).unwrap())
        .collect()
}

/// Saves `file`, which was made from what is there.
fn save(state: &mut ConfigState, file: &Value) -> Change {
    let base = flatten(None, &state.document(None).unwrap()).unwrap();
    let file = flatten(None, file).unwrap();
    let merge = state.merge_file(Some(&base), &file, None, &LocalKeys::new([])).unwrap();
    let change = plan(state, merge.edits).unwrap();
    apply(state, &change);
    change
}

fn set(state: &mut ConfigState, at: &str, value: &Value) -> Change {
    let change = plan(state, state.edits_to_set(&key(at), value).unwrap()).unwrap();
    apply(state, &change);
    change
}

fn revert(state: &mut ConfigState, edits: Vec<Edit>) {
    let change = plan(state, edits).unwrap();
    apply(state, &change);
}

fn since(result: Result<Vec<Edit>, RevertError>) -> Vec<String> {
    match result {
        Err(RevertError::ChangedSince { keys }) => keys.iter().map(ToString::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn undoing_a_change_brings_back_the_document_before_it(
        before in any_state(),
        file in document(),
        is_forced in any::<bool>(),
    ) {
        let mut state = before.clone();
        let change = save(&mut state, &file);
        prop_assume!(!change.is_empty());
        let edits = state.edits_to_revert(&items(&change), is_forced).unwrap();
        revert(&mut state, edits);
        prop_assert_eq!(state.document(None), before.document(None));
        prop_assert_eq!(state.edits_to_revert(&items(&change), false), Ok(vec![]));
    }

    #[test]
    fn changes_that_follow_one_another_are_undone_together(
        before in any_state(),
        files in prop::collection::vec(document(), 1..4),
    ) {
        let mut state = before.clone();
        let mut all = Vec::new();
        for file in &files {
            all.extend(items(&save(&mut state, file)));
        }
        prop_assume!(!all.is_empty());
        all.reverse();
        let edits = state.edits_to_revert(&all, false).unwrap();
        revert(&mut state, edits);
        prop_assert_eq!(state.document(None), before.document(None));
    }

    #[test]
    fn undoing_by_force_always_goes_together(
        before in any_state(),
        file in document(),
        later in document(),
    ) {
        let mut state = before;
        let change = save(&mut state, &file);
        save(&mut state, &later);
        prop_assume!(!change.is_empty());
        let edits = state.edits_to_revert(&items(&change), true).unwrap();
        revert(&mut state, edits);
        for item in items(&change) {
            let value = state.entry(&item.key).map(|entry| entry.value.clone());
            prop_assert_eq!(value, item.old.filter(|_| !item.is_old_hidden));
        }
    }

    #[test]
    fn no_row_of_the_history_is_too_odd_to_be_refused(text in "[{}\":,a-z0-9]{0,40}") {
        drop(HistoryItem::parse(1, peer(1), "a", &text));
    }
}

#[test]
fn what_was_changed_since_is_named_and_only_undone_by_force() {
    let mut state = ConfigState::default();
    let change = set(&mut state, "a", &json!({ "b": 1, "c": 1, "d": 1 }));
    set(&mut state, "a.b", &json!(2));
    set(&mut state, "a.c.x", &json!(2));
    let refused = state.edits_to_revert(&items(&change), false);
    assert_eq!(refused.as_ref().unwrap_err().to_string(), "changed since by others: a.b");
    assert_eq!(since(refused), ["a.b"]);
    let edits = state.edits_to_revert(&items(&change), true).unwrap();
    revert(&mut state, edits);
    assert_eq!(state.document(None), Some(json!({ "a": { "c": { "x": 2 } } })));
    assert_eq!(state.edits_to_revert(&[], true), Err(RevertError::Unknown));
}

#[test]
fn what_came_in_the_way_of_what_comes_back_is_named() {
    let mut state = state(&[("a", entry(json!(1), 1, 1)), ("b.x", entry(json!(1), 1, 1))]);
    let change = set(&mut state, "a", &json!({ "y": 2 }));
    set(&mut state, "a.z", &json!(3));
    assert_eq!(since(state.edits_to_revert(&items(&change), false)), ["a.z"]);
    let unset = plan(&state, state.edits_to_unset(&key("b"))).unwrap();
    apply(&mut state, &unset);
    set(&mut state, "b", &json!("leaf"));
    assert_eq!(since(state.edits_to_revert(&items(&unset), false)), ["b"]);
    for change in [change, unset] {
        let edits = state.edits_to_revert(&items(&change), true).unwrap();
        revert(&mut state, edits);
    }
    assert_eq!(state.document(None), Some(json!({ "a": 1, "b": { "x": 1 } })));
}

#[test]
fn a_value_that_another_set_to_the_same_is_changed_since() {
    let mut state = ConfigState::default();
    let change = set(&mut state, "a", &json!(1));
    let change_by_another = entry(json!(1), change.version, 3);
    state.put("a", Some(&change_by_another.to_text())).unwrap();
    assert_eq!(since(state.edits_to_revert(&items(&change), false)), ["a"]);
}

#[test]
fn a_sealed_value_is_sealed_in_the_history_too() {
    let mut state = state(&[("a", sealed_entry("abc", 1))]);
    let edits = state.edits_to_set(&key("a"), &json!(null)).unwrap();
    let over = vec![(key("a"), sealed_entry("other", 2))];
    let note = Some("rotated".to_owned());
    let change = state.plan(edits, over, peer(2), UnixMillis(5), note).unwrap();
    apply(&mut state, &change);
    let [item] = &*items(&change) else { panic!() };
    assert_eq!(item.new, Some(EntryValue::Plain(json!(null))));
    assert_eq!(item.old, Some(sealed_entry("abc", 1).value));
    assert_eq!(item.over, Some(sealed_entry("other", 2)));
    assert_eq!(item.note.as_deref(), Some("rotated"));
    assert_eq!((item.version, item.by, item.at), (2, peer(2), UnixMillis(5)));
    let edits = state.edits_to_revert(std::slice::from_ref(item), false).unwrap();
    revert(&mut state, edits);
    assert_eq!(state.entry(&key("a")).unwrap().value, sealed_entry("abc", 1).value);
}

#[test]
fn a_row_of_the_history_that_is_none_is_refused_without_showing_it() {
    for text in [
        "",
        "[]",
        "{}",
        r#"{"at":1}"#,
        r#"{"value":"secret"}"#,
        r#"{"removed":false,"at":1}"#,
        r#"{"value":"secret","at":"secret"}"#,
        r#"{"sealed":"secret","at":1}"#,
        r#"{"value":1,"at":1,"old":"secret"}"#,
        r#"{"value":1,"at":1,"old":{}}"#,
        r#"{"value":1,"at":1,"over":{"value":"secret"}}"#,
        r#"{"value":1,"at":1,"note":["secret"]}"#,
    ] {
        let error = HistoryItem::parse(1, peer(1), "a", text).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let good = r#"{"removed":true,"at":1,"later":"field"}"#;
    assert!(HistoryItem::parse(1, peer(1), "a", good).is_ok());
    assert!(HistoryItem::parse(1, peer(1), "a..b", good).is_err());
    assert!(HistoryItem::parse(VERSION_MAX + 1, peer(1), "a", good).is_err());
    let large = " ".repeat(CHANGE_BYTES_MAX + 1);
    assert!(HistoryItem::parse(1, peer(1), "a", &large).is_err());
}
