//! What a subscriber gets: everything, in order, once, over a restart too.

use mesh_node::{Filter, Received, Subscription};

use crate::support::{message, number_of, pair, restart, send_acked, within};

async fn next(inbox: &mut Subscription) -> Received {
    within(inbox.next()).await.expect("the node runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_goes_on_after_a_restart_with_what_was_not_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = pair(dir.path()).await;
    let mut inbox = two.subscribe(Filter::Everything);
    for number in 0..5 {
        send_acked(&one, message("two", "any", number)).await;
    }
    for number in 0..5 {
        let received = next(&mut inbox).await;
        assert_eq!(number_of(&received), number);
        assert_eq!(received.from_hostname, "one");
        assert!(!received.is_live);
        if number.is_multiple_of(2) {
            inbox.ack(received.message.message_id).await.unwrap();
        }
    }
    drop(inbox);
    let two = restart(dir.path(), "two", two).await;
    let mut inbox = two.subscribe(Filter::Everything);
    assert_eq!(number_of(&next(&mut inbox).await), 1);
    assert_eq!(number_of(&next(&mut inbox).await), 3);
    send_acked(&one, message("two", "any", 5)).await;
    assert_eq!(number_of(&next(&mut inbox).await), 5);
    one.stop().await;
    two.stop().await;
    assert!(within(inbox.next()).await.is_none(), "a node that has stopped has no messages");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_subscriber_reads_at_its_own_pace() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = pair(dir.path()).await;
    let mut early = two.subscribe(Filter::Everything);
    let mut odd = two.subscribe(Filter::AppType("odd".into()));
    // More than a subscriber reads ahead.
    for number in 0..200_u64 {
        let app_type = if number.is_multiple_of(2) { "even" } else { "odd" };
        one.send(message("two", app_type, number)).await.unwrap();
    }
    for number in 0..200_u64 {
        assert_eq!(number_of(&next(&mut early).await), number);
    }
    for number in 0..100 {
        assert_eq!(number_of(&next(&mut odd).await), 2 * number + 1);
    }
    let mut late = two.subscribe(Filter::AppType("even".into()));
    for number in 0..100 {
        assert_eq!(number_of(&next(&mut late).await), 2 * number);
    }
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_in_the_outbox_is_sent_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = pair(dir.path()).await;
    let port = two.listening()[0].port();
    two.stop().await;
    drop(two);
    for number in 0..20 {
        one.send(message("two", "any", number)).await.unwrap();
    }
    let one = restart(dir.path(), "one", one).await;
    let two = within(crate::support::builder(dir.path(), "two", port).start()).await.unwrap();
    let mut inbox = two.subscribe(Filter::Everything);
    for number in 0..20 {
        assert_eq!(number_of(&next(&mut inbox).await), number);
    }
    one.stop().await;
    two.stop().await;
}
