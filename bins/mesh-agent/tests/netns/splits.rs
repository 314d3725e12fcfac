//! A mesh in two halves that cannot reach each other.

use std::time::Duration;

use mesh_control::MemberStatus;
use mesh_testkit::netns::LanMachine;
use tokio::time::{MissedTickBehavior, interval};

use crate::agent::{Agent, eventually, text_message};
use crate::world::{Located, World, direct, now, seconds, shown};

const NAMES: [&str; 5] = ["oak", "elm", "ash", "fir", "yew"];

/// The first so many are one half.
const HALF: usize = 2;

/// Everybody is active to everybody again within this time.
const HEALING: Duration = Duration::from_secs(20);

/// To see that the other half fell silent.
const SILENCE: Duration = Duration::from_secs(30);

fn text(from: &str, round: usize) -> String {
    format!("{round} from {from}")
}

/// Everybody sends a message to everybody else.
async fn everybody_sends(members: &[Located], round: usize) {
    for from in members {
        for to in NAMES.iter().filter(|name| **name != from.name()) {
            let message = text_message(to, &text(from.name(), round));
            from.client().send(&message).await.unwrap();
        }
    }
}

/// The texts that `member` has from `from`, as they came.
async fn texts_from(member: &Agent, from: &str) -> Vec<String> {
    let inbox = member.inbox().await;
    let of_sender = inbox.iter().filter(|message| message.from == from);
    of_sender.map(|message| crate::agent::text_of(&message.data)).collect()
}

async fn everybody_has_everything(members: &[Located], rounds: usize) {
    for member in members {
        for from in NAMES.iter().filter(|name| **name != member.name()) {
            let expected: Vec<String> = (0..rounds).map(|round| text(from, round)).collect();
            let what = format!("{} has all {rounds} messages from {from}", member.name());
            let is_there =
                async || (texts_from(member, from).await.len() >= expected.len()).then_some(());
            eventually(HEALING, &what, is_there).await;
            assert_eq!(texts_from(member, from).await, expected, "at {}", member.name());
        }
    }
}

#[tokio::test]
async fn a_split_loses_no_message_and_no_member() {
    let mut world = World::new();
    let members = world.mesh(NAMES).await;
    let machines: Vec<&LanMachine> = members.iter().map(|member| &member.machine).collect();
    let (some, others) = machines.split_at(HALF);
    everybody_sends(&members, 0).await;
    world.lan.split(some, others).unwrap();

    let started = now();
    let lasting = seconds("NETNS_SPLIT_SECONDS", 20);
    let mut pace = interval(Duration::from_secs(1));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut rounds = 1;
    while started.elapsed() < lasting {
        pace.tick().await;
        everybody_sends(&members, rounds).await;
        rounds += 1;
    }
    let is_same_half = |one: &str, other: &str| {
        let is_first = |name: &str| NAMES[..HALF].contains(&name);
        is_first(one) == is_first(other)
    };
    for member in &members {
        for name in NAMES.iter().filter(|name| **name != member.name()) {
            let status = if is_same_half(member.name(), name) {
                MemberStatus::Active
            } else {
                MemberStatus::Inactive
            };
            shown(member, name, status, SILENCE).await;
            let crossed = texts_from(member, name).await.len();
            assert!(status == MemberStatus::Active || crossed <= 1, "{crossed} came across");
        }
    }
    everybody_sends(&members, rounds).await;
    rounds += 1;

    world.lan.heal(some, others).unwrap();
    let started = now();
    for member in &members {
        let what = format!("{} shows everybody as active", member.name());
        let left = HEALING.saturating_sub(started.elapsed());
        let whole = async || member.is_linked_with(&NAMES).await.then_some(());
        eventually(left, &what, whole).await;
    }
    eprintln!("everybody was active {:?} after the split healed", started.elapsed());
    everybody_has_everything(&members, rounds).await;
    for member in &members {
        let outbox = async || member.client().outbox().await.unwrap().is_empty().then_some(());
        eventually(HEALING, "every outbox is empty", outbox).await;
        assert_eq!(member.members().await.len(), NAMES.len(), "no member is lost");
    }
    for member in &members {
        for name in NAMES.iter().filter(|name| **name != member.name()) {
            direct(member, name, HEALING).await;
        }
    }
    eprintln!("every pair was linked {:?} after the split healed", started.elapsed());
    // What custodians hold may go a second time, and must not arrive a second time.
    everybody_has_everything(&members, rounds).await;
}
