//! Configuration values: the key is half of what is known.

use mesh_secrets::{FINDINGS_MAX, ScanError, Scanner};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::fakes::{LETTERS, letters};

fn places(key: &str, value: &Value) -> Vec<(String, &'static str)> {
    let found = Scanner::default().scan_value(key, value, 0).unwrap();
    found.iter().map(|finding| (finding.name.clone(), finding.rule.as_str())).collect()
}

#[test]
fn a_value_under_a_key_for_secrets_is_found_whatever_it_is() {
    for (key, value) in [
        ("agents.oak.token", json!("high-entropy")),
        ("agents.oak.password", json!("correct")),
        ("db.pin.passcode", json!(123_456)),
        ("agents.oak.api_key", json!(&LETTERS[..20])),
        ("agents.oak.clientSecret", json!("correct horse battery staple")),
    ] {
        assert_eq!(places(key, &value), [(key.to_owned(), "secret_value")], "{key}");
    }
}

#[test]
fn references_placeholders_and_switches_pass() {
    for (key, value) in [
        ("agents.oak.token_file", json!("/run/x")),
        ("agents.oak.token", json!("/run/x")),
        ("agents.oak.token", json!("op://vault/item/field")),
        ("agents.oak.token", json!("${OAK_TOKEN}")),
        ("agents.oak.token", json!("<token>")),
        ("agents.oak.token", json!(null)),
        ("agents.oak.token", json!(true)),
        ("agents.oak.token", json!("")),
        ("agents.oak.token_env", json!("OAK_TOKEN2")),
        ("agents.oak.max_tokens", json!(4096)),
        ("agents.oak.token", json!({"file": "/run/x", "type": "bearer-and-more"})),
        ("agents.oak.webhook", json!("https://oak.test/hook")),
        ("databases.main.id", json!("0f3c5a7e-91b2-4d6f-8a0c-e2b4d6f81a3c")),
        ("agents.oak.peer_id", json!(&LETTERS[..43])),
        ("secrets.scan", json!("tuesdays")),
    ] {
        assert_eq!(places(key, &value), [], "{key} {value}");
    }
}

#[test]
fn what_looks_like_a_secret_is_found_under_any_key_and_named_down_to_the_string() {
    let token = letters(&["gh", "p_"], 36);
    let value = json!({"notes": ["fine", {"text": format!("first\nuse {token}")}], "hook": "https://a:Hunt3r-22x@x.test"});
    let found = Scanner::default().scan_value("agents.oak", &value, 0).unwrap();
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(
        (found[0].name.as_str(), found[0].rule.as_str()),
        ("agents.oak.hook", "url_userinfo")
    );
    assert_eq!(
        (found[1].name.as_str(), found[1].line, found[1].column),
        ("agents.oak.notes[1].text", 2, 5)
    );
    assert!(!format!("{found:?}").contains(&token));
}

#[test]
fn the_context_goes_on_into_arrays_and_objects() {
    assert_eq!(
        places("x.tokens", &json!(["first-one"])),
        [("x.tokens[0]".to_owned(), "secret_value")]
    );
    assert_eq!(
        places("x", &json!({"token": {"value": "first"}})),
        [("x.token.value".to_owned(), "secret_value")]
    );
    assert_eq!(
        places("secrets", &json!({"oak": "hunter22", "elm": "plain"})),
        [("secrets.oak".to_owned(), "secret_value")]
    );
    assert_eq!(
        places("tokens.oak", &json!("hunter22")),
        [("tokens.oak".to_owned(), "secret_value")]
    );
}

#[test]
fn a_secret_that_is_a_name_is_found_and_not_shown() {
    let token = letters(&["gh", "p_"], 36);
    let mut fields = serde_json::Map::new();
    fields.insert(token.clone(), json!("oak"));
    let found = Scanner::default().scan_value("agents", &Value::Object(fields), 0).unwrap();
    assert_eq!((found.len(), found[0].rule.as_str()), (1, "github_token"));
    assert_eq!(found[0].name, "agents.[secret]");
    let found = Scanner::default().scan_value(&format!("agents.{token}"), &json!(1), 0).unwrap();
    assert_eq!(found[0].name, "agents.[secret]");
}

#[test]
fn what_is_nested_too_deep_is_refused() {
    let mut value = json!("x");
    for _ in 0..128 {
        value = json!([value]);
    }
    assert_eq!(Scanner::default().scan_value("a", &value, 0), Ok(vec![]));
    value = json!([value]);
    assert_eq!(Scanner::default().scan_value("a", &value, 0), Err(ScanError::TooDeep));
}

#[test]
fn the_findings_of_a_value_have_an_end() {
    let value = Value::Array(vec![json!("hunter22"); FINDINGS_MAX * 2]);
    assert_eq!(places("tokens", &value).len(), FINDINGS_MAX);
}

proptest! {
    #[test]
    fn no_key_or_string_panics(key in ".{0,40}", text in ".{0,200}", inner in "[a-z._\\[]{0,20}") {
        let mut fields = serde_json::Map::new();
        fields.insert(inner, json!([text]));
        let _found = Scanner::default().scan_value(&key, &Value::Object(fields), 0).unwrap();
    }
}
