//! A process that is suspended: it says nothing, and its kernel still answers for it.

use std::time::Duration;

use mesh_control::{MemberStatus, PeerState};
use rustix::process::{Signal, kill_process};

use crate::agent::{PATIENCE, eventually, text_message};
use crate::world::{World, measured, now, seconds, seen, shown};

/// A peer is silent for 15 seconds before its link is given up, and is asked about then.
const SILENCE: Duration = Duration::from_secs(25);

/// Down for so long is inactive.
const INACTIVE_AFTER: Duration = Duration::from_secs(60);

/// The promise for one that wakes.
const WAKING: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_suspended_member_is_inactive_and_has_its_messages_soon_after_it_wakes() {
    let mut world = World::new();
    let [sender, stopped, third] = world.mesh_in_order(["oak", "elm", "ash"]).await;
    let (from, to) = (sender.name(), stopped.name());
    let started = now();
    kill_process(stopped.pid(), Signal::STOP).unwrap();
    let mut texts = Vec::new();
    for number in 0..10 {
        texts.push(number.to_string());
        sender.client().send(&text_message(to, &texts[number])).await.unwrap();
    }
    for (one, other) in [(&sender, third.name()), (&third, from)] {
        shown(one, to, MemberStatus::Inactive, SILENCE).await;
        assert_eq!(seen(one, other).await.status, MemberStatus::Active);
    }
    eprintln!("shown as inactive {:?} after it was suspended", started.elapsed());
    for number in 10..20 {
        texts.push(number.to_string());
        sender.client().send(&text_message(to, &texts[number])).await.unwrap();
    }
    let lasting = seconds("NETNS_PAUSE_SECONDS", 18);
    let left = async || (started.elapsed() >= lasting).then_some(());
    eventually(lasting, "the pause is over", left).await;
    if lasting > INACTIVE_AFTER + SILENCE {
        assert_eq!(seen(&sender, to).await.state, PeerState::Inactive);
    }
    assert_eq!(sender.client().outbox().await.unwrap().len(), texts.len(), "they wait");

    kill_process(stopped.pid(), Signal::CONT).unwrap();
    let woken = now();
    for (agent, name) in [(&sender, to), (&third, to), (&stopped, from), (&stopped, third.name())] {
        shown(agent, name, MemberStatus::Active, PATIENCE).await;
        eprintln!("{} shows {name} as active, {:?} after it woke", agent.name(), woken.elapsed());
    }
    let active = woken.elapsed();
    let all = async || stopped.inbox().await.len() >= texts.len();
    measured(PATIENCE, "the messages arrive", all).await;
    eprintln!("all messages were there {:?} after it woke", woken.elapsed());
    let settled = async || sender.client().outbox().await.unwrap().is_empty().then_some(());
    eventually(PATIENCE, "the sender's outbox is empty", settled).await;
    assert_eq!(stopped.texts().await, texts, "in order, each once");
    assert!(active <= WAKING, "active {active:?} after it woke");
}
