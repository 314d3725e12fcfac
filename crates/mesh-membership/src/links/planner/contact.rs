use std::time::{Duration, Instant};

/// A link that ends sooner is a failure, like a dial that came to nothing: the other side turns it down,
/// and would do so as often as it is dialled.
pub(super) const LINK_AGE_MIN: Duration = Duration::from_secs(1);

/// How things stand with one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No link, and none is wanted: the peer is outside this node's part of a large mesh.
    Idle,
    /// No link and no dial; the next dial is due then. `is_firm`: the last link ended at once, so that
    /// the peer lives is no reason to dial sooner.
    Waiting { dial_at: Instant, is_firm: bool },
    /// A dial is under way. `is_stale`: the addresses changed since.
    Dialling { is_stale: bool },
    /// There is a link, without a break since `up_at`. `silent_at`: closed then unless a frame arrives
    /// before. `is_tried`: that is soon, because this node woke or the peer opened another link.
    /// `is_closing`: it was ordered to be closed.
    Linked {
        up_at: Instant,
        silent_at: Instant,
        ping_at: Instant,
        is_tried: bool,
        is_closing: bool,
    },
}

/// What is known of one peer.
#[derive(Clone, Debug)]
pub(super) struct Contact {
    pub(super) phase: Phase,
    /// A peer that does not belong any more is kept until its link or dial has ended.
    pub(super) is_member: bool,
    /// Whether this node keeps a link with it. Others may still open one.
    pub(super) is_wanted: bool,
    /// Whether it is dialled rarely.
    pub(super) is_inactive: bool,
    /// Dials and links that failed since the last link that lasted.
    pub(super) failures: u32,
    /// How many of them were links that ended at once.
    pub(super) short_links: u32,
    /// The entry in the planner's alarms.
    pub(super) alarm: Option<Instant>,
}

impl Contact {
    /// Forgets the failures.
    pub(super) const fn forgive(&mut self) {
        self.failures = 0;
        self.short_links = 0;
    }
}

/// Whether a link that came up then has proved its worth.
pub(super) fn has_lasted(up_at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(up_at) >= LINK_AGE_MIN
}
