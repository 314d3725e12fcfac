use std::time::Duration;

use futures_util::future::join_all;
use mesh_protocol::UnixMillis;
use mesh_store::{AuditRow, NewOutbox, OutboxEnd, StoreConfig, StoreError};

use crate::support::{Home, NOW, outgoing, peer, until};

fn happening(number: u64) -> AuditRow {
    AuditRow {
        at: UnixMillis(NOW.0 + number),
        kind: "token_created".to_owned(),
        actor: number.is_multiple_of(2).then(|| peer(1)),
        detail: format!(r#"{{"number":{number},"text":"it's \"quoted\""}}"#),
    }
}

#[tokio::test]
async fn what_nobody_waits_for_is_written_after_the_delay() {
    let home = Home::new();
    let config = StoreConfig { lazy_delay: Duration::from_millis(1), ..StoreConfig::default() };
    let store = home.open(config).await;
    let sequences = store.append_outbox(vec![outgoing(1)]).await.unwrap();
    store.finish_outbox(sequences[0], OutboxEnd::Acked);
    until(async || store.counts().await.unwrap().outbox == 0).await;
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_nobody_waits_for_rides_along_with_others_and_with_close() {
    let home = Home::new();
    let config = StoreConfig { lazy_delay: Duration::from_secs(3600), ..StoreConfig::default() };
    let store = home.open(config.clone()).await;
    let first = store.append_outbox(vec![outgoing(1)]).await.unwrap();
    store.finish_outbox(first[0], OutboxEnd::Acked);
    store.append_outbox(vec![outgoing(2), outgoing(3)]).await.unwrap();
    until(async || store.counts().await.unwrap().outbox == 2).await;
    store.audit(happening(1));
    store.close().await.unwrap();
    let store = home.open(config).await;
    assert_eq!(store.list_audit(10).await.unwrap(), [happening(1)]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn lone_callers_in_a_row_cannot_put_lazy_writes_off() {
    let home = Home::new();
    let config = StoreConfig { lazy_delay: Duration::from_millis(1), ..StoreConfig::default() };
    let store = home.open(config).await;
    let mut appended = 0;
    until(async || {
        let sequences = store.append_outbox(vec![outgoing(1)]).await.unwrap();
        store.finish_outbox(sequences[0], OutboxEnd::Acked);
        appended += 1;
        store.counts().await.unwrap().outbox < appended
    })
    .await;
    store.close().await.unwrap();
}

/// A statement that fails for one operation alone, which only a trigger can bring about.
#[tokio::test]
async fn one_operation_that_fails_does_not_fail_its_neighbours() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    let mut conn = home.meddle().await;
    sqlx::query(
        "CREATE TRIGGER poison BEFORE INSERT ON outbox WHEN new.app_type = 'poison'
         BEGIN SELECT raise(ABORT, 'poisoned'); END",
    )
    .execute(&mut conn)
    .await
    .unwrap();
    let calls = (0..100_u64).map(|number| {
        let app_type = if number % 10 == 3 { "poison" } else { "test" }.to_owned();
        store.append_outbox(vec![NewOutbox { app_type, ..outgoing(number) }])
    });
    let outcomes = join_all(calls).await;
    for (number, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.is_err(), number % 10 == 3, "{number}: {outcome:?}");
    }
    assert_eq!(store.load_outbox().await.unwrap().len(), 90);
    assert_eq!(store.counts().await.unwrap().outbox, 90);
    store.close().await.unwrap();
}

#[tokio::test]
async fn dropping_every_handle_writes_what_waits_and_ends_the_task() {
    let home = Home::new();
    let config = StoreConfig { lazy_delay: Duration::from_secs(3600), ..StoreConfig::default() };
    let store = home.open(config.clone()).await;
    store.audit(happening(1));
    drop(store);
    home.tracker.close();
    home.tracker.wait().await;
    let store = home.open(config).await;
    assert_eq!(store.list_audit(10).await.unwrap(), [happening(1)]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    let other = store.clone();
    store.close().await.unwrap();
    store.close().await.unwrap();
    let closed = other.append_outbox(vec![outgoing(1)]).await;
    assert!(matches!(closed, Err(StoreError::Closed)), "{closed:?}");
    let closed = other.load_records().await;
    assert!(matches!(closed, Err(StoreError::Closed)), "{closed:?}");
    let closed = other.load_outbox().await;
    assert!(matches!(closed, Err(StoreError::Closed)), "{closed:?}");
    let closed = other.counts().await;
    assert!(matches!(closed, Err(StoreError::Closed)), "{closed:?}");
    other.audit(happening(1));
}

#[tokio::test]
async fn audit_rows_come_back_oldest_first_and_are_bounded() {
    let home = Home::new();
    let config = StoreConfig { audit_rows_max: 20, ..StoreConfig::default() };
    let store = home.open(config).await;
    for number in 0..2_000 {
        store.audit(happening(number));
    }
    let rows = store.list_audit(1000).await.unwrap();
    assert_eq!(rows, (1980..2000).map(happening).collect::<Vec<_>>());
    assert_eq!(store.list_audit(2).await.unwrap(), [happening(1998), happening(1999)]);
    let long = AuditRow {
        kind: "ä".repeat(100),
        detail: format!("\"{}\"", "x".repeat(9000)),
        ..happening(1)
    };
    store.audit(long);
    let row = store.list_audit(1).await.unwrap().remove(0);
    assert_eq!(row.kind, "ä".repeat(64));
    assert_eq!(row.detail, r#"{"detail_bytes":9002}"#);
    store.close().await.unwrap();
}
