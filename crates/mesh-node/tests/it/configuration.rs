//! The shared configuration as programs that embed a node use it, and its file.

use std::fs;
use std::path::{Path, PathBuf};

use mesh_node::{ConfigKey, ErrorCode, Node};
use serde_json::{Value, json};

use crate::support::{eventually, restart, start, within};

fn key(text: &str) -> ConfigKey {
    text.parse().unwrap()
}

fn file(dir: &Path) -> PathBuf {
    dir.join("one").join("mesh-config.json")
}

fn shown(dir: &Path) -> Value {
    serde_json::from_slice(&fs::read(file(dir)).unwrap_or_default()).unwrap_or_default()
}

async fn set(node: &Node, name: &str, value: Value) -> Result<Option<u64>, ErrorCode> {
    let changed = within(node.set_config(&key(name), &value, None)).await;
    changed.map(|changed| changed.version).map_err(|error| error.code)
}

/// A node that has written its file.
async fn one(dir: &Path) -> Node {
    let node = start(dir, "one").await;
    eventually("the file shows the node", async || {
        shown(dir).pointer("/agents/one/addresses").is_some()
    })
    .await;
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_hold_from_the_change_that_makes_them() {
    let dir = tempfile::tempdir().unwrap();
    let node = one(dir.path()).await;
    for round in 0..20 {
        let name = format!("paths{round}");
        let listed: Vec<String> = (0..=round).map(|round| format!("paths{round}")).collect();
        set(&node, "mesh.local_keys", json!(listed)).await.unwrap().unwrap();
        // At once: it is one of this machine already.
        assert_eq!(set(&node, &format!("{name}.home"), json!("/home")).await, Ok(None));
        assert_eq!(shown(dir.path())[&name]["home"], json!("/home"), "it is in the file");
    }
    let schema =
        json!({ "properties": { "settings": { "properties": { "a": { "type": "number" } } } } });
    set(&node, "mesh.schema", schema).await.unwrap().unwrap();
    assert_eq!(set(&node, "settings.a", json!("no number")).await, Err(ErrorCode::SchemaInvalid));
    set(&node, "settings.a", json!(1)).await.unwrap().unwrap();
    within(node.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_followed_also_of_a_key_that_is_changed_again_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let node = one(dir.path()).await;
    let mut changes = node.config_changes(Some(key("settings")));
    for number in 0..50 {
        set(&node, "settings.a", json!(number)).await.unwrap().unwrap();
        assert_eq!(node.config(Some(&key("settings.a"))), Some(json!(number)));
    }
    node.unset_config(&key("settings.a"), None).await.unwrap();
    for number in 0..50 {
        let change = within(changes.next()).await.unwrap().unwrap();
        assert_eq!(change.new, Some(mesh_node::EntryValue::Plain(json!(number))), "{change:?}");
    }
    assert_eq!(within(changes.next()).await.unwrap().unwrap().new, None);
    within(node.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_a_revision_gets_one_so_that_what_is_deleted_from_it_goes() {
    let dir = tempfile::tempdir().unwrap();
    let node = one(dir.path()).await;
    let path = file(dir.path());
    let mut document = shown(dir.path());
    document.as_object_mut().unwrap().remove("$revision");
    document["settings"] = json!({ "a": 1, "b": 2 });
    fs::write(&path, document.to_string()).unwrap();
    eventually("the save is taken and named", async || {
        shown(dir.path())["$revision"].is_string() && shown(dir.path())["settings"]["a"] == 1
    })
    .await;
    let mut document = shown(dir.path());
    document["settings"].as_object_mut().unwrap().remove("a");
    fs::write(&path, document.to_string()).unwrap();
    eventually("what was deleted is gone", async || {
        node.config(Some(&key("settings"))) == Some(json!({ "b": 2 }))
    })
    .await;
    within(node.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn saves_of_an_editor_that_stays_open_build_on_each_other_also_after_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = one(dir.path()).await;
    set(&node, "settings", json!({ "a": 1 })).await.unwrap().unwrap();
    eventually("the file shows it", async || shown(dir.path())["settings"]["a"] == 1).await;
    // The editor has loaded this text, and goes on with its revision.
    let mut buffer = shown(dir.path());
    for (round, value) in [2, 1, 3, 1].into_iter().enumerate() {
        buffer["settings"]["a"] = json!(value);
        fs::write(file(dir.path()), buffer.to_string()).unwrap();
        eventually("the save is taken", async || {
            node.config(Some(&key("settings.a"))) == Some(json!(value))
        })
        .await;
        if round == 1 {
            node = restart(dir.path(), "one", node).await;
        }
    }
    within(node.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_thousands_of_keys_leaves_no_follower_behind() {
    let dir = tempfile::tempdir().unwrap();
    let node = one(dir.path()).await;
    let (mut all, mut other) =
        (node.config_changes(Some(key("settings"))), node.config_changes(Some(key("databases"))));
    let many: serde_json::Map<String, Value> =
        (0..2000).map(|number| (format!("k{number}"), json!(number))).collect();
    set(&node, "settings", Value::Object(many)).await.unwrap().unwrap();
    set(&node, "databases.tasks", json!("x")).await.unwrap().unwrap();
    for _ in 0..2000 {
        within(all.next()).await.unwrap().unwrap();
    }
    assert_eq!(within(other.next()).await.unwrap().unwrap().key, key("databases.tasks"));
    within(node.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_shared_when_it_was_listed_stays_in_the_file_and_can_be_removed() {
    let dir = tempfile::tempdir().unwrap();
    let node = one(dir.path()).await;
    set(&node, "paths", json!({ "home": "/home", "tmp": "/tmp" })).await.unwrap().unwrap();
    eventually("the file shows it", async || shown(dir.path())["paths"]["tmp"] == "/tmp").await;
    set(&node, "mesh.local_keys", json!(["paths"])).await.unwrap().unwrap();
    eventually("the list is in the file", async || {
        shown(dir.path())["mesh"]["local_keys"][0] == "paths"
    })
    .await;
    assert_eq!(shown(dir.path())["paths"], json!({ "home": "/home", "tmp": "/tmp" }));
    assert_eq!(node.config(None).unwrap().get("paths"), None, "each machine has its own");

    let mut document = shown(dir.path());
    document["paths"].as_object_mut().unwrap().remove("tmp");
    document["settings"] = json!({ "a": 1 });
    let saved = document.to_string();
    fs::write(file(dir.path()), &saved).unwrap();
    eventually("the save is taken", async || {
        node.config(Some(&key("settings.a"))) == Some(json!(1))
    })
    .await;
    // What stays here is noted after what is shared was written.
    eventually("the machine's own part is taken", async || {
        node.config(Some(&key("paths"))) == Some(json!({ "home": "/home" }))
    })
    .await;

    let removed = within(node.unset_config(&key("paths"), None)).await.unwrap();
    assert!(removed.version.is_some(), "{removed:?}");
    assert_eq!(removed.keys, [key("paths.home"), key("paths.tmp")]);
    assert_eq!(shown(dir.path()).get("paths"), None);
    let again = within(node.unset_config(&key("paths"), None)).await.unwrap();
    assert_eq!(again.version, None, "nothing is left of it in the table");
    within(node.stop()).await;
}
