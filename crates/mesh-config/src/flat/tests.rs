use proptest::prelude::*;
use serde_json::json;

use super::*;

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
        Just(json!([1, { "a": {} }])),
        Just(json!({})),
    ];
    let tree = leaf.prop_recursive(4, 40, 5, |inner| {
        prop::collection::btree_map("[a-c.\"]{0,3}", inner, 0..5)
            .prop_map(|members| Value::Object(members.into_iter().collect()))
    });
    prop::collection::btree_map("[a-c.\"]{0,3}", tree, 0..5)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
}

proptest! {
    #[test]
    fn a_document_comes_back_from_its_values(document in document()) {
        let flat = flatten(None, &document).unwrap();
        let back = unflatten(flat.iter().map(|(key, value)| (key, value.clone())));
        prop_assert_eq!(back, document);
    }
}

#[test]
fn a_document_that_is_too_deep_is_refused() {
    let deep = (0..40).fold(json!(1), |inner, _| json!({ "a": inner }));
    assert!(matches!(flatten(None, &deep), Err(ConfigError::Key { .. })));
}

#[test]
fn a_value_needs_a_place() {
    assert!(flatten(None, &json!(1)).is_err());
    let at: ConfigKey = "a.b".parse().unwrap();
    assert_eq!(flatten(Some(&at), &json!(1)).unwrap(), Flat::from([(at.clone(), json!(1))]));
    assert_eq!(flatten(Some(&at), &json!({})).unwrap(), Flat::from([(at, json!({}))]));
    assert_eq!(flatten(None, &json!({})).unwrap(), Flat::new());
}
