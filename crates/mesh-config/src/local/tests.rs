use serde_json::json;

use super::*;
use crate::flatten;
use crate::state::tests::key;

#[test]
fn local_keys_are_local_with_all_beneath_them() {
    let local = LocalKeys::new(["paths.home", "paths", "a.b", "local.x"].map(key));
    for text in ["cron", "cron.a.b", "local.x", "local", "paths", "paths.tmp", "a.b", "a.b.c"] {
        assert!(local.is_local(&key(text)), "{text}");
    }
    for text in ["cron-x", "a", "a.bc", "a.c", "path", "x.local", "zz"] {
        assert!(!local.is_local(&key(text)), "{text}");
    }
}

#[test]
fn the_list_of_local_keys_can_be_changed_whatever_is_on_it() {
    let local = LocalKeys::new(["mesh", "mesh.local_keys", "settings"].map(key));
    assert!(!local.is_local(&key("mesh.local_keys")) && !local.is_local(&key("mesh.schema")));
    assert!(local.is_local(&key("settings.x")));
}

#[test]
fn a_document_is_split_into_what_is_shared_and_what_stays() {
    let values = flatten(None, &json!({ "a": 1, "cron": { "x": 2 }, "local": {} })).unwrap();
    let (shared, local) = LocalKeys::new([]).split(&values);
    assert_eq!(shared, flatten(None, &json!({ "a": 1 })).unwrap());
    assert_eq!(local, flatten(None, &json!({ "cron": { "x": 2 }, "local": {} })).unwrap());
}
