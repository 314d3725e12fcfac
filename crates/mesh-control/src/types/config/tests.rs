use serde_json::json;

use super::*;

#[test]
fn a_value_that_is_null_is_told_from_one_that_is_not_there() {
    let difference =
        ConfigDifference { key: "a".to_owned(), before: Some(Value::Null), after: None };
    let text = serde_json::to_string(&difference).unwrap();
    assert_eq!(text, r#"{"key":"a","before":null}"#);
    assert_eq!(serde_json::from_str::<ConfigDifference>(&text).unwrap(), difference);
}

#[test]
fn a_request_to_set_needs_a_value_and_takes_null_for_one() {
    assert!(serde_json::from_value::<ConfigSet>(json!({"key": "a"})).is_err());
    let request: ConfigSet = serde_json::from_value(json!({"key": "a", "value": null})).unwrap();
    assert_eq!(request, ConfigSet { key: "a".to_owned(), value: Value::Null, note: None });
    assert!(serde_json::from_value::<ConfigSeal>(json!({"key": "a", "to": ["oak"]})).is_err());
}

#[test]
fn no_debug_form_shows_a_value_or_a_note() {
    let secret = || json!("hunter2");
    let note = Some("hunter2".to_owned());
    let (key, by, at) = ("a".to_owned(), "oak".to_owned(), UnixMillis(1));
    let entry = ConfigEntryView {
        key: key.clone(),
        value: secret(),
        version: 1,
        by: by.clone(),
        at,
        sealed_for: vec![],
    };
    let conflict = ConfigConflictView { value: secret(), version: 1, by: by.clone(), at };
    let shown = [
        format!("{:?}", ConfigSet { key: key.clone(), value: secret(), note: note.clone() }),
        format!(
            "{:?}",
            ConfigSeal { key: key.clone(), to: vec![by.clone()], value: secret(), note }
        ),
        format!("{:?}", ConfigImport { template: secret(), dry_run: true, note: None }),
        format!(
            "{:?}",
            ConfigView {
                key: Some(key.clone()),
                value: secret(),
                version: 1,
                entries: vec![entry],
                entries_left_out: 0,
            }
        ),
        format!(
            "{:?}",
            ConfigHistoryView {
                key: key.clone(),
                value: secret(),
                version: 1,
                by: by.clone(),
                at,
                action: ConfigAction::Set,
                old: Some(secret()),
                note: None,
                conflict: Some(conflict),
            }
        ),
        format!(
            "{:?}",
            ConfigChangeView {
                key: key.clone(),
                action: ConfigAction::Seal,
                value: secret(),
                old: Some(secret()),
                version: 1,
                by,
                at,
                text: "hunter2".to_owned(),
            }
        ),
        format!("{:?}", ConfigDifference { key, before: Some(secret()), after: Some(secret()) }),
    ];
    for shown in shown {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn the_words_are_those_of_the_json() {
    for action in [ConfigAction::Set, ConfigAction::Seal, ConfigAction::Unset] {
        assert_eq!(serde_json::to_value(action).unwrap(), action.as_str());
    }
    let states = [
        ConfigFileState::InStep,
        ConfigFileState::Pending,
        ConfigFileState::Broken,
        ConfigFileState::Unreadable,
        ConfigFileState::Unwritable,
    ];
    for state in states {
        assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
    }
}
