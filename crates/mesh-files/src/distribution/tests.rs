use std::collections::BTreeMap;

use mesh_protocol::{ChunkRange, ChunkRanges, PeerId};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn peer(index: usize) -> PeerId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&(index as u64).to_be_bytes());
    PeerId::from_bytes(bytes)
}

fn range(first: u64, count: u64) -> ChunkRanges {
    let mut ranges = ChunkRanges::default();
    assert!(count == 0 || ranges.push(ChunkRange { first, count }));
    ranges
}

/// What happens to an assignment, drawn in advance.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Served,
    Fails,
    TargetGoes,
    ServerGoes,
}

struct World {
    distribution: Distribution,
    has: BTreeMap<PeerId, BTreeSet<u64>>,
    chunks: u64,
    sent_by_sender: u64,
    under_way: Vec<Assignment>,
}

impl World {
    fn new(targets: usize, chunks: u64, linked: impl Fn(usize, usize) -> bool) -> Self {
        let peers: Vec<PeerId> = (0..targets).map(peer).collect();
        let mut distribution =
            Distribution::new(chunks, peers.iter().copied(), DistributionConfig::default());
        for (index, one) in peers.iter().enumerate() {
            let links = (0..targets).filter(|other| *other != index && linked(index, *other));
            distribution.links(*one, links.map(|other| (peer(other), 1)).collect());
            distribution.needs(*one, &range(0, chunks));
            distribution.reach(*one, true);
        }
        let has = peers.into_iter().map(|peer| (peer, BTreeSet::new())).collect();
        Self { distribution, has, chunks, sent_by_sender: 0, under_way: Vec::new() }
    }

    /// One assignment comes to its end. Says whether there was one.
    fn step(&mut self, fate: Fate) -> bool {
        self.under_way.extend(self.distribution.plan());
        if self.under_way.is_empty() {
            return false;
        }
        let Assignment { target, server, portion, chunks } = self.under_way.remove(0);
        match fate {
            Fate::Served => {
                let numbers = chunks.first..chunks.end();
                let lacked: Vec<u64> =
                    numbers.filter(|number| !self.has[&target].contains(number)).collect();
                match server {
                    Server::Sender => self.sent_by_sender += lacked.len() as u64,
                    Server::Target(server) => {
                        assert!(lacked.iter().all(|number| self.has[&server].contains(number)));
                    }
                }
                self.has.get_mut(&target).unwrap().extend(lacked);
                self.distribution.has(target, &range(chunks.first, chunks.count));
                self.distribution.served(target, portion);
            }
            Fate::Fails => self.distribution.failed(target, portion),
            Fate::TargetGoes => self.leave(target),
            Fate::ServerGoes => match server {
                Server::Target(server) => {
                    self.under_way.push(Assignment {
                        target,
                        server: Server::Target(server),
                        portion,
                        chunks,
                    });
                    self.leave(server);
                }
                Server::Sender => self.distribution.failed(target, portion),
            },
        }
        true
    }

    /// A target goes and comes back.
    fn leave(&mut self, gone: PeerId) {
        self.distribution.reach(gone, false);
        self.under_way.retain(|one| one.target != gone && one.server != Server::Target(gone));
        self.distribution.reach(gone, true);
    }

    fn run(&mut self, fates: Vec<Fate>) {
        let mut fates = fates.into_iter();
        while self.step(fates.next().unwrap_or(Fate::Served)) {}
        for (peer, has) in &self.has {
            assert_eq!(has.len() as u64, self.chunks, "{peer} lacks something");
        }
    }
}

#[test]
fn fifty_targets_cost_the_sender_about_one_copy() {
    for chunks in [1, 7, 300] {
        let mut world = World::new(50, chunks, |_, _| true);
        world.run(Vec::new());
        assert!(world.sent_by_sender <= 2 * chunks, "{} of {chunks}", world.sent_by_sender);
    }
}

#[test]
fn more_chunks_than_portions_go_several_at_a_time() {
    let chunks = PORTIONS_MAX + 1;
    let mut world = World::new(2, chunks, |_, _| true);
    let first = world.distribution.plan();
    let counts: Vec<u64> = first.iter().map(|one| one.chunks.count).collect();
    assert_eq!(counts, vec![2; first.len()]);
    world.under_way.extend(first);
    world.run(Vec::new());
    assert_eq!(world.sent_by_sender, chunks, "the last portion is a smaller one");
}

#[test]
fn targets_without_links_get_everything_from_the_sender() {
    let mut world = World::new(3, 500, |_, _| false);
    world.run(Vec::new());
    assert_eq!(world.sent_by_sender, 1500);
}

#[test]
fn what_a_target_had_before_is_served_by_it() {
    let mut world = World::new(2, 500, |_, _| true);
    let first = peer(0);
    world.has.insert(first, (0..500).collect());
    world.distribution.has(first, &range(0, 500));
    // The sender may hand out what nobody was handed before; the rest is served by who has it.
    world.run(Vec::new());
    assert_eq!(world.sent_by_sender, 0);
}

#[test]
fn what_was_sent_to_one_is_not_sent_to_another_before_there_is_doubt() {
    let mut world = World::new(2, 1, |_, _| true);
    let [Assignment { target, server: Server::Sender, portion, .. }] =
        world.distribution.plan()[..]
    else {
        panic!("the sender hands it out once");
    };
    // On its way to the one, which has not said yet that it has it.
    world.distribution.served(target, portion);
    assert_eq!(world.distribution.plan(), []);
    world.distribution.has(target, &range(0, 1));
    let [assignment] = world.distribution.plan()[..] else { panic!("the other one gets it") };
    assert_eq!(assignment.server, Server::Target(target));

    let mut silent = World::new(2, 1, |_, _| true).distribution;
    let first = silent.plan()[0];
    silent.served(first.target, first.portion);
    silent.doubt();
    let [assignment] = silent.plan()[..] else { panic!("the other one gets it all the same") };
    assert_eq!(assignment.server, Server::Sender);
}

#[test]
fn nobody_serves_or_takes_more_at_once_than_it_may() {
    let config = DistributionConfig::default();
    let mut world = World::new(20, 4000, |_, _| true);
    for _ in 0..2000 {
        world.step(Fate::Served);
        let by = |server| world.under_way.iter().filter(|one| one.server == server).count();
        assert!(by(Server::Sender) <= config.sender_serves_max);
        for target in (0..20).map(peer) {
            assert!(by(Server::Target(target)) <= config.target_serves_max);
            let takes = world.under_way.iter().filter(|one| one.target == target).count();
            assert!(takes <= config.target_takes_max);
        }
    }
}

#[test]
fn numbers_beyond_the_push_and_strangers_are_of_no_effect() {
    let mut distribution = Distribution::new(10, [peer(0)], DistributionConfig::default());
    distribution.reach(peer(0), true);
    distribution.needs(peer(0), &range(1 << 60, 1 << 60));
    distribution.needs(peer(9), &range(0, 10));
    distribution.reach(peer(9), true);
    assert!(distribution.plan().is_empty());
    assert!(Distribution::new(0, [peer(0)], DistributionConfig::default()).plan().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn everybody_gets_everything_whatever_fails_meanwhile(
        targets in 1_usize..10,
        chunks in 1_u64..200,
        linked in vec(any::<bool>(), 100),
        fates in vec(
            prop_oneof![
                4 => Just(Fate::Served),
                1 => Just(Fate::Fails),
                1 => Just(Fate::TargetGoes),
                1 => Just(Fate::ServerGoes),
            ],
            0..200,
        ),
    ) {
        let mut world = World::new(targets, chunks, |one, two| linked[one.min(two) * 10 + one.max(two)]);
        world.run(fates);
    }
}
