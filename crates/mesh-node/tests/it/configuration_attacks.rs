//! What members with an altered program can write into the shared configuration, and what is typed into it that
//! belongs nowhere.

use std::fs;
use std::path::Path;

use mesh_control::{ConfigApi as _, ConfigUnset};
use mesh_node::{ConfigKey, ErrorCode, Node};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, query};

use crate::support::{eventually, restart, start, within};

fn key(text: &str) -> ConfigKey {
    text.parse().unwrap()
}

/// Writes rows as a member does that has been altered.
async fn write(dir: &Path, version: u64, rows: &[(&str, Value)]) {
    let options = SqliteConnectOptions::new().filename(dir.join("one").join("data.db"));
    let mut shell = options.connect().await.unwrap();
    let mut all = shell.begin().await.unwrap();
    query("UPDATE mesh_state SET agent_writes = 1").execute(&mut *all).await.unwrap();
    for (key, value) in rows {
        let entry = json!({ "value": value, "version": version, "by": "ab".repeat(32), "at": 1 });
        query("INSERT INTO agent_config (key, entry) VALUES (?, ?)")
            .bind(*key)
            .bind(entry.to_string())
            .execute(&mut *all)
            .await
            .unwrap();
    }
    query("INSERT INTO agent_config VALUES (x'00ff', x'00')").execute(&mut *all).await.unwrap();
    query("UPDATE mesh_state SET agent_writes = 0").execute(&mut *all).await.unwrap();
    all.commit().await.unwrap();
    shell.close().await.unwrap();
}

async fn unset(node: &Node, name: &str) -> Result<Option<u64>, ErrorCode> {
    let changed = within(node.unset_config(&key(name), None)).await;
    changed.map(|changed| changed.version).map_err(|error| error.code)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_member_wrote_past_the_rules_is_taken_back_step_by_step() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), "one").await;
    within(node.set_config(&key("settings.a"), &json!(1), None)).await.unwrap();
    let file = dir.path().join("one").join("mesh-config.json");
    let is_shown = async || fs::read_to_string(&file).is_ok_and(|text| text.contains("\"a\": 1"));
    eventually("the file shows it", is_shown).await;
    let rows = [
        ("no key!", json!(1)),
        ("\"settings\".b", json!(1)),
        ("databases.wrong", json!(true)),
        ("mesh.local_keys", json!(["mesh", "databases"])),
        ("mesh.schema", json!(false)),
        ("repositories.wrong", json!(1)),
    ];
    write(dir.path(), 1, &rows).await;
    let node = restart(dir.path(), "one", node).await;
    let refused = within(node.set_config(&key("settings"), &json!(2), None)).await;
    assert_eq!(refused.unwrap_err().code, ErrorCode::SchemaInvalid);
    let settings = key("settings");
    let is_in_force = async || node.config(Some(&settings)) == Some(json!({ "a": 1 }));
    eventually("the last good one is in force", is_in_force).await;
    for name in ["mesh.schema", "mesh.local_keys", "repositories.wrong", "databases.wrong"] {
        assert!(unset(&node, name).await.unwrap().is_some(), "{name}");
    }
    within(node.set_config(&key("settings.a"), &json!(3), None)).await.unwrap();
    // In force again, with rows that are no key's.
    assert_eq!(node.config(Some(&key("settings"))), Some(json!({ "a": 3 })));
    for shown in ["no key!", "\"settings\".b"] {
        let unset = || ConfigUnset { key: shown.to_owned(), note: None };
        assert_eq!(within(node.config_unset(unset())).await.unwrap().changed, [shown]);
        assert!(within(node.config_unset(unset())).await.is_err(), "{shown} is gone");
    }
    within(node.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_far_ahead_takes_none_from_the_changes_to_come() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), "one").await;
    let set = async |node: &Node, value: u64| {
        let changed = within(node.set_config(&key("settings.a"), &json!(value), None)).await;
        changed.unwrap().version.unwrap()
    };
    let first = set(&node, 1).await;
    write(dir.path(), (1 << 53) - 1, &[("settings.far", json!(1))]).await;
    let node = restart(dir.path(), "one", node).await;
    let second = set(&node, 2).await;
    assert!(second > first && second < 1000, "{second}");
    assert_eq!(set(&node, 3).await, second + 1);
    assert_eq!(node.config(Some(&key("settings"))), Some(json!({ "a": 3, "far": 1 })));
    within(node.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_a_key_or_a_note_is_refused_and_repeated_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), "one").await;
    let secret = format!("ghp_{}", "aB3dE5gH7jK9mN1pQ2sT4vW6xY8zA0cD4fG7");
    let named = key(&format!("settings.{secret}"));
    let in_key = within(node.set_config(&named, &json!(1), None)).await.unwrap_err();
    let note = Some(format!("the token is {secret}"));
    let in_note = within(node.set_config(&key("settings.a"), &json!(1), note)).await.unwrap_err();
    for error in [in_key, in_note] {
        assert_eq!(error.code, ErrorCode::SecretFound);
        assert!(!format!("{error:?} {error}").contains(&secret));
    }
    let file = dir.path().join("one").join("mesh-config.json");
    eventually("the file is there", async || file.exists()).await;
    fs::write(&file, json!({ "settings": { &secret: 1 } }).to_string()).unwrap();
    eventually("the file is refused", async || {
        node.config_files()[0].rule.as_deref() == Some("secret_found")
    })
    .await;
    let report = node.config_files().remove(0);
    assert!(report.line.is_some() && !format!("{report:?}").contains(&secret), "{report:?}");
    within(node.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_local_is_neither_told_nor_lost_when_somebody_empties_the_list() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), "one").await;
    let set = async |node: &Node, name: &str, value: Value| {
        within(node.set_config(&key(name), &value, None)).await.unwrap();
    };
    let file = dir.path().join("one").join("mesh-config.json");
    let shown = || -> Value {
        serde_json::from_slice(&fs::read(&file).unwrap_or_default()).unwrap_or_default()
    };
    eventually("the file is there", async || shown()["agents"]["one"].is_object()).await;
    set(&node, "mesh.local_keys", json!(["paths"])).await;
    set(&node, "paths", json!({ "home": "/home/one", "door": "1" })).await;
    unset(&node, "mesh.local_keys").await.unwrap();
    eventually("the list is gone", async || shown()["mesh"].is_null()).await;
    let node = restart(dir.path(), "one", node).await;
    let mut document = shown();
    document["settings"] = json!({ "a": 1 });
    document["paths"]["door"] = json!("2");
    fs::write(&file, document.to_string()).unwrap();
    let settings = key("settings");
    let is_taken = async || node.config(Some(&settings)) == Some(json!({ "a": 1 }));
    eventually("the save is taken", is_taken).await;
    set(&node, "settings.b", json!(1)).await;
    eventually("the file is written", async || shown()["settings"]["b"] == 1).await;
    assert_eq!(shown()["paths"], json!({ "home": "/home/one", "door": "2" }));
    assert_eq!(node.config(Some(&key("paths"))), None, "nobody else was told");
    within(node.stop()).await;
}
