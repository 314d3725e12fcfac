use mesh_protocol::HOPS_MAX;
use proptest::collection::vec;
use proptest::prelude::*;
use std::time::Duration;

use crate::gossip::{Gossip, NODES};

/// Something that can happen to a mesh.
#[derive(Clone, Debug)]
enum Step {
    Up { a: usize, b: usize },
    Down { a: usize, b: usize },
    Measure { a: usize, b: usize, millis: u64 },
    Deliver(usize),
    Lose(usize),
    Members(u16),
    Restart(usize),
    CompareNow(usize),
    Pass(Duration),
}

fn steps() -> impl Strategy<Value = Step> {
    let (a, b) = (0..NODES, 0..NODES);
    prop_oneof![
        8 => (a.clone(), b.clone()).prop_map(|(a, b)| Step::Up { a, b }),
        4 => (a.clone(), b.clone()).prop_map(|(a, b)| Step::Down { a, b }),
        4 => (a.clone(), b, 0..200_u64).prop_map(|(a, b, millis)| Step::Measure { a, b, millis }),
        24 => any::<usize>().prop_map(Step::Deliver),
        6 => any::<usize>().prop_map(Step::Lose),
        1 => any::<u16>().prop_map(Step::Members),
        1 => a.clone().prop_map(Step::Restart),
        1 => a.prop_map(Step::CompareNow),
        8 => (0..1500_u64).prop_map(|millis| Step::Pass(Duration::from_millis(millis))),
    ]
}

fn run(gossip: &mut Gossip, step: &Step) {
    match *step {
        Step::Up { a, b } => gossip.up(a, b),
        Step::Down { a, b } => gossip.down(a, b),
        Step::Measure { a, b, millis } => gossip.measure(a, b, millis),
        Step::Deliver(pick) => gossip.deliver(pick),
        Step::Lose(pick) => gossip.lose(pick),
        Step::Members(absent) => gossip.members(absent),
        Step::Restart(node) => gossip.restart(node),
        Step::CompareNow(node) => gossip.compare_now(node),
        Step::Pass(time) => gossip.pass(time),
    }
}

/// A random tree joins everybody, so that the mesh is connected unless a step cuts it.
fn tree() -> impl Strategy<Value = Vec<usize>> {
    (1..NODES).map(|node| 0..node).collect::<Vec<_>>()
}

proptest! {
    #[test]
    fn all_agree_after_comparisons_whatever_was_lost_before(
        tree in tree(),
        steps in vec(steps(), 0..150),
        order in any::<u64>(),
    ) {
        let mut gossip = Gossip::new();
        for (node, parent) in tree.into_iter().enumerate() {
            gossip.up(node + 1, parent);
        }
        for step in &steps {
            run(&mut gossip, step);
        }
        gossip.recover(order);
        for node in gossip.present() {
            let distances = gossip.distances(node);
            for other in gossip.present().into_iter().filter(|other| *other != node) {
                let links = gossip.route(node, other).map(|via| via.len() + 1);
                let expected = distances[other].filter(|links| *links <= HOPS_MAX);
                prop_assert_eq!(links, expected, "from {} to {}", node, other);
                if distances[other].is_some() {
                    prop_assert!(gossip.knows(node, other), "{} of {}", node, other);
                }
            }
        }
    }

    #[test]
    fn equal_inputs_give_equal_outputs(steps in vec(steps(), 0..100)) {
        let mut gossip = Gossip::new();
        let mut twin = gossip.clone_unused();
        for step in &steps {
            run(&mut gossip, step);
            run(&mut twin, step);
        }
        prop_assert_eq!(gossip.log(), twin.log());
    }
}
