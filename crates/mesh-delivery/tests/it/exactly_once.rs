use std::time::Duration;

use mesh_delivery::{DeliveryConfig, Priority};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use crate::world::{AnswerFate, CommitFate, Order, PEERS, ReceiptKind, World};

/// Something that can happen to a sender.
#[derive(Clone, Debug)]
enum Step {
    Order(Order),
    Commit(CommitFate),
    Receive { peer: usize, defer_from: usize },
    Answer { peer: usize, fate: AnswerFate },
    LateAnswer,
    Receipt { pick: usize, kind: ReceiptKind },
    Up(usize),
    Down { peer: usize, frames_received: usize },
    Remove(usize),
    FailBatch(usize),
    Damage(usize),
    Pass(Duration),
    PassUntilTimeout,
    Restart { kept: u64 },
}

fn orders() -> impl Strategy<Value = Order> {
    let millis = prop_oneof![1 => 0..2_000_u64, 4 => 2_000..600_000_u64];
    let priority = prop::sample::select(Priority::ALL.to_vec());
    let is_poison = prop::bool::weighted(0.1);
    (btree_set(0..PEERS, 1..=PEERS), priority, 1..1_500_usize, millis, is_poison).prop_map(
        |(to, priority, bytes, millis, is_poison)| Order {
            to: to.into_iter().collect(),
            priority,
            bytes,
            lifetime: Duration::from_millis(millis),
            is_poison,
        },
    )
}

fn commit_fates() -> impl Strategy<Value = CommitFate> {
    prop_oneof![
        16 => Just(CommitFate::Told),
        2 => Just(CommitFate::Failed),
        1 => Just(CommitFate::Crash),
    ]
}

fn answer_fates() -> impl Strategy<Value = AnswerFate> {
    prop_oneof![
        12 => Just(AnswerFate::Arrives),
        2 => Just(AnswerFate::ArrivesTwice),
        2 => Just(AnswerFate::IsLost),
        1 => Just(AnswerFate::LosesItsLast),
        1 => Just(AnswerFate::GainsOne),
    ]
}

fn receipt_kinds() -> impl Strategy<Value = ReceiptKind> {
    prop_oneof![
        4 => Just(ReceiptKind::ThroughOthers),
        1 => Just(ReceiptKind::Deferral),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let peer = 0..PEERS;
    let defer_from = prop_oneof![4 => Just(usize::MAX), 1 => 0..4_usize];
    prop_oneof![
        24 => orders().prop_map(Step::Order),
        24 => commit_fates().prop_map(Step::Commit),
        24 => (peer.clone(), defer_from)
            .prop_map(|(peer, defer_from)| Step::Receive { peer, defer_from }),
        24 => (peer.clone(), answer_fates()).prop_map(|(peer, fate)| Step::Answer { peer, fate }),
        4 => Just(Step::LateAnswer),
        12 => (any::<usize>(), receipt_kinds())
            .prop_map(|(pick, kind)| Step::Receipt { pick, kind }),
        12 => peer.clone().prop_map(Step::Up),
        4 => (peer.clone(), 0..3_usize)
            .prop_map(|(peer, frames_received)| Step::Down { peer, frames_received }),
        1 => peer.prop_map(Step::Remove),
        2 => any::<usize>().prop_map(Step::FailBatch),
        1 => any::<usize>().prop_map(Step::Damage),
        6 => (0..20_000_u64).prop_map(|millis| Step::Pass(Duration::from_millis(millis))),
        8 => Just(Step::PassUntilTimeout),
        2 => any::<u64>().prop_map(|kept| Step::Restart { kept }),
    ]
}

/// Bounds so small that every one of them is met.
fn configs() -> impl Strategy<Value = DeliveryConfig> {
    (1..8_usize, 500..4_000_usize, 500..2_000_usize, 4..40_usize, 4..20_usize).prop_map(
        |(items, bytes, bulk_bytes, messages, peer_messages)| DeliveryConfig {
            messages_max: messages,
            bytes_max: 20_000,
            peer_messages_max: peer_messages,
            batch_items_max: items,
            batch_bytes_max: bytes,
            bulk_batch_bytes_max: bulk_bytes,
            retry_max: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(10),
            ..DeliveryConfig::default()
        },
    )
}

fn run(world: &mut World, step: Step) {
    match step {
        Step::Order(order) => world.order(order),
        Step::Commit(fate) => world.commit(fate),
        Step::Receive { peer, defer_from } => world.receive(peer, defer_from),
        Step::Answer { peer, fate } => world.answer(peer, fate),
        Step::LateAnswer => world.late_answer(),
        Step::Receipt { pick, kind } => world.receipt(pick, kind),
        Step::Up(peer) => world.up(peer),
        Step::Down { peer, frames_received } => world.down(peer, frames_received),
        Step::Remove(peer) => world.remove(peer),
        Step::FailBatch(pick) => world.fail_batch(pick),
        Step::Damage(pick) => world.damage(pick),
        Step::Pass(time) => world.pass(time),
        Step::PassUntilTimeout => world.pass_until_timeout(),
        Step::Restart { kept } => world.restart(kept),
    }
}

proptest! {
    #[test]
    fn every_message_arrives_once_and_in_order_or_its_sender_knows_why_not(
        config in configs(),
        steps in vec(steps(), 1..300),
    ) {
        let mut world = World::new(config);
        for step in steps {
            run(&mut world, step);
        }
        world.recover();
        world.check_outcome();
        // Nothing that has ended was deleted in time: all of it comes again, and changes nothing.
        world.restart(u64::MAX);
        world.recover();
        world.check_outcome();
    }
}
