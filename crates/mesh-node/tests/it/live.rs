//! Live messages: handed over at once, or refused at once; nothing of them is kept.

use std::time::Duration;

use mesh_node::{Delivery, DeliveryOutcome, ErrorCode, Filter, Outgoing, Priority, Target};

use crate::support::{
    eventually, is_linked, message, number_of, outcome, pair, restart, send_acked, start, within,
};

fn live(to: &str, app_type: &str, number: u64) -> Outgoing {
    Outgoing { delivery: Delivery::Live, ..message(to, app_type, number) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_message_reaches_subscribers_and_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = pair(dir.path()).await;
    let mut inbox = two.subscribe(Filter::AppType("wanted".into()));
    for (number, priority) in
        [Priority::Urgent, Priority::Normal, Priority::Bulk].into_iter().enumerate()
    {
        for seal in [false, true] {
            let message = Outgoing { priority, seal, ..live("two", "wanted", number as u64) };
            assert_eq!(outcome(&one, message).await, DeliveryOutcome::Acked);
            let received = within(inbox.next()).await.unwrap();
            assert!(received.is_live);
            assert_eq!(number_of(&received), number as u64);
            assert_eq!(received.from_hostname, "one");
        }
    }
    drop(inbox);
    // A durable message behind them is the first that a new subscriber sees.
    let two = restart(dir.path(), "two", two).await;
    send_acked(&one, message("two", "wanted", 9)).await;
    let mut inbox = two.subscribe(Filter::Everything);
    assert_eq!(number_of(&within(inbox.next()).await.unwrap()), 9);
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_message_that_nobody_wants_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = pair(dir.path()).await;
    let refused = DeliveryOutcome::Refused(ErrorCode::NotFound);
    assert_eq!(outcome(&one, live("two", "any", 1)).await, refused);
    let other = two.subscribe(Filter::AppType("other".into()));
    assert_eq!(outcome(&one, live("two", "any", 2)).await, refused);
    let wanting = two.subscribe(Filter::AppType("any".into()));
    assert_eq!(outcome(&one, live("two", "any", 3)).await, DeliveryOutcome::Acked);
    drop((other, wanting));
    assert_eq!(outcome(&one, live("two", "any", 4)).await, refused, "nobody wants it any more");
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_message_to_a_peer_without_a_link_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = pair(dir.path()).await;
    two.stop().await;
    eventually("the link is down", async || !is_linked(&one, &two)).await;
    let refused = DeliveryOutcome::Refused(ErrorCode::PeerUnreachable);
    assert_eq!(outcome(&one, live("two", "any", 1)).await, refused);
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_does_not_read_bounds_what_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = pair(dir.path()).await;
    let mut idle = two.subscribe(Filter::Everything);
    let mut taken = 0_u64;
    let last = loop {
        let outcome = outcome(&one, live("two", "any", taken)).await;
        if outcome != DeliveryOutcome::Acked {
            break outcome;
        }
        taken += 1;
        assert!(taken <= 100_000, "there is no bound");
    };
    assert_eq!(last, DeliveryOutcome::Refused(ErrorCode::QueueFull));
    // Durable messages are not held up by it, and what was taken is still handed out.
    send_acked(&one, message("two", "any", 7)).await;
    let mut heard = Vec::new();
    for _ in 0..=taken {
        heard.push(number_of(&within(idle.next()).await.unwrap()));
    }
    heard.sort_unstable();
    let mut expected: Vec<u64> = (0..taken).chain([7]).collect();
    expected.sort_unstable();
    assert_eq!(heard, expected);
    assert_eq!(outcome(&one, live("two", "any", 1)).await, DeliveryOutcome::Acked);
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_broadcast_reports_for_each_member() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = pair(dir.path()).await;
    let three = start(dir.path(), "three").await;
    crate::support::join(&three, &two).await;
    crate::support::linked(&[&one, &two, &three]).await;
    let _wanting = two.subscribe(Filter::Everything);
    let broadcast = Outgoing { to: Target::Broadcast, ..live("", "any", 1) };
    let sent = within(one.send(broadcast)).await.unwrap();
    let reports = sent.wait(Duration::from_secs(5)).await;
    let of = |node: &mesh_node::Node| {
        reports.iter().find(|report| report.peer == node.peer_id()).unwrap().outcome
    };
    assert_eq!(reports.len(), 2);
    assert_eq!(of(&two), DeliveryOutcome::Acked);
    assert_eq!(of(&three), DeliveryOutcome::Refused(ErrorCode::NotFound));
    for node in [one, two, three] {
        node.stop().await;
    }
}
