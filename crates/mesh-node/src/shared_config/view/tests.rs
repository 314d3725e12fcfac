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
