use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use mesh_protocol::PeerId;

/// One moment per peer, the next one at hand: the driver asks for it after every event.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    moments: BTreeMap<PeerId, Instant>,
    /// The same, by time.
    order: BTreeSet<(Instant, PeerId)>,
}

impl Schedule {
    pub(super) fn first(&self) -> Option<Instant> {
        self.order.first().map(|&(due, _)| due)
    }

    /// Sets the moment of a peer, in place of the one that it had.
    pub(super) fn set(&mut self, peer: PeerId, due: Instant) {
        self.remove(&peer);
        self.moments.insert(peer, due);
        self.order.insert((due, peer));
    }

    pub(super) fn remove(&mut self, peer: &PeerId) {
        if let Some(due) = self.moments.remove(peer) {
            self.order.remove(&(due, *peer));
        }
    }

    pub(super) fn retain(&mut self, peers: &BTreeSet<PeerId>) {
        self.moments.retain(|peer, _| peers.contains(peer));
        self.order.retain(|(_, peer)| peers.contains(peer));
    }

    /// Takes a peer out whose moment has come, the earliest first.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<PeerId> {
        let &(due, peer) = self.order.first()?;
        if due > now {
            return None;
        }
        self.remove(&peer);
        Some(peer)
    }
}

#[cfg(test)]
mod tests;
