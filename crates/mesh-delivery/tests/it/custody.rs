use std::time::Duration;

use mesh_delivery::HandoverConfig;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::keepers::{Fate, Keepers, PEERS};

/// Something that can happen to a sender whose receivers are away.
#[derive(Clone, Debug)]
enum Step {
    Wait { to: usize, bytes: usize },
    End(usize),
    ReceiverUp(usize),
    ReceiverDown(usize),
    CustodianUp(usize),
    CustodianDown(usize),
    Answer { pick: usize, fate: Fate },
    Pass(Duration),
    PassUntilTimeout,
}

fn steps() -> impl Strategy<Value = Step> {
    let peer = 0..PEERS;
    let fate = prop_oneof![
        12 => Just(Fate::Kept),
        3 => (0..3_usize).prop_map(Fate::DeclinedFrom),
        2 => Just(Fate::Unsent),
        1 => Just(Fate::WrongCount),
        1 => Just(Fate::FromAnother),
        2 => Just(Fate::Lost),
    ];
    prop_oneof![
        12 => (peer.clone(), 1..800_usize).prop_map(|(to, bytes)| Step::Wait { to, bytes }),
        3 => any::<usize>().prop_map(Step::End),
        2 => peer.clone().prop_map(Step::ReceiverUp),
        4 => peer.clone().prop_map(Step::ReceiverDown),
        6 => peer.clone().prop_map(Step::CustodianUp),
        3 => peer.prop_map(Step::CustodianDown),
        12 => (any::<usize>(), fate).prop_map(|(pick, fate)| Step::Answer { pick, fate }),
        4 => (0..15_000_u64).prop_map(|millis| Step::Pass(Duration::from_millis(millis))),
        8 => Just(Step::PassUntilTimeout),
    ]
}

fn configs() -> impl Strategy<Value = HandoverConfig> {
    (0..4_usize, 1..5_usize, 300..2_000_usize).prop_map(|(custodians, items, bytes)| {
        HandoverConfig {
            custodians,
            batch_items_max: items,
            batch_bytes_max: bytes,
            ..HandoverConfig::default()
        }
    })
}

proptest! {
    #[test]
    fn copies_go_where_they_may_and_in_the_end_where_they_should(
        config in configs(),
        steps in vec(steps(), 0..200),
    ) {
        let mut keepers = Keepers::new(config);
        for step in steps {
            match step {
                Step::Wait { to, bytes } => keepers.wait(to, bytes),
                Step::End(pick) => keepers.end(pick),
                Step::ReceiverUp(peer) => keepers.receiver_up(peer),
                Step::ReceiverDown(peer) => keepers.receiver_down(peer),
                Step::CustodianUp(peer) => keepers.custodian_up(peer),
                Step::CustodianDown(peer) => keepers.custodian_down(peer),
                Step::Answer { pick, fate } => keepers.answer(pick, fate),
                Step::Pass(time) => keepers.pass(time),
                Step::PassUntilTimeout => keepers.pass_until_timeout(),
            }
        }
        keepers.recover();
    }
}
