//! What is known of the other members and of the ways to them. Everything that shows it asks here.

use mesh_control::{PeerState, QueueView, RouteCounts};
use mesh_membership::MemberState;
use mesh_protocol::PeerId;

use crate::shared::{Shared, lock};

const fn state_view(state: MemberState) -> PeerState {
    match state {
        MemberState::Alive => PeerState::Alive,
        MemberState::Suspect => PeerState::Suspect,
        MemberState::Down => PeerState::Down,
        MemberState::Inactive => PeerState::Inactive,
    }
}

impl Shared {
    /// What this node believes of a member.
    pub(crate) fn peer_state(&self, peer: &PeerId) -> PeerState {
        if *peer == self.me || self.link(peer).is_some() {
            return PeerState::Alive;
        }
        lock(&self.core).member_state(peer).map_or(PeerState::Inactive, state_view)
    }

    /// Whether a member counts as active: this node, and whoever is alive or was a moment ago.
    pub(crate) fn is_active(&self, peer: &PeerId) -> bool {
        *peer == self.me || self.link(peer).is_some() || lock(&self.core).is_active(peer)
    }

    /// Hostnames of the members between this node and another one: none for a link and for itself.
    pub(crate) fn peer_via(&self, peer: &PeerId) -> Option<Vec<String>> {
        if *peer == self.me || self.link(peer).is_some() {
            return Some(Vec::new());
        }
        let via = lock(&self.core).via(peer)?.to_vec();
        Some(self.names(&via))
    }

    /// The other members by the way to them.
    pub(crate) fn route_counts(&self) -> RouteCounts {
        let mut counts = RouteCounts::default();
        for member in self.view().others() {
            match self.peer_via(&member.peer_id) {
                Some(via) if via.is_empty() => counts.direct += 1,
                Some(_) => counts.relayed += 1,
                None => counts.unreachable += 1,
            }
        }
        counts
    }

    /// What this node keeps for others.
    pub(crate) fn custody_queue(&self) -> QueueView {
        let stats = lock(&self.core).held_stats();
        QueueView {
            messages: stats.messages as u64,
            bytes: stats.bytes,
            messages_max: self.config.store.custody_messages_max,
            bytes_max: self.config.store.custody_bytes_max,
        }
    }

    /// Hostnames of the members that keep a copy of a message of the outbox.
    pub(crate) fn custodians_of(&self, sequence: u64) -> Vec<String> {
        let custodians = lock(&self.core).custodians_of(sequence);
        self.names(&custodians)
    }

    /// The way through `via`, in words.
    pub(super) fn via_words(&self, via: &[PeerId]) -> String {
        if via.is_empty() { "direct".to_owned() } else { self.names(via).join(", ") }
    }

    fn names(&self, peers: &[PeerId]) -> Vec<String> {
        let view = self.view();
        peers.iter().map(|peer| view.label(peer)).collect()
    }
}
