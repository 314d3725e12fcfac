use mesh_protocol::UnixMillis;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::state::tests::{any_state, document, entry, key, peer, sealed, sealed_entry, state};
use crate::{
    CHANGE_KEYS_MAX, CONFIG_BYTES_MAX, CONFIG_SHOWN_BYTES_MAX, KEYS_MAX, VALUE_BYTES_MAX,
    VERSION_JUMP_MAX, VERSION_MAX, render_text,
};

pub(crate) fn plan(state: &ConfigState, edits: Vec<Edit>) -> Result<Change, ConfigError> {
    state.plan(edits, vec![], peer(9), UnixMillis(77), None)
}

pub(crate) fn apply(state: &mut ConfigState, change: &Change) {
    // As the history does, also of a change that only removes.
    if !change.is_empty() {
        state.note_version(change.version);
    }
    for (key, text) in change.rows() {
        state.put(&key, text.as_deref()).unwrap();
    }
}

fn is(value: Value) -> Option<EntryValue> {
    Some(EntryValue::Plain(value))
}

fn edit(text: &str, value: Option<EntryValue>) -> Edit {
    Edit { key: key(text), value }
}

proptest! {
    #[test]
    fn what_is_set_stands_and_nothing_else_changes_but_what_was_in_its_way(
        state in any_state(),
        at in "[ab](\\.[ab]){0,2}",
        value in document(),
    ) {
        let at = key(&at);
        let change = plan(&state, state.edits_to_set(&at, &value).unwrap()).unwrap();
        let mut after = state.clone();
        apply(&mut after, &change);
        prop_assert_eq!(after.document(None), Some(state.after(&change)));
        prop_assert_eq!(after.document(Some(&at)), Some(value));
        for (key, entry) in state.entries() {
            if !key.is_within(&at) && !at.is_within(key) {
                prop_assert_eq!(after.entry(key), Some(entry));
            }
        }
        prop_assert!(change.is_empty() || after.version() == state.version() + 1);
    }

    #[test]
    fn what_is_unset_is_gone_and_nothing_appears(state in any_state(), at in "[ab](\\.[ab]){0,2}") {
        let at = key(&at);
        let change = plan(&state, state.edits_to_unset(&at)).unwrap();
        let mut after = state.clone();
        apply(&mut after, &change);
        prop_assert_eq!(after.within(&at).count(), 0);
        prop_assert!(after.unreadable_within(&at).is_empty());
        let (before, after) = (state.standing(), after.standing());
        prop_assert!(after.iter().all(|(key, entry)| before.get(key) == Some(entry)));
        let stay = before.keys().filter(|key| !key.is_within(&at));
        prop_assert!(stay.eq(after.keys()));
    }

    #[test]
    fn what_is_merged_in_stands_beside_what_was_there(state in any_state(), values in document()) {
        let values = flatten(None, &values).unwrap();
        let change = plan(&state, state.edits_to_merge(&values).unwrap()).unwrap();
        let after = flatten(None, &state.after(&change)).unwrap();
        for (key, value) in &values {
            let is_there = after.get(key) == Some(value);
            let has_members = after.keys().any(|inner| inner.is_within(key));
            prop_assert!(is_there || is_empty_object(value) && (has_members || change.is_empty()
                || state.within(key).next().is_some()));
        }
    }

    #[test]
    fn a_file_has_no_more_than_its_keys_alone_would_have(state in any_state()) {
        prop_assert!(written(&state) <= state.shown_bytes());
    }

    #[test]
    fn setting_what_is_there_is_no_change(state in any_state()) {
        let standing: Vec<_> = state.standing().into_keys().cloned().collect();
        for key in standing {
            if state.clashing(&key).is_empty() && state.unreadable_within(&key).is_empty() {
                let value = state.document(Some(&key)).unwrap();
                prop_assert_eq!(state.edits_to_set(&key, &value), Ok(vec![]));
            }
        }
    }
}

#[test]
fn a_value_replaces_the_members_that_it_takes_the_place_of_and_the_other_way_round() {
    let one = state(&[("a.b", entry(json!(1), 1, 1)), ("a.c", entry(json!(2), 1, 1))]);
    assert_eq!(
        one.edits_to_set(&key("a"), &json!(null)).unwrap(),
        [edit("a", is(json!(null))), edit("a.b", None), edit("a.c", None)]
    );
    assert_eq!(
        one.edits_to_set(&key("a"), &json!({ "b": 1, "d": 3 })).unwrap(),
        [edit("a.c", None), edit("a.d", is(json!(3)))]
    );
    assert_eq!(
        one.edits_to_set(&key("a.b.x"), &json!(1)).unwrap(),
        [edit("a.b", None), edit("a.b.x", is(json!(1)))]
    );
    assert_eq!(one.edits_to_unset(&key("a")), [edit("a.b", None), edit("a.c", None)]);
    assert_eq!(one.edits_to_unset(&key("a.b.x")), []);
}

#[test]
fn what_cannot_be_read_is_mended_by_setting_or_removing_its_key() {
    let mut state = ConfigState::default();
    state.put("a.b", Some("?")).unwrap_err();
    assert_eq!(state.edits_to_unset(&key("a")), [edit("a.b", None)]);
    for edits in [
        state.edits_to_unset(&key("a")),
        state.edits_to_merge(&[(key("a.b"), json!(1))].into()).unwrap(),
    ] {
        let mut mended = state.clone();
        let change = plan(&state, edits).unwrap();
        apply(&mut mended, &change);
        assert_eq!(mended.problems(), []);
    }
}

#[test]
fn a_sealed_value_is_set_by_sealing_alone() {
    let state = state(&[("a.b", sealed_entry("abc", 1)), ("a.c", entry(json!(1), 1, 1))]);
    let shown = state.document(Some(&key("a"))).unwrap();
    assert_eq!(state.edits_to_set(&key("a"), &shown), Ok(vec![]));
    let refused = |at: &str, value: &Value| match state.edits_to_set(&key(at), value) {
        Err(ConfigError::Placeholder { key }) => key.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused("a.c", &shown["b"]), "a.c");
    assert_eq!(refused("a.b", &json!({ "$sealed": { "to": [] } })), "a.b");
    assert_eq!(refused("a.b", &json!({ "$sealed": {} })), "a.b");
    let mut beside = shown["b"].clone();
    beside["x"] = json!(1);
    assert_eq!(refused("a.b", &beside), "a.b");
    let edits = state.edits_to_seal(&key("a"), sealed("new"));
    let change = plan(&state, edits).unwrap();
    assert_eq!(change.items.len(), 3);
    assert!(change.rows()[0].1.as_ref().unwrap().contains(r#""sealed":{"#));
    assert_eq!(state.edits_to_seal(&key("a.b"), sealed("abc")), []);
    let nobody = SealedValue { envelopes: vec![] };
    let edits = state.edits_to_seal(&key("x"), nobody);
    assert!(matches!(plan(&state, edits), Err(ConfigError::Value { .. })));
}

#[test]
fn a_change_that_does_not_go_together_is_refused() {
    let state = state(&[("a", entry(json!(1), 1, 1))]);
    let clash = |edits| match plan(&state, edits) {
        Err(ConfigError::Clash { outer, inner }) => (outer.to_string(), inner.to_string()),
        other => panic!("{other:?}"),
    };
    let both = vec![edit("b.c.d", is(json!(1))), edit("b", is(json!(2)))];
    assert_eq!(clash(both), ("b".into(), "b.c.d".into()));
    assert_eq!(clash(vec![edit("a.b", is(json!(1)))]), ("a".into(), "a.b".into()));
    for name in ["a.\"$sealed\"", "\"$revision\""] {
        let refused = plan(&state, vec![edit(name, is(json!(1)))]);
        assert!(matches!(refused, Err(ConfigError::Key { .. })));
    }
}

#[test]
fn a_change_that_does_not_fit_is_refused_with_the_number() {
    let empty = ConfigState::default();
    let numbered = |count: usize| -> Vec<Edit> {
        (0..count).map(|number| edit(&format!("a{number}"), is(json!(1)))).collect()
    };
    let too_many = |result| match result {
        Err(ConfigError::TooMany { count, max, .. }) => (count, max),
        other => panic!("{other:?}"),
    };
    assert!(plan(&empty, numbered(CHANGE_KEYS_MAX)).is_ok());
    let more = plan(&empty, numbered(CHANGE_KEYS_MAX + 1));
    assert_eq!(too_many(more), (CHANGE_KEYS_MAX + 1, CHANGE_KEYS_MAX));
    let long = json!("x".repeat(VALUE_BYTES_MAX - 1));
    let refused = plan(&empty, vec![edit("a", is(long))]);
    assert!(matches!(refused, Err(ConfigError::ValueTooLarge { .. })));
    let deep = (0..65).fold(json!(1), |inner, _| json!([inner]));
    let refused = plan(&empty, vec![edit("a", is(deep))]);
    assert!(matches!(refused, Err(ConfigError::Value { .. })));
    let big = json!("x".repeat(VALUE_BYTES_MAX - 2));
    let count = CONFIG_BYTES_MAX / VALUE_BYTES_MAX;
    let edits = (0..count).map(|number| edit(&format!("a{number}"), is(big.clone()))).collect();
    assert!(too_many(plan(&empty, edits)).0 > CONFIG_BYTES_MAX);
    let note = Some("x".repeat(5000));
    let result = empty.plan(vec![], vec![], peer(1), UnixMillis(1), note);
    assert_eq!(too_many(result), (5000, 4096));
}

#[test]
fn a_full_configuration_takes_what_takes_away() {
    let mut full = ConfigState::default();
    let text = entry(json!(1), 1, 1).to_text();
    for number in 0..=KEYS_MAX {
        full.put(&format!("a{number}"), Some(&text)).unwrap();
    }
    let added = plan(&full, full.edits_to_set(&key("b"), &json!(1)).unwrap());
    assert!(matches!(added, Err(ConfigError::TooMany { max, .. }) if max == KEYS_MAX + 1));
    assert!(plan(&full, full.edits_to_unset(&key("a1"))).is_ok());
    assert!(plan(&full, full.edits_to_set(&key("a1"), &json!(2)).unwrap()).is_ok());
}

#[test]
fn a_change_is_numbered_after_all_that_is_known() {
    let mut state = state(&[("a", entry(json!(1), 4, 1))]);
    let version = |state: &ConfigState| {
        plan(state, state.edits_to_set(&key("b"), &json!(1)).unwrap()).unwrap().version
    };
    assert_eq!(version(&state), 5);
    state.note_version(3);
    state.note_version(u64::MAX);
    assert_eq!(version(&state), 5);
    state.note_version(8);
    assert_eq!(version(&state), 9);
    let near_the_end = ConfigState::numbered_from(VERSION_MAX);
    assert_eq!(version(&near_the_end), VERSION_MAX);
}

#[test]
fn a_number_far_ahead_is_shown_and_not_counted_on_from() {
    let mut state = state(&[("a", entry(json!(1), 4, 1))]);
    for text in [entry(json!(2), VERSION_MAX, 2), entry(json!(2), 5 + VERSION_JUMP_MAX, 2)] {
        let version = text.version;
        state.put("b", Some(&text.to_text())).unwrap();
        state.note_version(version);
        assert_eq!(state.entry(&key("b")).unwrap().version, version);
        assert_eq!(state.version(), 4);
    }
    for number in 5..8 {
        let change = plan(&state, state.edits_to_set(&key("c"), &json!(number)).unwrap()).unwrap();
        assert_eq!(change.version, number);
        apply(&mut state, &change);
    }
    let change = plan(&state, state.edits_to_set(&key("b"), &json!(3)).unwrap()).unwrap();
    apply(&mut state, &change);
    assert_eq!(state.entry(&key("b")).unwrap().version, 8);
    state.note_version(8 + VERSION_JUMP_MAX);
    assert_eq!(state.version(), 8 + VERSION_JUMP_MAX);
}

/// What a file has that shows all of `state`.
fn written(state: &ConfigState) -> usize {
    render_text(None, &state.document(None).unwrap(), "0123456789abcdef").len()
}

#[test]
fn whatever_is_accepted_fits_into_a_file_and_what_is_not_is_refused_with_the_size_of_it() {
    // Each with objects of its own around it, or with a line for each of what it lists.
    let name = |number: usize| format!("a{number}.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p");
    let nested = (0..40).fold(json!(vec![1; 400]), |inner, _| json!([inner]));
    for (name, value, count) in [
        (&name as &dyn Fn(usize) -> String, json!(1), 2 * CHANGE_KEYS_MAX),
        (&|number| format!("a{number}"), json!(vec![1; 100_000]), 20),
        (&|number| format!("a{number}"), nested, 400),
        (&|number| format!("a{number}"), json!("x".repeat(1000)), CHANGE_KEYS_MAX),
    ] {
        let (mut state, mut is_refused) = (ConfigState::default(), false);
        let edits: Vec<Edit> =
            (0..count).map(|number| edit(&name(number), is(value.clone()))).collect();
        for some in edits.chunks(count.div_ceil(5)) {
            match plan(&state, some.to_vec()) {
                Ok(change) => apply(&mut state, &change),
                Err(ConfigError::TooMany { what, count, max }) => {
                    assert!(count > max && what.starts_with("bytes of the configuration"));
                    is_refused = true;
                    break;
                }
                Err(error) => panic!("{error}"),
            }
        }
        let size = written(&state);
        assert!(is_refused, "{size}");
        assert!(size > CONFIG_SHOWN_BYTES_MAX / 2 && size <= CONFIG_SHOWN_BYTES_MAX, "{size}");
    }
}

#[test]
fn names_that_keys_share_are_counted_once() {
    let mut state = ConfigState::default();
    let text = entry(json!(1), 1, 1).to_text();
    for number in 0..KEYS_MAX - 1 {
        state.put(&format!("a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p{number}"), Some(&text)).unwrap();
    }
    assert!(state.shown_bytes() > 2 * CONFIG_SHOWN_BYTES_MAX);
    let change = plan(&state, state.edits_to_set(&key("b"), &json!(1)).unwrap()).unwrap();
    apply(&mut state, &change);
    assert!(written(&state) <= CONFIG_SHOWN_BYTES_MAX);
}

#[test]
fn more_than_a_change_may_take_away_goes_in_several() {
    let mut state = ConfigState::default();
    let text = entry(json!(1), 1, 1).to_text();
    for number in 0..=CHANGE_KEYS_MAX {
        state.put(&format!("a.b{}.c{number}", number % 2), Some(&text)).unwrap();
    }
    let refused = plan(&state, state.edits_to_unset(&key("a")));
    assert!(matches!(refused, Err(ConfigError::TooMany { max: CHANGE_KEYS_MAX, .. })));
    for part in ["a.b0", "a"] {
        let change = plan(&state, state.edits_to_unset(&key(part))).unwrap();
        apply(&mut state, &change);
    }
    assert_eq!(state.keys(), 0);
}
