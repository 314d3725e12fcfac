use serde_json::json;

use super::*;

#[test]
fn long_values_are_cut_at_a_character() {
    assert_eq!(short(&json!("é".repeat(10))), format!("\"{}\"", "é".repeat(10)));
    let cut = short(&json!("é".repeat(100)));
    assert_eq!(cut, format!("\"{}…", "é".repeat(59)));
}

#[test]
fn only_what_stands_for_a_sealed_value_is_shown_as_one() {
    assert_eq!(short(&json!({"$sealed": {"to": ["mint", "oak"]}})), "sealed for mint, oak");
    for other in [json!({"$sealed": 1}), json!({"$sealed": {"to": []}, "a": 1}), json!({})] {
        assert_eq!(whole(&other), other.to_string());
    }
}

#[test]
fn a_change_of_many_keys_names_the_first_and_counts_the_rest() {
    let keys = |count: usize| (0..count).map(|number| format!("a.k{number}")).collect();
    let done = |count| ConfigChanged { version: Some(7), changed: keys(count) };
    assert_eq!(changed(&done(1), ""), "Change 7 of a.k0.\n");
    assert_eq!(changed(&done(20), "").lines().count(), 21);
    let text = changed(&done(21), "");
    assert!(text.starts_with("Change 7 of 21 keys:\n  a.k0\n"), "{text}");
    assert!(text.ends_with("  a.k19\n  and 1 more\n"), "{text}");
    let local = ConfigChanged { version: None, ..done(1) };
    assert_eq!(changed(&local, ""), "Change on this machine alone of a.k0.\n");
    let none = ConfigChanged::default();
    assert_eq!(changed(&none, "it was so"), "Nothing was changed: it was so.\n");
}
