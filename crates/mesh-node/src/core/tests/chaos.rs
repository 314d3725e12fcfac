//! Members that are parted, paused, delayed and killed while they send; then everything heals.

use std::time::Duration;

use mesh_delivery::Priority;
use mesh_membership::LinkConfig;
use mesh_testkit::NodeId;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use super::member::Relaying;
use super::world::World;

/// How long the mesh is troubled.
const TROUBLE: Duration = Duration::from_secs(180);

/// How long it may take until nothing is left to be done.
const HEALING: Duration = Duration::from_secs(120);

const ROUGH: Relaying =
    Relaying { loss: 0.05, duplication: 0.05, lateness: 0.2, deferral: 0.02, is_keyless: false };

/// What a mesh has to bear.
#[derive(Clone, Copy)]
struct Hardship {
    members: usize,
    /// Wall clocks are ahead or behind by up to so many milliseconds.
    skew: i64,
    has_kills: bool,
}

const PARTS: Hardship = Hardship { members: 6, skew: 0, has_kills: false };

/// A troubled mesh and the chance that troubles it.
struct Chaos {
    world: World,
    rng: StdRng,
    members: usize,
    has_kills: bool,
}

impl Chaos {
    fn new(seed: u64, links: &LinkConfig, hardship: Hardship) -> Self {
        let Hardship { members, skew, has_kills } = hardship;
        let mut rng = StdRng::seed_from_u64(seed);
        let skews: Vec<i64> = (0..members).map(|_| rng.random_range(-skew..=skew)).collect();
        let world = World::new(seed, members, links, ROUGH, &skews);
        Self { world, rng, members, has_kills }
    }

    /// Lives through it all, and is found in order.
    fn live_through(seed: u64, hardship: Hardship) -> Self {
        let mut chaos = Self::new(seed, &LinkConfig::default(), hardship);
        chaos.run();
        chaos.heal();
        chaos
    }

    fn any(&mut self) -> usize {
        self.rng.random_range(0..self.members)
    }

    /// Sends a message to one or more others.
    fn send(&mut self) {
        let from = self.any();
        if !self.world.is_running(from) {
            return;
        }
        let mut others: Vec<usize> = (0..self.members).filter(|other| *other != from).collect();
        others.shuffle(&mut self.rng);
        others.truncate(if self.rng.random_bool(0.2) { self.members } else { 1 });
        let priority = Priority::ALL[self.rng.random_range(0..3)];
        self.world.send(from, &others, priority);
    }

    fn trouble(&mut self) {
        let number = self.any();
        let mut all: Vec<NodeId> = (0..self.members).map(NodeId).collect();
        all.shuffle(&mut self.rng);
        let (left, right) = all.split_at(self.rng.random_range(1..self.members));
        let network = self.world.mesh.network_mut();
        match self.rng.random_range(0..8) {
            0 => network.partition(left, right),
            1 => network.partition(&all[..1], &all[1..3]),
            2 => network.cut(&all[..1], &all[1..2]),
            3 | 4 => network.heal(),
            5 => self.world.mesh.pause(NodeId(number)),
            6 if self.has_kills && self.world.is_running(number) => self.world.off(number),
            _ => self.wake(number),
        }
    }

    /// Ends a pause, or a killed member's absence.
    fn wake(&mut self, number: usize) {
        self.world.mesh.resume(NodeId(number));
        if !self.world.is_running(number) {
            self.world.on(number);
        }
    }

    fn run(&mut self) {
        let end = self.world.mesh.network().elapsed() + TROUBLE;
        let mut troubled_at = Duration::ZERO;
        while self.world.mesh.network().elapsed() < end {
            self.send();
            if self.world.mesh.network().elapsed() >= troubled_at {
                self.trouble();
                let pause = Duration::from_millis(self.rng.random_range(100..12_000));
                troubled_at = self.world.mesh.network().elapsed() + pause;
            }
            let pause = Duration::from_millis(self.rng.random_range(50..1_000));
            self.world.mesh.run_for(pause);
        }
    }

    fn heal(&mut self) {
        self.world.mesh.network_mut().heal();
        self.world.calm();
        (0..self.members).for_each(|number| self.wake(number));
        self.world.await_that("all is delivered and all are alive", HEALING, |world| {
            world.is_quiet() && world.are_all_alive()
        });
        self.world.check_promises();
        assert!(self.world.promises.len() > 100);
        let has_relayed = |world: &World| world.mesh.nodes().any(|(_, node)| node.links_max > 1);
        assert!(has_relayed(&self.world), "nothing went through others");
        let has_kept =
            |world: &World| world.mesh.nodes().any(|(_, node)| !node.disk.custody.is_empty());
        assert!(has_kept(&self.world), "nobody kept anything for others");
    }
}

#[test]
fn after_partitions_and_pauses_every_message_has_arrived_once_and_all_are_alive() {
    for seed in 1..=4 {
        Chaos::live_through(seed, PARTS);
    }
}

#[test]
fn clocks_that_differ_by_minutes_change_nothing_of_that() {
    for seed in 11..=13 {
        Chaos::live_through(seed, Hardship { skew: 140_000, ..PARTS });
    }
}

#[test]
fn members_that_are_killed_and_started_again_keep_every_promise() {
    for seed in 21..=24 {
        Chaos::live_through(seed, Hardship { skew: 140_000, has_kills: true, ..PARTS });
    }
}

#[test]
fn a_mesh_without_links_between_all_lives_through_the_same() {
    let links = LinkConfig { full_mesh_max: 8, degree: 4, ..LinkConfig::default() };
    for seed in 41..=42 {
        let hardship = Hardship { members: 12, skew: 140_000, has_kills: true };
        let mut chaos = Chaos::new(seed, &links, hardship);
        chaos.run();
        chaos.heal();
    }
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_one_another() {
    let trace = |seed| {
        let hardship = Hardship { skew: 140_000, has_kills: true, ..PARTS };
        Chaos::live_through(seed, hardship).world.trace()
    };
    let first = trace(31);
    assert_eq!(first, trace(31));
    assert_ne!(first, trace(32));
}
