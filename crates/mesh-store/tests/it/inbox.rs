use std::sync::Arc;

use futures_util::future::join_all;
use mesh_protocol::{MessageId, UnixMillis};
use mesh_store::{Counts, InboxOutcome, InboxQuery, NewInbox, Store, StoreConfig, StoreError};

use crate::support::{Home, NOW, incoming, incoming_range, is_stored, message, peer};

async fn ids(store: &Store, query: InboxQuery) -> Vec<MessageId> {
    store.list_inbox(query).await.unwrap().into_iter().map(|row| row.message_id).collect()
}

async fn seen(store: &Store) -> u64 {
    store.counts().await.unwrap().inbox_seen
}

#[tokio::test]
async fn a_message_is_stored_once_and_comes_back_as_it_went_in() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    let via = vec![peer(3), peer(4)];
    let row =
        NewInbox { stream: u64::MAX, is_sealed: true, is_broadcast: true, via, ..incoming(1) };
    let outcomes = store.commit_inbox(vec![row.clone(), row.clone()]).await.unwrap();
    let InboxOutcome::Stored { inbox_id } = outcomes[0] else { panic!("{outcomes:?}") };
    assert_eq!(outcomes[1], InboxOutcome::Duplicate);
    store.close().await.unwrap();

    let store = home.open(StoreConfig::default()).await;
    assert_eq!(store.commit_inbox(vec![row.clone()]).await.unwrap(), [InboxOutcome::Duplicate]);
    let listed = store.list_inbox(InboxQuery::default()).await.unwrap();
    assert_eq!(listed.len(), 1);
    let got = &listed[0];
    assert_eq!((got.inbox_id, got.message_id, got.from), (inbox_id, row.message_id, row.from));
    assert_eq!((got.stream, got.sequence, got.priority), (u64::MAX, 1, 1));
    assert_eq!((got.is_sealed, got.is_broadcast, got.is_acked), (true, true, false));
    assert_eq!((got.app_type.as_deref(), got.payload_kind), (Some("test"), 5));
    assert_eq!((got.body.as_slice(), got.timestamp), (b"body 1".as_slice(), NOW));
    assert_eq!((got.received_at, got.expires_at), (NOW, row.expires_at));
    assert_eq!(got.via, row.via);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_repeat_is_known_by_its_sender_and_id_until_it_expires() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    assert!(!store.has_seen(peer(1), message(1)).await.unwrap());
    store.commit_inbox(incoming_range(1..3)).await.unwrap();
    store.ack_inbox(vec![message(2)]).await.unwrap();
    for number in [1, 2] {
        assert!(store.has_seen(peer(1), message(number)).await.unwrap(), "{number}");
        assert!(!store.has_seen(peer(2), message(number)).await.unwrap(), "{number} of another");
    }
    assert!(!store.has_seen(peer(1), message(3)).await.unwrap());
    store.prune(incoming(2).expires_at).await.unwrap();
    assert!(store.has_seen(peer(1), message(1)).await.unwrap(), "not acknowledged, so kept");
    assert!(!store.has_seen(peer(1), message(2)).await.unwrap());
    store.close().await.unwrap();
}

#[tokio::test]
async fn another_sender_cannot_take_the_place_of_a_message() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    let squatter = NewInbox { from: peer(2), ..incoming(1) };
    let outcomes = store.commit_inbox(vec![squatter, incoming(1)]).await.unwrap();
    assert!(outcomes.iter().all(is_stored), "{outcomes:?}");
    assert_eq!(store.ack_inbox(vec![message(1)]).await.unwrap(), 2);
    store.close().await.unwrap();
}

#[tokio::test]
async fn an_acked_message_loses_its_body_and_keeps_its_id_until_it_expires() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    store.commit_inbox(incoming_range(0..3)).await.unwrap();
    let gone = vec![message(0), message(2), message(2), message(99)];
    assert_eq!(store.ack_inbox(gone).await.unwrap(), 2);
    assert_eq!(store.ack_inbox(vec![message(0)]).await.unwrap(), 0);
    let expected = Counts { inbox_unacked: 1, inbox_bytes: 6, inbox_seen: 2, outbox: 0 };
    assert_eq!(store.counts().await.unwrap(), expected);
    store.close().await.unwrap();

    let store = home.open(StoreConfig::default()).await;
    assert_eq!(store.counts().await.unwrap(), expected, "counted anew at the start");
    assert_eq!(ids(&store, InboxQuery::default()).await, [message(1)]);
    let all = InboxQuery { unacked_only: false, ..InboxQuery::default() };
    let rows = store.list_inbox(all.clone()).await.unwrap();
    let shown: Vec<_> =
        rows.iter().map(|row| (row.message_id, row.is_acked, row.body.len())).collect();
    assert_eq!(shown, [(message(0), true, 0), (message(1), false, 6), (message(2), true, 0)]);
    let again = store.commit_inbox(incoming_range(0..3)).await.unwrap();
    assert_eq!(again, [InboxOutcome::Duplicate; 3]);

    let over = incoming(0).expires_at;
    assert_eq!(store.prune(UnixMillis(over.0 - 1)).await.unwrap().seen_expired, 0);
    assert_eq!(store.prune(over).await.unwrap().seen_expired, 2);
    assert_eq!(ids(&store, all).await, [message(1)], "what was not acknowledged never goes");
    assert_eq!(seen(&store).await, 0);
    store.close().await.unwrap();
}

#[tokio::test]
async fn inbox_ids_are_never_used_again() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    let InboxOutcome::Stored { inbox_id: first } =
        store.commit_inbox(vec![incoming(1)]).await.unwrap()[0]
    else {
        panic!("not stored")
    };
    store.ack_inbox(vec![message(1)]).await.unwrap();
    store.prune(UnixMillis(u64::MAX)).await.unwrap();
    store.close().await.unwrap();
    let store = home.open(StoreConfig::default()).await;
    let outcome = store.commit_inbox(vec![incoming(2)]).await.unwrap()[0];
    assert!(
        matches!(outcome, InboxOutcome::Stored { inbox_id } if inbox_id > first),
        "{outcome:?}"
    );
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_full_inbox_takes_repeats_but_nothing_behind_the_first_that_does_not_fit() {
    let home = Home::new();
    let config = StoreConfig { inbox_messages_max: 3, ..StoreConfig::default() };
    let store = home.open(config).await;
    assert!(store.commit_inbox(incoming_range(0..2)).await.unwrap().iter().all(is_stored));
    // 0 is a repeat, 2 fits, 3 does not; 1 is a repeat behind it, and 4 is new.
    let batch = [0, 2, 3, 1, 4].map(incoming).to_vec();
    let outcomes = store.commit_inbox(batch).await.unwrap();
    assert_eq!(outcomes[0], InboxOutcome::Duplicate);
    assert!(is_stored(&outcomes[1]), "{outcomes:?}");
    assert_eq!(outcomes[2..], [InboxOutcome::Full; 3]);
    assert_eq!(store.counts().await.unwrap().inbox_unacked, 3);

    store.ack_inbox(vec![message(0)]).await.unwrap();
    let outcomes = store.commit_inbox([3, 4].map(incoming).to_vec()).await.unwrap();
    assert!(is_stored(&outcomes[0]), "{outcomes:?}");
    assert_eq!(outcomes[1], InboxOutcome::Full);
    let listed = ids(&store, InboxQuery::default()).await;
    assert_eq!(listed, [message(1), message(2), message(3)], "in order");
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_sender_that_is_new_meets_a_full_inbox_too() {
    let home = Home::new();
    let config = StoreConfig { inbox_messages_max: 1, ..StoreConfig::default() };
    let store = home.open(config).await;
    let stranger = |number| NewInbox { from: peer(9), ..incoming(number) };
    let outcomes = store.commit_inbox(vec![stranger(1), stranger(2)]).await.unwrap();
    assert!(is_stored(&outcomes[0]) && outcomes[1] == InboxOutcome::Full, "{outcomes:?}");
    let outcomes = store.commit_inbox(vec![incoming(1)]).await.unwrap();
    assert_eq!(outcomes, [InboxOutcome::Full]);
    store.ack_inbox(vec![message(1)]).await.unwrap();
    assert!(is_stored(&store.commit_inbox(vec![incoming(1)]).await.unwrap()[0]));
    store.close().await.unwrap();
}

#[tokio::test]
async fn the_bytes_of_the_inbox_are_bounded() {
    let home = Home::new();
    let config = StoreConfig { inbox_bytes_max: 250, ..StoreConfig::default() };
    let store = home.open(config).await;
    let sized = |number| NewInbox { body: Arc::from(vec![7; 100]), ..incoming(number) };
    let outcomes = store.commit_inbox((0..4).map(sized).collect()).await.unwrap();
    assert!(outcomes[..2].iter().all(is_stored), "{outcomes:?}");
    assert_eq!(outcomes[2..], [InboxOutcome::Full; 2]);
    assert_eq!(store.counts().await.unwrap().inbox_bytes, 200);
    store.close().await.unwrap();
}

#[tokio::test]
async fn racing_batches_never_exceed_the_bound_and_never_store_a_message_twice() {
    let home = Home::new();
    let config = StoreConfig { inbox_messages_max: 100, ..StoreConfig::default() };
    let store = home.open(config).await;
    // Every batch twice, as after a lost answer.
    let calls = (0..60_u64).map(|call| {
        let start = call / 2 * 5;
        store.commit_inbox(incoming_range(start..start + 5))
    });
    let outcomes: Vec<InboxOutcome> =
        join_all(calls).await.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(outcomes.iter().filter(|outcome| is_stored(outcome)).count(), 100);
    assert_eq!(store.counts().await.unwrap().inbox_unacked, 100);
    let all = InboxQuery { limit: 1000, ..InboxQuery::default() };
    assert_eq!(ids(&store, all).await.len(), 100);
    store.close().await.unwrap();
}

#[tokio::test]
async fn lists_are_filtered_and_continued() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    let rows: Vec<NewInbox> = (0..10_u64)
        .map(|number| NewInbox {
            from: peer(1 + (number % 2) as u8),
            app_type: (number % 3 != 0).then(|| "work".to_owned()),
            ..incoming(number)
        })
        .collect();
    store.commit_inbox(rows).await.unwrap();
    store.ack_inbox(vec![message(5)]).await.unwrap();
    let base = InboxQuery { limit: 100, ..InboxQuery::default() };
    let work = InboxQuery { app_type: Some("work".to_owned()), ..base.clone() };
    assert_eq!(ids(&store, work.clone()).await, [1, 2, 4, 7, 8].map(message));
    let work_of_two = InboxQuery { from: Some(peer(2)), unacked_only: false, ..work };
    assert_eq!(ids(&store, work_of_two).await, [1, 5, 7].map(message));
    let first = InboxQuery { limit: 4, ..base.clone() };
    let page = store.list_inbox(first).await.unwrap();
    assert_eq!(page.len(), 4);
    let rest = InboxQuery { after_id: Some(page[3].inbox_id), ..base };
    assert_eq!(ids(&store, rest).await, [4, 6, 7, 8, 9].map(message));
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_list_of_large_messages_ends_early_and_can_be_continued() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    let body: Arc<[u8]> = Arc::from(vec![1; 1 << 20]);
    let large = |number| NewInbox { body: Arc::clone(&body), ..incoming(number) };
    store.commit_inbox((0..20).map(large).collect()).await.unwrap();
    let mut after_id = None;
    let mut pages = Vec::new();
    loop {
        let query = InboxQuery { after_id, ..InboxQuery::default() };
        let rows = store.list_inbox(query).await.unwrap();
        let Some(last) = rows.last() else { break };
        after_id = Some(last.inbox_id);
        pages.push(rows.len());
    }
    assert_eq!(pages, [8, 8, 4]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_exceeds_a_bound_of_the_call_is_refused() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    let large = NewInbox { body: Arc::from(vec![0; (1 << 20) + 4097]), ..incoming(1) };
    let refused = store.commit_inbox(vec![incoming(0), large]).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
    let refused = store.commit_inbox(incoming_range(0..513)).await;
    assert!(matches!(refused, Err(StoreError::TooMany { .. })), "{refused:?}");
    let refused = store.ack_inbox(vec![message(0); 10_001]).await;
    assert!(matches!(refused, Err(StoreError::TooMany { .. })), "{refused:?}");
    assert_eq!(store.counts().await.unwrap(), Counts::default());
    store.close().await.unwrap();
}
