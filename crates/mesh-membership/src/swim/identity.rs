//! Who speaks, as foca sees it.

use foca::Identity;

use mesh_protocol::PeerId;

/// Renewals are below this; after the last of them the next incarnation begins.
pub(super) const RENEWAL_MAX: u32 = u32::MAX - 1_000;

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

    /// Whether a peer can have come to this life, and can go on to another one, at a time when no
    /// incarnation is above `incarnation_max`.
    pub(super) const fn is_possible(&self, incarnation_max: u64) -> bool {
        self.incarnation <= incarnation_max && self.renewal < RENEWAL_MAX
    }

    /// The next life; none after the last one that can be numbered. It is one that others believe in, as
    /// soon as their clocks allow its incarnation.
    pub(super) const fn next(&self) -> Option<Self> {
        let renewal = self.renewal.saturating_add(1);
        if renewal < RENEWAL_MAX {
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
