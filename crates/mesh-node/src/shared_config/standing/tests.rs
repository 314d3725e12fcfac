use super::*;

fn good() -> Value {
    json!({ "databases": { "tasks": "good" } })
}

fn wrong() -> Value {
    json!({ "databases": { "tasks": true } })
}

#[test]
fn a_document_from_before_stands_in_only_while_none_is_known_that_is_valid() {
    let mut standing = Standing::new(&[]);
    standing.remember(good());
    standing.look(wrong(), &[]);
    standing.looked_at = Some(1);
    assert_eq!(*standing.good, good());
    assert!(!standing.violations.is_empty());
    // Still nothing better is known.
    standing.remember(json!({}));
    assert_eq!(*standing.good, json!({}));

    let newer = json!({ "databases": { "tasks": "newer" } });
    standing.look(newer.clone(), &[]);
    standing.remember(good());
    assert_eq!(*standing.good, newer);
    standing.look(wrong(), &[]);
    assert_eq!(*standing.good, newer);
}

#[test]
fn what_is_listed_here_and_by_all_stays_on_the_machine() {
    let here: ConfigKey = "here".parse().unwrap();
    let mut standing = Standing::new(&[here]);
    let is_local =
        |standing: &Standing, key: &str| standing.local_keys().is_local(&key.parse().unwrap());
    assert!(is_local(&standing, "here.a") && is_local(&standing, "cron.a"));
    assert!(!is_local(&standing, "listed.a"));
    standing.look(json!({ "mesh": { "local_keys": ["listed"] } }), &[]);
    assert!(is_local(&standing, "here.a") && is_local(&standing, "listed.a"));
    standing.look(json!({}), &[]);
    assert!(is_local(&standing, "here.a") && !is_local(&standing, "listed.a"));
}

#[test]
fn a_schema_of_the_user_holds_as_long_as_it_is_there() {
    let mut standing = Standing::new(&[]);
    let rule = json!({ "properties": { "settings": { "maxProperties": 1 } } });
    let two = json!({ "a": 1, "b": 2 });
    standing.look(json!({ "mesh": { "schema": rule }, "settings": two }), &[]);
    assert!(standing.has_users_schema() && !standing.violations.is_empty());
    standing.look(json!({ "settings": two }), &[]);
    assert!(!standing.has_users_schema() && standing.violations.is_empty());
}

#[test]
fn rows_at_a_key_that_somebody_listed_are_hidden_with_what_is_empty_without_them() {
    let mut standing = Standing::new(&[]);
    let list = json!({ "local_keys": ["paths", "agents.oak.debug", "mesh.schema", "settings.a"] });
    let rows = json!({
        "cron": { "x": 1 }, "paths": "/", "agents": { "oak": { "debug": { "a": 1 } } },
        "settings": { "a": 1, "b": {} }, "mesh": list
    });
    standing.look(rows, &[]);
    assert_eq!(*standing.good, json!({ "settings": { "b": {} }, "mesh": list }));
}
