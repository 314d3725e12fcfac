mod gossip;
mod graph;
mod links;
mod ports;
mod rate;
mod schedule;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use mesh_protocol::{LinkState, LinkStateVersion, MeshId, PeerId, SignedLinkState};

use gossip::{Answered, Kept};
use graph::Graph;
use links::Changes;
use schedule::Schedule;

pub use ports::{Route, TopologyConfig, TopologyInput, TopologyOutput};

/// Knows who reaches whom, and the best way from this node to every member.
///
/// Each node states its own links; the statements are signed, spread from neighbour to neighbour and
/// compared from time to time, so that what was lost is made up for. A link between two others counts
/// when both state it: one liar alone cannot draw traffic to itself.
///
/// Holds one statement per member, and no key, socket, clock or task.
#[derive(Debug)]
pub struct Topology {
    me: PeerId,
    mesh_id: MeshId,
    incarnation: u64,
    /// The highest that was asked to be published within the incarnation.
    version: u64,
    config: TopologyConfig,
    members: BTreeSet<PeerId>,
    /// Links of this node with their round trips in microseconds, 0 for unknown: not the latest ones but
    /// those that were worth telling, so that ways do not waver with every measurement.
    links: BTreeMap<PeerId, u32>,
    /// The latest round trips of each link, in microseconds.
    samples: BTreeMap<PeerId, VecDeque<u32>>,
    changes: Option<Changes>,
    /// Round trips have changed since the last statement.
    has_new_rtts: bool,
    /// When the links were last stated.
    published_at: Option<Instant>,
    /// The last statement that was asked to be signed.
    asked: Option<LinkState>,
    /// A statement of this node with a higher version is about.
    is_outranked: bool,
    /// The last statement that was signed.
    own: Option<(LinkStateVersion, SignedLinkState)>,
    /// The last statement of each other member.
    states: BTreeMap<PeerId, Kept>,
    /// When versions are next compared, for each link whose comparisons this end begins.
    comparisons: Schedule,
    /// When each member was last answered, since it has its link.
    answered: BTreeMap<PeerId, Answered>,
    graph: Graph,
    /// The graph has changed since the routes were found. False between calls.
    is_stale: bool,
    routes: BTreeMap<PeerId, Route>,
    outputs: VecDeque<TopologyOutput>,
}

impl Topology {
    /// Starts without members and links. Equal inputs give equal outputs.
    #[must_use]
    pub fn new(me: PeerId, mesh_id: MeshId, incarnation: u64, config: TopologyConfig) -> Self {
        Self {
            me,
            mesh_id,
            incarnation,
            version: 0,
            config: config.clamped(),
            members: BTreeSet::new(),
            links: BTreeMap::new(),
            samples: BTreeMap::new(),
            changes: None,
            has_new_rtts: false,
            published_at: None,
            asked: None,
            is_outranked: false,
            own: None,
            states: BTreeMap::new(),
            comparisons: Schedule::default(),
            answered: BTreeMap::new(),
            graph: Graph::default(),
            is_stale: false,
            routes: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes a fact in. The driver empties [`Topology::poll_output`] before the next one.
    pub fn handle_input(&mut self, input: TopologyInput, now: Instant) {
        match input {
            TopologyInput::MembersChanged(members) => self.change_members(members, now),
            TopologyInput::LinkUp { peer } => self.link_up(peer, now),
            TopologyInput::LinkDown { peer } => self.link_down(&peer, now),
            TopologyInput::RttMeasured { peer, rtt } => self.measure(&peer, rtt, now),
            TopologyInput::Published(signed) => self.take_signed(signed),
            TopologyInput::StatesReceived { from, states } => self.take_states(from, states, now),
            TopologyInput::VersionsReceived { from, versions, wants_answer } => {
                self.take_versions(from, &versions, wants_answer, now);
            }
            TopologyInput::CompareNow => self.compare_now(),
        }
        self.find_routes();
    }

    /// Moves time forward. Early, late and repeated calls are all harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.publish_if_due(now);
        self.compare_if_due(now);
    }

    /// When [`Topology::handle_timeout`] wants to be called; none while there is nothing to wait for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.publish_due().into_iter().chain(self.comparisons.first()).min()
    }

    /// Gives the next wish out, oldest first.
    pub fn poll_output(&mut self) -> Option<TopologyOutput> {
        self.outputs.pop_front()
    }

    /// The best way to a member; none when no way is known, or none that is short enough.
    #[must_use]
    pub fn route(&self, peer: &PeerId) -> Option<&Route> {
        self.routes.get(peer)
    }

    /// Whether a statement says something that is not known here. The driver checks the signatures of
    /// news alone. Of this node's own statements, those are news that it does not remember.
    #[must_use]
    pub fn is_news(&self, version: &LinkStateVersion) -> bool {
        let LinkStateVersion { origin, incarnation, version } = *version;
        if origin == self.me {
            return (incarnation, version) > (self.incarnation, self.version);
        }
        let is_newer =
            |kept: &Kept| (incarnation, version) > (kept.state.incarnation, kept.state.version);
        self.members.contains(&origin) && self.states.get(&origin).is_none_or(is_newer)
    }

    /// The other members that state a link to this peer, by id.
    #[must_use]
    pub fn reached_by(&self, peer: &PeerId) -> Vec<PeerId> {
        let lists = |kept: &&Kept| kept.state.neighbours.binary_search_by_key(peer, |n| n.peer);
        let states = self.states.values().filter(|kept| lists(kept).is_ok());
        states.map(|kept| kept.state.origin).collect()
    }

    /// Turns to another mesh: everything is forgotten, links too. Versions go on growing.
    pub fn set_mesh(&mut self, mesh_id: MeshId) {
        if mesh_id == self.mesh_id {
            return;
        }
        let (version, incarnation) = (self.version, self.incarnation);
        let mut outputs = std::mem::take(&mut self.outputs);
        for peer in std::mem::take(&mut self.routes).into_keys() {
            outputs.push_back(TopologyOutput::RouteChanged { peer, route: None });
        }
        let config = self.config.clone();
        *self = Self { version, outputs, ..Self::new(self.me, mesh_id, incarnation, config) };
    }

    /// The version of the last statement of this node's own; 0 before the first.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    fn change_members(&mut self, members: BTreeSet<PeerId>, now: Instant) {
        if members == self.members {
            return;
        }
        let before = std::mem::replace(&mut self.members, members);
        self.states.retain(|origin, _| self.members.contains(origin));
        self.comparisons.retain(&self.members);
        self.answered.retain(|peer, _| self.members.contains(peer));
        let others = self.members.iter().filter(|peer| **peer != self.me);
        self.graph = Graph::of(others.copied().collect());
        for (origin, kept) in &self.states {
            self.graph.claim(origin, &kept.state.neighbours);
        }
        self.is_stale = true;
        self.links_changed(now);
        for peer in self.linked_members() {
            if !before.contains(&peer) {
                self.meet(peer, now);
            }
        }
    }

    fn linked_members(&self) -> Vec<PeerId> {
        self.links.keys().filter(|peer| self.members.contains(*peer)).copied().collect()
    }

    /// Finds the ways anew when the graph has changed, and tells those that lead through others than before.
    fn find_routes(&mut self) {
        if !std::mem::take(&mut self.is_stale) {
            return;
        }
        let mut before = std::mem::take(&mut self.routes);
        for (peer, path) in self.graph.paths() {
            let Some(path) = path else { continue };
            let rtt = path.rtt();
            let known = before.remove(peer);
            let is_same =
                known.as_ref().is_some_and(|known| known.via.iter().eq(self.graph.names(&path)));
            let route = match known {
                Some(known) if is_same => Route { rtt, ..known },
                Some(_) | None => Route { via: self.graph.names(&path).copied().collect(), rtt },
            };
            if !is_same {
                let (peer, route) = (*peer, Some(route.clone()));
                self.outputs.push_back(TopologyOutput::RouteChanged { peer, route });
            }
            self.routes.insert(*peer, route);
        }
        for peer in before.into_keys() {
            self.outputs.push_back(TopologyOutput::RouteChanged { peer, route: None });
        }
    }
}

#[cfg(test)]
mod tests;
