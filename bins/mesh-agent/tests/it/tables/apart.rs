//! Members that cannot go on where they stopped, because nobody has what they lack.

use std::path::Path;

use super::desk::{LONG, NOTES, equal};
use crate::agent::{Agent, Extra, eventually, linked};

/// A log that reaches over a few dozen small writes.
const LOG_BYTES_MAX: u64 = 20_000;

async fn start(dir: &Path, name: &str) -> Agent {
    let config = dir.join("agent.toml");
    let text = format!(
        "[tables]\nlog_bytes_max = {LOG_BYTES_MAX}\nlog_bytes_kept = 4000\n\
         compare_every_seconds = 1\n"
    );
    std::fs::write(&config, text).unwrap();
    Agent::start_with(dir, name, Extra::new(&["--config", config.to_str().unwrap()])).await
}

#[tokio::test]
async fn two_that_were_apart_for_longer_than_both_logs_reach_come_together() {
    let dir = tempfile::tempdir().unwrap();
    let mut agents = [start(dir.path(), "oak").await, start(dir.path(), "elm").await];
    agents[1].join(&agents[0].token().await).await.unwrap();
    linked(&[&agents[0], &agents[1]]).await;
    agents[0].create(NOTES).await;
    agents[1].shows("SELECT count(*) FROM notes", &["0"]).await;
    for agent in &mut agents {
        assert!(agent.terminate().await.success());
    }
    for (agent, first) in agents.iter_mut().zip([0, 1000]) {
        agent.restart().await;
        for id in first..first + 200 {
            agent.write(&format!("INSERT INTO notes VALUES ({id}, 't', hex(zeroblob(200)))")).await;
        }
        eventually(LONG, "the log is short", async || {
            (agent.status().await.data.log_bytes <= LOG_BYTES_MAX).then_some(())
        })
        .await;
        assert!(agent.terminate().await.success());
    }
    for agent in &mut agents {
        agent.restart().await;
    }
    equal(&[&agents[0], &agents[1]]).await;
    for agent in &agents {
        assert_eq!(agent.rows("SELECT count(*) FROM notes").await, ["400"]);
        assert!(agent.log().contains("the state of the tables is taken over"), "{}", agent.name());
    }
}

/// The only one that had the rest is gone for good, and a newcomer cannot wait for that.
#[tokio::test]
async fn who_is_left_alone_half_way_through_a_snapshot_writes_on() {
    const ROWS: u32 = 12_000;
    let dir = tempfile::tempdir().unwrap();
    let mut oak = start(dir.path(), "oak").await;
    oak.create("CREATE TABLE blobs (id INTEGER PRIMARY KEY, content BLOB)").await;
    for part in 0..6 {
        let (first, last) = (part * ROWS / 6, (part + 1) * ROWS / 6);
        oak.write(&format!(
            "WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {last})
             INSERT INTO blobs SELECT i, randomblob(4096) FROM n"
        ))
        .await;
    }
    let elm = start(dir.path(), "elm").await;
    elm.join(&oak.token().await).await.unwrap();
    let came = eventually(LONG, "a part of the state has come", async || {
        let count =
            elm.try_rows("SELECT count(*) FROM blobs").await?.first()?.parse::<u32>().ok()?;
        (count > 0).then_some(count)
    })
    .await;
    oak.kill9();
    assert!(came < ROWS, "killed too late");
    elm.remove("oak").await;
    eventually(LONG, "it writes again", async || {
        elm.try_sql("INSERT INTO blobs VALUES (-1, NULL)").await.ok()
    })
    .await;
    assert!(elm.log().contains("this one goes on with what it has"));
    let data = elm.status().await.data;
    assert_eq!(data.snapshot_percent, None);
}
