use proptest::prelude::*;

use super::*;

#[test]
fn names_with_dots_are_quoted() {
    let key = ConfigKey::new(vec!["agents".into(), "a.b".into(), "x\"y".into()]).unwrap();
    assert_eq!(key.to_string(), r#"agents."a.b"."x\"y""#);
    assert_eq!(key.to_string().parse(), Ok(key));
}

#[test]
fn what_is_no_key_is_refused_with_the_reason() {
    for (text, reason) in [
        ("", "between dots"),
        ("a..b", "between dots"),
        (".a", "between dots"),
        ("a.", "between dots"),
        ("a b", "between dots"),
        ("\"a\"b", "a dot is missing"),
        ("\"a", "no JSON string"),
        ("a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a", "more than 16"),
    ] {
        let error = text.parse::<ConfigKey>().unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
    let long = "a".repeat(KEY_BYTES_MAX + 1);
    assert!(long.parse::<ConfigKey>().unwrap_err().to_string().contains("512 bytes"));
}

#[test]
fn what_stands_beneath_a_key_is_within_it() {
    let key = |text: &str| text.parse::<ConfigKey>().unwrap();
    assert!(key("a.b").is_within(&key("a")) && key("a").is_within(&key("a")));
    assert!(!key("ab").is_within(&key("a")) && !key("a").is_within(&key("a.b")));
    let around: Vec<ConfigKey> = key("a.b.c").ancestors().collect();
    assert_eq!(around, [key("a"), key("a.b")]);
}

proptest! {
    #[test]
    fn every_key_reads_back_from_its_text(names in prop::collection::vec("\\PC{0,8}", 1..5)) {
        let key = ConfigKey::new(names).unwrap();
        prop_assert_eq!(key.to_string().parse::<ConfigKey>(), Ok(key));
    }

    #[test]
    fn no_text_is_read_as_another_key(text in "[a\".\\\\ -]{0,12}") {
        if let Ok(key) = text.parse::<ConfigKey>() {
            prop_assert_eq!(key.to_string().parse::<ConfigKey>(), Ok(key));
        }
    }
}
