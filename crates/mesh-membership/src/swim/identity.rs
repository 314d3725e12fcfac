//! Who speaks, as foca sees it.

use foca::Identity;

use mesh_protocol::PeerId;

/// One life of a member. Of two lives of one peer the later one counts, so a member comes back by
/// beginning another one, however firmly the rumour of its end is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SwimId {
    pub(super) peer: PeerId,
    /// Grows with every start of the peer's agent.
    pub(super) incarnation: u64,
    /// Grows with every false report of its end within one incarnation.
    pub(super) renewal: u32,
}

impl SwimId {
    /// A peer of which nothing is known.
    pub(super) const fn unknown(peer: PeerId) -> Self {
        Self { peer, incarnation: 0, renewal: 0 }
    }

    /// Orders the lives of one peer.
    pub(super) const fn age(&self) -> (u64, u32) {
        (self.incarnation, self.renewal)
    }

    /// The next life; none after the last one that can be numbered.
    pub(super) const fn next(&self) -> Option<Self> {
        if let Some(renewal) = self.renewal.checked_add(1) {
            return Some(Self { renewal, ..*self });
        }
        match self.incarnation.checked_add(1) {
            Some(incarnation) => Some(Self { incarnation, renewal: 0, ..*self }),
            None => None,
        }
    }
}

impl Identity for SwimId {
    type Addr = PeerId;

    fn renew(&self) -> Option<Self> {
        self.next()
    }

    fn addr(&self) -> PeerId {
        self.peer
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.age() > adversary.age()
    }
}
