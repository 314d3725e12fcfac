use mesh_config::Parity;

use super::{ConfigKeyDigests, Theirs, is_older, joined};

#[test]
fn versions_are_compared_by_their_numbers() {
    assert!(is_older("0.1.9", "0.1.10"));
    assert!(is_older("0.9.0", "1.0.0"));
    assert!(!is_older("0.1.0", "0.1.0"));
    assert!(!is_older("0.2.0", "0.1.9"));
    assert!(!is_older("", "0.1.0"));
    assert!(!is_older("nightly", "0.1.0"));
}

#[test]
fn a_key_that_the_table_and_the_file_have_differently_is_named_once() {
    let key = |text: &str| text.parse().unwrap();
    let table = Parity { missing: vec![key("b")], ..Parity::default() };
    let file = Parity {
        missing: vec![key("a")],
        different: vec![key("b"), key("c")],
        ..Parity::default()
    };
    let both = joined(table, file);
    assert_eq!(both.missing, [key("a"), key("b")]);
    assert_eq!(both.different, [key("c")]);
    assert!(both.extra.is_empty());
}

#[test]
fn what_a_member_calls_a_key_and_is_none_is_left_out() {
    let mut theirs = Theirs::default();
    let named =
        |key: &str| ConfigKeyDigests { key: key.to_owned(), table: Some([1; 16]), file: None };
    theirs.take(vec![named(""), named("a..b"), named("a.b")]);
    let keys: Vec<String> = theirs.table.keys().map(ToString::to_string).collect();
    assert_eq!(keys, ["a.b"]);
    assert!(theirs.file.is_empty());
}
