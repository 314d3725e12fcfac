use std::collections::BTreeSet;

use super::*;

const CHUNKS: u64 = 64;

fn peer(number: u8) -> PeerId {
    PeerId::from_bytes([number; 32])
}

fn all() -> ChunkRanges {
    ranges(0, CHUNKS)
}

fn ranges(first: u64, count: u64) -> ChunkRanges {
    let mut ranges = ChunkRanges::default();
    assert!(ranges.push(ChunkRange { first, count }));
    ranges
}

/// Targets that have whatever they were sent at once.
struct Mesh {
    spread: Spread,
    has: BTreeMap<PeerId, BTreeSet<u64>>,
    by_sender: Vec<u64>,
    by_targets: usize,
}

impl Mesh {
    fn new(targets: u8, is_linked: bool) -> Self {
        let peers: Vec<PeerId> = (1..=targets).map(peer).collect();
        let config = DistributionConfig::default();
        let mut spread = Spread::new(CHUNKS, peers.iter().copied(), config);
        for one in &peers {
            if is_linked {
                spread.links(*one, peers.clone());
            }
            spread.begin(*one);
            assert!(spread.need(*one, &all()).is_none());
        }
        let has = peers.iter().map(|peer| (*peer, BTreeSet::new())).collect();
        Self { spread, has, by_sender: Vec::new(), by_targets: 0 }
    }

    fn carry_out(&mut self, target: PeerId, command: Command) {
        let (chunks, tag) = match command {
            Command::Ask(Ask::Chunks(chunks, tag)) => {
                let numbers = chunks.iter().flat_map(|range| range.first..range.end());
                self.by_sender.extend(numbers);
                (chunks, tag)
            }
            Command::Source(ChunkSource { from, chunks }) => {
                let has = self.has[&from].contains(&chunks.first);
                assert!(has, "it is named to others only when it has it");
                self.by_targets += 1;
                (ranges(chunks.first, chunks.count), None)
            }
            other @ (Command::Ask(_) | Command::Serve { .. } | Command::Stop(_)) => {
                panic!("{other:?}")
            }
        };
        if let Some(tag) = tag {
            assert!(self.spread.served(target, tag).is_none());
        }
        let numbers = chunks.iter().flat_map(|range| range.first..range.end());
        self.has.get_mut(&target).unwrap().extend(numbers);
        self.spread.have(target, &chunks);
    }

    fn run(&mut self) {
        loop {
            let commands = self.spread.plan();
            if commands.is_empty() {
                return;
            }
            for (target, command) in commands {
                self.carry_out(target, command);
            }
        }
    }
}

#[test]
fn targets_that_are_linked_get_each_chunk_from_the_sender_once_altogether() {
    let mut mesh = Mesh::new(5, true);
    mesh.run();
    assert!(mesh.has.values().all(|has| has.len() as u64 == CHUNKS));
    mesh.by_sender.sort_unstable();
    assert_eq!(mesh.by_sender, (0..CHUNKS).collect::<Vec<_>>());
    assert_eq!(mesh.by_targets as u64, 4 * CHUNKS);
}

#[test]
fn targets_that_are_not_linked_get_everything_from_the_sender() {
    let mut mesh = Mesh::new(3, false);
    mesh.run();
    assert!(mesh.has.values().all(|has| has.len() as u64 == CHUNKS));
    assert_eq!(mesh.by_sender.len() as u64, 3 * CHUNKS);
}

#[test]
fn what_another_target_did_not_serve_comes_from_elsewhere() {
    let mut mesh = Mesh::new(2, true);
    // The first one gets everything, and then serves nothing.
    mesh.spread.end(peer(2));
    mesh.run();
    mesh.by_sender.clear();
    mesh.spread.begin(peer(2));
    assert!(mesh.spread.need(peer(2), &all()).is_none());
    let commands = mesh.spread.plan();
    assert!(!commands.is_empty());
    for (target, command) in commands {
        let Command::Source(source) = command else { panic!("{command:?}") };
        let again = ranges(source.chunks.first, source.chunks.count);
        assert!(mesh.spread.need(target, &again).is_none(), "it is planned anew");
    }
    mesh.run();
    assert_eq!(mesh.has[&peer(2)].len() as u64, CHUNKS);
    assert_eq!(mesh.by_sender.len() as u64, CHUNKS);
}

#[test]
fn what_was_sent_and_is_asked_for_again_is_sent_again() {
    let mut mesh = Mesh::new(2, false);
    mesh.run();
    let Some(Command::Ask(Ask::Chunks(chunks, None))) = mesh.spread.need(peer(1), &ranges(3, 2))
    else {
        panic!("it is sent")
    };
    assert_eq!(chunks, ranges(3, 2));
}

#[test]
fn a_target_that_comes_back_gets_what_it_still_lacks_and_nobody_waits_for_it_meanwhile() {
    let mut mesh = Mesh::new(2, true);
    let commands = mesh.spread.plan();
    assert!(commands.iter().any(|(target, _)| *target == peer(1)));
    // It is gone with what it was getting.
    mesh.spread.end(peer(1));
    for (target, command) in commands {
        if target == peer(2) {
            mesh.carry_out(target, command);
        }
    }
    mesh.run();
    assert_eq!(mesh.has[&peer(2)].len() as u64, CHUNKS);
    mesh.spread.begin(peer(1));
    assert!(mesh.spread.need(peer(1), &ranges(10, 5)).is_none());
    mesh.run();
    assert_eq!(mesh.has[&peer(1)], (10..15).collect());
}

#[test]
fn what_a_target_lost_that_was_killed_is_sent_to_it_again() {
    let mut mesh = Mesh::new(2, true);
    mesh.run();
    mesh.spread.finish(peer(2));
    // Its note of the last chunk was not on the disk.
    mesh.spread.end(peer(1));
    mesh.spread.begin(peer(1));
    mesh.spread.have(peer(1), &ranges(0, CHUNKS - 1));
    assert!(mesh.spread.need(peer(1), &ranges(CHUNKS - 1, 1)).is_none());
    let commands = mesh.spread.plan();
    let [(target, Command::Source(source))] = commands.as_slice() else {
        panic!("{commands:?}");
    };
    assert_eq!((*target, source.from, source.chunks.first), (peer(1), peer(2), CHUNKS - 1));
}
