//! Messages as their sender and receiver see them.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use futures_util::stream;
use mesh_control::{DeliveryState, InboxQuery, PingRequest, SendPriority, SendReply, SendRequest};
use mesh_protocol::ErrorCode;
use rustix::process::{Signal, kill_process};
use serde_json::json;

use crate::agent::{Agent, PATIENCE, eventually, mesh, text_message, text_of, within};

fn states(reply: &SendReply) -> BTreeMap<&str, DeliveryState> {
    reply.deliveries.iter().map(|delivery| (delivery.to.as_str(), delivery.state)).collect()
}

#[tokio::test]
async fn a_broadcast_reports_for_each_member_and_arrives_at_those_that_were_away() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two, mut three] = mesh(dir.path(), ["one", "two", "three"]).await;
    let broadcast = |text: &str, wait: u64| SendRequest {
        to: None,
        broadcast: true,
        wait_seconds: Some(wait),
        ..text_message("", text)
    };
    let reply = one.client().send(&broadcast("to all", 10)).await.unwrap();
    assert_eq!(
        states(&reply),
        BTreeMap::from([("three", DeliveryState::Acked), ("two", DeliveryState::Acked)])
    );
    three.kill9();
    let reply = one.client().send(&broadcast("to whom it reaches", 1)).await.unwrap();
    assert_eq!(
        states(&reply),
        BTreeMap::from([("three", DeliveryState::Queued), ("two", DeliveryState::Acked)])
    );
    three.restart().await;
    let expected = ["to all", "to whom it reaches"];
    for agent in [&two, &three] {
        eventually(PATIENCE, "both broadcasts are there", async || {
            (agent.texts().await == expected).then_some(())
        })
        .await;
        assert!(agent.inbox().await.iter().all(|message| message.to == "broadcast"));
    }
    assert!(one.inbox().await.is_empty(), "a broadcast is for the others");
}

#[tokio::test]
async fn a_sealed_message_says_so_and_an_open_one_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let [one, mut two, three] = mesh(dir.path(), ["one", "two", "three"]).await;
    let sealed =
        |request: SendRequest| SendRequest { seal: true, wait_seconds: Some(10), ..request };
    one.send_acked("two", "open").await;
    let reply = one.client().send(&sealed(text_message("two", "sealed"))).await.unwrap();
    assert_eq!(states(&reply), BTreeMap::from([("two", DeliveryState::Acked)]));
    let broadcast = SendRequest { to: None, broadcast: true, ..text_message("", "sealed to each") };
    let reply = one.client().send(&sealed(broadcast)).await.unwrap();
    assert_eq!(
        states(&reply),
        BTreeMap::from([("three", DeliveryState::Acked), ("two", DeliveryState::Acked)])
    );
    let seals = async |agent: &Agent| -> Vec<(String, bool)> {
        let inbox = agent.inbox().await.into_iter();
        inbox.map(|message| (text_of(&message.data), message.sealed)).collect()
    };
    let of = |text: &str, is_sealed| (text.to_owned(), is_sealed);
    let at_two = [of("open", false), of("sealed", true), of("sealed to each", true)];
    assert_eq!(seals(&two).await, at_two);
    assert_eq!(seals(&three).await, [of("sealed to each", true)]);

    // Sealed while the receiver is away, with the pair's secret of a link that is gone: it opens.
    two.kill9();
    let waiting = SendRequest { seal: true, ..text_message("two", "sealed and late") };
    one.client().send(&waiting).await.unwrap();
    two.restart().await;
    eventually(PATIENCE, "it is opened", async || {
        (seals(&two).await.last() == Some(&of("sealed and late", true))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_ping_measures_the_way_and_an_absent_peer_has_none() {
    let dir = tempfile::tempdir().unwrap();
    let [one, mut two] = mesh(dir.path(), ["one", "two"]).await;
    let ping = |host: &str| PingRequest { host: host.to_owned(), timeout_ms: Some(5000) };
    for _ in 0..5 {
        let reply = one.client().ping(&ping("two")).await.unwrap();
        assert!(reply.rtt_ms > 0.0 && reply.rtt_ms < 1000.0, "{reply:?}");
        assert_eq!(reply.via, "direct");
        assert!(reply.clock_offset_ms.abs() < 1000, "{reply:?}");
    }
    let peers = one.peers().await;
    assert!(peers[1].rtt_ms.is_some_and(|rtt| rtt > 0.0), "{peers:?}");
    two.kill9();
    eventually(PATIENCE, "the link is down", async || {
        (!one.is_linked_with(&["one", "two"]).await).then_some(())
    })
    .await;
    let error = one.client().ping(&ping("two")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::PeerUnreachable);
    let error = one.client().ping(&ping("three")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::UnknownPeer);
}

#[tokio::test]
async fn a_bulk_backlog_does_not_delay_a_small_urgent_message() {
    const BULK: usize = 300;
    let dir = tempfile::tempdir().unwrap();
    let [one, mut two] = mesh(dir.path(), ["one", "two"]).await;
    two.kill9();
    let filler = "x".repeat(64 << 10);
    let bulk = SendRequest { priority: SendPriority::Bulk, ..text_message("two", &filler) };
    stream::iter(0..BULK)
        .map(|_| one.client().send(&bulk))
        .buffer_unordered(8)
        .for_each(async |sent| drop(sent.unwrap()))
        .await;
    let urgent = |text: &str| SendRequest {
        priority: SendPriority::Urgent,
        wait_seconds: Some(15),
        ..text_message("two", text)
    };
    // Last in, first out: behind all of the bulk in the outbox.
    let waiting = SendRequest { wait_seconds: None, ..urgent("queued behind the backlog") };
    one.client().send(&waiting).await.unwrap();
    two.restart().await;
    // One after the other into the backlog, each with how much of it was left then.
    let mut sent = Vec::new();
    loop {
        let left = usize::try_from(one.status().await.outbox.messages).unwrap();
        if left == 0 {
            break;
        }
        let text = format!("urgent {}", sent.len());
        let reply = one.client().send(&urgent(&text)).await.unwrap();
        assert_eq!(states(&reply), BTreeMap::from([("two", DeliveryState::Acked)]));
        sent.push((text, left));
    }
    let inbox = two.empty_inbox().await;
    let texts: Vec<String> = inbox.iter().map(|message| text_of(&message.data)).collect();
    assert_eq!(texts.len(), BULK + 1 + sent.len());
    let bulk_before = |wanted: &str| {
        let place = texts.iter().position(|text| text == wanted).unwrap();
        texts[..place].iter().filter(|text| **text == filler).count()
    };
    // A batch or two may be ahead of it; each holds four of these messages.
    let ahead = bulk_before("queued behind the backlog");
    assert!(ahead <= 16, "{ahead} bulk messages came before it");
    assert!(sent[0].1 > BULK / 2, "the first was sent when the backlog had hardly begun to flow");
    for (text, left) in sent {
        let overtaken = BULK - bulk_before(&text);
        // What flows between the look and the sending is not held against it.
        assert!(overtaken + 40 > left / 2, "{text} overtook {overtaken} of {left}");
    }
}

#[tokio::test]
async fn a_member_that_hangs_holds_nobody_up_and_gets_everything_later() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two, frozen] = mesh(dir.path(), ["one", "two", "frozen"]).await;
    kill_process(frozen.pid(), Signal::STOP).unwrap();
    // More than any buffer between the two takes.
    let filler = "x".repeat(256 << 10);
    for number in 0..100 {
        let request = SendRequest {
            data: json!({ "number": number, "filler": filler }),
            ..text_message("frozen", "")
        };
        one.client().send(&request).await.unwrap();
    }
    for number in 0..5 {
        let text = format!("message {number}");
        let request = SendRequest { wait_seconds: Some(1), ..text_message("two", &text) };
        let reply = one.client().send(&request).await.unwrap();
        assert_eq!(states(&reply), BTreeMap::from([("two", DeliveryState::Acked)]));
    }
    let broadcast = SendRequest {
        to: None,
        broadcast: true,
        wait_seconds: Some(1),
        ..text_message("", "to all")
    };
    let reply = one.client().send(&broadcast).await.unwrap();
    assert_eq!(
        states(&reply),
        BTreeMap::from([("frozen", DeliveryState::Queued), ("two", DeliveryState::Acked)])
    );
    kill_process(frozen.pid(), Signal::CONT).unwrap();
    eventually(PATIENCE, "everything is delivered", async || {
        (one.status().await.outbox.messages == 0).then_some(())
    })
    .await;
    let inbox = frozen.empty_inbox().await;
    let numbers: Vec<u64> =
        inbox.iter().filter_map(|message| message.data["number"].as_u64()).collect();
    assert_eq!(numbers, (0..100).collect::<Vec<u64>>());
    assert_eq!(text_of(&inbox[100].data), "to all");
    assert_eq!(two.texts().await.len(), 6);
}

#[tokio::test]
async fn an_inbox_is_read_by_type_and_sender_followed_and_emptied() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two, three] = mesh(dir.path(), ["one", "two", "three"]).await;
    let message = |number: u64| SendRequest {
        app_type: String::from(if number.is_multiple_of(2) { "even" } else { "odd" }),
        data: json!({ "number": number }),
        wait_seconds: Some(10),
        ..text_message("three", "")
    };
    for number in 0..4 {
        let from = if number < 2 { &one } else { &two };
        from.client().send(&message(number)).await.unwrap();
    }
    let numbers = async |query: InboxQuery| -> Vec<u64> {
        let inbox = three.client().inbox(&query).await.unwrap();
        inbox.iter().map(|message| message.data["number"].as_u64().unwrap()).collect()
    };
    assert_eq!(numbers(InboxQuery::default()).await, [0, 1, 2, 3]);
    let odd = InboxQuery { app_type: Some(String::from("odd")), ..InboxQuery::default() };
    assert_eq!(numbers(odd.clone()).await, [1, 3]);
    let of_two = InboxQuery { from: Some(String::from("two")), ..InboxQuery::default() };
    assert_eq!(numbers(of_two).await, [2, 3]);
    assert_eq!(numbers(InboxQuery { limit: Some(1), ..odd.clone() }).await, [1]);

    let mut followed = three.client().inbox_follow(&odd).await.unwrap();
    let first = within(followed.next()).await.unwrap().unwrap();
    let second = within(followed.next()).await.unwrap().unwrap();
    one.client().send(&message(5)).await.unwrap();
    let third = within(followed.next()).await.unwrap().unwrap();
    let of = [&first, &second, &third].map(|message| message.data["number"].as_u64().unwrap());
    assert_eq!(of, [1, 3, 5]);
    assert_eq!(
        (first.from.as_str(), first.to.as_str(), first.via.as_str()),
        ("one", "three", "direct")
    );
    assert_eq!(first.from_peer_id, one.peer_id());

    let acked = three.client().inbox_ack(vec![first.message_id, third.message_id]).await.unwrap();
    assert_eq!(acked.acked, 2);
    assert_eq!(numbers(InboxQuery::default()).await, [0, 2, 3]);
    let again = three.client().inbox_ack(vec![first.message_id]).await.unwrap();
    assert_eq!(again.acked, 0);
}

#[tokio::test]
async fn a_message_to_oneself_is_in_the_inbox_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let one = Agent::start(dir.path(), "one").await;
    for text in ["first", "second"] {
        one.send_acked("one", text).await;
    }
    assert_eq!(one.texts().await, ["first", "second"]);
}
