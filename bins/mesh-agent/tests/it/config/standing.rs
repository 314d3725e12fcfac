//! A configuration that does not validate stops nobody: the last good one stays in force, and that is said.

use serde_json::json;
use sqlx::{ConnectOptions as _, Connection as _};

use super::desk::LONG;
use crate::agent::{Agent, eventually};

/// Writes a row behind the guards, as nothing but the agent should.
async fn write_behind(agent: &Agent, key: &str, entry: &str) {
    let options = sqlx::sqlite::SqliteConnectOptions::new();
    let mut conn = options.filename(agent.data_dir().join("data.db")).connect().await.unwrap();
    for sql in [
        "UPDATE mesh_state SET agent_writes = 1".to_owned(),
        format!(
            "INSERT INTO agent_config VALUES ('{key}', '{entry}') ON CONFLICT (key) DO UPDATE SET entry = excluded.entry"
        ),
        "UPDATE mesh_state SET agent_writes = 0".to_owned(),
    ] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut conn).await.unwrap();
    }
    conn.close().await.unwrap();
}

#[tokio::test]
async fn an_agent_starts_on_the_last_good_configuration_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut one = Agent::start(dir.path(), "one").await;
    one.has_file(&["one"]).await;
    one.set("databases.tasks", "good").await;
    one.has("databases.tasks", "good").await;
    let status = one.status().await.config;
    assert!(status.valid && status.keys >= 4 && status.version > 0, "{status:?}");
    assert_eq!(status.file, Some(mesh_control::ConfigFileState::InStep), "{status:?}");
    assert!(one.terminate().await.success());
    let by = one.peer_id();
    let entry = json!({ "value": true, "version": 900, "by": by.to_string(), "at": 1 });
    write_behind(&one, "databases.tasks", &entry.to_string()).await;
    one.restart().await;
    one.has("databases.tasks", "good").await;
    let state = one.client().config_state().await.unwrap();
    assert!(!state.valid, "{state:?}");
    let problem = state.problems.iter().find(|problem| problem.kind == "schema_invalid").unwrap();
    assert!(problem.key.as_ref().unwrap().contains("databases"), "{problem:?}");
    assert!(!one.status().await.config.valid);
    eventually(LONG, "the log says so", async || one.log().contains("last good").then_some(()))
        .await;
    // Setting it again mends it.
    one.set("databases.tasks", "mended").await;
    one.has("databases.tasks", "mended").await;
    assert!(one.status().await.config.valid);
}
