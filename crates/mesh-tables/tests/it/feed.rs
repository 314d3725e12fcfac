//! The feed of committed changes.

use std::time::Duration;

use mesh_protocol::SqlValue;
use mesh_tables::{ChangeEvent, Feed, FeedItem, Operation, TablesConfig, TablesError};
use tokio::time::timeout;

use crate::member::{AT, Member, origin};

async fn next(feed: &mut Feed) -> ChangeEvent {
    let item = timeout(Duration::from_secs(10), feed.next()).await.unwrap().unwrap().unwrap();
    match item {
        FeedItem::Change(change) => change,
        FeedItem::Resync { table, .. } => panic!("resync of {table}"),
    }
}

fn named(name: &str, value: SqlValue) -> (String, SqlValue) {
    (name.to_owned(), value)
}

fn int(number: i64) -> SqlValue {
    SqlValue::Integer(number)
}

fn keys(events: &[ChangeEvent]) -> Vec<SqlValue> {
    events.iter().map(|event| event.key[0].1.clone()).collect()
}

async fn member() -> Member {
    let member = Member::new(1).await;
    member.run("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b INT)").await;
    member
}

#[tokio::test]
async fn changes_come_with_what_was_written() {
    let member = member().await;
    let mut feed = member.tables.feed(None, Some("T".to_owned())).await.unwrap();
    member.run("INSERT INTO t VALUES (1, 'x', 2)").await;
    let event = next(&mut feed).await;
    assert_eq!(event.table, "t");
    assert_eq!(event.operation, Operation::Insert);
    assert_eq!(event.key, [named("id", int(1))]);
    let x = SqlValue::Text("x".to_owned());
    assert_eq!(event.data, [named("a", x), named("b", int(2))]);
    assert_eq!((event.origin, event.at), (origin(1), AT));
    member.run("UPDATE t SET b = 3").await;
    let event = next(&mut feed).await;
    assert_eq!(event.operation, Operation::Update);
    assert_eq!(event.data, [named("b", int(3))]);
    member.run("DELETE FROM t").await;
    let event = next(&mut feed).await;
    assert_eq!((event.operation, event.data), (Operation::Delete, vec![]));
}

#[tokio::test]
async fn a_feed_that_waits_is_woken_by_a_commit() {
    let member = member().await;
    let mut feed = member.tables.feed(None, None).await.unwrap();
    let (event, ()) = tokio::join!(next(&mut feed), member.run("INSERT INTO t VALUES (1, 'x', 2)"));
    assert_eq!(keys(&[event]), [int(1)]);
}

#[tokio::test]
async fn every_position_resumes_without_loss_or_repeat() {
    let member = member().await;
    for round in 0..3 {
        let values = (0..7).map(|n| format!("({}, 'x', 0)", round * 7 + n)).collect::<Vec<_>>();
        member.run(&format!("INSERT INTO t VALUES {}", values.join(","))).await;
    }
    let mut feed = member.tables.feed(Some(0), None).await.unwrap();
    let mut events = Vec::new();
    for _ in 0..21 {
        events.push(next(&mut feed).await);
        assert_eq!(feed.position(), events.last().unwrap().position);
    }
    assert!(events.is_sorted_by(|one, two| one.position < two.position));
    assert_eq!(keys(&events), (0..21).map(int).collect::<Vec<_>>());
    for (index, event) in events.iter().enumerate() {
        let mut resumed = member.tables.feed(Some(event.position), None).await.unwrap();
        member.run("UPDATE t SET b = b + 1 WHERE id = 20").await;
        let rest = events.get(index + 1);
        let found = next(&mut resumed).await;
        match rest {
            Some(expected) => assert_eq!(found, *expected),
            None => assert_eq!(found.operation, Operation::Update),
        }
    }
}

#[tokio::test]
async fn only_the_table_that_is_followed_shows() {
    let member = member().await;
    member.run("CREATE TABLE other (id INTEGER PRIMARY KEY)").await;
    let mut feed = member.tables.feed(None, Some("other".to_owned())).await.unwrap();
    member.run_all(&["INSERT INTO t VALUES (1, '', 0)", "INSERT INTO other VALUES (5)"]).await;
    member.run("INSERT INTO t VALUES (2, '', 0)").await;
    member.run("INSERT INTO other VALUES (6)").await;
    assert_eq!(keys(&[next(&mut feed).await, next(&mut feed).await]), [int(5), int(6)]);
    let error = member.tables.feed(None, Some("none".to_owned())).await.unwrap_err();
    assert!(matches!(error, TablesError::Unknown { .. }), "{error}");
}

#[tokio::test]
async fn changes_of_others_show_as_far_as_they_are_visible() {
    let (one, two) = (member().await, Member::new(2).await);
    one.run("INSERT INTO t VALUES (1, 'x', 2), (2, 'y', 2)").await;
    one.give(&two).await;
    let mut feed = two.tables.feed(None, None).await.unwrap();
    one.run("UPDATE t SET a = 'lost', b = 7 WHERE id = 1").await;
    two.run("UPDATE t SET a = 'seen' WHERE id = 1").await;
    let own = next(&mut feed).await;
    assert_eq!(own.origin, origin(2));
    one.give(&two).await;
    let theirs = next(&mut feed).await;
    assert_eq!((theirs.origin, theirs.operation), (origin(1), Operation::Update));
    assert_eq!(theirs.data, [named("b", int(7))]);
}

#[tokio::test]
async fn a_position_that_the_log_lost_is_unknown() {
    let config = TablesConfig { log_bytes_kept: 0, ..TablesConfig::default() };
    let member = Member::with(1, config).await;
    member.run("CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    let mut feed = member.tables.feed(None, None).await.unwrap();
    member.run("INSERT INTO t VALUES (1)").await;
    let first = next(&mut feed).await;
    let mut slow = member.tables.feed(Some(0), None).await.unwrap();
    member.run("INSERT INTO t VALUES (2)").await;
    let second = next(&mut feed).await;
    assert_eq!(keys(&[next(&mut slow).await]), [int(1)]);
    member.tables.trim(&member.known(), AT).await.unwrap();
    for position in [0, first.position] {
        let error = member.tables.feed(Some(position), None).await.unwrap_err();
        assert!(matches!(error, TablesError::Unknown { .. }), "{error}");
    }
    assert!(matches!(slow.next().await, Some(Err(TablesError::Unknown { .. }))));
    assert!(slow.next().await.is_none());
    let beyond = second.position + (1 << 20);
    let error = member.tables.feed(Some(beyond), None).await.unwrap_err();
    assert!(matches!(error, TablesError::Unknown { .. }), "{error}");
    let mut last = member.tables.feed(Some(second.position), None).await.unwrap();
    member.run("INSERT INTO t VALUES (3)").await;
    assert_eq!(keys(&[next(&mut last).await]), [int(3)]);
}

#[tokio::test]
async fn a_feed_ends_with_the_database() {
    let member = member().await;
    let mut feed = member.tables.feed(None, None).await.unwrap();
    let _folder = member.close().await;
    assert!(feed.next().await.is_none());
}
