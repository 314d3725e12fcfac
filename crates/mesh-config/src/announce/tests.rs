use mesh_protocol::PeerId;
use serde_json::json;

use super::*;
use crate::{Envelope, SealedValue};

fn key(text: &str) -> ConfigKey {
    text.parse().unwrap()
}

fn plain_value(value: Value) -> EntryValue {
    EntryValue::Plain(value)
}

fn sealed(count: u8) -> EntryValue {
    let envelopes = (0..count)
        .map(|one| Envelope { to: PeerId::from_bytes([one; 32]), data: "c2VhbGVk".to_owned() });
    EntryValue::Sealed(SealedValue { envelopes: envelopes.collect() })
}

fn is_secret(_: &ConfigKey, value: &Value) -> bool {
    value == "hunter2"
}

/// The change of one key by oak, as version 17.
fn one(name: &str, old: Option<&EntryValue>, new: Option<&EntryValue>) -> Announcement {
    let key = key(name);
    announce("oak", &Action::Edit, 17, &[AnnouncedItem { key: &key, old, new }], is_secret)
}

#[test]
fn one_key_is_told_with_what_it_was_and_is() {
    let (a, b) = (plain_value(json!("a")), plain_value(json!("b")));
    let null = plain_value(json!(null));
    let name = "agents.oak.webhook";
    for (old, new, text) in [
        (Some(&a), Some(&b), r#"oak set agents.oak.webhook: "a" → "b" (version 17)"#),
        (None, Some(&b), r#"oak added agents.oak.webhook: "b" (version 17)"#),
        (Some(&a), None, r#"oak removed agents.oak.webhook: it was "a" (version 17)"#),
        (Some(&null), Some(&a), r#"oak set agents.oak.webhook: null → "a" (version 17)"#),
        (None, None, "oak removed agents.oak.webhook (version 17)"),
    ] {
        assert_eq!(one(name, old, new).text, format!("📡 CONFIG UPDATE: {text}"));
    }
}

#[test]
fn the_fields_of_an_event_tell_the_same() {
    let (a, null) = (plain_value(json!(["a"])), plain_value(json!(null)));
    assert_eq!(
        one("x.y", Some(&a), Some(&null)).fields,
        json!({
            "who": "oak", "action": "set", "version": 17, "keys": ["x.y"], "keys_total": 1,
            "old": ["a"], "new": null,
        })
    );
    assert_eq!(
        one("x.y", Some(&a), None).fields,
        json!({
            "who": "oak", "action": "unset", "version": 17, "keys": ["x.y"], "keys_total": 1,
            "old": ["a"],
        })
    );
}

#[test]
fn sealed_and_secret_values_are_not_shown() {
    let (two, one_member, secret) = (sealed(2), sealed(1), plain_value(json!("hunter2")));
    let plain = plain_value(json!(1));
    let told = one("pin", Some(&secret), Some(&two));
    assert_eq!(told.text, "📡 CONFIG UPDATE: oak sealed pin for 2 members (version 17)");
    assert_eq!(told.fields["new"], json!({ "$sealed": true }));
    assert_eq!(told.fields["old"], json!({ "$hidden": true }));
    assert_eq!(told.fields["action"], "seal");
    let told = one("pin", None, Some(&one_member));
    assert_eq!(told.text, "📡 CONFIG UPDATE: oak sealed pin for 1 member (version 17)");
    let told = one("pin", Some(&two), Some(&plain));
    assert_eq!(told.text, "📡 CONFIG UPDATE: oak set pin: (sealed) → 1 (version 17)");
    let told = one("pin", Some(&secret), Some(&plain));
    assert_eq!(told.text, "📡 CONFIG UPDATE: oak set pin: (hidden) → 1 (version 17)");
}

#[test]
fn keys_that_hold_a_secret_are_not_shown() {
    let (odd, plain_key) = (key("agents.hunter2.pin"), key("agents.oak.pin"));
    let value = plain_value(json!(1));
    let is_secret = |key: &ConfigKey, _: &Value| key.segments().iter().any(|one| one == "hunter2");
    let item = |key| AnnouncedItem { key, old: Some(&value), new: Some(&value) };
    let items = [item(&odd), item(&plain_key)];
    for (action, items, text) in [
        (Action::Edit, &items[..1], "set (hidden key): (hidden) → (hidden)"),
        (Action::Edit, &items[..], "changed 2 keys: (hidden key), agents.oak.pin"),
        (Action::Import, &items[..], "imported 2 keys: (hidden key), agents.oak.pin"),
    ] {
        let told = announce("oak", &action, 17, items, is_secret);
        assert_eq!(told.text, format!("📡 CONFIG UPDATE: oak {text} (version 17)"));
        assert_eq!(told.fields["keys"][0], "(hidden key)");
        assert!(!told.fields.to_string().contains("hunter2"));
    }
}

#[test]
fn many_keys_are_counted_and_the_first_are_named() {
    let keys: Vec<ConfigKey> = (0..2000).map(|one| key(&format!("k{one}"))).collect();
    let value = plain_value(json!(1));
    let items: Vec<AnnouncedItem<'_>> =
        keys.iter().map(|key| AnnouncedItem { key, old: None, new: Some(&value) }).collect();
    let tell =
        |action: &Action, count: usize| announce("oak", action, 17, &items[..count], is_secret);
    let revert = Action::Revert { change: "12@mint".to_owned() };
    for (action, count, text) in [
        (&Action::Edit, 2, "oak changed 2 keys: k0, k1 (version 17)"),
        (&Action::Edit, 2000, "oak changed 2000 keys: k0, k1, k2 and 1997 more (version 17)"),
        (&Action::Import, 1, "oak imported 1 key: k0 (version 17)"),
        (&Action::Import, 4, "oak imported 4 keys: k0, k1, k2 and 1 more (version 17)"),
        (&revert, 3, "oak reverted version 12@mint: 3 keys: k0, k1, k2 (version 17)"),
        (&Action::Edit, 0, "oak changed 0 keys (version 17)"),
    ] {
        assert_eq!(tell(action, count).text, format!("📡 CONFIG UPDATE: {text}"));
    }
    let fields = tell(&revert, 2000).fields;
    assert_eq!(fields["keys"].as_array().unwrap().len(), FIELDS_KEYS_MAX);
    assert_eq!(fields["keys_total"], 2000);
    assert_eq!(fields["reverted"], "12@mint");
    assert_eq!(fields.get("new"), None);
}

#[test]
fn long_values_are_shortened() {
    let (short, long) = (plain_value(json!("x".repeat(100))), plain_value(json!("ä".repeat(9000))));
    let told = one("a", Some(&short), Some(&long));
    let shown = "ä".repeat(VALUE_CHARS_MAX - 1);
    let expected =
        format!("📡 CONFIG UPDATE: oak set a: \"{}\" → \"{shown}… (version 17)", "x".repeat(100));
    assert_eq!(told.text, expected);
    assert_eq!(told.fields["old"], json!("x".repeat(100)));
    let field = json!({ "$shortened": format!("\"{shown}…"), "bytes": 18_002 });
    assert_eq!(told.fields["new"], field);
}

#[test]
fn nothing_in_the_text_does_anything_but_be_read() {
    let value = plain_value(json!("a\nb\u{1b}[31m\u{7f}\u{202e}\u{200b}\u{85}\u{2028}"));
    let key = ConfigKey::new(vec!["k\u{202e}".to_owned(), "\u{9b}2J".to_owned()]).unwrap();
    let item = AnnouncedItem { key: &key, old: None, new: Some(&value) };
    let told = announce("o\u{7}ak\n📡", &Action::Edit, 1, &[item], is_secret);
    assert_eq!(
        told.text,
        "📡 CONFIG UPDATE: o\\u{7}ak\\u{a}📡 added \"k\\u{202e}\".\"\\u{9b}2J\": \
         \"a\\nb\\u001b[31m\\u{7f}\\u{202e}\\u{200b}\\u{85}\\u{2028}\" (version 1)"
    );
}
