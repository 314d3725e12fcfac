//! What is dropped costs no more than there is to drop, and what grows is bounded in between.

use std::time::Duration;

use mesh_protocol::{UnixMillis, VersionVector};
use mesh_tables::TablesConfig;
use sqlx::{Row as _, query};

use crate::peer::{NOTES, Peer, converge};

const MINUTE: u64 = 60_000;

#[tokio::test]
async fn losers_are_bounded_when_they_are_listed_and_not_only_in_between() {
    let config = TablesConfig { conflicts_max: 4, ..TablesConfig::default() };
    let (one, two) = (Peer::new(1).await, Peer::with(2, config).await);
    one.run(NOTES).await;
    one.run("INSERT INTO notes (id) VALUES ('0'), ('1'), ('2'), ('3'), ('4'), ('5'), ('6'), ('7')")
        .await;
    one.give(&two).await;
    for id in 0..8 {
        one.run(&format!("UPDATE notes SET a = 'first' WHERE id = '{id}'")).await;
        two.run(&format!("UPDATE notes SET a = 'second' WHERE id = '{id}'")).await;
    }
    let bodies = one.bodies_for(&two).await;
    assert_eq!(bodies.len(), 8);
    for body in bodies {
        two.take(vec![body], &one).await;
        assert!(two.count("mesh_conflicts").await <= 4);
    }
    // The latest are those that stay.
    let keys: Vec<_> = two.conflicts().await.into_iter().map(|conflict| conflict.0).collect();
    assert_eq!(keys.len(), 4);
    assert!(keys.contains(&"7".to_owned()) && !keys.contains(&"0".to_owned()), "{keys:?}");
}

#[tokio::test]
async fn nothing_is_looked_for_where_nothing_can_be_found() {
    let config = TablesConfig { log_bytes_kept: 0, ..TablesConfig::default() };
    let (one, two) = (Peer::with(1, config).await, Peer::new(2).await);
    one.run(NOTES).await;
    one.run("INSERT INTO notes (id) VALUES ('x')").await;
    one.give(&two).await;
    let now = one.now().await;
    assert_eq!(one.tables.trim(&two.knows(), now).await.unwrap(), 2);
    // Whoever writes now would have to wait for it, and it for them.
    let mut other = one.shell().await;
    query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let soon = UnixMillis(now.0 + MINUTE);
    assert_eq!(one.tables.trim(&two.knows(), soon).await.unwrap(), 0);
    query("ROLLBACK").execute(&mut other).await.unwrap();
    // As soon as anything was written or passed, or time has gone by, it is.
    one.run("DELETE FROM notes").await;
    assert_eq!(one.tables.trim(&two.knows(), soon).await.unwrap(), 0);
    one.give(&two).await;
    assert_eq!(one.tables.trim(&two.knows(), soon).await.unwrap(), 2);
    one.run("INSERT INTO notes (id) VALUES ('y')").await;
    assert_eq!(one.tables.trim(&two.knows(), soon).await.unwrap(), 0);
    let week = Duration::from_secs(8 * 24 * 3600);
    let late = UnixMillis(now.0 + u64::try_from(week.as_millis()).unwrap());
    assert_eq!(one.tables.trim(&two.knows(), late).await.unwrap(), 1);
}

#[tokio::test]
async fn memories_that_have_to_stay_do_not_hide_those_that_can_go() {
    let (one, two) = (Peer::new(1).await, Peer::new(2).await);
    one.run(NOTES).await;
    one.give(&two).await;
    for (peer, id) in [(&one, "a"), (&two, "b"), (&one, "c"), (&two, "d")] {
        peer.run(&format!("INSERT INTO notes (id) VALUES ('{id}'), ('{id}{id}')")).await;
    }
    two.give(&one).await;
    one.run("DELETE FROM notes WHERE length(id) = 2").await;
    let first = one.knows();
    one.run("DELETE FROM notes WHERE id = 'a'").await;
    two.run("DELETE FROM notes WHERE id = 'b'").await;
    two.give(&one).await;
    assert_eq!(one.count("notes__mesh_row WHERE life = 2").await, 6);
    one.tables.trim(&first, one.now().await).await.unwrap();
    assert_eq!(one.count("notes__mesh_row WHERE life = 2").await, 2);
    let plan = "EXPLAIN QUERY PLAN SELECT min(origin) FROM notes__mesh_row \
                WHERE life % 2 = 0 AND origin > 1";
    let row = query(plan).fetch_one(&mut one.shell().await).await.unwrap();
    let plan: String = row.get("detail");
    assert!(plan.contains("mesh_dead_"), "{plan}");
    // Whoever stays away is not waited for without end.
    let month = Duration::from_secs(31 * 24 * 3600);
    let late = UnixMillis(one.now().await.0 + u64::try_from(month.as_millis()).unwrap());
    one.tables.trim(&VersionVector::default(), late).await.unwrap();
    assert_eq!(one.count("notes__mesh_row WHERE life = 2").await, 0);
}

#[tokio::test]
async fn the_size_of_the_log_is_known_without_counting_it_anew() {
    let config =
        TablesConfig { log_bytes_max: 4000, log_bytes_kept: 1000, ..TablesConfig::default() };
    let one = Peer::with(1, config).await;
    one.run(NOTES).await;
    let nothing = VersionVector::default();
    for id in 0..60 {
        one.run(&format!("INSERT INTO notes (id, a) VALUES ('{id}', printf('%0100d', 1))")).await;
        one.tables.trim(&nothing, one.now().await).await.unwrap();
        let stats = one.tables.stats(one.now().await).await.unwrap();
        let there = one.rows("SELECT count(*) || ' ' || sum(length(body)) FROM mesh_log").await;
        assert_eq!(there, [format!("{} {}", stats.log_entries, stats.log_bytes)]);
        assert!(stats.log_bytes < 4000, "{stats:?}");
    }
    one.tables.trim(&one.knows(), one.now().await).await.unwrap();
    let stats = one.tables.stats(one.now().await).await.unwrap();
    assert!(stats.log_bytes > 0 && stats.log_bytes < 1000, "{stats:?}");
}

#[tokio::test]
async fn a_deletion_is_remembered_as_long_as_something_is_listed_that_lost_against_it() {
    let [one, two] = Peer::with_notes().await;
    one.run("INSERT INTO notes (id, a) VALUES ('x', 'old')").await;
    one.give(&two).await;
    one.run("DELETE FROM notes WHERE id = 'x'").await;
    two.run("UPDATE notes SET a = 'new' WHERE id = 'x'").await;
    converge(&[&one, &two]).await;
    assert_eq!(one.conflicts().await.len(), 1);
    one.tables.trim(&two.knows(), one.now().await).await.unwrap();
    assert_eq!(one.count("notes__mesh_row").await, 1);
    let conflict = one.tables.conflicts(None).await.unwrap().remove(0);
    one.tables.restore_conflict(conflict.id, one.now().await).await.unwrap();
    one.run("DELETE FROM notes WHERE id = 'x'").await;
    converge(&[&one, &two]).await;
    one.tables.trim(&two.knows(), one.now().await).await.unwrap();
    assert_eq!(one.count("notes__mesh_row").await, 0);
}
