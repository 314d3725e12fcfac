//! What happens to a sender, to those who keep messages for others and to the table of ways, in any order. The worlds of
//! mesh-delivery's own tests check every wish of the engines and what comes of it.

#[path = "../../mesh-delivery/tests/it/gossip.rs"]
#[expect(dead_code, reason = "tests ask it for more")]
mod gossip;
#[path = "../../mesh-delivery/tests/it/keepers.rs"]
mod keepers;
#[path = "../../mesh-delivery/tests/it/receiver.rs"]
mod receiver;
#[path = "../../mesh-delivery/tests/it/world.rs"]
mod world;

use std::time::Duration;

use mesh_delivery::{DeliveryConfig, HandoverConfig, Priority};
use mesh_protocol::HOPS_MAX;

use self::gossip::{Gossip, NODES};
use self::keepers::{Fate, Keepers};
use self::world::{AnswerFate, CommitFate, Order, PEERS, ReceiptKind, World};
use crate::input::{Input, choose};

/// More than this makes a run slow and no richer.
const STEPS_MAX: usize = 300;

/// Lets the bytes decide what happens.
pub fn delivery(bytes: &[u8]) {
    choose(bytes, &[every_message_arrives_once, copies_go_where_they_may, all_agree_on_ways]);
}

/// A number of milliseconds, small or large.
fn time(input: &mut Input<'_>) -> Duration {
    Duration::from_millis(u64::from(input.short()) * if input.flag() { 10 } else { 1 })
}

fn every_message_arrives_once(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let input = &mut input;
    // Bounds so small that every one of them is met.
    let mut world = World::new(DeliveryConfig {
        messages_max: 4 + input.below(36),
        bytes_max: 20_000,
        peer_messages_max: 4 + input.below(16),
        batch_items_max: 1 + input.below(7),
        batch_bytes_max: 500 + 14 * usize::from(input.byte()),
        bulk_batch_bytes_max: 500 + 6 * usize::from(input.byte()),
        retry_max: Duration::from_secs(5),
        answer_timeout: Duration::from_secs(10),
        ..DeliveryConfig::default()
    });
    for _ in 0..STEPS_MAX {
        if input.is_over() {
            break;
        }
        step(&mut world, input);
    }
    world.recover();
    world.check_outcome();
    // Nothing that has ended was deleted in time: all of it comes again, and changes nothing.
    world.restart(u64::MAX);
    world.recover();
    world.check_outcome();
}

fn step(world: &mut World, input: &mut Input<'_>) {
    match input.below(14) {
        0 => world.order(order(input)),
        1 => world.commit(match input.below(8) {
            0 => CommitFate::Failed,
            1 => CommitFate::Crash,
            _ => CommitFate::Told,
        }),
        2 => {
            let peer = input.below(PEERS);
            let defer_from = if input.flag() { input.below(4) } else { usize::MAX };
            world.receive(peer, defer_from);
        }
        3 => {
            let peer = input.below(PEERS);
            world.answer(
                peer,
                match input.below(8) {
                    0 => AnswerFate::ArrivesTwice,
                    1 => AnswerFate::IsLost,
                    2 => AnswerFate::LosesItsLast,
                    3 => AnswerFate::GainsOne,
                    _ => AnswerFate::Arrives,
                },
            );
        }
        4 => world.late_answer(),
        5 => {
            let pick = input.below(256);
            let is_deferral = input.flag();
            world.receipt(
                pick,
                if is_deferral { ReceiptKind::Deferral } else { ReceiptKind::ThroughOthers },
            );
        }
        6 => world.up(input.below(PEERS)),
        7 => world.down(input.below(PEERS), input.below(3)),
        8 => world.remove(input.below(PEERS)),
        9 => world.fail_batch(input.below(256)),
        10 => world.damage(input.below(256)),
        11 => world.pass(Duration::from_millis(u64::from(input.short()) % 20_000)),
        12 => world.pass_until_timeout(),
        _ => world.restart(input.number()),
    }
}

fn order(input: &mut Input<'_>) -> Order {
    let peers = input.byte();
    let to: Vec<usize> = (0..PEERS).filter(|peer| peers >> peer & 1 == 1).collect();
    let priority = Priority::ALL[input.below(Priority::ALL.len())];
    Order {
        to: if to.is_empty() { vec![0] } else { to },
        priority,
        bytes: 1 + usize::from(input.short()) % 1_500,
        lifetime: time(input),
        is_poison: input.below(10) == 9,
    }
}

fn copies_go_where_they_may(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut keepers = Keepers::new(HandoverConfig {
        custodians: input.below(4),
        batch_items_max: 1 + input.below(4),
        batch_bytes_max: 300 + 6 * usize::from(input.byte()),
        ..HandoverConfig::default()
    });
    for _ in 0..STEPS_MAX {
        if input.is_over() {
            break;
        }
        match input.below(9) {
            0 => keepers.wait(input.below(keepers::PEERS), 1 + usize::from(input.short()) % 800),
            1 => keepers.end(input.below(256)),
            2 => keepers.receiver_up(input.below(keepers::PEERS)),
            3 => keepers.receiver_down(input.below(keepers::PEERS)),
            4 => keepers.custodian_up(input.below(keepers::PEERS)),
            5 => keepers.custodian_down(input.below(keepers::PEERS)),
            6 => {
                let pick = input.below(256);
                let fate = match input.below(10) {
                    0 => Fate::DeclinedFrom(input.below(3)),
                    1 => Fate::Unsent,
                    2 => Fate::WrongCount,
                    3 => Fate::FromAnother,
                    4 => Fate::Lost,
                    _ => Fate::Kept,
                };
                keepers.answer(pick, fate);
            }
            7 => keepers.pass(Duration::from_millis(u64::from(input.short()) % 15_000)),
            _ => keepers.pass_until_timeout(),
        }
    }
    keepers.recover();
}

fn all_agree_on_ways(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut gossip = Gossip::new();
    for node in 1..NODES {
        gossip.up(node, input.below(node));
    }
    let order = input.number();
    for _ in 0..STEPS_MAX / 2 {
        if input.is_over() {
            break;
        }
        let (a, b) = (input.below(NODES), input.below(NODES));
        match input.below(16) {
            0..=2 => gossip.up(a, b),
            3 => gossip.down(a, b),
            4 => gossip.measure(a, b, u64::from(input.byte())),
            5..=9 => gossip.deliver(a * NODES + b),
            10 | 11 => gossip.lose(a * NODES + b),
            12 => gossip.members(input.short()),
            13 => gossip.restart(a),
            14 => gossip.compare_now(a),
            _ => gossip.pass(Duration::from_millis(u64::from(input.short()) % 1_500)),
        }
    }
    gossip.recover(order);
    for node in gossip.present() {
        let distances = gossip.distances(node);
        for other in gossip.present().into_iter().filter(|other| *other != node) {
            let links = gossip.route(node, other).map(|via| via.len() + 1);
            let expected = distances[other].filter(|links| *links <= HOPS_MAX);
            assert_eq!(links, expected, "from {node} to {other}");
            assert!(distances[other].is_none() || gossip.knows(node, other), "{node} of {other}");
        }
    }
}
