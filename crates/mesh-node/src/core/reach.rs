//! Who is alive and how to get there: what the planner, liveness and topology say to each other.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mesh_delivery::{HandoverInput, Input, Now, Route, TopologyInput, TopologyOutput};
use mesh_membership::{LinkInput, LinkOutput, LivenessInput, LivenessOutput, MemberState};
use mesh_protocol::{
    LinkState, LinkStateVersion, PeerId, ProbeResult, SignedLinkState, UnixMillis,
};

use super::{Core, Wish};

/// Least time between two new beginnings of what is under way to a member whose way wavers.
const RESTART_PAUSE: Duration = Duration::from_secs(2);

impl Core {
    /// Tells the planner something about a link.
    pub(crate) fn plan(&mut self, input: LinkInput, now: Now) {
        self.planner.handle_input(input, now.instant);
        self.collect(now);
    }

    /// A link is up: plan with it and deliver over it.
    pub(crate) fn link_up(&mut self, peer: PeerId, now: Now) {
        self.planner.handle_input(LinkInput::LinkUp { peer }, now.instant);
        self.liveness.handle_input(LivenessInput::LinkUp { peer }, now.instant, now.wall);
        self.topology.handle_input(TopologyInput::LinkUp { peer }, now.instant);
        self.handover.handle_input(HandoverInput::CustodianUp(peer), now.instant);
        self.follow_neighbours([peer]);
        self.exchange.link_up(peer, now.instant);
        self.collect(now);
        self.follow_isolation(now);
    }

    /// A link is gone: what was under way on it has failed.
    pub(crate) fn link_down(&mut self, peer: PeerId, now: Now) {
        self.topology.handle_input(TopologyInput::LinkDown { peer }, now.instant);
        self.liveness.handle_input(LivenessInput::LinkDown { peer }, now.instant, now.wall);
        self.planner.handle_input(LinkInput::LinkDown { peer }, now.instant);
        self.handover.handle_input(HandoverInput::CustodianDown(peer), now.instant);
        self.exchange.link_down(peer, now.instant);
        self.collect(now);
        self.follow_isolation(now);
    }

    /// Another link took the place of the peer's first one: what was under way on that has failed.
    pub(crate) fn link_replaced(&mut self, peer: PeerId, now: Now) {
        self.planner.handle_input(LinkInput::LinkUp { peer }, now.instant);
        self.restart_batches(peer, now);
        // What was under way on the link before may be lost.
        self.exchange.link_down(peer, now.instant);
        self.exchange.link_up(peer, now.instant);
        self.collect(now);
    }

    /// A heartbeat was answered on the peer's link.
    pub(crate) fn heard(&mut self, peer: PeerId, rtt: Option<Duration>, now: Now) {
        self.planner.handle_input(LinkInput::FrameReceived { peer }, now.instant);
        self.liveness.handle_input(LivenessInput::Heard { peer }, now.instant, now.wall);
        if let Some(rtt) = rtt {
            self.topology.handle_input(TopologyInput::RttMeasured { peer, rtt }, now.instant);
        }
        self.collect(now);
    }

    /// A member says whether it reaches another one.
    pub(crate) fn probe_answered(&mut self, helper: PeerId, answer: &ProbeResult, now: Now) {
        let input = LivenessInput::ProbeAnswered {
            nonce: answer.nonce,
            helper,
            is_reached: answer.is_reached,
            incarnation: answer.incarnation,
            last_seen_at: UnixMillis(answer.last_seen_at),
        };
        self.liveness.handle_input(input, now.instant, now.wall);
        self.collect(now);
    }

    /// A probe could not be sent.
    pub(crate) fn probe_unsent(&mut self, helper: PeerId, nonce: u64, now: Now) {
        let input = LivenessInput::ProbeUnsent { nonce, helper };
        self.liveness.handle_input(input, now.instant, now.wall);
        self.collect(now);
    }

    /// This node's links are signed.
    pub(crate) fn published(&mut self, state: SignedLinkState, now: Now) {
        self.topology.handle_input(TopologyInput::Published(state), now.instant);
        self.collect(now);
    }

    /// Whether a link state is worth the check of its signature.
    pub(crate) fn is_news(&self, version: &LinkStateVersion) -> bool {
        self.topology.is_news(version)
    }

    /// A linked member sent link states whose signatures were checked.
    pub(crate) fn link_states_received(
        &mut self,
        from: PeerId,
        states: Vec<(LinkState, SignedLinkState)>,
        now: Now,
    ) {
        let origins: Vec<PeerId> = states.iter().map(|(state, _)| state.origin).collect();
        self.topology.handle_input(TopologyInput::StatesReceived { from, states }, now.instant);
        self.follow_neighbours(origins);
        self.collect(now);
    }

    /// A linked member says which link states it has.
    pub(crate) fn link_state_versions_received(
        &mut self,
        from: PeerId,
        versions: Vec<LinkStateVersion>,
        wants_answer: bool,
        now: Now,
    ) {
        let input = TopologyInput::VersionsReceived { from, versions, wants_answer };
        self.topology.handle_input(input, now.instant);
        self.collect(now);
    }

    /// The member whose link leads to one that has none; none for a link and when nobody reaches it.
    pub(crate) fn next_hop(&self, peer: &PeerId) -> Option<PeerId> {
        self.reach.get(peer)?.first().copied()
    }

    /// The members between this node and another one; empty for a link, none when nobody reaches it.
    pub(crate) fn via(&self, peer: &PeerId) -> Option<&[PeerId]> {
        self.reach.get(peer).map(Vec::as_slice)
    }

    pub(crate) fn member_state(&self, peer: &PeerId) -> Option<MemberState> {
        self.liveness.state(peer).or_else(|| self.large.state(peer))
    }

    /// When a member was last heard of, by whomever.
    pub(crate) fn last_seen_at(&self, peer: &PeerId) -> Option<UnixMillis> {
        self.liveness.last_seen_at(peer).or_else(|| self.large.last_seen_at(peer))
    }

    pub(crate) fn incarnation(&self, peer: &PeerId) -> u64 {
        self.liveness.incarnation(peer)
    }

    /// Whether people are told that the member is active: it is alive, or it was until a moment ago and
    /// others are being asked.
    pub(crate) fn is_active(&self, peer: &PeerId) -> bool {
        match self.member_state(peer) {
            Some(MemberState::Alive) => true,
            Some(MemberState::Suspect) => self.lately_alive.contains(peer),
            Some(MemberState::Down | MemberState::Inactive) | None => false,
        }
    }

    /// Tells the engines of reach who belongs.
    pub(super) fn follow_members(
        &mut self,
        before: &BTreeMap<PeerId, Vec<mesh_protocol::Address>>,
        now: Now,
    ) {
        let judged = self.judged_members(now);
        let seen = judged.into_iter().map(|peer| (peer, self.last_seen.get(&peer).copied()));
        let seen = seen.collect();
        let members = self.dialled.keys().copied();
        let input = LivenessInput::MembersChanged(seen);
        self.liveness.handle_input(input, now.instant, now.wall);
        let input = TopologyInput::MembersChanged(members.clone().collect());
        self.topology.handle_input(input, now.instant);
        self.exchange.members(members.clone().collect(), now.instant);
        self.planner.handle_input(LinkInput::MembersChanged(members.collect()), now.instant);
        for gone in before.keys().filter(|peer| !self.dialled.contains_key(peer)) {
            self.lately_alive.remove(gone);
            self.restarted.remove(gone);
            self.handover.handle_input(HandoverInput::CustodianDown(*gone), now.instant);
        }
        for (peer, addresses) in &self.dialled {
            if before.get(peer).is_some_and(|old| old != addresses) {
                self.planner.handle_input(LinkInput::AddressesChanged { peer: *peer }, now.instant);
            }
        }
    }

    /// Hands on what the engines of reach have to say. True when there was something.
    pub(super) fn collect_reach(&mut self, now: Now) -> bool {
        let mut is_quiet = true;
        while let Some(output) = self.planner.poll_output() {
            is_quiet = false;
            self.wishes.push_back(match output {
                LinkOutput::Dial { peer } => Wish::Dial { peer },
                LinkOutput::Ping { peer } => Wish::Ping { peer },
                LinkOutput::CloseSilent { peer } => Wish::CloseSilent { peer },
                LinkOutput::CutRemoved { peer } => Wish::CutRemoved { peer },
            });
        }
        while let Some(output) = self.liveness.poll_output() {
            is_quiet = false;
            self.take_liveness(output, now);
        }
        while let Some(output) = self.topology.poll_output() {
            is_quiet = false;
            self.take_topology(output, now);
        }
        !is_quiet
    }

    fn take_liveness(&mut self, output: LivenessOutput, now: Now) {
        match output {
            LivenessOutput::Probe { helper, subject, nonce } => {
                self.wishes.push_back(Wish::Probe { helper, subject, nonce });
            }
            LivenessOutput::StateChanged { peer, from, to } => {
                match (from, to) {
                    (MemberState::Alive, MemberState::Suspect) => {
                        self.lately_alive.insert(peer);
                    }
                    _ => {
                        self.lately_alive.remove(&peer);
                    }
                }
                let is_inactive = to == MemberState::Inactive;
                let input = LinkInput::StateChanged { peer, is_inactive };
                self.planner.handle_input(input, now.instant);
                self.wishes.push_back(Wish::StateChanged { peer, from, to });
            }
            LivenessOutput::DialNow { peer } => {
                self.planner.handle_input(LinkInput::DialNow { peer }, now.instant);
            }
            LivenessOutput::Forget { peer, last_seen_at } => {
                self.wishes.push_back(Wish::Forget { peer, last_seen_at });
            }
        }
    }

    fn take_topology(&mut self, output: TopologyOutput, now: Now) {
        match output {
            TopologyOutput::Publish(state) => self.wishes.push_back(Wish::Publish(state)),
            TopologyOutput::SendStates { to, states } => {
                self.wishes.push_back(Wish::SendLinkStates { to, states });
            }
            TopologyOutput::SendVersions { to, versions, wants_answer } => {
                let wish = Wish::SendLinkStateVersions { to, versions, wants_answer };
                self.wishes.push_back(wish);
            }
            TopologyOutput::RouteChanged { peer, route } => self.change_route(peer, route, now),
            TopologyOutput::Announced { peer, incarnation } => {
                let input = LivenessInput::Announced { peer, incarnation, is_fresh: true };
                self.liveness.handle_input(input, now.instant, now.wall);
            }
        }
    }

    fn change_route(&mut self, peer: PeerId, route: Option<Route>, now: Now) {
        let before = match &route {
            Some(route) => self.reach.insert(peer, route.via.clone()),
            None => self.reach.remove(&peer),
        };
        if before.as_ref() == route.as_ref().map(|route| &route.via) {
            return;
        }
        // What is under way through others may find its own way on, and when one way through others follows
        // another it begins anew only now and then: a member that makes ways waver must not have
        // everything sent for ever.
        let goes_on = match (&before, &route) {
            (Some(before), Some(route)) if !before.is_empty() && !route.via.is_empty() => {
                let is_recent = |at: &Instant| now.instant < *at + RESTART_PAUSE;
                self.restarted.get(&peer).is_some_and(is_recent)
            }
            (Some(_) | None, Some(_) | None) => false,
        };
        if before.is_some() && route.is_some() && !goes_on {
            self.restarted.insert(peer, now.instant);
        }
        for outbound in [&mut self.outbound, &mut self.held.outbound] {
            if before.is_some() && !goes_on {
                outbound.handle_input(Input::PeerDown(peer), now);
            }
            if route.is_some() {
                outbound.handle_input(Input::PeerUp(peer), now);
            }
        }
        match (before.is_some(), route.is_some()) {
            (false, true) => {
                self.handover.handle_input(HandoverInput::ReceiverUp(peer), now.instant);
                self.tell_receipts(peer, now);
            }
            (true, false) => {
                self.handover.handle_input(HandoverInput::ReceiverDown(peer), now.instant);
            }
            (true, true) | (false, false) => {}
        }
    }

    /// What was under way to the peer has failed; it goes again at once.
    fn restart_batches(&mut self, peer: PeerId, now: Now) {
        for outbound in [&mut self.outbound, &mut self.held.outbound] {
            outbound.handle_input(Input::PeerDown(peer), now);
            outbound.handle_input(Input::PeerUp(peer), now);
        }
    }
}
