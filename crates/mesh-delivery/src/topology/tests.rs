use std::time::Duration;

use mesh_protocol::{Neighbour, Signature};

use super::*;

mod gossip;
mod links;
mod routes;

const MESH: MeshId = MeshId::from_bytes([7; 32]);
const INCARNATION: u64 = 5;
/// This node; smaller than every peer that the tests name.
const ME: PeerId = id(0);

const fn id(number: u8) -> PeerId {
    PeerId::from_bytes([number; 32])
}

#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made from a number")]
fn some_instant() -> Instant {
    Instant::now()
}

/// An engine, its clock, and short words for what a driver does.
struct Desk {
    engine: Topology,
    now: Instant,
}

impl Desk {
    /// In a mesh of this node and the peers 1 to 9, without links.
    fn new() -> Self {
        let config = TopologyConfig::default();
        let engine = Topology::new(ME, MESH, INCARNATION, config);
        let mut desk = Self { engine, now: some_instant() };
        desk.members(0..10);
        desk
    }

    /// With these links, and its statement published.
    fn linked(peers: &[u8]) -> Self {
        let mut desk = Self::new();
        for peer in peers {
            desk.up(*peer);
        }
        desk.publish();
        desk.outputs();
        desk
    }

    fn input(&mut self, input: TopologyInput) {
        self.engine.handle_input(input, self.now);
    }

    fn members(&mut self, peers: impl IntoIterator<Item = u8>) {
        self.input(TopologyInput::MembersChanged(peers.into_iter().map(id).collect()));
    }

    fn up(&mut self, peer: u8) {
        self.input(TopologyInput::LinkUp { peer: id(peer) });
    }

    fn down(&mut self, peer: u8) {
        self.input(TopologyInput::LinkDown { peer: id(peer) });
    }

    fn measured(&mut self, peer: u8, millis: u64) {
        let rtt = Duration::from_millis(millis);
        self.input(TopologyInput::RttMeasured { peer: id(peer), rtt });
    }

    fn receive(&mut self, from: u8, states: &[LinkState]) {
        let states = states.iter().map(|state| (state.clone(), signed(state))).collect();
        self.input(TopologyInput::StatesReceived { from: id(from), states });
    }

    fn versions(&mut self, from: u8, versions: &[LinkStateVersion], wants_answer: bool) {
        let versions = versions.to_vec();
        self.input(TopologyInput::VersionsReceived { from: id(from), versions, wants_answer });
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.engine.handle_timeout(self.now);
    }

    /// Passes the usual delay and signs what is to be published, if anything is.
    fn publish(&mut self) -> Option<LinkState> {
        self.pass(TopologyConfig::default().publish_delay);
        let asked = self.outputs().into_iter().find_map(|output| match output {
            TopologyOutput::Publish(state) => Some(state),
            TopologyOutput::SendStates { .. }
            | TopologyOutput::SendVersions { .. }
            | TopologyOutput::RouteChanged { .. }
            | TopologyOutput::Announced { .. } => None,
        });
        if let Some(state) = &asked {
            self.input(TopologyInput::Published(signed(state)));
        }
        asked
    }

    fn outputs(&mut self) -> Vec<TopologyOutput> {
        std::iter::from_fn(|| self.engine.poll_output()).collect()
    }

    /// To whom which states are to be sent, by their versions.
    fn sent(&mut self) -> Vec<(PeerId, Vec<LinkStateVersion>)> {
        let of = |states: Vec<SignedLinkState>| {
            states.iter().map(|signed| signed.peek().unwrap().version()).collect()
        };
        let sent = self.outputs().into_iter().filter_map(|output| match output {
            TopologyOutput::SendStates { to, states } => Some((to, of(states))),
            TopologyOutput::Publish(_)
            | TopologyOutput::SendVersions { .. }
            | TopologyOutput::RouteChanged { .. }
            | TopologyOutput::Announced { .. } => None,
        });
        sent.collect()
    }

    fn route(&self, peer: u8) -> Option<Vec<PeerId>> {
        self.engine.route(&id(peer)).map(|route| route.via.clone())
    }
}

fn signed(state: &LinkState) -> SignedLinkState {
    SignedLinkState { body: state.encode().unwrap(), signature: Signature::from_bytes([1; 64]) }
}

/// What `origin` says: its links, each with the round trip in milliseconds, 0 for unknown.
fn state_with_rtts(origin: u8, version: u64, neighbours: &[(u8, u32)]) -> LinkState {
    let mut neighbours: Vec<Neighbour> = neighbours
        .iter()
        .map(|(peer, millis)| Neighbour { peer: id(*peer), rtt_micros: millis * 1000 })
        .collect();
    neighbours.sort_by_key(|neighbour| neighbour.peer);
    LinkState { mesh_id: MESH, origin: id(origin), incarnation: 1, version, neighbours }
}

fn state(origin: u8, version: u64, neighbours: &[u8]) -> LinkState {
    let neighbours: Vec<(u8, u32)> = neighbours.iter().map(|peer| (*peer, 0)).collect();
    state_with_rtts(origin, version, &neighbours)
}

fn changed(peer: u8, via: Option<&[u8]>) -> TopologyOutput {
    let route = via.map(|via| Route { via: via.iter().copied().map(id).collect(), rtt: None });
    TopologyOutput::RouteChanged { peer: id(peer), route }
}
