//! `sync`: what its three steps find, and what `--force` repairs.

use futures_util::StreamExt as _;
use mesh_control::{SyncProgress, SyncReply, SyncRequest, SyncStep};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::agent::{Agent, PATIENCE, eventually, mesh, within};

/// Runs a sync to its end; its steps come one after the other, and the end repeats them.
async fn sync(agent: &Agent, force: bool) -> SyncReply {
    let mut progress = within(agent.client().sync(&SyncRequest { force })).await.unwrap();
    let mut steps = Vec::new();
    while let Some(item) = within(progress.next()).await {
        match item.unwrap() {
            SyncProgress::Step(step) => steps.push(step),
            SyncProgress::Done(reply) => {
                assert_eq!(steps, reply.steps);
                let order: Vec<SyncStep> = steps.iter().map(|step| step.step).collect();
                let expected = [SyncStep::HostInfo, SyncStep::EncryptedData, SyncStep::MeshPeers];
                assert_eq!(order, expected);
                let numbers: Vec<u8> = steps.iter().map(|step| step.number).collect();
                assert_eq!(numbers, [1, 2, 3]);
                return reply;
            }
            SyncProgress::Failed { error } => panic!("{error:?}"),
        }
    }
    panic!("the sync ended without a result");
}

#[tokio::test]
async fn members_in_step_are_skipped_unless_forced_and_nothing_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two, three] = mesh(dir.path(), ["one", "two", "three"]).await;
    eventually(PATIENCE, "all are in step", async || {
        (one.status().await.sync.behind == 0).then_some(())
    })
    .await;
    let reply = sync(&one, false).await;
    assert_eq!((reply.peers_contacted, reply.peers_added), (2, 0), "{reply:?}");
    assert_eq!((reply.changes_received, reply.changes_sent), (0, 0), "{reply:?}");
    assert!(reply.steps[0].detail.starts_with("unchanged: one at "), "{reply:?}");
    assert!(reply.steps[1].detail.contains("0 members compared, 2 in step"), "{reply:?}");
    let reply = sync(&one, true).await;
    assert!(reply.steps[1].detail.contains("2 members compared, 0 received"), "{reply:?}");
    assert!(reply.steps[1].detail.contains("0 repaired"), "{reply:?}");
    drop((two, three));
}

#[tokio::test]
async fn force_puts_right_what_somebody_altered_in_the_database() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = mesh(dir.path(), ["one", "two"]).await;
    let database = SqliteConnectOptions::new().filename(one.data_dir().join("mesh.db"));
    let mut conn = database.connect().await.unwrap();
    let before: Vec<Vec<u8>> = sqlx::query_scalar("SELECT body FROM records ORDER BY body")
        .fetch_all(&mut conn)
        .await
        .unwrap();
    for meddling in [
        "UPDATE agent_peers SET hostname = 'evil' WHERE hostname = 'two'",
        "UPDATE records SET signature = zeroblob(64) WHERE position = (SELECT max(position) FROM records)",
        "DELETE FROM records WHERE position = (SELECT min(position) FROM records)",
    ] {
        sqlx::query(meddling).execute(&mut conn).await.unwrap();
    }
    let reply = sync(&one, true).await;
    assert!(reply.changes_received >= 2, "{reply:?}");
    let (records, _tables) = reply.steps[1].detail.split_once("; ").unwrap();
    assert!(!records.contains(" 0 repaired"), "{reply:?}");
    let after: Vec<Vec<u8>> = sqlx::query_scalar("SELECT body FROM records ORDER BY body")
        .fetch_all(&mut conn)
        .await
        .unwrap();
    assert_eq!(before, after);
    let names: Vec<String> =
        sqlx::query_scalar("SELECT hostname FROM agent_peers ORDER BY hostname")
            .fetch_all(&mut conn)
            .await
            .unwrap();
    assert_eq!(names, ["one", "two"]);
    conn.close().await.unwrap();
    let reply = sync(&one, true).await;
    assert!(reply.steps[1].detail.contains(" 0 repaired"), "{reply:?}");
    drop(two);
}

#[tokio::test]
async fn members_that_are_away_are_dialled_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let [one, mut two] = mesh(dir.path(), ["one", "two"]).await;
    two.kill9();
    eventually(PATIENCE, "the link is gone", async || {
        let peers = one.peers().await;
        let two = peers.iter().find(|peer| peer.hostname == "two").unwrap();
        (two.via.as_deref() != Some(&[])).then_some(())
    })
    .await;
    let reply = sync(&one, false).await;
    assert_eq!((reply.peers_contacted, reply.peers_added), (1, 0), "{reply:?}");
    assert!(reply.steps[2].detail.contains("no answer from two"), "{reply:?}");
    two.restart().await;
    eventually(PATIENCE, "it is linked again", async || {
        sync(&one, false).await.steps[2].detail.starts_with("nobody is missing").then_some(())
    })
    .await;
}
