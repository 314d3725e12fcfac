use proptest::prelude::*;
use serde_json::json;

use super::*;

fn document(text: &str) -> Value {
    parse_text(text.as_bytes()).unwrap().document
}

fn mistake(text: impl AsRef<[u8]>) -> (u64, u64, String) {
    let error = parse_text(text.as_ref()).unwrap_err();
    (error.line, error.column, error.reason)
}

fn kind(text: impl AsRef<[u8]>) -> TextErrorKind {
    parse_text(text.as_ref()).unwrap_err().kind
}

#[test]
fn what_people_write_by_hand_is_taken() {
    let text = r#"
        // the mesh
        {
            /* who */ agents: { 'oak': { "name": 'O"k', port: 0x1F, }, },
            "list": [1, .5, +7, 5., "it's", /* none */ null, true,],
            $dollar_name-2: { größe: false, null: 1, true: 2 },
        } // end"#;
    assert_eq!(
        document(text),
        json!({
            "agents": { "oak": { "name": "O\"k", "port": 31 } },
            "list": [1, 0.5, 7, 5.0, "it's", null, true],
            "$dollar_name-2": { "größe": false, "null": 1, "true": 2 },
        })
    );
}

#[test]
fn a_mark_of_the_byte_order_is_passed_over_and_is_no_column() {
    assert_eq!(document("\u{feff}{\"a\":1}"), json!({ "a": 1 }));
    assert_eq!((1, 6), place(&mistake("\u{feff}{\"a\":}")));
}

fn place(mistake: &(u64, u64, String)) -> (u64, u64) {
    (mistake.0, mistake.1)
}

#[test]
fn the_revision_is_told_apart_from_the_document() {
    let parsed = parse_text(br#"{ "$revision": "12ab", "a": { "$revision": 1 } }"#).unwrap();
    assert_eq!(parsed.revision.as_deref(), Some("12ab"));
    assert_eq!(parsed.document, json!({ "a": { "$revision": 1 } }));
    assert_eq!(parse_text(b"{}").unwrap().revision, None);
    assert_eq!(place(&mistake("{\n  \"$revision\": 5\n}")), (2, 16));
}

#[test]
fn a_member_has_a_place_in_lines_and_characters() {
    let text = "{\r\n  \"größe\": 1, \"agents\": {\r  // name\n\t\"a.b\": { x: [ { y: 1 } ] } } }";
    let parsed = parse_text(text.as_bytes()).unwrap();
    let place = |key: &str| parsed.place_of(&key.parse().unwrap());
    assert_eq!(place("\"größe\""), Some((2, 3)));
    assert_eq!(place("agents"), Some((2, 15)));
    assert_eq!(place("agents.\"a.b\""), Some((4, 2)));
    assert_eq!(place("agents.\"a.b\".x"), Some((4, 11)));
    assert_eq!(place("agents.\"a.b\".x.y"), None);
    assert_eq!(place("agents.oak"), None);
}

#[test]
fn an_empty_file_is_told_apart_from_a_broken_one() {
    for text in ["", " \n\t\r\n", "\u{feff}"] {
        assert_eq!(kind(text), TextErrorKind::Empty, "{text:?}");
    }
    for text in ["// {}", "/* */", "[]", "5", "\"a\"", "null", "[1, 2"] {
        assert_eq!(kind(text), TextErrorKind::NotAnObject, "{text:?}");
    }
    for text in ["{", "{} {}", "}", "hello", "{}x"] {
        assert!(
            matches!(kind(text), TextErrorKind::Broken | TextErrorKind::NotAnObject),
            "{text:?}"
        );
    }
}

#[test]
fn what_is_no_text_is_refused_where_it_begins() {
    assert_eq!(kind(b"{\n \"a\": \"\xff\" }"), TextErrorKind::NotText);
    assert_eq!(place(&mistake(b"{\n \"\xc3\xa4\": \"\xff\" }")), (2, 8));
    assert_eq!(kind(b"\xff\xfe{\0}\0"), TextErrorKind::NotText);
    assert!(mistake(b"\xff\xfe{\0}\0").2.contains("UTF-16"));
    assert_eq!(kind(b"{ \"a\": \"\0\" }"), TextErrorKind::NotText);
    assert_eq!(place(&mistake(b"{ \"a\": \"\0\" }")), (1, 9));
    assert_eq!(kind([0_u8; 4096]), TextErrorKind::NotText);
    // Written as JSON writes it, it is a character like others.
    assert_eq!(document(r#"{ "a": "\u0000" }"#), json!({ "a": "\0" }));
}

#[test]
fn mistakes_have_their_place_and_plain_words() {
    let cases = [
        ("{\n  \"a\": 1\n  \"b\": 2\n}", (2, 9), "comma is missing"),
        ("{\n  \"a\" 1\n}", (2, 7), "colon is missing"),
        ("{ \"a\": , }", (1, 8), "value is missing"),
        ("{ \"a\": }", (1, 8), "value is missing"),
        ("{ \"a\": 1,, }", (1, 10), "comma too much"),
        ("{ : 1 }", (1, 3), "name is missing"),
        ("{ {} }", (1, 3), "name is missing"),
        ("{ \"a\": [1, 2 }", (1, 14), "] is missing"),
        ("{ \"a\": { \"b\": 1 ]", (1, 17), "} is missing"),
        ("{ ]", (1, 3), "} is missing"),
        ("{\n \"a\": {\n", (2, 8), "{ of line 2, column 7"),
        ("{\n \"a\": [1\n", (2, 9), "[ of line 2, column 7"),
        ("{\n \"a\":\n", (3, 1), "text ends"),
        ("{ \"a\": \"b\n, \"c\": 1 }", (1, 8), "quote is missing"),
        ("{ \"a\": \"b }", (1, 8), "quote is missing"),
        ("{ \"a\": \"b\\\nc\" }", (1, 10), "backslash"),
        ("{ \"a\": \"\\d+\" }", (1, 9), "backslash"),
        ("{ \"a\": \"\\ud800\" }", (1, 9), "backslash"),
        ("{ \"a\": yes }", (1, 8), "double quotes"),
        ("{ \"a\": yes, }", (1, 8), "double quotes"),
        ("{ \"a\": NaN }", (1, 8), "double quotes"),
        ("{ \"a\": -Infinity }", (1, 8), "no number"),
        ("{ \"a\": - }", (1, 9), ""),
        ("{ \"a\": 007 }", (1, 9), "comma is missing"),
        ("{ 1a: 1 }", (1, 3), "double quotes"),
        ("{ “a”: 1 }", (1, 3), "no quotes"),
        ("{ # hello\n}", (1, 3), "not with #"),
        ("{ /* hello\n}", (1, 3), "*/ is missing"),
        ("{ / hello\n}", (1, 3), "// or /*"),
        ("{}\n\n {}", (3, 2), "behind the last }"),
    ];
    for (text, at, words) in cases {
        let found = mistake(text);
        assert_eq!(place(&found), at, "{text:?}: {}", found.2);
        assert!(found.2.contains(words), "{text:?}: {}", found.2);
    }
}

#[test]
fn a_mistake_repeats_no_value() {
    for text in [
        "{ \"a\": hunter2 }",
        "{ \"a\": hunter2, }",
        "{ \"a\": \"hunter2\n }",
        "{ \"hunter2\" }",
        "{ \"a\": 1 \"hunter2\" }",
        "{ \"a\": \"hunter2\\q\" }",
        "{ \"a\": 1, \"a\" hunter2 }",
        "{ \"a\": \"hunter2\" \"a\": 1 }",
        "hunter2",
    ] {
        assert!(!mistake(text).2.contains("hunter2"), "{text:?}");
    }
}

#[test]
fn a_name_that_stands_twice_is_refused_with_both_places() {
    let found = mistake("{\n  \"b\": 1,\n  // again\n  b: 2\n}");
    assert_eq!(place(&found), (4, 3));
    assert!(found.2.contains("\"b\" stands here for the second time"), "{}", found.2);
    assert!(found.2.contains("line 2, column 3"), "{}", found.2);
    assert_eq!(place(&mistake(r#"{ "x": [ { "a": 1, "\u0061": 2 } ] }"#)), (1, 20));
    assert_eq!(place(&mistake(r#"{ "$revision": "a", "$revision": "b" }"#)), (1, 21));
    let long = "x".repeat(100_000);
    assert!(mistake(format!("{{ {long}: 1, {long}: 2 }}")).2.len() < 300);
}

#[test]
fn what_is_too_deep_is_refused_before_it_is_followed() {
    let nested =
        |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert!(parse_text(nested(TEXT_DEPTH_MAX).as_bytes()).is_ok());
    assert_eq!(place(&mistake(nested(TEXT_DEPTH_MAX + 1))), (1, 105));
    assert_eq!(kind("[".repeat(1_000_000)), TextErrorKind::NotAnObject);
    assert_eq!(place(&mistake(format!("{{\"a\":{}", "[".repeat(1_000_000)))), (1, 105));
    assert!(mistake("{\"a\":".repeat(1_000_000)).2.contains("more than 100"));
    assert!(mistake("{a:[".repeat(1_000_000)).2.contains("more than 100"));
}

#[test]
fn a_revision_follows_the_content_alone() {
    let flat = |text: &str| crate::flatten(None, &document(text)).unwrap();
    let one = revision_of(&flat("{ b: { y: 1, x: [ { d: 1, c: 2 } ] }, a: 'ä' }"));
    let same = revision_of(&flat("{ a: 'ä', /* x */ b: { x: [ { c: 2, d: 1 } ], y: 1 } }"));
    assert_eq!(one, same);
    assert_eq!(one.len(), 16);
    assert!(one.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let others =
        ["{}", "{ a: 1 }", "{ a: 1.0 }", "{ a: '1' }", "{ a: {} }", "{ a: [] }", "{ a: { b: 1 } }"];
    let names: std::collections::BTreeSet<_> =
        others.iter().map(|text| revision_of(&flat(text))).collect();
    assert_eq!(names.len(), others.len());
    // It is compared between members of different builds: it never changes.
    assert_eq!(revision_of(&flat("{ a: { b: [1, 'x'] } }")), "180936750bf1cedd");
}

proptest! {
    #[test]
    fn nothing_makes_the_parser_fall_over(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _parsed = parse_text(&bytes);
    }

    #[test]
    fn no_mixture_of_tokens_makes_the_parser_fall_over(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "{", "}", "[", "]", ",", ":", "\"a\"", "'b'", "c", "1", "-", "0x", "1e5", "null", "//", "/*",
                "*/", "\n", "\r", " ", "\\", "\"", "'", "ä", "\u{feff}", "\u{a0}", "$revision", ".", "+",
            ]),
            0..40,
        )
    ) {
        let text = parts.concat();
        if let Err(error) = parse_text(text.as_bytes()) {
            let lines = text.matches(['\n', '\r']).count() as u64 + 1;
            prop_assert!(error.line >= 1 && error.line <= lines && error.column >= 1);
            prop_assert!(error.column <= text.chars().count() as u64 + 1);
        }
    }

    #[test]
    fn what_another_library_takes_for_json_is_the_same_here(
        name in "\\PC{0,8}", texts in prop::collection::vec(any::<String>(), 0..4), whole in any::<i64>(),
        natural in any::<u64>(), float in prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO,
    ) {
        let document = json!({ name: texts, "b": { "whole": whole, "natural": natural, "float": float } });
        for text in [document.to_string(), format!("{document:#}")] {
            prop_assert_eq!(&parse_text(text.as_bytes()).unwrap().document, &document);
        }
    }
}
