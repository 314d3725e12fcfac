//! What was accepted is delivered once and in order, whatever is killed meanwhile.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use futures_util::future::join_all;
use mesh_control::{ControlClient, InboxView, SendRequest};
use mesh_protocol::MessageId;
use serde_json::json;
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
    assert_once_and_in_order(&book.attempts.borrow(), &arrived);
    assert_eq!(receiver.status().await.inbox.messages, 0);
}

fn assert_once_and_in_order(attempts: &[Attempt], arrived: &[InboxView]) {
    let mut places: BTreeMap<usize, usize> = BTreeMap::new();
    let mut latest_beginning = 0;
    for (place, message) in arrived.iter().enumerate() {
        let number = usize::try_from(message.data["number"].as_u64().unwrap()).unwrap();
        let twice = places.insert(number, place);
        assert!(twice.is_none(), "message {number} is at {twice:?} and {place}");
        let attempt = &attempts[number];
        if let Some((accepted, message_id)) = attempt.accepted {
            assert_eq!(message.message_id, message_id, "message {number} has the id of its reply");
            assert!(
                accepted > latest_beginning,
                "message {number} was accepted before one that arrived earlier was even begun"
            );
        }
        latest_beginning = latest_beginning.max(attempt.began);
    }
    for (number, attempt) in attempts.iter().enumerate() {
        let is_there = places.contains_key(&number);
        assert!(is_there || attempt.accepted.is_none(), "message {number} is lost: {attempt:?}");
    }
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
