use serde_json::json;

use super::*;

fn local(document: &Value) -> Flat {
    flatten(None, document).unwrap()
}

#[test]
fn what_a_command_sets_and_a_save_of_the_same_moment_are_both_kept() {
    let before = local(&json!({ "local": { "a": 1, "b": 1, "c": 1, "d": 1 } }));
    let wanted = local(&json!({ "local": { "a": 2, "c": 1, "d": 1, "e": { "x": 2 } } }));
    let saved = local(&json!({ "local": { "a": 1, "b": 1, "c": 3, "e": 3, "f": 3 } }));
    let both = local(&json!({ "local": { "a": 2, "c": 3, "e": { "x": 2 }, "f": 3 } }));
    assert_eq!(carried(&before, wanted, &saved), both);
}

fn prefix() -> ConfigKey {
    "agents.oak".parse().unwrap()
}

fn listed() -> LocalKeys {
    LocalKeys::new(["agents.oak.debug".parse().unwrap()])
}

#[test]
fn a_key_of_this_machine_in_a_view_that_shows_none_is_named_with_its_place() {
    let text = parse_text(b"{\n  \"bot\": 1,\n  \"debug\": { \"x\": 1 }\n}").unwrap();
    let flat = flatten(Some(&prefix()), &text.document).unwrap();
    let key = misplaced(&flat, None, &listed()).unwrap();
    let trouble = Trouble::of_misplaced(key, &text, &prefix());
    assert_eq!(trouble.key.as_deref(), Some("agents.oak.debug.x"));
    assert_eq!(trouble.line, Some(3));
    assert_eq!(trouble.state, Some(ConfigFileState::Broken));
    // It was shown there before somebody listed it: whoever saves the file has not typed it.
    assert_eq!(misplaced(&flat, Some(&flat), &listed()), None);
    let other = local(&json!({ "agents": { "oak": { "bot": 1 } } }));
    assert_eq!(misplaced(&other, None, &listed()), None);
}
