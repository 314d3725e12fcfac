//! Ids that were forgotten before they expired, and the floors that stand for them.

use mesh_protocol::{MessageId, UnixMillis};
use mesh_store::{InboxOutcome, InboxQuery, NewInbox, Store, StoreConfig};

use crate::support::{Home, NOW, incoming, incoming_range, is_stored, message, peer, until};

/// How many sequences of a lane stay without a floor.
const LATE: u64 = 10_000;

/// So far from its neighbours that a floor may lie between them.
fn spaced(number: u64) -> NewInbox {
    NewInbox { sequence: number * LATE, ..incoming(number) }
}

/// Everything that is remembered, acknowledged or not.
async fn known(store: &Store) -> Vec<MessageId> {
    let all = InboxQuery { unacked_only: false, ..InboxQuery::default() };
    store.list_inbox(all).await.unwrap().into_iter().map(|row| row.message_id).collect()
}

async fn seen(store: &Store) -> u64 {
    store.counts().await.unwrap().inbox_seen
}

#[tokio::test]
async fn ids_beyond_the_bound_of_a_sender_give_way_to_a_floor() {
    let home = Home::new();
    let config = StoreConfig { seen_per_sender_max: 10, ..StoreConfig::default() };
    let store = home.open(config.clone()).await;
    let other = NewInbox { from: peer(2), ..incoming(1) };
    let urgent = NewInbox { priority: 0, ..incoming(500) };
    store.commit_inbox(vec![other]).await.unwrap();
    store.commit_inbox((1..16).map(spaced).collect()).await.unwrap();
    store.commit_inbox(vec![urgent]).await.unwrap();
    // One message stays with the application: it is not counted and not forgotten.
    let acked = (2..16).chain([500]).map(message).collect();
    assert_eq!(store.ack_inbox(acked).await.unwrap(), 15);
    store.ack_inbox(vec![message(500)]).await.unwrap();
    assert_eq!(seen(&store).await, 10);
    store.close().await.unwrap();

    let store = home.open(config).await;
    let kept = known(&store).await;
    assert!(
        !kept.contains(&message(6)) && kept.contains(&message(7)) && kept.contains(&message(1))
    );
    let repeats = store.commit_inbox((1..16).map(spaced).collect()).await.unwrap();
    assert_eq!(repeats, [InboxOutcome::Duplicate; 15]);
    // A floor is of one sender, one stream and one priority, and says nothing of what lies above.
    let news = vec![
        NewInbox { message_id: message(101), ..spaced(3) },
        NewInbox { message_id: message(102), stream: 78, ..spaced(3) },
        NewInbox { message_id: message(103), priority: 0, ..spaced(3) },
        NewInbox { message_id: message(104), from: peer(2), ..spaced(3) },
        spaced(16),
    ];
    let outcomes = store.commit_inbox(news).await.unwrap();
    assert_eq!(outcomes[0], InboxOutcome::Duplicate, "below the floor");
    assert!(outcomes[1..].iter().all(is_stored), "{outcomes:?}");
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_message_that_comes_late_is_stored_although_newer_ones_were_forgotten() {
    let home = Home::new();
    let config = StoreConfig { seen_per_sender_max: 10, ..StoreConfig::default() };
    let store = home.open(config).await;
    store.commit_inbox(incoming_range(2..100)).await.unwrap();
    store.ack_inbox((2..100).map(message).collect()).await.unwrap();
    // The bound holds for the newest of a lane as well.
    until(async || seen(&store).await == 10).await;
    assert!(is_stored(&store.commit_inbox(vec![incoming(1)]).await.unwrap()[0]));
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_is_forgotten_goes_by_arrival_and_not_by_the_clock_of_the_sender() {
    let home = Home::new();
    let config = StoreConfig { seen_per_sender_max: 10, ..StoreConfig::default() };
    let store = home.open(config).await;
    let ahead = |number| NewInbox { message_id: message(1_000 + number), ..spaced(number) };
    store.commit_inbox((1..11).map(ahead).collect()).await.unwrap();
    // The clock was corrected, so that new ids sort below the old ones.
    store.commit_inbox((11..16).map(spaced).collect()).await.unwrap();
    let acked = (1_001..1_011).chain(11..16).map(message).collect();
    assert_eq!(store.ack_inbox(acked).await.unwrap(), 15);
    until(async || seen(&store).await == 10).await;
    let kept: Vec<MessageId> = (1_006..1_011).chain(11..16).map(message).collect();
    assert_eq!(known(&store).await, kept);
    let late = NewInbox { sequence: 10 * LATE + 1, ..incoming(500) };
    assert!(is_stored(&store.commit_inbox(vec![late]).await.unwrap()[0]));
    let repeats = store.commit_inbox((1..6).map(ahead).collect()).await.unwrap();
    assert_eq!(repeats, [InboxOutcome::Duplicate; 5], "below the floor");
    store.close().await.unwrap();
}

#[tokio::test]
async fn no_floor_comes_near_the_newest_sequence_of_its_lane() {
    let home = Home::new();
    let config = StoreConfig { seen_per_sender_max: 0, ..StoreConfig::default() };
    let store = home.open(config).await;
    let at = |number, sequence| NewInbox { sequence, ..incoming(number) };
    let rows = vec![at(1, 5), at(2, 6), at(3, 7), at(4, LATE + 5)];
    store.commit_inbox(rows).await.unwrap();
    store.ack_inbox((1..5).map(message).collect()).await.unwrap();
    let late = vec![at(11, 4), at(12, 5), at(13, 6), at(14, LATE + 4)];
    let outcomes = store.commit_inbox(late).await.unwrap();
    assert_eq!(outcomes[..2], [InboxOutcome::Duplicate; 2]);
    assert!(outcomes[2..].iter().all(is_stored), "{outcomes:?}");
    // A lane that goes on draws its floor along.
    store.commit_inbox(vec![at(15, 2 * LATE)]).await.unwrap();
    store.ack_inbox((13..16).map(message).collect()).await.unwrap();
    let outcomes = store.commit_inbox(vec![at(16, 6), at(17, 7)]).await.unwrap();
    assert_eq!(outcomes[0], InboxOutcome::Duplicate);
    assert!(
        is_stored(&outcomes[1]),
        "the floor is what was forgotten, not what could be: {outcomes:?}"
    );
    store.close().await.unwrap();
}

#[tokio::test]
async fn how_far_a_lane_has_come_is_known_after_a_restart() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    // The newest waits for the application.
    store.commit_inbox((1..5).map(spaced).collect()).await.unwrap();
    store.ack_inbox((1..4).map(message).collect()).await.unwrap();
    store.close().await.unwrap();
    let config = StoreConfig { seen_per_sender_max: 0, ..StoreConfig::default() };
    let store = home.open(config).await;
    assert_eq!(store.prune(NOW).await.unwrap().seen_expired, 0);
    until(async || seen(&store).await == 0).await;
    let repeats = store.commit_inbox((1..5).map(spaced).collect()).await.unwrap();
    assert_eq!(repeats, [InboxOutcome::Duplicate; 4]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_lane_also_comes_forward_when_the_inbox_is_nearly_full() {
    let home = Home::new();
    let config =
        StoreConfig { seen_per_sender_max: 1, inbox_messages_max: 1, ..StoreConfig::default() };
    let store = home.open(config).await;
    for number in 1..3 {
        store.commit_inbox(vec![spaced(number)]).await.unwrap();
        store.ack_inbox(vec![message(number)]).await.unwrap();
    }
    let outcomes = store.commit_inbox(vec![spaced(3), spaced(4)]).await.unwrap();
    assert!(is_stored(&outcomes[0]) && outcomes[1] == InboxOutcome::Full, "{outcomes:?}");
    store.ack_inbox(vec![message(3)]).await.unwrap();
    let below = NewInbox { message_id: message(100), ..spaced(2) };
    assert_eq!(store.commit_inbox(vec![below]).await.unwrap(), [InboxOutcome::Duplicate]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_floor_ends_with_the_last_message_it_stands_for() {
    let home = Home::new();
    let config = StoreConfig { seen_per_sender_max: 0, ..StoreConfig::default() };
    let store = home.open(config).await;
    store.commit_inbox((1..4).map(spaced).collect()).await.unwrap();
    store.ack_inbox((1..4).map(message).collect()).await.unwrap();
    assert_eq!(seen(&store).await, 0);
    assert_eq!(store.commit_inbox(vec![spaced(2)]).await.unwrap(), [InboxOutcome::Duplicate]);
    store.prune(spaced(2).expires_at).await.unwrap();
    assert!(is_stored(&store.commit_inbox(vec![spaced(2)]).await.unwrap()[0]));
    store.close().await.unwrap();
}

#[tokio::test]
async fn messages_of_no_outbox_never_make_a_floor() {
    let home = Home::new();
    let config = StoreConfig { seen_per_sender_max: 0, ..StoreConfig::default() };
    let store = home.open(config).await;
    let own = |number| NewInbox { stream: 0, sequence: u64::MAX >> 1, ..incoming(number) };
    for number in 0..3 {
        assert!(is_stored(&store.commit_inbox(vec![own(number)]).await.unwrap()[0]));
        store.ack_inbox(vec![message(number)]).await.unwrap();
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_sender_with_ever_new_streams_has_a_bounded_number_of_floors() {
    let home = Home::new();
    let config = StoreConfig { seen_per_sender_max: 0, ..StoreConfig::default() };
    let store = home.open(config).await;
    let expiry = |stream: u64| UnixMillis(NOW.0 + stream);
    for stream in 1..200_u64 {
        let pair = [2 * stream, 2 * stream + 1].map(|number| NewInbox {
            stream,
            expires_at: expiry(stream),
            ..spaced(number)
        });
        let acked = pair.iter().map(|row| row.message_id).collect();
        store.commit_inbox(pair.to_vec()).await.unwrap();
        store.ack_inbox(acked).await.unwrap();
    }
    until(async || seen(&store).await == 0).await;
    store.close().await.unwrap();
    let mut conn = home.meddle().await;
    let floors: i64 =
        sqlx::query_scalar("SELECT count(*) FROM inbox_floors").fetch_one(&mut conn).await.unwrap();
    assert_eq!(floors, 64);
    let oldest: i64 = sqlx::query_scalar("SELECT min(expires_at) FROM inbox_floors")
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert_eq!(oldest.cast_unsigned(), expiry(136).0, "those that last longest are kept");
}
