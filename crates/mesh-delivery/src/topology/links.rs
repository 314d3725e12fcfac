//! The links of this node itself, and when they are published.

use std::time::{Duration, Instant};

use mesh_protocol::{LinkState, NEIGHBOURS_MAX, Neighbour, PeerId, SignedLinkState};

use super::{Topology, TopologyOutput};

/// Round trips of one link that are remembered.
const SAMPLES_MAX: usize = 8;

/// How long changes that never cease may hold publishing back.
const PUBLISH_WAIT_MAX: Duration = Duration::from_secs(1);

/// By how much a statement of an earlier life is outranked. Later ones of that life may still be with
/// somebody, and must not have the version of a new one that says something else.
const OUTRANK_STEP: u64 = 1 << 20;

/// Changes that were not published yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Changes {
    first: Instant,
    last: Instant,
}

impl Topology {
    pub(super) fn link_up(&mut self, peer: PeerId, now: Instant) {
        if peer == self.me || self.links.contains_key(&peer) {
            return;
        }
        self.links.insert(peer, 0);
        self.links_changed(now);
        self.meet(peer, now);
    }

    pub(super) fn link_down(&mut self, peer: &PeerId, now: Instant) {
        if self.links.remove(peer).is_some() {
            self.comparisons.remove(peer);
            self.answered.remove(peer);
            self.samples.remove(peer);
            self.links_changed(now);
        }
    }

    pub(super) fn measure(&mut self, peer: &PeerId, rtt: Duration, now: Instant) {
        let rtt_micros = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX).max(1);
        let (factor, step) = (self.config.rtt_factor, self.config.rtt_step);
        let Some(known) = self.links.get_mut(peer) else { return };
        let samples = self.samples.entry(*peer).or_default();
        samples.push_back(rtt_micros);
        if samples.len() > SAMPLES_MAX {
            samples.pop_front();
        }
        // A busy end only ever adds to a round trip: the least one is what the way takes.
        let rtt_micros = samples.iter().copied().min().unwrap_or(rtt_micros);
        let (less, more) = (rtt_micros.min(*known), rtt_micros.max(*known));
        let is_far = Duration::from_micros((more - less).into()) > step;
        if *known == 0 || is_far && less.saturating_mul(factor) <= more {
            *known = rtt_micros;
            if self.published_at.is_none() {
                self.links_changed(now);
            } else {
                self.has_new_rtts = true;
                self.claim_links();
            }
        }
    }

    pub(super) fn links_changed(&mut self, now: Instant) {
        let first = self.changes.map_or(now, |changes| changes.first);
        self.changes = Some(Changes { first, last: now });
        self.claim_links();
    }

    fn claim_links(&mut self) {
        let links = self.links.iter();
        self.is_stale |= self.graph.claim_own(
            links.map(|(peer, rtt_micros)| Neighbour { peer: *peer, rtt_micros: *rtt_micros }),
        );
    }

    pub(super) fn publish_due(&self) -> Option<Instant> {
        let links = self.changes.map(|changes| {
            (changes.last + self.config.publish_delay).min(changes.first + PUBLISH_WAIT_MAX)
        });
        // Everybody checks every statement: round trips alone are not worth one as often as they change.
        let rtts = self.published_at.filter(|_| self.has_new_rtts);
        links.into_iter().chain(rtts.map(|at| at + self.config.rtt_every)).min()
    }

    pub(super) fn publish_if_due(&mut self, now: Instant) {
        if self.publish_due().is_none_or(|due| due > now) {
            return;
        }
        self.changes = None;
        self.has_new_rtts = false;
        self.published_at = Some(now);
        let links = self.links.iter().filter(|(peer, _)| self.members.contains(*peer));
        let neighbours: Vec<Neighbour> = links
            .map(|(peer, rtt_micros)| Neighbour { peer: *peer, rtt_micros: *rtt_micros })
            .take(NEIGHBOURS_MAX)
            .collect();
        let said = self.asked.as_ref().map(|state| state.neighbours.as_slice());
        // Never said anything is as good as having said that there are none.
        if said.unwrap_or_default() == neighbours && !self.is_outranked {
            return;
        }
        self.is_outranked = false;
        self.version = self.version.saturating_add(1);
        let state = LinkState {
            mesh_id: self.mesh_id,
            origin: self.me,
            incarnation: self.incarnation,
            version: self.version,
            neighbours,
        };
        self.asked = Some(state.clone());
        self.outputs.push_back(TopologyOutput::Publish(state));
    }

    pub(super) fn take_signed(&mut self, signed: SignedLinkState) {
        // One that was asked for before has been overtaken; its successor is under way.
        let Some(asked) = &self.asked else { return };
        if asked.encode().ok().as_ref() != Some(&signed.body) {
            return;
        }
        self.own = Some((asked.version(), signed.clone()));
        for to in self.linked_members() {
            let states = vec![signed.clone()];
            self.outputs.push_back(TopologyOutput::SendStates { to, states });
        }
    }

    /// Goes above a statement that this node made in an earlier life and does not remember.
    pub(super) fn outrank(&mut self, state: &LinkState, now: Instant) {
        self.incarnation = state.incarnation;
        self.version = state.version.saturating_add(OUTRANK_STEP);
        self.is_outranked = true;
        self.links_changed(now);
    }
}
