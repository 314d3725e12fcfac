use std::sync::Arc;

use futures_util::future::join_all;
use mesh_protocol::{ErrorCode, UnixMillis};
use mesh_store::{NewOutbox, OutboxEnd, StoreConfig, StoreError};

use crate::support::{Home, NOW, message, outgoing, peer};

#[tokio::test]
async fn what_was_appended_is_there_after_a_restart() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    let sequences = store.append_outbox(vec![outgoing(1), outgoing(2)]).await.unwrap();
    store.close().await.unwrap();

    let store = home.open(StoreConfig::default()).await;
    let rows = store.load_outbox().await.unwrap();
    assert_eq!(rows.iter().map(|row| row.sequence).collect::<Vec<_>>(), sequences);
    let first = &rows[0];
    assert_eq!((first.message_id, first.to), (message(1), peer(1)));
    assert_eq!((first.priority, first.is_broadcast, first.is_sealed), (1, false, false));
    assert_eq!((first.app_type.as_str(), first.created_at), ("test", NOW));
    assert_eq!((first.expires_at, first.body_bytes), (UnixMillis(NOW.0 + 60_000), 6));
    assert_eq!(
        (first.attempts, first.next_attempt_at, first.reason, first.end),
        (0, None, None, None)
    );
    let bodies = store.outbox_bodies(&[sequences[1], sequences[0], 9_999]).await.unwrap();
    let expected = vec![(sequences[0], b"body 1".to_vec()), (sequences[1], b"body 2".to_vec())];
    assert_eq!(bodies, expected);
    assert_eq!(store.counts().await.unwrap().outbox, 2);
    store.close().await.unwrap();
}

#[tokio::test]
async fn sequences_grow_over_restarts_even_when_every_row_is_gone() {
    let home = Home::new();
    let mut last = 0;
    for round in 0..3 {
        let store = home.open(StoreConfig::default()).await;
        for number in 0..20 {
            let sequence = store.append_outbox(vec![outgoing(number)]).await.unwrap()[0];
            assert!(sequence > last, "round {round}: {sequence} after {last}");
            last = sequence;
            store.finish_outbox(sequence, OutboxEnd::Acked);
        }
        store.close().await.unwrap();
    }
    assert_eq!(last, 60, "a clean close leaves no gaps");
}

#[tokio::test]
async fn many_callers_at_once_each_get_their_own_rows() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    let calls = (0..200_u64).map(|number| {
        let store = store.clone();
        async move {
            let rows: Vec<NewOutbox> =
                (0..=number % 40).map(|part| outgoing(number * 100 + part)).collect();
            let ids: Vec<_> = rows.iter().map(|row| row.message_id).collect();
            (ids, store.append_outbox(rows).await.unwrap())
        }
    });
    let answers = join_all(calls).await;
    let rows = store.load_outbox().await.unwrap();
    assert_eq!(rows.len(), answers.iter().map(|(ids, _)| ids.len()).sum::<usize>());
    for (ids, sequences) in answers {
        assert!(sequences.is_sorted());
        for (id, sequence) in ids.into_iter().zip(sequences) {
            let at = rows.binary_search_by_key(&sequence, |row| row.sequence).unwrap();
            assert_eq!(rows[at].message_id, id);
        }
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn acked_rows_go_and_undelivered_ones_can_be_looked_at_for_a_week() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    let rows = (0..4).map(outgoing).collect();
    let sequences = store.append_outbox(rows).await.unwrap();
    store.note_attempt(sequences[1], 3, UnixMillis(NOW.0 + 5), Some(ErrorCode::TimedOut));
    store.note_attempt(sequences[3], 2, UnixMillis(NOW.0 + 9), Some(ErrorCode::PeerUnreachable));
    store.flush().await.unwrap();
    store.note_attempt(sequences[3], 3, UnixMillis(NOW.0 + 10), None);
    store.finish_outbox(sequences[0], OutboxEnd::Acked);
    store.finish_outbox(sequences[1], OutboxEnd::Refused(ErrorCode::MessageMisdirected));
    store.finish_outbox(sequences[2], OutboxEnd::Expired);
    store.note_attempt(sequences[2], 9, NOW, None);

    let listed = store.list_outbox(10).await.unwrap();
    let ends: Vec<_> = listed.iter().map(|row| (row.sequence, row.attempts, row.end)).collect();
    let refused = OutboxEnd::Refused(ErrorCode::MessageMisdirected);
    let expected = [
        (sequences[1], 3, Some(refused)),
        (sequences[2], 0, Some(OutboxEnd::Expired)),
        (sequences[3], 3, None),
    ];
    assert_eq!(ends, expected);
    assert_eq!(listed[0].body_bytes, 6);
    assert_eq!((listed[2].next_attempt_at, listed[2].reason), (Some(UnixMillis(NOW.0 + 10)), None));
    assert_eq!(store.load_outbox().await.unwrap().len(), 1);
    assert!(store.outbox_bodies(&sequences[..3]).await.unwrap().is_empty());
    assert_eq!(store.counts().await.unwrap().outbox, 1);

    assert_eq!(store.prune(NOW).await.unwrap().outbox_ended, 0);
    assert_eq!(store.list_outbox(10).await.unwrap()[0].ended_at, Some(NOW));
    let week = UnixMillis(NOW.0 + 7 * 24 * 3600 * 1000);
    assert_eq!(store.prune(week).await.unwrap().outbox_ended, 2);
    assert_eq!(store.list_outbox(10).await.unwrap().len(), 1);
    assert_eq!(store.list_outbox(0).await.unwrap(), Vec::new());
    store.close().await.unwrap();
}

#[tokio::test]
async fn undelivered_messages_are_kept_in_a_bounded_number() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    let mut last = Vec::new();
    for _ in 0..2 {
        let rows = (0..5_100).map(outgoing).collect();
        last = store.append_outbox(rows).await.unwrap();
        for sequence in &last {
            store.finish_outbox(*sequence, OutboxEnd::Expired);
        }
        store.flush().await.unwrap();
    }
    let listed = store.list_outbox(20_000).await.unwrap();
    assert_eq!(listed.len(), 10_000);
    assert_eq!(listed.last().unwrap().sequence, *last.last().unwrap(), "the newest are kept");
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_is_too_large_or_too_much_is_refused_before_anything_is_written() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    let large = NewOutbox { body: Arc::from(vec![0; (1 << 20) + 4097]), ..outgoing(1) };
    let refused = store.append_outbox(vec![outgoing(0), large]).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
    let wordy = NewOutbox { app_type: "x".repeat(129), ..outgoing(1) };
    let refused = store.append_outbox(vec![wordy]).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
    let refused = store.append_outbox(vec![outgoing(1); 8193]).await;
    assert!(matches!(refused, Err(StoreError::TooMany { .. })), "{refused:?}");
    assert_eq!(store.append_outbox(Vec::new()).await.unwrap(), Vec::<u64>::new());
    assert_eq!(store.counts().await.unwrap().outbox, 0);
    store.close().await.unwrap();
}

#[tokio::test]
async fn the_stream_is_given_once() {
    let home = Home::new();
    let seeded = |stream_seed| StoreConfig { stream_seed, ..StoreConfig::default() };
    let store = home.open(seeded(u64::MAX - 3)).await;
    assert_eq!(store.outbox_stream(), u64::MAX - 3);
    store.close().await.unwrap();
    let store = home.open(seeded(5)).await;
    assert_eq!(store.outbox_stream(), u64::MAX - 3);
    store.close().await.unwrap();
    let other = Home::new();
    let store = other.open(seeded(0)).await;
    assert_ne!(store.outbox_stream(), 0, "receivers take stream 0 for no outbox at all");
    store.close().await.unwrap();
}
