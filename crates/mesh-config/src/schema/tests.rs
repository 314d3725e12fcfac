use proptest::prelude::*;
use serde_json::json;

use super::*;

const OAK: &str = "a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0";

fn broken(schema: &Schema, document: &Value) -> Vec<(String, String)> {
    let violations = schema.check(document).unwrap_err();
    violations.into_iter().map(|one| (one.path, one.reason)).collect()
}

fn built_in(document: &Value) -> Vec<(String, String)> {
    broken(&Schema::built_in(), document)
}

fn users(schema: Value) -> Schema {
    Schema::with_users(&schema).unwrap()
}

#[test]
fn a_mesh_of_agents_databases_and_repositories_is_valid() {
    let document = json!({
        "agents": {
            "oak": {
                "name": "oak", "peer_id": OAK, "addresses": ["100.64.0.4:13500"],
                "webhook": "https://oak.example.org/hook", "bot": "@oak_bot", "colour": [1, 2],
            },
            "mint": { "webhook": "${MINT_WEBHOOK}" },
            "frigg": {},
        },
        "databases": { "tasks": "2f1c", "notes": { "id": 7, "kind": "board" } },
        "repositories": { "scripts": { "url": "git@baulder:scripts", "branch": "main", "path": "/srv" } },
        "settings": { "quiet": { "from": 22 } },
        "mesh": { "local_keys": ["paths"], "schema": { "type": "object" } },
        "anything": [null, { "else": 1.5 }],
        "cron": { "nightly": "0 3 * * *" },
    });
    assert_eq!(Schema::built_in().check(&document), Ok(()));
    assert_eq!(Schema::built_in().check(&json!({})), Ok(()));
}

#[test]
fn what_is_wrong_is_named_by_key_and_rule() {
    let document = json!({
        "agents": { "a.b": { "addresses": ["x", 7], "peer_id": "oak", "webhook": "hunter2" } },
        "repositories": { "scripts": "git@baulder:scripts" },
        "mesh": { "local_keys": "cron" },
    });
    let expected = [
        ("agents.\"a.b\".addresses", "at [1]: has to be of type string (the built-in schema)"),
        (
            "agents.\"a.b\".peer_id",
            "does not match the pattern \"^[0-9a-f]{64}$\" (the built-in schema)",
        ),
        (
            "agents.\"a.b\".webhook",
            "does not match the pattern \"^([A-Za-z][A-Za-z0-9+.-]*://|\\\\$\\\\{)\" (the built-in schema)",
        ),
        ("mesh.local_keys", "has to be of type array (the built-in schema)"),
        ("repositories.scripts", "has to be of type object (the built-in schema)"),
    ];
    let mut found = built_in(&document);
    found.sort();
    assert_eq!(found, expected.map(|(path, reason)| (path.to_owned(), reason.to_owned())));
}

#[test]
fn values_are_in_no_reason() {
    let schema = users(json!({
        "properties": {
            "settings": { "properties": {
                "a": { "const": 1 }, "b": { "enum": ["x", "y"] }, "c": { "maxLength": 3 },
                "d": { "anyOf": [{ "type": "null" }, { "const": 4 }] }, "e": { "not": { "type": "string" } },
                "f": { "items": { "type": "integer" }, "uniqueItems": true }, "g": false,
                "h": { "pattern": "^x" }, "i": { "oneOf": [{ "type": "null" }, { "const": 2 }] },
                "j": { "contains": { "const": 1 } }, "k": { "dependentRequired": { "m": ["n"] } },
                "l": { "unevaluatedItems": false, "prefixItems": [true] },
            } },
        },
    }));
    let private = "s3cret-value";
    let list = json!([private, private]);
    let document = json!({ "settings": {
        "a": private, "b": private, "c": private, "d": private, "e": private, "f": list, "g": private,
        "h": private, "i": private, "j": list, "k": { "m": private }, "l": list,
    } });
    let found = broken(&schema, &document);
    for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"] {
        let path = format!("settings.{name}");
        assert!(found.iter().any(|(at, _)| *at == path), "{path}: {found:?}");
    }
    assert!(found.iter().all(|(_, reason)| !reason.contains(private)), "{found:?}");
}

#[test]
fn the_users_schema_has_to_hold_beside_the_built_in_one() {
    let schema = users(json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://mint.example.org/schema.json",
        "required": ["owner"],
        "additionalProperties": false,
        "properties": { "owner": { "$ref": "#/$defs/name" }, "agents": true },
        "$defs": { "name": { "type": "string" } },
    }));
    assert_eq!(schema.check(&json!({ "owner": "mint" })), Ok(()));
    let found = broken(&schema, &json!({ "ownr": 1, "agents": 3 }));
    let expected = [
        ("agents", "has to be of type object (the built-in schema)"),
        ("ownr", "there is no such member (mesh.schema)"),
        ("", "lacks the member \"owner\" (mesh.schema)"),
    ];
    let mut expected = expected.map(|(path, reason)| (path.to_owned(), reason.to_owned()));
    expected.sort();
    let mut found = found;
    found.sort();
    assert_eq!(found, expected);
    assert!(users(json!(true)).check(&json!({})).is_ok());
}

#[test]
fn a_sealed_value_keeps_the_rules_about_itself() {
    let sealed = json!({ "$sealed": { "to": [OAK] } });
    let document = json!({ "agents": { "oak": { "webhook": sealed } }, "pin": sealed });
    assert_eq!(Schema::built_in().check(&document), Ok(()));
    let schema = users(json!({ "properties": {
        "pin": { "type": "integer" }, "agents": { "additionalProperties": { "required": ["bot"] } },
    } }));
    let found = broken(&schema, &document);
    assert_eq!(
        found,
        [("agents.oak".to_owned(), "lacks the member \"bot\" (mesh.schema)".to_owned())]
    );
}

#[test]
fn what_leads_out_of_the_schema_is_refused() {
    for reference in [
        "https://example.org/schema.json",
        "file:///etc/passwd",
        "other.json#/x",
        "#anchor",
        "#/$defs/%61",
        "#/nothing",
        "",
    ] {
        let schema = json!({ "properties": { "a": { "$ref": reference } }, "$defs": { "a": {} } });
        let refused = Schema::with_users(&schema).unwrap_err();
        assert!(
            matches!(&refused, SchemaError::Refused { at, .. } if at == "/properties/a/$ref"),
            "{reference}: {refused:?}"
        );
    }
    for name in ["$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef"] {
        let schema = json!({ "allOf": [{ name: "https://example.org/x" }] });
        assert!(matches!(Schema::with_users(&schema), Err(SchemaError::Refused { .. })), "{name}");
    }
    let draft = json!({ "$schema": "http://json-schema.org/draft-07/schema#" });
    assert!(matches!(Schema::with_users(&draft), Err(SchemaError::Refused { .. })));
}

#[test]
fn names_of_keywords_are_names_where_no_schema_stands() {
    let schema = users(json!({
        "properties": { "$ref": { "type": "string" }, "$id": true, "pattern": { "type": "integer" } },
        "enum": [{ "$ref": "https://example.org" }, { "pattern": "(" }],
    }));
    assert!(schema.check(&json!({ "$ref": "https://example.org" })).is_ok());
    assert!(schema.check(&json!({ "$ref": "x" })).is_err());
}

#[test]
fn what_is_no_schema_is_refused_with_its_place() {
    for (schema, place) in [
        (json!({ "properties": { "a": { "type": "text" } } }), "/properties/a/type"),
        (json!({ "pattern": "(" }), "/pattern"),
        (json!({ "pattern": "(?=a)" }), "/pattern"),
        (json!({ "items": [{}] }), "/items"),
        (json!({ "allOf": {} }), "/allOf"),
        (json!("text"), ""),
        (json!(null), ""),
    ] {
        match Schema::with_users(&schema) {
            Err(SchemaError::Invalid { at, .. }) => assert_eq!(at, place, "{schema}"),
            other => panic!("{schema}: {other:?}"),
        }
    }
}

#[test]
fn a_schema_that_goes_around_in_a_circle_is_refused() {
    let itself = json!({ "$ref": "#" });
    let tree = json!({ "$ref": "#/$defs/n", "$defs": {
        "n": { "additionalProperties": { "$ref": "#/$defs/n" }, "items": { "$ref": "#/$defs/n" } },
    } });
    for schema in [itself, tree] {
        let refused = Schema::with_users(&schema).unwrap_err();
        assert!(
            matches!(refused, SchemaError::Refused { .. } | SchemaError::TooMuch { .. }),
            "{refused:?}"
        );
    }
}

#[test]
fn a_schema_that_grows_when_it_is_followed_is_refused() {
    let mut defs = serde_json::Map::new();
    for level in 0..15 {
        let inner = json!({ "$ref": format!("#/$defs/{}", level + 1) });
        defs.insert(level.to_string(), json!({ "allOf": [inner, inner] }));
    }
    defs.insert("15".to_owned(), json!({ "type": "string" }));
    let schema = json!({ "$ref": "#/$defs/0", "$defs": defs });
    assert!(matches!(Schema::with_users(&schema), Err(SchemaError::TooMuch { .. })));
}

#[test]
fn a_schema_that_is_too_large_is_refused() {
    let deep = (0..200).fold(json!({}), |inner, _| json!({ "not": inner }));
    let nested = (0..60).fold(json!({}), |inner, _| json!({ "not": inner }));
    let long = json!({ "title": "x".repeat(SCHEMA_BYTES_MAX) });
    let patterns = json!({ "allOf": vec![json!({ "pattern": "a" }); 65] });
    let names: serde_json::Map<_, _> = (0..65).map(|one| (one.to_string(), json!({}))).collect();
    let named = json!({ "patternProperties": names });
    let many = json!({ "allOf": vec![json!({}); 1001] });
    for schema in [deep, long, patterns, named, many] {
        assert!(matches!(Schema::with_users(&schema), Err(SchemaError::TooMuch { .. })));
    }
    assert!(matches!(Schema::with_users(&nested), Err(SchemaError::Refused { .. })));
    let huge = json!({ "pattern": "((((a{100}){100}){100}){100})" });
    assert!(matches!(Schema::with_users(&huge), Err(SchemaError::Invalid { .. })));
}

#[test]
fn an_expression_made_to_backtrack_takes_no_longer_than_others() {
    let schema = users(json!({ "properties": { "settings": {
        "additionalProperties": { "pattern": "^(a|a|aa)+(a+)+$" },
    } } }));
    let text = "a".repeat(250_000) + "!";
    assert_eq!(broken(&schema, &json!({ "settings": { "x": text } })).len(), 1);
}

#[test]
fn a_document_with_too_much_to_say_about_it_is_refused_all_the_same() {
    let schema = users(json!({ "additionalProperties": {
        "allOf": vec![json!({ "type": "null" }); 900],
    } }));
    let members: serde_json::Map<_, _> =
        (0..20_000).map(|one| (format!("k{one}"), json!(1))).collect();
    let found = broken(&schema, &Value::Object(members));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, "");

    // A copy of the whole for each alternative would be gigabytes.
    let choice = users(json!({ "anyOf": vec![json!({ "type": "null" }); 900] }));
    let texts = vec![json!("x".repeat(250_000)); 20];
    assert_eq!(broken(&choice, &json!({ "texts": texts })).len(), 1);
}

#[test]
fn so_many_violations_are_told_and_no_more() {
    let members: serde_json::Map<_, _> =
        (0..20_000).map(|one| (format!("k{one}"), json!(1))).collect();
    assert_eq!(built_in(&json!({ "agents": members })).len(), VIOLATIONS_MAX);
    let schema = users(json!({ "properties": { "a": true }, "additionalProperties": false }));
    assert_eq!(broken(&schema, &Value::Object(members)).len(), VIOLATIONS_MAX);
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3..70_i64).prop_map(Value::from),
        prop_oneof!["#", "#/\\$defs/a", "#/a", "string", "\\PC{0,4}", "\\(a\\+\\)\\+"]
            .prop_map(Value::from),
    ];
    let name = prop_oneof![
        Just("$ref"),
        Just("$defs"),
        Just("$id"),
        Just("a"),
        Just("allOf"),
        Just("anyOf"),
        Just("items"),
        Just("not"),
        Just("pattern"),
        Just("properties"),
        Just("patternProperties"),
        Just("propertyNames"),
        Just("type"),
        Just("enum"),
        Just("if"),
        Just("then"),
        Just("maxLength"),
        Just("dependencies"),
        Just("unevaluatedProperties"),
        Just("additionalProperties"),
        Just("$schema"),
        Just("$sealed"),
    ];
    leaf.prop_recursive(6, 60, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.clone().prop_map(str::to_owned), inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_schema_and_no_document_does_harm(schema in json_value(), document in json_value()) {
        if let Ok(schema) = Schema::with_users(&schema)
            && let Err(violations) = schema.check(&document)
        {
            prop_assert!(violations.len() <= VIOLATIONS_MAX);
        }
    }
}
