use std::sync::Arc;

use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use super::*;
use crate::rules::tests::NoRules;
use crate::{Statement, TablesConfig};

async fn open(folder: &TempDir) -> Tables {
    let path = folder.path().join("data.db");
    let (fresh, tracker) = (OriginId::from_bytes([9; 16]), TaskTracker::new());
    Tables::open(&path, TablesConfig::default(), Arc::new(NoRules), fresh, &tracker).await.unwrap()
}

async fn run(tables: &Tables, sql: &str) {
    let statements = vec![Statement { sql: sql.to_owned(), params: Vec::new() }];
    tables.execute(statements, UnixMillis(1)).await.unwrap();
}

async fn resync(tables: &Tables, name: &'static str) {
    let noted = tables.transact(move |desk| {
        Box::pin(async move {
            let no = desk.state.catalog.named(name).unwrap().no;
            note_resync(&mut desk.conn, &mut desk.state, no).await
        })
    });
    noted.await.unwrap();
}

async fn next(feed: &mut Feed) -> FeedItem {
    feed.next().await.unwrap().unwrap()
}

#[tokio::test]
async fn a_state_that_was_taken_over_stands_between_the_changes() {
    let folder = TempDir::new().unwrap();
    let tables = open(&folder).await;
    run(&tables, "CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    run(&tables, "CREATE TABLE other (id INTEGER PRIMARY KEY)").await;
    let mut feed = tables.feed(None, Some("t".to_owned())).await.unwrap();
    run(&tables, "INSERT INTO t VALUES (1)").await;
    resync(&tables, "other").await;
    resync(&tables, "t").await;
    run(&tables, "INSERT INTO t VALUES (2)").await;
    assert!(matches!(next(&mut feed).await, FeedItem::Change(_)));
    let item = next(&mut feed).await;
    let position = item.position();
    assert_eq!(item, FeedItem::Resync { position, table: "t".to_owned() });
    let last = next(&mut feed).await;
    drop((feed, tables));
    // It is as durable as the changes, and their numbers go on behind it.
    let tables = open(&folder).await;
    let mut feed = tables.feed(Some(position), Some("t".to_owned())).await.unwrap();
    assert_eq!(next(&mut feed).await, last);
    resync(&tables, "other").await;
    drop((feed, tables));
    let tables = open(&folder).await;
    let mut feed = tables.feed(Some(last.position()), None).await.unwrap();
    run(&tables, "INSERT INTO t VALUES (3)").await;
    assert!(matches!(next(&mut feed).await, FeedItem::Resync { .. }));
    assert!(matches!(next(&mut feed).await, FeedItem::Change(_)));
}

#[tokio::test]
async fn a_newer_note_of_a_table_takes_the_place_of_the_older_one() {
    let folder = TempDir::new().unwrap();
    let tables = open(&folder).await;
    run(&tables, "CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    let start = tables.feed(None, None).await.unwrap().position();
    for _ in 0..100 {
        resync(&tables, "t").await;
    }
    let notes = tables.reading().own.read(|conn| {
        Box::pin(async move { fetch_all(conn, "SELECT id FROM mesh_resyncs", []).await })
    });
    assert_eq!(notes.await.unwrap().len(), 1);
    let error = tables.feed(Some(start), None).await.unwrap_err();
    assert!(matches!(error, TablesError::Unknown { what: Thing::Position, .. }), "{error}");
}
