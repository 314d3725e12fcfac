use proptest::prelude::*;
use serde_json::json;

use super::*;

fn key(text: &str) -> ConfigKey {
    text.parse().unwrap()
}

fn is_local(key: &ConfigKey) -> bool {
    matches!(key.segments().first().map(String::as_str), Some("cron" | "local"))
}

fn is_secret(_: &ConfigKey, value: &Value) -> bool {
    value.to_string().contains("hunter2")
}

#[test]
fn a_template_shows_the_shape_and_keeps_back_what_is_private() {
    let document = json!({
        "agents": {
            "oak": {
                "addresses": ["100.64.0.4:13500"],
                "bot": { "$sealed": { "to": ["a0"] } },
                "webhook": "https://oak.example.org/${HOOK}",
                "token_file": "/run/secrets/token",
            },
            "mint": {},
        },
        "settings": {
            "pass": "hunter2", "vaults": ["plain", "op://team/oak/pin"], "keyFile": null, "limit": 7,
            "nested": [{ "pw": "hunter2" }],
        },
        "cron": { "nightly": "0 3 * * *" },
        "local": 1,
    });
    let template = export(&document, is_local, is_secret).unwrap();
    assert_eq!(
        template,
        json!({
            "agents": {
                "oak": {
                    "addresses": ["100.64.0.4:13500"],
                    "bot": "<bot>",
                    "webhook": "<webhook>",
                    "token_file": "<token_file>",
                },
                "mint": {},
            },
            "settings": {
                "pass": "<pass>", "vaults": "<vaults>", "keyFile": null, "limit": 7,
                "nested": "<nested>",
            },
        })
    );
    assert!(!template.to_string().contains("hunter2"));
}

#[test]
fn an_object_of_local_keys_alone_is_not_an_empty_one() {
    let is_local = |key: &ConfigKey| key.is_within(&"paths.home".parse().unwrap());
    let document = json!({ "paths": { "home": { "a": 1 } }, "empty": {} });
    assert_eq!(export(&document, is_local, is_secret).unwrap(), json!({ "empty": {} }));
}

#[test]
fn an_import_leaves_out_placeholders_and_local_keys_and_names_them() {
    let template = json!({
        "a": { "token_file": "<token_file>", "x": "<y>", "list": ["<list>"] },
        "local": { "b": 2 },
        "empty": {},
    });
    let imported = import_flat(&template, is_local).unwrap();
    assert_eq!(imported.placeholders, [key("a.token_file")]);
    assert_eq!(imported.local, [key("local.b")]);
    let expected =
        [(key("a.list"), json!(["<list>"])), (key("a.x"), json!("<y>")), (key("empty"), json!({}))];
    assert_eq!(imported.values, Flat::from(expected));
}

#[test]
fn a_template_that_is_none_is_refused() {
    assert_eq!(import_flat(&json!([]), is_local), Err(TemplateError::NoObject));
    let sealed = json!({ "a": { "b": { "$sealed": { "to": [] } } } });
    assert_eq!(import_flat(&sealed, is_local), Err(TemplateError::Sealed { key: key("a.b") }));
    let deep = (0..40).fold(json!(1), |inner, _| json!({ "a": inner }));
    assert!(matches!(import_flat(&deep, is_local), Err(TemplateError::Config(_))));
}

#[test]
fn a_difference_names_what_comes_goes_and_changes() {
    let before = Flat::from([(key("a"), json!(1)), (key("b"), json!(2)), (key("c"), json!(3))]);
    let after = Flat::from([(key("a"), json!(1)), (key("b"), json!(null)), (key("d"), json!(4))]);
    let line = |name: &str, before: Option<Value>, after: Option<Value>| Difference {
        key: key(name),
        before,
        after,
    };
    assert_eq!(
        difference(&before, &after),
        [
            line("b", Some(json!(2)), Some(json!(null))),
            line("c", Some(json!(3)), None),
            line("d", None, Some(json!(4))),
        ]
    );
    assert_eq!(difference(&after, &after), []);
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        Just(json!({})),
        any::<i8>().prop_map(Value::from),
        prop_oneof!["hunter2", "op://x", "\\$\\{X\\}", "<a>", "\\PC{0,4}"].prop_map(Value::from),
        Just(json!(["<b>", 1])),
        Just(json!(["hunter2"])),
    ];
    let name = prop_oneof![
        Just("a"),
        Just("b"),
        Just("token_file"),
        Just("local"),
        Just("cron"),
        Just("a.b"),
        Just("")
    ];
    let name = name.prop_map(str::to_owned);
    let tree = leaf.prop_recursive(4, 40, 5, {
        let name = name.clone();
        move |inner| {
            prop::collection::btree_map(name.clone(), inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect()))
        }
    });
    prop::collection::btree_map(name, tree, 0..5)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
}

proptest! {
    #[test]
    fn the_import_of_an_export_changes_nothing(document in document()) {
        let template = export(&document, is_local, is_secret).unwrap();
        prop_assert!(!template.to_string().contains("hunter2"));
        let imported = import_flat(&template, is_local).unwrap();
        prop_assert!(imported.local.is_empty());
        let before = flatten(None, &document).unwrap();
        for (key, value) in &imported.values {
            prop_assert_eq!(before.get(key), Some(value), "{}", key);
        }
        // Every key that is not local is either brought or named as a placeholder.
        for key in before.keys().filter(|key| !is_local(key)) {
            prop_assert!(imported.values.contains_key(key) || imported.placeholders.contains(key));
        }
        prop_assert_eq!(export(&template, is_local, is_secret).unwrap(), template);
    }
}
