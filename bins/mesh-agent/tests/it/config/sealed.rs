//! Values that some members alone can read.

use std::fs;

use mesh_control::{ConfigQuery, ConfigSeal};
use mesh_protocol::{ErrorCode, UnixMillis};
use mesh_store::{Store, StoreConfig};
use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio_util::task::TaskTracker;

use super::desk::LONG;
use crate::agent::{Agent, Extra, eventually, linked, mesh};
use crate::search::{Needle, files, found};

const KEY: &str = "settings.door_code";

async fn revealed(agent: &Agent) -> Result<Value, ErrorCode> {
    let query = ConfigQuery { key: Some(KEY.to_owned()), reveal: true };
    agent.client().config_get(&query).await.map(|view| view.value).map_err(|error| error.code())
}

#[tokio::test]
async fn a_value_sealed_for_two_of_three_is_read_by_them_alone_and_lies_nowhere_in_clear() {
    let dir = tempfile::tempdir().unwrap();
    let trace = || Extra::new(&["--log-level", "trace"]);
    let mut agents = Vec::new();
    for name in ["one", "two", "three"] {
        let agent = Agent::start_with(dir.path(), name, trace()).await;
        if let Some(founder) = agents.first() {
            let token = Agent::token(founder).await;
            agent.join(&token).await.unwrap();
        }
        agents.push(agent);
    }
    linked(&[&agents[0], &agents[1], &agents[2]]).await;
    let secret = "the-four-digits-are-nine-two-six-one";
    let request = ConfigSeal {
        key: KEY.to_owned(),
        to: vec!["one".to_owned(), "two".to_owned()],
        value: json!(secret),
        note: None,
    };
    agents[0].client().config_seal(&request).await.unwrap();
    for agent in &agents {
        eventually(LONG, "everybody sees that it is there", async || {
            let query = ConfigQuery { key: Some(KEY.to_owned()), reveal: false };
            let view = agent.client().config_get(&query).await.ok()?;
            let [entry] = &view.entries[..] else { panic!("{view:?}") };
            let mut readers = entry.sealed_for.clone();
            readers.sort();
            assert_eq!(readers, ["one", "two"]);
            assert_eq!(entry.by, "one");
            assert!(entry.at.0 > 0);
            Some(())
        })
        .await;
        eventually(LONG, "its file shows that it is there", async || {
            agent.file_value("/settings/door_code/$sealed/to").map(drop)
        })
        .await;
        agent.set(&format!("settings.of_{}", agent.name()), 1).await;
    }
    let opens = async |agents: &[Agent]| {
        for agent in &agents[..2] {
            assert_eq!(revealed(agent).await, Ok(json!(secret)), "{}", agent.name());
        }
        assert_eq!(revealed(&agents[2]).await, Err(ErrorCode::SealedUnreadable));
    };
    opens(&agents).await;
    for agent in &mut agents {
        agent.kill9();
        agent.restart().await;
    }
    opens(&agents).await;

    let needle = [Needle::text("the sealed value", secret)];
    for agent in &agents {
        let events = serde_json::to_string(&agent.client().events(1000).await.unwrap()).unwrap();
        assert_eq!(found(&needle, events.as_bytes()), [""; 0]);
        let history = serde_json::to_string(&agent.config_history(KEY).await).unwrap();
        assert_eq!(found(&needle, history.as_bytes()), [""; 0]);
    }
    for agent in &mut agents {
        agent.kill9();
    }
    for path in files(dir.path()) {
        assert_eq!(found(&needle, &fs::read(&path).unwrap()), [""; 0], "{}", path.display());
    }
}

#[tokio::test]
async fn a_sealed_value_is_read_after_the_key_that_it_came_under_was_destroyed() {
    let dir = tempfile::tempdir().unwrap();
    let [one, mut two] = mesh(dir.path(), ["one", "two"]).await;
    let request = ConfigSeal {
        key: KEY.to_owned(),
        to: vec!["two".to_owned()],
        value: json!("nine-two-six-one"),
        note: None,
    };
    one.client().config_seal(&request).await.unwrap();
    eventually(LONG, "it is read", async || {
        (revealed(&two).await == Ok(json!("nine-two-six-one"))).then_some(())
    })
    .await;
    let database = two.data_dir().join("mesh.db");
    let kept = async || {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&database);
        let mut conn = options.connect().await.unwrap();
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM opened_values")
            .fetch_one(&mut conn)
            .await
            .unwrap();
        conn.close().await.unwrap();
        count
    };
    eventually(LONG, "it is kept", async || (kept().await == 1).then_some(())).await;
    assert!(two.terminate().await.success());
    let tracker = TaskTracker::new();
    let store = Store::open(&database, StoreConfig::default(), &tracker).await.unwrap();
    for key in store.load_sealing_keys().await.unwrap() {
        store.retire_sealing_key(key.key_id, UnixMillis(1)).await.unwrap();
    }
    assert_eq!(store.destroy_sealing_keys(UnixMillis(1)).await.unwrap(), 1);
    store.close().await.unwrap();
    tracker.close();
    tracker.wait().await;
    two.restart().await;
    assert_eq!(revealed(&two).await, Ok(json!("nine-two-six-one")));
    assert_eq!(revealed(&one).await, Err(ErrorCode::SealedUnreadable));
}
