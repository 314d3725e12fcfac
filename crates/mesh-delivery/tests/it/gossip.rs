//! Nodes that tell each other their links over a network which loses and reorders. Every route that is
//! told is checked at once: it leads over members, without a loop, and is what the engine says when asked.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use mesh_delivery::{Route, Topology, TopologyConfig, TopologyInput, TopologyOutput};
use mesh_protocol::{
    HOPS_MAX, LINK_STATES_PER_FRAME_MAX, LinkStateVersion, MeshId, PeerId, Signature,
    SignedLinkState,
};

pub(crate) const NODES: usize = 10;

const MESH: MeshId = MeshId::from_bytes([7; 32]);

#[derive(Debug)]
enum Word {
    States(Vec<SignedLinkState>),
    Versions(Vec<LinkStateVersion>, bool),
}

#[derive(Debug)]
struct Node {
    engine: Topology,
    /// What the engine has told about ways.
    told: BTreeMap<PeerId, Route>,
}

#[derive(Debug)]
pub(crate) struct Gossip {
    nodes: Vec<Node>,
    now: Instant,
    members: BTreeSet<PeerId>,
    links: BTreeSet<(usize, usize)>,
    wire: Vec<(usize, usize, Word)>,
    /// The last word of each node.
    said: BTreeMap<usize, LinkStateVersion>,
    restarts: u64,
    log: Vec<(usize, TopologyOutput)>,
}

fn peer_id(node: usize) -> PeerId {
    PeerId::from_bytes([u8::try_from(node).unwrap() + 1; 32])
}

fn index_of(peer: PeerId) -> usize {
    usize::from(peer.as_bytes()[0]) - 1
}

#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made from a number")]
fn some_instant() -> Instant {
    Instant::now()
}

fn engine(node: usize, incarnation: u64) -> Topology {
    Topology::new(peer_id(node), MESH, incarnation, TopologyConfig::default())
}

impl Gossip {
    pub(crate) fn new() -> Self {
        Self::starting_at(some_instant())
    }

    /// The same mesh, as it was before its first step.
    pub(crate) fn clone_unused(&self) -> Self {
        Self::starting_at(self.now)
    }

    fn starting_at(now: Instant) -> Self {
        let nodes = (0..NODES).map(|node| Node { engine: engine(node, 50), told: BTreeMap::new() });
        let mut gossip = Self {
            nodes: nodes.collect(),
            now,
            members: BTreeSet::new(),
            links: BTreeSet::new(),
            wire: Vec::new(),
            said: BTreeMap::new(),
            restarts: 0,
            log: Vec::new(),
        };
        gossip.members(0);
        gossip
    }

    pub(crate) fn log(&self) -> &[(usize, TopologyOutput)] {
        &self.log
    }

    pub(crate) fn up(&mut self, a: usize, b: usize) {
        if a != b && self.links.insert((a.min(b), a.max(b))) {
            self.input(a, TopologyInput::LinkUp { peer: peer_id(b) });
            self.input(b, TopologyInput::LinkUp { peer: peer_id(a) });
        }
    }

    pub(crate) fn down(&mut self, a: usize, b: usize) {
        if self.links.remove(&(a.min(b), a.max(b))) {
            self.wire.retain(|(from, to, _)| (*from, *to) != (a, b) && (*from, *to) != (b, a));
            self.input(a, TopologyInput::LinkDown { peer: peer_id(b) });
            self.input(b, TopologyInput::LinkDown { peer: peer_id(a) });
        }
    }

    pub(crate) fn measure(&mut self, a: usize, b: usize, millis: u64) {
        let rtt = Duration::from_millis(millis);
        self.input(a, TopologyInput::RttMeasured { peer: peer_id(b), rtt });
    }

    /// Whoever has a bit in `absent` does not belong; at most a third of them.
    pub(crate) fn members(&mut self, absent: u16) {
        let absent = absent & absent >> 3 & absent >> 6;
        let present = (0..NODES).filter(|node| absent >> node & 1 == 0);
        self.members = present.map(peer_id).collect();
        for node in 0..NODES {
            self.input(node, TopologyInput::MembersChanged(self.members.clone()));
        }
    }

    /// A node loses its memory and its links, and comes back; its clock may have gone back as well.
    pub(crate) fn restart(&mut self, node: usize) {
        let links: Vec<_> =
            self.links.iter().copied().filter(|(a, b)| *a == node || *b == node).collect();
        for (a, b) in &links {
            self.down(*a, *b);
        }
        self.restarts += 1;
        let incarnation = (50 + 37 * self.restarts) % 101;
        self.nodes[node] = Node { engine: engine(node, incarnation), told: BTreeMap::new() };
        self.input(node, TopologyInput::MembersChanged(self.members.clone()));
        for (a, b) in links {
            self.up(a, b);
        }
    }

    pub(crate) fn compare_now(&mut self, node: usize) {
        self.input(node, TopologyInput::CompareNow);
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
        for node in 0..NODES {
            self.nodes[node].engine.handle_timeout(self.now);
            self.perform(node);
            let timeout = self.nodes[node].engine.poll_timeout();
            assert!(timeout.is_none_or(|timeout| timeout > self.now), "a busy loop");
        }
    }

    pub(crate) fn lose(&mut self, pick: usize) {
        if !self.wire.is_empty() {
            self.wire.swap_remove(pick % self.wire.len());
        }
    }

    pub(crate) fn deliver(&mut self, pick: usize) {
        if self.wire.is_empty() {
            return;
        }
        let (from, to, word) = self.wire.swap_remove(pick % self.wire.len());
        let from = peer_id(from);
        let input = match word {
            Word::Versions(versions, wants_answer) => {
                TopologyInput::VersionsReceived { from, versions, wants_answer }
            }
            Word::States(states) => {
                let states = states.into_iter().map(|signed| (signed.peek().unwrap(), signed));
                TopologyInput::StatesReceived { from, states: states.collect() }
            }
        };
        self.input(to, input);
    }

    fn input(&mut self, node: usize, input: TopologyInput) {
        self.nodes[node].engine.handle_input(input, self.now);
        self.perform(node);
    }

    fn perform(&mut self, node: usize) {
        while let Some(output) = self.nodes[node].engine.poll_output() {
            self.log.push((node, output.clone()));
            match output {
                TopologyOutput::Publish(state) => {
                    self.said.insert(node, state.version());
                    let body = state.encode().unwrap();
                    let signed =
                        SignedLinkState { body, signature: Signature::from_bytes([1; 64]) };
                    self.input(node, TopologyInput::Published(signed));
                }
                TopologyOutput::SendStates { to, states } => {
                    assert!(!states.is_empty() && states.len() <= LINK_STATES_PER_FRAME_MAX);
                    self.send(node, to, Word::States(states));
                }
                TopologyOutput::SendVersions { to, versions, wants_answer } => {
                    self.send(node, to, Word::Versions(versions, wants_answer));
                }
                TopologyOutput::RouteChanged { peer, route } => self.learn(node, peer, route),
                TopologyOutput::Announced { peer, .. } => assert!(self.members.contains(&peer)),
            }
        }
        for peer in (0..NODES).map(peer_id) {
            let asked = self.nodes[node].engine.route(&peer).map(|route| &route.via);
            let told = self.nodes[node].told.get(&peer).map(|route| &route.via);
            assert_eq!(asked, told);
        }
    }

    fn send(&mut self, from: usize, to: PeerId, word: Word) {
        let to = index_of(to);
        // An answer to what came over a link that is gone by now is lost.
        if self.links.contains(&(from.min(to), from.max(to))) {
            self.wire.push((from, to, word));
        }
    }

    fn learn(&mut self, node: usize, peer: PeerId, route: Option<Route>) {
        let told = &mut self.nodes[node].told;
        assert_ne!(told.get(&peer), route.as_ref(), "no change");
        let Some(route) = route else {
            told.remove(&peer);
            return;
        };
        assert!(route.via.len() < HOPS_MAX);
        let mut on_way: BTreeSet<PeerId> = route.via.iter().copied().collect();
        assert!(on_way.is_subset(&self.members), "through strangers");
        assert!(on_way.insert(peer) && on_way.insert(peer_id(node)), "a loop");
        assert_eq!(on_way.len(), route.via.len() + 2, "a loop");
        told.insert(peer, route);
    }

    /// What is on the wire is lost. Then everybody publishes and compares until nobody lacks anything, and
    /// all of that arrives, in an order that `seed` decides.
    pub(crate) fn recover(&mut self, mut seed: u64) {
        self.pass(Duration::from_secs(4));
        self.wire.clear();
        for _ in 0..NODES {
            let before = self.log.len();
            for node in 0..NODES {
                self.compare_now(node);
            }
            for _ in 0..100_000 {
                if self.wire.is_empty() {
                    break;
                }
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                self.deliver(usize::try_from(seed >> 33).unwrap());
            }
            assert!(self.wire.is_empty(), "they never fall silent");
            // Whoever restarted has learned what it said before, and goes above it. Nobody answers in the
            // same way twice at once, and of a talkative node not everything was taken.
            self.pass(Duration::from_secs(4));
            let is_news = |(_, output): &(usize, TopologyOutput)| {
                matches!(output, TopologyOutput::SendStates { .. } | TopologyOutput::Publish(_))
            };
            if !self.log[before..].iter().any(is_news) {
                return;
            }
        }
        panic!("they never agree");
    }

    /// The nodes that are members.
    pub(crate) fn present(&self) -> Vec<usize> {
        self.members.iter().map(|peer| index_of(*peer)).collect()
    }

    pub(crate) fn route(&self, from: usize, to: usize) -> Option<&[PeerId]> {
        self.nodes[from].engine.route(&peer_id(to)).map(|route| route.via.as_slice())
    }

    /// Whether `node` has the last word of `origin`.
    pub(crate) fn knows(&self, node: usize, origin: usize) -> bool {
        let engine = &self.nodes[node].engine;
        self.said.get(&origin).is_none_or(|last| {
            let next = LinkStateVersion { version: last.version + 1, ..*last };
            !engine.is_news(last) && engine.is_news(&next)
        })
    }

    /// How many links over members lie between `start` and each node.
    pub(crate) fn distances(&self, start: usize) -> Vec<Option<usize>> {
        let mut distances = vec![None; NODES];
        distances[start] = Some(0);
        let mut queue = VecDeque::from([start]);
        while let Some(node) = queue.pop_front() {
            for other in self.present() {
                let is_linked = self.links.contains(&(node.min(other), node.max(other)));
                if is_linked && distances[other].is_none() {
                    distances[other] = distances[node].map(|links: usize| links + 1);
                    queue.push_back(other);
                }
            }
        }
        distances
    }
}
