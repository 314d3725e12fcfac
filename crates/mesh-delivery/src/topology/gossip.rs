//! The link states of others: kept, passed on and compared.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mesh_protocol::{
    LINK_STATE_VERSIONS_MAX, LINK_STATES_PER_FRAME_MAX, LinkState, LinkStateVersion, PeerId,
    SignedLinkState,
};

use crate::mix::mix;

use super::rate::Rate;
use super::{Topology, TopologyOutput};

/// How long a comparison with a member is not answered in the same way again: whoever claims over and
/// over to know nothing is not sent everything over and over.
const ANSWER_WAIT: Duration = Duration::from_secs(2);

/// The last word of a member.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) state: LinkState,
    pub(super) signed: SignedLinkState,
    rate: Rate,
}

/// When a member was last answered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Answered {
    /// With what it lacked.
    gave: Option<Instant>,
    /// With what is here, because it seemed to have more. That what it lacks has just left is no reason
    /// not to ask.
    asked: Option<Instant>,
}

impl Topology {
    pub(super) fn take_states(
        &mut self,
        from: PeerId,
        states: Vec<(LinkState, SignedLinkState)>,
        now: Instant,
    ) {
        let linked = self.linked_members();
        let mut onward: BTreeMap<PeerId, Vec<SignedLinkState>> = BTreeMap::new();
        for (state, signed) in states {
            if state.mesh_id != self.mesh_id || !self.is_news(&state.version()) {
                continue;
            }
            let (origin, incarnation) = (state.origin, state.incarnation);
            if origin == self.me {
                self.outrank(&state, now);
                continue;
            }
            let rate = self.states.get(&origin).map(|kept| kept.rate);
            let mut rate = rate.unwrap_or_else(|| Rate::new(now));
            if !rate.take(now) {
                // A comparison brings its last word when it has calmed down.
                continue;
            }
            for &to in &linked {
                // Its neighbours have it from the origin itself.
                let is_neighbour = state.neighbours.binary_search_by_key(&to, |n| n.peer).is_ok();
                if to != from && to != origin && !is_neighbour {
                    onward.entry(to).or_default().push(signed.clone());
                }
            }
            self.is_stale |= self.graph.claim(&origin, &state.neighbours);
            // The first one may be days old: a comparison brings it to every newcomer.
            if self.states.insert(origin, Kept { state, signed, rate }).is_some() {
                self.outputs.push_back(TopologyOutput::Announced { peer: origin, incarnation });
            }
        }
        for (to, states) in onward {
            self.send_states(to, &states);
        }
    }

    fn send_states(&mut self, to: PeerId, states: &[SignedLinkState]) {
        for states in states.chunks(LINK_STATES_PER_FRAME_MAX) {
            self.outputs.push_back(TopologyOutput::SendStates { to, states: states.to_vec() });
        }
    }

    /// A member is linked: of the two ends one begins, which is enough for both to learn.
    pub(super) fn meet(&mut self, peer: PeerId, now: Instant) {
        if self.me < peer && self.members.contains(&peer) {
            self.send_versions(peer, true);
            self.comparisons.set(peer, now + self.first_wait(&peer));
        }
    }

    /// Between half of the usual wait and all of it, depending on both ends: links that came up together
    /// are not compared together.
    fn first_wait(&self, peer: &PeerId) -> Duration {
        let part = u32::try_from(mix(&self.me, peer) % 512).unwrap_or(0);
        self.config.compare_every * (512 + part) / 1024
    }

    pub(super) fn compare_if_due(&mut self, now: Instant) {
        while let Some(peer) = self.comparisons.take_due(now) {
            self.comparisons.set(peer, now + self.config.compare_every);
            self.send_versions(peer, true);
        }
    }

    pub(super) fn compare_now(&mut self) {
        for peer in self.linked_members() {
            self.send_versions(peer, true);
        }
    }

    pub(super) fn take_versions(
        &mut self,
        from: PeerId,
        versions: &[LinkStateVersion],
        wants_answer: bool,
        now: Instant,
    ) {
        if !self.members.contains(&from) {
            return;
        }
        let mut answered = self.answered.get(&from).copied().unwrap_or_default();
        let has_waited = |last: Option<Instant>| last.is_none_or(|last| last + ANSWER_WAIT <= now);
        if has_waited(answered.gave) {
            let newer = self.newer_than(versions);
            if !newer.is_empty() {
                answered.gave = Some(now);
                self.send_states(from, &newer);
            }
        }
        let has_news = || versions.iter().any(|version| self.is_news(version));
        if wants_answer && has_waited(answered.asked) && has_news() {
            answered.asked = Some(now);
            self.send_versions(from, false);
        }
        self.answered.insert(from, answered);
    }

    fn newer_than(&self, versions: &[LinkStateVersion]) -> Vec<SignedLinkState> {
        let theirs: BTreeMap<PeerId, (u64, u64)> = versions
            .iter()
            .map(|version| (version.origin, (version.incarnation, version.version)))
            .collect();
        let newer = self.known().filter(|(version, _)| {
            let here = (version.incarnation, version.version);
            theirs.get(&version.origin).is_none_or(|there| *there < here)
        });
        newer.map(|(_, signed)| signed.clone()).collect()
    }

    fn send_versions(&mut self, to: PeerId, wants_answer: bool) {
        let versions = self.known().map(|(version, _)| version).take(LINK_STATE_VERSIONS_MAX);
        let versions = versions.collect();
        self.outputs.push_back(TopologyOutput::SendVersions { to, versions, wants_answer });
    }

    /// Everything that others may lack, the own word first.
    fn known(&self) -> impl Iterator<Item = (LinkStateVersion, &SignedLinkState)> {
        let own = self.own.iter().map(|(version, signed)| (*version, signed));
        own.chain(self.states.values().map(|kept| (kept.state.version(), &kept.signed)))
    }
}
