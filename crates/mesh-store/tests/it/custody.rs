mod model;

use std::sync::Arc;
use std::time::Duration;

use mesh_protocol::UnixMillis;
use mesh_store::{CustodyOutcome, CustodyRow, NewCustody, Store, StoreConfig, StoreError};

use crate::support::{Home, NOW, held, is_held, message, peer, until};

fn held_range(numbers: std::ops::Range<u64>) -> Vec<NewCustody> {
    numbers.map(held).collect()
}

fn sized(number: u64, bytes: usize) -> NewCustody {
    NewCustody { parcel: Arc::from(vec![7; bytes]), ..held(number) }
}

/// Inserts and says of each whether it was stored, in one letter: Stored, Duplicate, Full.
async fn insert(store: &Store, rows: Vec<NewCustody>) -> String {
    let outcomes = store.insert_custody(rows).await.unwrap();
    let letter = |outcome: &CustodyOutcome| match outcome {
        CustodyOutcome::Stored { .. } => 'S',
        CustodyOutcome::Duplicate => 'D',
        CustodyOutcome::Full => 'F',
    };
    outcomes.iter().map(letter).collect()
}

async fn ids(store: &Store) -> Vec<u64> {
    store.load_custody().await.unwrap().iter().map(|row| row.custody_id).collect()
}

#[tokio::test]
async fn what_was_taken_is_there_after_a_restart() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    let outcomes = store.insert_custody(held_range(1..3)).await.unwrap();
    let [CustodyOutcome::Stored { custody_id: first }, CustodyOutcome::Stored { custody_id }] =
        outcomes[..]
    else {
        panic!("{outcomes:?}")
    };
    assert!(first < custody_id);
    assert_eq!(store.custody_stats(), (2, 16));
    store.close().await.unwrap();

    let store = home.open(StoreConfig::default()).await;
    assert_eq!(store.custody_stats(), (2, 16), "counted anew at the start");
    let rows = store.load_custody().await.unwrap();
    assert_eq!(rows.iter().map(|row| row.custody_id).collect::<Vec<_>>(), [first, custody_id]);
    let expected = CustodyRow {
        custody_id: first,
        from: peer(1),
        to: peer(2),
        message_id: message(1),
        priority: 1,
        expires_at: UnixMillis(NOW.0 + 60_000),
        bytes: 8,
    };
    assert_eq!(rows[0], expected);
    let parcels = store.custody_parcels(&[custody_id, 9_999, first]).await.unwrap();
    let expected = vec![(first, b"parcel 1".to_vec()), (custody_id, b"parcel 2".to_vec())];
    assert_eq!(parcels, expected);
    assert_eq!(insert(&store, held_range(1..4)).await, "DDS");
    assert!(ids(&store).await[2] > custody_id);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_repeat_is_recognised_by_sender_message_and_receiver() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    assert_eq!(insert(&store, vec![held(1), held(1)]).await, "SD");
    let to_another = NewCustody { to: peer(3), ..held(1) };
    let of_another = NewCustody { from: peer(3), ..held(1) };
    assert_eq!(insert(&store, vec![held(1), to_another, of_another]).await, "DSS");
    assert_eq!(store.custody_stats(), (3, 24));
    assert_eq!(insert(&store, Vec::new()).await, "");
    store.close().await.unwrap();
}

#[tokio::test]
async fn each_quota_holds_to_the_last_parcel_and_byte() {
    let default = StoreConfig::default();
    let of_two = |number| NewCustody { from: peer(10 + (number % 2) as u8), ..sized(number, 100) };
    let of_one = |number| sized(number, 100);
    type Rows<'r> = &'r dyn Fn(u64) -> NewCustody;
    let cases: [(StoreConfig, Rows<'_>); 4] = [
        (StoreConfig { custody_messages_per_sender_max: 4, ..default.clone() }, &of_one),
        (StoreConfig { custody_bytes_per_sender_max: 400, ..default.clone() }, &of_one),
        (StoreConfig { custody_messages_max: 4, ..default.clone() }, &of_two),
        (StoreConfig { custody_bytes_max: 400, ..default }, &of_two),
    ];
    for (config, row) in cases {
        let home = Home::new();
        let store = home.open(config.clone()).await;
        assert_eq!(insert(&store, (1..=3).map(row).collect()).await, "SSS", "{config:?}");
        assert_eq!(insert(&store, (4..=6).map(row).collect()).await, "SFF", "{config:?}");
        assert_eq!(store.custody_stats(), (4, 400));
        store.close().await.unwrap();

        let store = home.open(config.clone()).await;
        assert_eq!(insert(&store, vec![row(7)]).await, "F", "after a restart too: {config:?}");
        assert_eq!(insert(&store, vec![row(1)]).await, "D", "what is held is held: {config:?}");
        for id in ids(&store).await {
            store.finish_custody(id);
        }
        store.flush().await.unwrap();
        assert_eq!(store.custody_stats(), (0, 0));
        assert_eq!(insert(&store, (4..=8).map(row).collect()).await, "SSSSF", "{config:?}");
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_sender_that_fills_its_quota_leaves_room_for_others() {
    let home = Home::new();
    let config = StoreConfig {
        custody_messages_per_sender_max: 2,
        custody_messages_max: 5,
        ..StoreConfig::default()
    };
    let store = home.open(config).await;
    let of = |from, number| NewCustody { from: peer(from), ..held(number) };
    let rows = vec![of(1, 1), of(1, 2), of(1, 3), of(4, 1), of(4, 2), of(5, 1), of(5, 2)];
    assert_eq!(insert(&store, rows).await, "SSFSSSF");
    store.close().await.unwrap();
}

#[tokio::test]
async fn nothing_overtakes_a_parcel_that_did_not_fit() {
    let home = Home::new();
    let config = StoreConfig { custody_bytes_per_sender_max: 100, ..StoreConfig::default() };
    let store = home.open(config).await;
    assert_eq!(insert(&store, vec![sized(3, 10)]).await, "S");
    let to = |number, to: u8| NewCustody { to: peer(to), ..sized(number, 10) };
    let of = |number, from: u8| NewCustody { from: peer(from), ..sized(number, 10) };
    // Too large · behind it · held already · to another receiver · of another sender · behind it.
    let rows = vec![sized(1, 200), sized(2, 10), sized(3, 10), to(4, 3), of(5, 4), sized(6, 10)];
    assert_eq!(insert(&store, rows).await, "FFDSSF");
    assert_eq!(insert(&store, vec![sized(2, 10)]).await, "S", "the next call starts anew");
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_late_end_never_takes_a_newer_parcel_with_it() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    insert(&store, vec![held(1)]).await;
    let first = ids(&store).await[0];
    store.finish_custody(first);
    store.flush().await.unwrap();
    insert(&store, vec![held(2)]).await;
    store.finish_custody(first);
    store.flush().await.unwrap();
    let left = ids(&store).await;
    assert_eq!(left.len(), 1);
    assert!(left[0] > first);
    assert_eq!(store.custody_stats(), (1, 8));
    store.close().await.unwrap();
}

#[tokio::test]
async fn an_end_is_written_after_the_delay_and_with_close() {
    let home = Home::new();
    let config = StoreConfig { lazy_delay: Duration::from_millis(1), ..StoreConfig::default() };
    let store = home.open(config).await;
    insert(&store, held_range(1..3)).await;
    let rows = ids(&store).await;
    store.finish_custody(rows[0]);
    until(async || store.custody_stats() == (1, 8)).await;
    store.close().await.unwrap();

    let config = StoreConfig { lazy_delay: Duration::from_secs(3600), ..StoreConfig::default() };
    let store = home.open(config.clone()).await;
    store.finish_custody(rows[1]);
    store.close().await.unwrap();
    let store = home.open(config).await;
    assert_eq!(ids(&store).await, Vec::<u64>::new());
    store.close().await.unwrap();
}

#[tokio::test]
async fn parcels_of_removed_members_go_whichever_end_they_were() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    let way = |from, to| NewCustody { from: peer(from), to: peer(to), ..held(1) };
    insert(&store, vec![way(1, 2), way(2, 3), way(3, 4), way(4, 1), way(5, 6)]).await;
    assert_eq!(store.forget_custody_of(Vec::new()).await.unwrap(), 0);
    assert_eq!(store.forget_custody_of(vec![peer(9)]).await.unwrap(), 0);
    assert_eq!(store.forget_custody_of(vec![peer(2), peer(6)]).await.unwrap(), 3);
    let left = store.load_custody().await.unwrap();
    let left: Vec<_> = left.iter().map(|row| (row.from, row.to)).collect();
    assert_eq!(left, [(peer(3), peer(4)), (peer(4), peer(1))]);
    assert_eq!(store.custody_stats(), (2, 16));
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_has_expired_is_pruned() {
    let home = Home::new();
    let config = StoreConfig { custody_messages_per_sender_max: 2_000, ..StoreConfig::default() };
    let store = home.open(config).await;
    for start in (0..1_500).step_by(500) {
        insert(&store, held_range(start..start + 500)).await;
    }
    let later = NewCustody { expires_at: UnixMillis(NOW.0 + 90_000), ..held(1_500) };
    insert(&store, vec![later]).await;
    let over = held(0).expires_at;
    assert_eq!(store.prune(UnixMillis(over.0 - 1)).await.unwrap().custody_expired, 0);
    assert_eq!(store.prune(over).await.unwrap().custody_expired, 1_500);
    assert_eq!(store.custody_stats().0, 1);
    assert_eq!(store.load_custody().await.unwrap()[0].message_id, message(1_500));
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_exceeds_a_bound_of_the_call_is_refused() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    let refused = store.insert_custody(vec![held(0), sized(1, (1 << 20) + 4097)]).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
    let refused = store.insert_custody(held_range(0..513)).await;
    assert!(matches!(refused, Err(StoreError::TooMany { .. })), "{refused:?}");
    assert_eq!(store.custody_stats(), (0, 0));
    assert_eq!(insert(&store, vec![sized(1, (1 << 20) + 4096)]).await, "S");
    let outcomes = store.insert_custody(held_range(10..522)).await.unwrap();
    assert!(outcomes.iter().all(is_held));
    store.close().await.unwrap();
}

/// A statement that fails amid a batch, which only a trigger can bring about.
#[tokio::test]
async fn a_batch_that_fails_leaves_neither_rows_nor_counts() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    let mut conn = home.meddle().await;
    sqlx::query(
        "CREATE TRIGGER poison BEFORE INSERT ON custody WHEN new.priority = 2
         BEGIN SELECT raise(ABORT, 'poisoned'); END",
    )
    .execute(&mut conn)
    .await
    .unwrap();
    let poison = NewCustody { priority: 2, ..held(2) };
    let failed = store.insert_custody(vec![held(1), poison]).await;
    assert!(matches!(failed, Err(StoreError::Database { .. })), "{failed:?}");
    assert_eq!(store.custody_stats(), (0, 0));
    assert_eq!(insert(&store, held_range(1..3)).await, "SS");
    assert_eq!(store.custody_stats(), (2, 16));
    store.close().await.unwrap();
}

#[test]
fn no_log_shows_a_parcel() {
    let shown = format!("{:?}", held(1));
    // How a byte string that begins with "pa" would be shown.
    assert!(!shown.contains("112, 97") && shown.contains("bytes: 8"), "{shown}");
}
