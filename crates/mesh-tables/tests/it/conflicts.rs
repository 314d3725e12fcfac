//! The list of writes that lost, and how one comes back.

use std::time::Duration;

use mesh_protocol::{SqlValue, UnixMillis, VersionVector};
use mesh_tables::{LogCursor, TablesConfig, TablesError};

use crate::peer::{NOTES, Peer, converge, text};

/// Both edit the same column, the second one later.
async fn conflict(one: &Peer, two: &Peer, id: &str) {
    one.run(&format!("INSERT INTO notes VALUES ('{id}', 'old', 1, NULL)")).await;
    converge(&[one, two]).await;
    one.run(&format!("UPDATE notes SET a = 'first' WHERE id = '{id}'")).await;
    two.run(&format!("UPDATE notes SET a = 'second' WHERE id = '{id}'")).await;
    converge(&[one, two]).await;
}

#[tokio::test]
async fn a_restored_loser_is_there_again_everywhere_and_listed_nowhere() {
    let [one, two, three] = Peer::with_notes().await;
    conflict(&one, &two, "x").await;
    converge(&[&one, &two, &three]).await;
    let info = three.tables.conflicts(Some("NOTES".to_owned())).await.unwrap().remove(0);
    assert_eq!((info.kept.clone(), info.lost.clone()), (text("second"), text("first")));
    assert!(info.lost_by.clock < info.kept_by.unwrap().clock && info.is_row_there);
    let at = three.now().await;
    let restored =
        three.tables.restore_conflict(info.id.chars().take(5).collect(), at).await.unwrap();
    assert_eq!(restored.id, info.id);
    assert!(restored.dot.is_some());
    converge(&[&one, &two, &three]).await;
    for peer in [&one, &two, &three] {
        assert_eq!(peer.notes().await, ["x|first|1|-"]);
        assert_eq!(peer.count("mesh_conflicts").await, 0);
    }
}

#[tokio::test]
async fn what_was_edited_in_a_row_that_is_gone_brings_the_row_back() {
    let [one, two] = Peer::with_notes().await;
    one.run("INSERT INTO notes VALUES ('x', 'old', 1, NULL)").await;
    converge(&[&one, &two]).await;
    one.run("DELETE FROM notes WHERE id = 'x'").await;
    two.run("UPDATE notes SET a = 'edited', b = 7 WHERE id = 'x'").await;
    converge(&[&one, &two]).await;
    let conflicts = one.tables.conflicts(None).await.unwrap();
    assert_eq!(conflicts.len(), 2);
    assert!(conflicts.iter().all(|info| !info.is_row_there));
    let at = one.now().await;
    one.tables.restore_conflict(conflicts[0].id.clone(), at).await.unwrap();
    converge(&[&one, &two]).await;
    assert_eq!(two.notes().await, ["x|edited|7|-"]);
    assert!(two.conflicts().await.is_empty());
}

#[tokio::test]
async fn a_deletion_that_lost_against_a_birth_is_listed_and_can_be_repeated() {
    let [one, two] = Peer::with_notes().await;
    one.run("INSERT INTO notes VALUES ('x', 'old', 1, NULL)").await;
    converge(&[&one, &two]).await;
    one.run("DELETE FROM notes WHERE id = 'x'").await;
    two.run("DELETE FROM notes WHERE id = 'x'").await;
    two.run("INSERT INTO notes VALUES ('x', 'new', 2, NULL)").await;
    converge(&[&one, &two]).await;
    assert_eq!(one.notes().await, ["x|new|2|-"]);
    let conflicts = two.tables.conflicts(None).await.unwrap();
    assert_eq!(conflicts.len(), 1, "{conflicts:?}");
    assert_eq!((&conflicts[0].column, &conflicts[0].lost), (&None, &SqlValue::Null));
    two.tables.restore_conflict(conflicts[0].id.clone(), two.now().await).await.unwrap();
    converge(&[&one, &two]).await;
    assert!(one.notes().await.is_empty());
    assert!(one.conflicts().await.is_empty());
}

#[tokio::test]
async fn a_loser_with_the_value_that_was_kept_is_not_shown() {
    let [one, two] = Peer::with_notes().await;
    one.run("INSERT INTO notes VALUES ('x', 'old', 1, NULL)").await;
    converge(&[&one, &two]).await;
    one.run("UPDATE notes SET a = 'same' WHERE id = 'x'").await;
    two.run("UPDATE notes SET a = 'same' WHERE id = 'x'").await;
    converge(&[&one, &two]).await;
    assert!(one.conflicts().await.is_empty());
    // It is known all the same, and shown when the value that was kept is another one.
    assert_eq!(one.count("mesh_conflicts").await, 1);
    one.run("UPDATE notes SET a = 'other' WHERE id = 'x'").await;
    converge(&[&one, &two]).await;
    assert_eq!(two.conflicts().await.len(), 1);
}

#[tokio::test]
async fn three_writers_leave_two_losers_on_every_peer() {
    let [one, two, three] = Peer::with_notes().await;
    one.run("INSERT INTO notes VALUES ('x', 'old', 1, NULL)").await;
    converge(&[&one, &two, &three]).await;
    for (peer, value) in [(&one, "1"), (&two, "2"), (&three, "3")] {
        peer.run(&format!("UPDATE notes SET a = '{value}' WHERE id = 'x'")).await;
    }
    // In another order everywhere.
    three.give(&one).await;
    one.give(&two).await;
    two.give(&three).await;
    converge(&[&one, &two, &three]).await;
    assert_eq!(two.notes().await, ["x|3|1|-"]);
    assert_eq!(two.conflicts().await.len(), 2);
    // Who has seen the outcome and writes on settles nothing but what was there.
    two.run("UPDATE notes SET a = '4' WHERE id = 'x'").await;
    converge(&[&one, &two, &three]).await;
    assert_eq!(one.conflicts().await.len(), 2);
}

#[tokio::test]
async fn names_of_conflicts_must_be_known_and_plain() {
    let [one, two] = Peer::with_notes().await;
    for id in 0..20 {
        conflict(&one, &two, &id.to_string()).await;
    }
    let at = one.now().await;
    let conflicts = one.tables.conflicts(None).await.unwrap();
    assert_eq!(conflicts.len(), 20);
    for name in ["", "nothing", "%"] {
        let error = one.tables.restore_conflict(name.to_owned(), at).await.unwrap_err();
        assert!(matches!(error, TablesError::Unknown { .. }), "{name}: {error}");
    }
    // Of twenty names two begin with the same of sixteen letters.
    let mut firsts: Vec<char> =
        conflicts.iter().filter_map(|info| info.id.chars().next()).collect();
    firsts.sort_unstable();
    let twice = firsts.windows(2).find(|pair| pair[0] == pair[1]).unwrap()[0];
    let error = one.tables.restore_conflict(twice.to_string(), at).await.unwrap_err();
    assert!(matches!(error, TablesError::Refused { .. }), "{error}");
    let error = one.tables.conflicts(Some("missing".to_owned())).await.unwrap_err();
    assert!(matches!(error, TablesError::Unknown { .. }), "{error}");
}

#[tokio::test]
async fn a_restore_that_the_table_forbids_changes_nothing() {
    let (one, two) = (Peer::new(1).await, Peer::new(2).await);
    one.run(
        "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, a TEXT NOT NULL DEFAULT '', b INTEGER NOT NULL, c)",
    )
    .await;
    one.give(&two).await;
    one.run("INSERT INTO notes VALUES ('x', 'old', 1, NULL)").await;
    converge(&[&one, &two]).await;
    one.run("DELETE FROM notes WHERE id = 'x'").await;
    two.run("UPDATE notes SET a = 'edited' WHERE id = 'x'").await;
    converge(&[&one, &two]).await;
    let info = one.tables.conflicts(None).await.unwrap().remove(0);
    let error = one.tables.restore_conflict(info.id, one.now().await).await.unwrap_err();
    assert!(matches!(error, TablesError::Constraint { .. }), "{error}");
    assert_eq!(one.conflicts().await.len(), 1);
    converge(&[&one, &two]).await;
}

#[tokio::test]
async fn losers_beyond_the_bounds_are_forgotten_the_oldest_first() {
    let config = TablesConfig { conflicts_max: 2, ..TablesConfig::default() };
    let (one, two) = (Peer::new(1).await, Peer::with(2, config).await);
    one.run(NOTES).await;
    one.give(&two).await;
    for id in 0..4 {
        conflict(&one, &two, &id.to_string()).await;
        let (passed, at) = (VersionVector::default(), two.now().await);
        two.tables.trim(&passed, at).await.unwrap();
        one.tables.trim(&passed, at).await.unwrap();
        if id == 1 {
            break;
        }
    }
    one.run("UPDATE notes SET b = 4").await;
    let month = Duration::from_secs(31 * 24 * 3600);
    let late = UnixMillis(two.now().await.0 + u64::try_from(month.as_millis()).unwrap());
    assert_eq!(two.conflicts().await.len(), 2);
    two.tables.trim(&VersionVector::default(), late).await.unwrap();
    assert!(two.conflicts().await.is_empty());
}

#[tokio::test]
async fn the_log_goes_when_every_member_has_it_and_says_what_it_lacks() {
    let config = TablesConfig { log_bytes_kept: 0, ..TablesConfig::default() };
    let (one, two) = (Peer::with(1, config).await, Peer::new(2).await);
    one.run(NOTES).await;
    one.run("INSERT INTO notes (id) VALUES ('x')").await;
    one.give(&two).await;
    one.run("DELETE FROM notes WHERE id = 'x'").await;
    let (passed, nothing) = (two.knows(), VersionVector::default());
    assert!(one.tables.served_from_log(&nothing));
    one.tables.trim(&passed, one.now().await).await.unwrap();
    assert_eq!(one.log().await.len(), 1);
    one.tables.settle().await.unwrap();
    assert!(!one.tables.served_from_log(&nothing));
    assert!(one.tables.served_from_log(&passed));
    // The memory of the deletion is needed until the other one has it.
    assert_eq!(one.count("notes__mesh_row").await, 1);
    one.give(&two).await;
    let one = one.restart().await;
    one.tables.trim(&two.knows(), one.now().await).await.unwrap();
    assert_eq!((one.count("notes__mesh_row").await, one.log().await.len()), (0, 0));
    one.tables.settle().await.unwrap();
    assert!(!one.tables.served_from_log(&nothing));
    // Who comes later begins where the log begins.
    one.run("INSERT INTO notes (id) VALUES ('y')").await;
    assert_eq!(one.give(&two).await.applied.len(), 1);
}

#[tokio::test]
async fn a_log_beyond_its_bounds_loses_the_oldest_whoever_lacks_it() {
    let config = TablesConfig { log_bytes_max: 2000, ..TablesConfig::default() };
    let one = Peer::with(1, config).await;
    one.run(NOTES).await;
    for id in 0..40 {
        one.run(&format!("INSERT INTO notes (id, a) VALUES ('{id}', printf('%0100d', 1))")).await;
    }
    let nothing = VersionVector::default();
    one.tables.trim(&nothing, one.now().await).await.unwrap();
    let bytes: usize = one.log().await.iter().map(Vec::len).sum();
    assert!(bytes > 0 && bytes < 2000, "{bytes}");
    let week = Duration::from_secs(8 * 24 * 3600);
    let late = UnixMillis(one.now().await.0 + u64::try_from(week.as_millis()).unwrap());
    one.tables.trim(&nothing, late).await.unwrap();
    assert!(one.log().await.is_empty());
}

#[tokio::test]
async fn the_log_is_read_in_batches_of_bounded_size() {
    let [one, two] = Peer::with_notes().await;
    for id in 0..30 {
        one.run(&format!("INSERT INTO notes (id, a) VALUES ('{id}', printf('%0200d', 1))")).await;
    }
    let (have, goal) = (two.knows(), one.knows());
    let mut cursor = one.tables.cursor_for(&have).await.unwrap();
    assert!(cursor > LogCursor(0));
    let (mut bodies, mut batches) = (Vec::new(), 0);
    loop {
        let batch = one.tables.read_log(cursor, &have, &goal, 1000).await.unwrap();
        let bytes: usize = batch.bodies.iter().map(Vec::len).sum();
        assert!(bytes <= 1000, "{bytes}");
        assert_eq!(batch.sent.len(), batch.bodies.len());
        bodies.extend(batch.bodies);
        cursor = batch.cursor;
        batches += 1;
        if batch.is_done {
            break;
        }
    }
    assert!(batches > 5, "{batches}");
    assert_eq!(bodies.len(), 30);
    let nothing_new = one.tables.read_log(cursor, &have, &goal, 1000).await.unwrap();
    assert!(nothing_new.is_done && nothing_new.bodies.is_empty());
    two.take(bodies, &one).await;
    converge(&[&one, &two]).await;
}
