//! Every queue has an end, and says so.

use mesh_node::{
    CustomJson, DeliveryConfig, DeliveryOutcome, ErrorCode, Filter, JsonText, Node, Outgoing,
    Payload, StoreConfig, Target,
};

use crate::support::{
    builder, eventually, free_port, is_linked, join, message, number_of, outcome, pair, send_acked,
    start, within,
};

async fn refusal(node: &Node, message: Outgoing) -> ErrorCode {
    within(node.send(message)).await.expect_err("there is no room").code
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_outbox_answers_queue_full_and_has_room_again_when_it_is_emptied() {
    let dir = tempfile::tempdir().unwrap();
    let config =
        DeliveryConfig { messages_max: 4, peer_messages_max: 3, ..DeliveryConfig::default() };
    let one =
        within(builder(dir.path(), "one", free_port()).delivery(config).start()).await.unwrap();
    let two = start(dir.path(), "two").await;
    let three = start(dir.path(), "three").await;
    join(&two, &one).await;
    join(&three, &one).await;
    let port = two.listening()[0].port();
    two.stop().await;
    three.stop().await;
    eventually("both links are down", async || !is_linked(&one, &two) && !is_linked(&one, &three))
        .await;
    drop(two);
    for number in 0..3 {
        one.send(message("two", "any", number)).await.unwrap();
    }
    assert_eq!(refusal(&one, message("two", "any", 3)).await, ErrorCode::QueueFull);
    // A broadcast that does not fit for one of its receivers is sent to none.
    let broadcast = Outgoing { to: Target::Broadcast, ..message("", "any", 4) };
    assert_eq!(refusal(&one, broadcast).await, ErrorCode::QueueFull);
    one.send(message("three", "any", 5)).await.unwrap();
    assert_eq!(refusal(&one, message("three", "any", 6)).await, ErrorCode::QueueFull);

    let two = within(builder(dir.path(), "two", port).start()).await.unwrap();
    let mut inbox = two.subscribe(Filter::Everything);
    for number in 0..3 {
        assert_eq!(number_of(&within(inbox.next()).await.unwrap()), number);
    }
    // The receiver has them a moment before the sender hears of it.
    eventually("there is room again", async || one.send(message("two", "any", 7)).await.is_ok())
        .await;
    assert_eq!(number_of(&within(inbox.next()).await.unwrap()), 7);
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_inbox_makes_senders_wait_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let one = start(dir.path(), "one").await;
    let config = StoreConfig { inbox_messages_max: 3, ..StoreConfig::default() };
    let two = within(builder(dir.path(), "two", free_port()).store(config).start()).await.unwrap();
    join(&two, &one).await;
    for number in 0..10 {
        one.send(message("two", "any", number)).await.unwrap();
    }
    let mut inbox = two.subscribe(Filter::Everything);
    for number in 0..10 {
        let received = within(inbox.next()).await.unwrap();
        assert_eq!(number_of(&received), number);
        inbox.ack(received.message.message_id).await.unwrap();
    }
    // To itself there is no outbox to wait in.
    for number in 0..3 {
        send_acked(&two, message("two", "any", number)).await;
    }
    assert_eq!(refusal(&two, message("two", "any", 3)).await, ErrorCode::QueueFull);
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_large_is_refused_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = pair(dir.path()).await;
    let sized = |bytes: usize| {
        let data = JsonText::parse(&format!("\"{}\"", "x".repeat(bytes))).unwrap();
        let payload = Payload::CustomJson(CustomJson { app_type: "any".into(), data });
        Outgoing::new(Target::Name("two".into()), payload)
    };
    for seal in [false, true] {
        let large = Outgoing { seal, ..sized(1 << 20) };
        assert_eq!(refusal(&one, large).await, ErrorCode::MessageTooLarge);
        let huge = Outgoing { seal, ..sized(64 << 20) };
        assert_eq!(refusal(&one, huge).await, ErrorCode::MessageTooLarge);
        let fitting = Outgoing { seal, ..sized((1 << 20) - 1024) };
        assert_eq!(outcome(&one, fitting).await, DeliveryOutcome::Acked);
    }
    one.stop().await;
    two.stop().await;
}
