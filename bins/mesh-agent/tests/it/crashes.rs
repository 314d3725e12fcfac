//! What was accepted is delivered once and in order, whatever is killed meanwhile.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use futures_util::future::join_all;
use mesh_control::{ControlClient, SendRequest};
use mesh_protocol::{ErrorCode, MessageId, UnixMillis};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::agent::{Agent, PATIENCE, eventually, linked, mesh, text_message};

const MESSAGES: usize = 10_000;

/// Requests under way at a time, each on a connection of its own.
const SENDERS: usize = 16;

/// Accepted messages after which each of the two is killed.
const KILLS_OF_SENDER: [usize; 2] = [3000, 7000];
const KILLS_OF_RECEIVER: [usize; 5] = [1000, 2500, 4500, 6000, 8500];

/// One request. `began` and `accepted` are moments of one counter, so that two requests can be
/// compared: what was accepted before another began must arrive before it.
#[derive(Clone, Debug)]
struct Attempt {
    began: usize,
    /// None when it failed or its agent died before the answer: it may or may not have been accepted.
    accepted: Option<(usize, MessageId)>,
}

/// The sender's book.
struct Book {
    clock: Cell<usize>,
    attempts: RefCell<Vec<Attempt>>,
    accepted: watch::Sender<usize>,
}

impl Book {
    fn tick(&self) -> usize {
        self.clock.set(self.clock.get() + 1);
        self.clock.get()
    }

    /// Sends one message; its number is its place in the book. True when it was accepted.
    async fn attempt(&self, client: &ControlClient) -> bool {
        let number = self.attempts.borrow().len();
        self.attempts.borrow_mut().push(Attempt { began: self.tick(), accepted: None });
        let request =
            SendRequest { data: json!({ "number": number }), ..text_message("receiver", "") };
        let Ok(reply) = client.send(&request).await else { return false };
        let moment = self.tick();
        self.attempts.borrow_mut()[number].accepted = Some((moment, reply.message_id));
        self.accepted.send_modify(|accepted| *accepted += 1);
        true
    }
}

/// Kills `agent` each time the number of accepted messages has reached a mark.
async fn kill_at(agent: &mut Agent, marks: &[usize], mut accepted: watch::Receiver<usize>) {
    for mark in marks {
        accepted.wait_for(|accepted| accepted >= mark).await.unwrap();
        agent.kill9();
        agent.restart().await;
    }
}

#[tokio::test]
async fn ten_thousand_messages_arrive_once_and_in_order_though_both_ends_are_killed() {
    let dir = tempfile::tempdir().unwrap();
    let [mut sender, mut receiver] = mesh(dir.path(), ["sender", "receiver"]).await;
    let (accepted, seen) = watch::channel(0);
    let book = Book { clock: Cell::new(0), attempts: RefCell::default(), accepted };
    let client = sender.client().clone();

    let sending = join_all((0..SENDERS).map(async |_| {
        for _ in 0..MESSAGES / SENDERS {
            // A message whose fate is unknown is not sent again: another one takes its place.
            eventually(PATIENCE, "the sender accepts a message", async || {
                book.attempt(&client).await.then_some(())
            })
            .await;
        }
    }));
    let killing_sender = kill_at(&mut sender, &KILLS_OF_SENDER, seen.clone());
    let killing_receiver = kill_at(&mut receiver, &KILLS_OF_RECEIVER, seen);
    tokio::join!(sending, killing_sender, killing_receiver);
    assert_eq!(*book.accepted.borrow(), MESSAGES);
    assert_eq!((sender.starts(), receiver.starts()), (3, 6));

    linked(&[&sender, &receiver]).await;
    eventually(PATIENCE, "the outbox is empty", async || {
        (sender.status().await.outbox.messages == 0).then_some(())
    })
    .await;
    let arrived = receiver.empty_inbox().await;
    let arrived: Vec<(usize, MessageId)> =
        arrived.iter().map(|message| (number_of(&message.data), message.message_id)).collect();
    assert_eq!(fault(&book.attempts.borrow(), &arrived), None);
    assert_eq!(receiver.status().await.inbox.messages, 0);
}

fn number_of(data: &Value) -> usize {
    usize::try_from(data["number"].as_u64().unwrap()).unwrap()
}

/// What is wrong with what arrived: something twice, out of order, lost, or under another id.
fn fault(attempts: &[Attempt], arrived: &[(usize, MessageId)]) -> Option<String> {
    let mut places: BTreeMap<usize, usize> = BTreeMap::new();
    let mut latest_beginning = 0;
    for (place, &(number, message_id)) in arrived.iter().enumerate() {
        if let Some(first) = places.insert(number, place) {
            return Some(format!("message {number} is at {first} and at {place}"));
        }
        let attempt = &attempts[number];
        if let Some((accepted, id_in_reply)) = attempt.accepted {
            if message_id != id_in_reply {
                return Some(format!("message {number} has not the id of its reply"));
            }
            if accepted < latest_beginning {
                let when = "accepted before one that arrived earlier was even begun";
                return Some(format!("message {number}, at {place}, was {when}"));
            }
        }
        latest_beginning = latest_beginning.max(attempt.began);
    }
    let is_lost = |(number, attempt): &(usize, &Attempt)| {
        attempt.accepted.is_some() && !places.contains_key(number)
    };
    let lost = attempts.iter().enumerate().find(is_lost);
    lost.map(|(number, attempt)| format!("message {number} is lost: {attempt:?}"))
}

#[test]
fn every_fault_of_a_delivery_is_found() {
    let id = |number: u8| MessageId::from_parts(UnixMillis(1), &[number; 10]);
    // The first two under way at once, then one whose fate is unknown, then one more.
    let attempts = [
        Attempt { began: 1, accepted: Some((3, id(0))) },
        Attempt { began: 2, accepted: Some((4, id(1))) },
        Attempt { began: 5, accepted: None },
        Attempt { began: 6, accepted: Some((7, id(3))) },
    ];
    let found = |numbers: &[u8]| {
        let arrived: Vec<_> =
            numbers.iter().map(|&number| (usize::from(number), id(number))).collect();
        fault(&attempts, &arrived).unwrap_or_default()
    };
    for whole in [[0, 1, 2, 3].as_slice(), &[1, 0, 3], &[0, 1, 3, 2], &[1, 0, 2, 3]] {
        assert_eq!(found(whole), "", "{whole:?}");
    }
    assert!(found(&[0, 1]).contains("message 3 is lost"));
    assert!(found(&[0, 1, 3, 0]).contains("message 0 is at 0 and at 3"));
    assert!(found(&[0, 1, 2, 3, 2]).contains("message 2 is at 2 and at 4"));
    assert!(found(&[0, 3, 1]).contains("message 1, at 2, was accepted before"));
    assert!(found(&[0, 2, 1, 3]).contains("message 1, at 2, was accepted before"));
    let swapped = [(0, id(0)), (1, id(3)), (3, id(3))];
    assert!(fault(&attempts, &swapped).unwrap().contains("the id of its reply"));
}

#[tokio::test]
async fn messages_survive_that_both_ends_are_killed_before_they_ever_met_again() {
    let dir = tempfile::tempdir().unwrap();
    let [mut sender, mut receiver] = mesh(dir.path(), ["sender", "receiver"]).await;
    receiver.kill9();
    let texts: Vec<String> = (0..50).map(|number| format!("message {number}")).collect();
    for text in &texts {
        sender.client().send(&text_message("receiver", text)).await.unwrap();
    }
    sender.kill9();
    receiver.restart().await;
    sender.restart().await;
    eventually(PATIENCE, "all of them arrive", async || {
        (receiver.texts().await == texts).then_some(())
    })
    .await;
    // What was received outlives its receiver too, and is not taken for new.
    receiver.kill9();
    receiver.restart().await;
    sender.send_acked("receiver", "one more").await;
    assert_eq!(receiver.texts().await.len(), 51);
}

#[tokio::test]
async fn a_message_that_nobody_fetches_in_time_expires_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let [sender, mut receiver] = mesh(dir.path(), ["sender", "receiver"]).await;
    receiver.kill9();
    let request = SendRequest { ttl_seconds: Some(1), ..text_message("receiver", "too late") };
    let reply = sender.client().send(&request).await.unwrap();
    eventually(PATIENCE, "it expires", async || {
        let outbox = sender.client().outbox().await.unwrap();
        let ended =
            outbox.iter().any(|row| row.message_id == reply.message_id && row.state == "expired");
        ended.then_some(())
    })
    .await;
    receiver.restart().await;
    linked(&[&sender, &receiver]).await;
    sender.send_acked("receiver", "in time").await;
    assert_eq!(receiver.texts().await, ["in time"]);
    let events = sender.client().events(1000).await.unwrap();
    assert!(events.iter().any(|event| event.kind == "message_expired"));
}

#[tokio::test]
async fn messages_for_a_member_that_is_removed_end_as_refused() {
    let dir = tempfile::tempdir().unwrap();
    let [sender, mut receiver] = mesh(dir.path(), ["sender", "receiver"]).await;
    receiver.kill9();
    for number in 0..3 {
        let message = text_message("receiver", &format!("message {number}"));
        sender.client().send(&message).await.unwrap();
    }
    sender.remove("receiver").await;
    eventually(PATIENCE, "they are given up and told of", async || {
        let outbox = sender.client().outbox().await.unwrap();
        let is_told = outbox.len() == 3
            && outbox
                .iter()
                .all(|row| row.state == "refused" && row.reason == Some(ErrorCode::NotAMember));
        (is_told && sender.status().await.outbox.messages == 0).then_some(())
    })
    .await;
    let error = sender.client().send(&text_message("receiver", "x")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::UnknownPeer);
}
