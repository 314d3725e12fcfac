//! Databases that are of another time: restored from a backup, or put back behind the agent's back.

use std::fs;
use std::path::Path;

use mesh_protocol::SqlValue;

use super::desk::{NOTES, equal};
use crate::agent::{Agent, Extra, bare_command, linked, mesh};

const ALL: &str = "SELECT id, title FROM notes ORDER BY id";

/// Which database this is, among those of the members.
async fn origin(agent: &Agent) -> i64 {
    // The first bytes of it, as a number.
    agent
        .number_past(
            "SELECT unicode(hex(origin)) * 1000000 + unicode(substr(hex(origin), 3)) * 10000
                 + unicode(substr(hex(origin), 5)) * 100 + unicode(substr(hex(origin), 7))
             FROM mesh_origins WHERE id = (SELECT origin FROM mesh_state)",
        )
        .await
}

/// How many transactions the agent ever took into its log.
async fn logged(agent: &Agent) -> i64 {
    agent.number_past("SELECT seq FROM sqlite_sequence WHERE name = 'mesh_log'").await
}

fn restore(file: &Path, data_dir: &Path) -> std::process::Output {
    let mut command = bare_command();
    command.arg("restore").arg(file).arg("--data-dir").arg(data_dir).output().unwrap()
}

#[tokio::test]
async fn a_backup_made_while_all_write_restores_the_same_member_with_everything() {
    let dir = tempfile::tempdir().unwrap();
    let [mut one, two, three] = mesh(dir.path(), ["one", "two", "three"]).await;
    one.create(NOTES).await;
    one.write("INSERT INTO notes VALUES (1, 'before', NULL)").await;
    two.shows(ALL, &["1|before"]).await;
    let file = dir.path().join("backup.tar");
    let writes = async {
        for id in 1000..1050 {
            two.write(&format!("INSERT INTO notes VALUES ({id}, 'meanwhile', NULL)")).await;
        }
    };
    let client = one.client().path().to_owned();
    let to = file.clone();
    let backup = tokio::task::spawn_blocking(move || {
        let mut command = std::process::Command::new(super::desk::ctl_program());
        command.arg("--socket").arg(client).arg("backup").arg(to).output().unwrap()
    });
    let ((), backup) = tokio::join!(writes, backup);
    let backup = backup.unwrap();
    assert!(backup.status.success(), "{}", String::from_utf8_lossy(&backup.stderr));

    // Peers have what was written after the backup; it was made of a member that is no more.
    one.write("INSERT INTO notes VALUES (2, 'after', NULL)").await;
    one.write("UPDATE notes SET title = 'edited after' WHERE id = 1").await;
    equal(&[&one, &two, &three]).await;
    let (peer_id, former, port) = (one.peer_id(), origin(&one).await, one.address().port());
    one.kill9();
    let before = [logged(&two).await, logged(&three).await];

    let elsewhere = dir.path().join("elsewhere");
    let restored = restore(&file, &elsewhere.join("one"));
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    let refused = restore(&file, &elsewhere.join("one"));
    assert_eq!(refused.status.code(), Some(1), "over a data directory that is in use");
    let one = Agent::start_at(&elsewhere, "one", port, Extra::default()).await;
    linked(&[&one, &two, &three]).await;
    assert_eq!(one.peer_id(), peer_id);
    equal(&[&one, &two, &three]).await;
    assert_eq!(one.rows("SELECT count(*) FROM notes").await, ["52"]);
    assert_eq!(one.rows("SELECT title FROM notes WHERE id < 3").await, ["edited after", "after"]);
    assert_ne!(origin(&one).await, former);
    assert_eq!([logged(&two).await, logged(&three).await], before, "nothing was applied again");

    one.write("UPDATE notes SET title = 'by the restored one' WHERE id = 1").await;
    two.write("INSERT INTO notes VALUES (3, 'for the restored one', NULL)").await;
    for agent in [&one, &two, &three] {
        let titles = ["by the restored one", "after", "for the restored one"];
        agent.shows("SELECT title FROM notes WHERE id < 4 ORDER BY id", &titles).await;
    }
    equal(&[&one, &two, &three]).await;
    assert_eq!(one.conflicts().await, []);
}

#[tokio::test]
async fn a_database_that_is_put_back_takes_a_new_origin_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let [mut one, two, three] = mesh(dir.path(), ["one", "two", "three"]).await;
    one.create(NOTES).await;
    one.write("INSERT INTO notes VALUES (1, 'old', NULL)").await;
    equal(&[&one, &two, &three]).await;
    let _stopped = one.terminate().await;
    let copy = dir.path().join("copy.db");
    fs::copy(one.data_db(), &copy).unwrap();
    one.restart().await;
    for id in 2..6 {
        one.write(&format!("INSERT INTO notes VALUES ({id}, 'new', NULL)")).await;
    }
    equal(&[&one, &two, &three]).await;
    let former = origin(&one).await;

    let _stopped = one.terminate().await;
    for suffix in ["-wal", "-shm"] {
        let _absent = fs::remove_file(one.data_dir().join(format!("data.db{suffix}")));
    }
    fs::copy(&copy, one.data_db()).unwrap();
    // Written under numbers that the peers know for something else.
    one.write_past("INSERT INTO notes VALUES (10, 'on the old one', NULL)").await;
    one.write_past("UPDATE notes SET body = 'on the old one' WHERE id = 1").await;
    one.restart().await;
    one.write("INSERT INTO notes VALUES (11, 'by the agent', NULL)").await;
    let expected =
        ["1|old", "2|new", "3|new", "4|new", "5|new", "10|on the old one", "11|by the agent"];
    for agent in [&one, &two, &three] {
        agent.shows(ALL, &expected).await;
        agent.shows("SELECT body FROM notes WHERE id = 1", &["on the old one"]).await;
    }
    equal(&[&one, &two, &three]).await;
    assert_ne!(origin(&one).await, former);
    let events = one.client().events(1000).await.unwrap();
    assert!(events.iter().any(|event| event.kind == "tables_origin_renewed"), "{events:?}");
    // What was in the copy is written once more under the new origin, for nobody can say that others have
    // it: of a row that was edited since, the old value is listed. Nothing else is.
    let known = ["on the old one", ""];
    for conflict in one.conflicts().await {
        assert!(known.contains(&text(&conflict.kept.value.0)), "{conflict:?}");
        assert_eq!(text(&conflict.lost.value.0), "", "{conflict:?}");
    }
}

fn text(value: &SqlValue) -> &str {
    if let SqlValue::Text(text) = value { text } else { "" }
}
