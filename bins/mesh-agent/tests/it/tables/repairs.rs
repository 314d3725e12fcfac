//! `sync --force`: what was altered behind the triggers is found, put right and told.

use futures_util::StreamExt as _;
use mesh_control::{SyncProgress, SyncReply, SyncRequest};

use super::desk::{LONG, NOTES, equal};
use crate::agent::{Agent, eventually, mesh, within};

async fn forced(agent: &Agent) -> SyncReply {
    let mut progress = within(agent.client().sync(&SyncRequest { force: true })).await.unwrap();
    while let Some(item) = within(progress.next()).await {
        match item.unwrap() {
            SyncProgress::Step(_) => {}
            SyncProgress::Done(reply) => return reply,
            SyncProgress::Failed { error } => panic!("{error:?}"),
        }
    }
    panic!("the sync ended without a result");
}

#[tokio::test]
async fn rows_altered_behind_the_triggers_are_found_repaired_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let agents = mesh(dir.path(), ["one", "two", "three"]).await;
    let [one, two, three] = &agents;
    one.create(NOTES).await;
    one.write(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
         INSERT INTO notes SELECT i, 'title ' || i, 'body' FROM n",
    )
    .await;
    equal(&agents.each_ref()).await;
    let before = one.tables().await;
    assert_eq!((before.len(), before[0].rows), (1, 2000));

    // Values altered, a row taken away and one put in between, nothing of which is anybody's write.
    two.write_past(
        "BEGIN IMMEDIATE; UPDATE mesh_state SET applying = 1;
         UPDATE notes SET title = 'altered' WHERE id IN (5, 50, 500);
         DELETE FROM notes WHERE id = 700;
         UPDATE mesh_state SET applying = 0; COMMIT",
    )
    .await;
    assert_ne!(two.tables().await, before);
    let reply = forced(two).await;
    let repaired: Vec<_> = reply.tables.iter().filter(|table| table.rows_repaired > 0).collect();
    let [notes] = repaired.as_slice() else { panic!("{reply:?}") };
    assert_eq!((notes.table.as_str(), notes.rows_repaired), ("notes", 4), "{reply:?}");
    assert!(reply.tables.iter().all(|table| table.in_step), "{reply:?}");
    assert!(reply.changes_received >= 4, "{reply:?}");
    for agent in &agents {
        eventually(LONG, "the rows are as they were", async || {
            (agent.tables().await == before).then_some(())
        })
        .await;
    }
    let titles = two.rows("SELECT title FROM notes WHERE id IN (5, 50, 500, 700)").await;
    assert_eq!(titles, ["title 5", "title 50", "title 500", "title 700"]);
    assert!(three.conflicts().await.is_empty());
    let reply = forced(two).await;
    assert_eq!(reply.tables[0].rows_repaired, 0, "{reply:?}");
}
