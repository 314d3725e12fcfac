//! Who serves whom, while links, targets and transfers fail.

use std::collections::{BTreeMap, BTreeSet};

use mesh_files::{Assignment, Distribution, DistributionConfig, Server};
use mesh_protocol::{ChunkRange, ChunkRanges, PeerId};

use crate::input::Input;

struct World {
    distribution: Distribution,
    has: BTreeMap<PeerId, BTreeSet<u64>>,
    under_way: Vec<Assignment>,
}

fn peer(index: usize) -> PeerId {
    PeerId::from_bytes([u8::try_from(index).unwrap(); 32])
}

fn range(first: u64, count: u64) -> ChunkRanges {
    let mut ranges = ChunkRanges::default();
    assert!(ranges.push(ChunkRange { first, count }));
    ranges
}

/// Everybody gets everything, nobody serves what it lacks or more at once than it may.
pub(super) fn everybody_gets_everything(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (targets, chunks) = (1 + input.below(8), 1 + u64::from(input.byte()));
    let peers: Vec<PeerId> = (0..targets).map(peer).collect();
    let config = DistributionConfig::default();
    let mut distribution = Distribution::new(chunks, peers.iter().copied(), config);
    let linked: Vec<u8> = peers.iter().map(|_| input.byte()).collect();
    for (index, one) in peers.iter().enumerate() {
        let is_linked = |other: &usize| linked[index.min(*other)] >> (index.max(*other)) & 1 == 1;
        let links = (0..targets).filter(|other| *other != index).filter(is_linked);
        distribution.links(*one, links.map(|other| (peer(other), 1)).collect());
        distribution.needs(*one, &range(0, chunks));
        distribution.reach(*one, true);
    }
    let has = peers.iter().map(|peer| (*peer, BTreeSet::new())).collect();
    let mut world = World { distribution, has, under_way: Vec::new() };
    let mut steps = 0;
    while world.step(&mut input) {
        steps += 1;
        assert!(steps < 100_000, "it never ends");
        let by = |server| world.under_way.iter().filter(|one| one.server == server).count();
        assert!(by(Server::Sender) <= config.sender_serves_max);
        for target in &peers {
            assert!(by(Server::Target(*target)) <= config.target_serves_max);
            let takes = world.under_way.iter().filter(|one| one.target == *target).count();
            assert!(takes <= config.target_takes_max);
        }
    }
    for (peer, has) in &world.has {
        assert_eq!(has.len() as u64, chunks, "{peer} lacks something");
    }
}

impl World {
    /// One assignment comes to its end. Says whether there was one.
    fn step(&mut self, input: &mut Input<'_>) -> bool {
        self.under_way.extend(self.distribution.plan());
        if self.under_way.is_empty() {
            return false;
        }
        let pick = input.below(self.under_way.len());
        let Assignment { target, server, portion, .. } = self.under_way[pick];
        match input.below(8) {
            1 => {
                self.under_way.remove(pick);
                self.distribution.failed(target, portion);
            }
            2 => self.leave(target),
            3 => match server {
                Server::Target(server) => self.leave(server),
                Server::Sender => self.serve(pick),
            },
            4 => self.distribution.doubt(),
            // Bytes that have run out are zeros: in the end everything is served.
            _ => self.serve(pick),
        }
        true
    }

    fn serve(&mut self, pick: usize) {
        let Assignment { target, server, portion, chunks } = self.under_way.remove(pick);
        let numbers = chunks.first..chunks.end();
        if let Server::Target(server) = server {
            let (target, server) = (&self.has[&target], &self.has[&server]);
            assert!(
                numbers.clone().all(|number| target.contains(&number) || server.contains(&number))
            );
        }
        self.has.get_mut(&target).unwrap().extend(numbers);
        self.distribution.has(target, &range(chunks.first, chunks.count));
        self.distribution.served(target, portion);
    }

    /// A target goes and comes back.
    fn leave(&mut self, gone: PeerId) {
        self.distribution.reach(gone, false);
        self.under_way.retain(|one| one.target != gone && one.server != Server::Target(gone));
        self.distribution.reach(gone, true);
    }
}
