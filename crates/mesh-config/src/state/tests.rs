use mesh_protocol::{PeerId, UnixMillis};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{EntryValue, Envelope, KEY_BYTES_MAX, SealedValue, VALUE_BYTES_MAX, flatten};

pub(crate) fn peer(number: u8) -> PeerId {
    PeerId::from_bytes([number; 32])
}

pub(crate) fn key(text: &str) -> ConfigKey {
    text.parse().unwrap()
}

pub(crate) fn entry(value: Value, version: u64, by: u8) -> Entry {
    Entry { value: EntryValue::Plain(value), version, by: peer(by), at: UnixMillis(version) }
}

pub(crate) fn sealed(data: &str) -> SealedValue {
    SealedValue { envelopes: vec![Envelope { to: peer(1), data: data.to_owned() }] }
}

pub(crate) fn sealed_entry(data: &str, version: u64) -> Entry {
    Entry { value: EntryValue::Sealed(sealed(data)), ..entry(json!(0), version, 1) }
}

/// The state of these rows.
pub(crate) fn state(rows: &[(&str, Entry)]) -> ConfigState {
    let mut state = ConfigState::default();
    for (key, entry) in rows {
        state.put(key, Some(&entry.to_text())).unwrap();
    }
    state
}

/// The state in which `document` was set by one change.
pub(crate) fn state_with(document: &Value, version: u64) -> ConfigState {
    let mut state = ConfigState::default();
    state.note_version(version);
    for (key, value) in flatten(None, document).unwrap() {
        state.put(&key.to_string(), Some(&entry(value, version, 1).to_text())).unwrap();
    }
    state
}

/// Documents of few names, so that values and members meet.
pub(crate) fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![3 => (0..3).prop_map(Value::from), 1 => Just(json!({}))];
    let tree = leaf.prop_recursive(3, 12, 3, |inner| {
        prop::collection::btree_map("[abc]", inner, 0..3)
            .prop_map(|members| Value::Object(members.into_iter().collect()))
    });
    prop::collection::btree_map("[abc]", tree, 0..4)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
}

/// Rows of few keys, which need not go together; some cannot be read.
fn rows() -> impl Strategy<Value = BTreeMap<String, String>> {
    let value = prop_oneof![(0..3).prop_map(Value::from), Just(json!({})), Just(json!([1]))];
    let good = (value, 1..5_u64, 1..4_u8)
        .prop_map(|(value, version, by)| entry(value, version, by).to_text());
    let text = prop_oneof![9 => good, 1 => Just("{}".to_owned())];
    prop::collection::btree_map("[ab](\\.[ab]){0,3}", text, 0..10)
}

/// States of entries that need not go together.
pub(crate) fn any_state() -> impl Strategy<Value = ConfigState> {
    rows().prop_map(|rows| {
        let mut state = ConfigState::default();
        for (key, text) in &rows {
            drop(state.put(key, Some(text)));
        }
        state
    })
}

proptest! {
    #[test]
    fn the_order_of_rows_and_what_was_there_before_do_not_matter(
        rows in rows(),
        before in rows(),
        order in any::<prop::sample::Index>(),
    ) {
        let mut plain = ConfigState::default();
        for (key, text) in &rows {
            drop(plain.put(key, Some(text)));
        }
        let mut other = ConfigState::default();
        for (key, text) in &before {
            drop(other.put(key, Some(text)));
        }
        let mut last: Vec<_> = rows.iter().map(|(key, text)| (key, Some(text.as_str()))).collect();
        last.extend(before.keys().filter(|key| !rows.contains_key(*key)).map(|key| (key, None)));
        if !last.is_empty() {
            let turn = order.index(last.len());
            last.rotate_left(turn);
        }
        for (key, text) in last {
            drop(other.put(key, text));
        }
        prop_assert!(plain.entries().eq(other.entries()));
        prop_assert_eq!(plain.problems(), other.problems());
        prop_assert_eq!(plain.document(None), other.document(None));
        prop_assert_eq!(plain.bytes(), other.bytes());
        prop_assert_eq!(plain.unreadable_bytes, other.unreadable_bytes);
    }

    #[test]
    fn what_stands_goes_together_and_is_later_than_what_it_hides(state in any_state()) {
        let standing = state.standing();
        for (key, entry) in state.entries() {
            let clashing = state.clashing(key);
            let mut seen = clashing.iter().filter(|(other, _)| standing.contains_key(other));
            if standing.contains_key(key) {
                prop_assert!(seen.next().is_none());
            } else {
                prop_assert!(
                    seen.any(|(other, over)| (over.change(), *other) > (entry.change(), key))
                );
            }
        }
        let values = flatten(None, &state.document(None).unwrap()).unwrap();
        prop_assert!(values.keys().eq(standing.keys().copied()));
    }

    #[test]
    fn a_part_of_the_document_is_what_the_whole_has_there(
        state in any_state(),
        at in "[ab](\\.[ab]){0,2}",
    ) {
        let pointer = format!("/{}", at.replace('.', "/"));
        let whole = state.document(None).unwrap();
        let part = state.document(Some(&key(&at)));
        prop_assert_eq!(part.as_ref(), whole.pointer(&pointer));
    }
}

#[test]
fn rows_come_change_and_go() {
    let mut state = ConfigState::default();
    let (one, two) = (entry(json!("a"), 1, 1), entry(json!(null), 7, 2));
    let changed = |old: Option<&Entry>, new: Option<&Entry>| {
        Some(Changed { key: key("a.b"), old: old.cloned(), new: new.cloned() })
    };
    assert_eq!(state.put("a.b", Some(&one.to_text())), Ok(changed(None, Some(&one))));
    assert_eq!(state.put("a.b", Some(&one.to_text())), Ok(None));
    assert_eq!(state.put("a.b", Some(&two.to_text())), Ok(changed(Some(&one), Some(&two))));
    assert_eq!(state.document(None), Some(json!({ "a": { "b": null } })));
    assert_eq!((state.keys(), state.bytes()), (1, "a.b".len() + "null".len()));
    assert_eq!(state.put("a.b", None), Ok(changed(Some(&two), None)));
    assert_eq!(state.put("a.b", None), Ok(None));
    assert_eq!((state.keys(), state.bytes(), state.version()), (0, 0, 7));
}

#[test]
fn of_changes_made_at_once_that_do_not_go_together_the_later_stands() {
    let rows = [
        ("a", entry(json!(1), 5, 1)),
        ("a.b", entry(json!(2), 5, 2)),
        ("a.b.c", entry(json!(3), 4, 3)),
        ("a.c", entry(json!(4), 1, 1)),
        ("a-b", entry(json!(5), 1, 1)),
    ];
    let state = state(&rows);
    let expected = json!({ "a": { "b": 2, "c": 4 }, "a-b": 5 });
    assert_eq!(state.document(None), Some(expected));
    assert_eq!(state.document(Some(&key("a.b.c"))), None);
    let problems: Vec<String> = state.problems().iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        [
            "a (version 5 by 01010101) is not seen: a.b was set at the same time and is later",
            "a.b.c (version 4 by 03030303) is not seen: a.b was set at the same time and is later",
        ]
    );
}

#[test]
fn a_row_that_cannot_be_read_takes_the_place_of_what_was_there() {
    let good = entry(json!(1), 1, 1).to_text();
    let deep = (0..70).fold(json!(1), |inner, _| json!([inner]));
    for (row, text) in [
        ("a", "{}".to_owned()),
        ("a", "secret".to_owned()),
        ("a", good.replace("\"version\":1", "\"version\":\"secret\"")),
        ("a", good.replace("\"version\":1", "\"version\":9007199254740992")),
        ("a", entry(json!({ "secret": 1 }), 1, 1).to_text()),
        ("a", entry(deep, 1, 1).to_text()),
        ("a", entry(json!("x".repeat(VALUE_BYTES_MAX)), 1, 1).to_text()),
        ("a", " ".repeat(2 * VALUE_BYTES_MAX + 1)),
        ("a..b", good.clone()),
        ("\"a\"", good.clone()),
        ("a.\"$sealed\".to", good.clone()),
        ("\"$revision\"", good.clone()),
        (&"x".repeat(KEY_BYTES_MAX + 1), good.clone()),
    ] {
        let mut state = state(&[("a", entry(json!(0), 1, 1))]);
        let error = state.put(row, Some(&text)).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
        assert_eq!(state.entry(&key("a")).is_none(), row == "a");
        let [Problem::Unreadable { row: named, key: missing, .. }] = &*state.problems() else {
            panic!("{row}")
        };
        assert_eq!(*named, row.chars().take(80).collect::<String>());
        assert_eq!(missing.is_some(), row == "a", "{row}");
        assert_eq!(state.version(), 1);
        assert_eq!(state.put(row, None), Ok(None));
        assert_eq!((state.problems(), state.unreadable_bytes), (vec![], 0));
        state.put("a", Some(&good)).unwrap();
        assert_eq!(state.document(None), Some(json!({ "a": 1 })));
    }
}

#[test]
fn a_row_that_is_no_keys_is_named_by_what_is_shown_of_it() {
    let mut state = state(&[("a", entry(json!(0), 1, 1))]);
    let long = format!("b {}", "ä".repeat(100));
    for row in ["\"a\"", "a..b", &long, "c"] {
        state.put(row, Some("?")).unwrap_err();
        let [Problem::Unreadable { row: shown, .. }] = &*state.problems() else { panic!("{row}") };
        let expected = if row == "c" { vec![] } else { vec![row.to_owned()] };
        assert_eq!(state.rows_without_key(shown), expected);
        state.put(row, None).unwrap();
        assert_eq!(state.rows_without_key(row), Vec::<String>::new());
    }
    assert_eq!(state.rows_without_key("a"), Vec::<String>::new());
}

#[test]
fn keys_are_held_up_to_a_bound_whether_they_can_be_read_or_not() {
    let mut state = ConfigState::default();
    let text = entry(json!(1), 1, 1).to_text();
    for number in 0..HELD_ROWS_MAX / 2 {
        state.put(&format!("a{number}"), Some(&text)).unwrap();
        state.put(&format!("b{number}"), Some("")).unwrap_err();
    }
    assert!(!state.problems().iter().any(|one| matches!(one, Problem::Overfull { .. })));
    assert!(matches!(state.put("c", Some(&text)), Err(ConfigError::TooMany { .. })));
    state.put("d", Some("")).unwrap_err();
    assert_eq!(state.entries.len() + state.unreadable.len(), HELD_ROWS_MAX);
    assert!(matches!(state.problems().first(), Some(Problem::Overfull { .. })));
    assert_eq!(state.entry(&key("c")), None);
}

#[test]
fn bytes_are_held_up_to_a_bound() {
    let mut state = ConfigState::default();
    let text = entry(json!("x".repeat(VALUE_BYTES_MAX - 2)), 1, 1).to_text();
    let count = HELD_BYTES_MAX / VALUE_BYTES_MAX;
    for number in 0..count {
        let has_room = state.put(&format!("a{number}"), Some(&text)).is_ok();
        assert_eq!(has_room, number + 1 < count, "{number}");
    }
    assert!(state.bytes() <= HELD_BYTES_MAX);
    assert!(matches!(*state.problems(), [Problem::Overfull { .. }]));
}

#[test]
fn sealed_values_are_shown_without_what_is_in_them() {
    let state = state(&[("a", sealed_entry("abc", 3))]);
    let to = peer(1).to_string();
    assert_eq!(state.document(None), Some(json!({ "a": { "$sealed": { "to": [to] } } })));
}
