//! Whom to dial and when: links between all, or in a large mesh with some, kept alive by heartbeats.

mod planner;
mod subset;

use std::collections::BTreeSet;
use std::time::Duration;

use mesh_protocol::{NEIGHBOURS_MAX, PeerId};

pub use planner::LinkPlanner;
pub use subset::neighbours;

/// Without a least step a heartbeat would be due again the moment it was sent.
const STEP_MIN: Duration = Duration::from_millis(1);

/// Far enough to mean "never", near enough to be added to any moment.
const STEP_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// Pace of dials and heartbeats, and how many links there are. [`LinkPlanner`] brings values that cannot
/// work (waits of zero or of years, more links than a link state can list) to the nearest that can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    /// Wait after the first failure; doubles with each further one.
    pub backoff_min: Duration,
    /// Longest wait between dials, before up to a quarter is added or taken off by chance.
    pub backoff_max: Duration,
    /// The same for a member that has been down for long.
    pub inactive_backoff_max: Duration,
    /// Time between pings on a link.
    pub heartbeat_every: Duration,
    /// A link on which nothing has arrived for so long is closed.
    pub silence_max: Duration,
    /// The same on a link that is tried because this machine slept or its network changed, or because
    /// the peer opened another one.
    pub wake_silence_max: Duration,
    /// Up to so many members, this node counted, every pair links; at most [`NEIGHBOURS_MAX`].
    pub full_mesh_max: usize,
    /// With how many members this node keeps links in a larger mesh; see [`neighbours`].
    pub degree: usize,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(10),
            inactive_backoff_max: Duration::from_secs(60),
            heartbeat_every: Duration::from_secs(5),
            silence_max: Duration::from_secs(15),
            wake_silence_max: Duration::from_millis(1500),
            full_mesh_max: 64,
            degree: 8,
        }
    }
}

impl LinkConfig {
    /// Brings every value into the range in which the planner works.
    fn clamped(self) -> Self {
        let usable = |duration: Duration| duration.clamp(STEP_MIN, STEP_MAX);
        Self {
            backoff_min: usable(self.backoff_min),
            backoff_max: usable(self.backoff_max),
            inactive_backoff_max: usable(self.inactive_backoff_max),
            heartbeat_every: usable(self.heartbeat_every),
            silence_max: usable(self.silence_max),
            wake_silence_max: usable(self.wake_silence_max),
            full_mesh_max: self.full_mesh_max.min(NEIGHBOURS_MAX),
            degree: self.degree.clamp(2, NEIGHBOURS_MAX),
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkInput {
    /// These are the members; this node may be among them.
    MembersChanged(BTreeSet<PeerId>),
    /// There is a link to the peer, whoever dialled, or another one took its place.
    LinkUp {
        /// The other side.
        peer: PeerId,
    },
    /// The peer has no link any more.
    LinkDown {
        /// The other side.
        peer: PeerId,
    },
    /// A dial that was asked for came to nothing.
    DialFailed {
        /// Whom it was for.
        peer: PeerId,
    },
    /// The peer can be dialled elsewhere than before.
    AddressesChanged {
        /// Who moved.
        peer: PeerId,
    },
    /// Any frame arrived on the peer's link.
    FrameReceived {
        /// The other side.
        peer: PeerId,
    },
    /// The peer has been down for long, or is so no more.
    StateChanged {
        /// Whom it is about.
        peer: PeerId,
        /// Whether it is to be dialled rarely.
        is_inactive: bool,
    },
    /// There are news that the peer lives: a dial that waits is due at once, unless it waits because the
    /// last link ended at once.
    DialNow {
        /// Whom.
        peer: PeerId,
    },
    /// The peer opened another link, which was turned down in favour of the present one. The peer would
    /// hardly have done so if that one still worked, so it has to show within
    /// [`LinkConfig::wake_silence_max`] that it does.
    Doubted {
        /// The other side.
        peer: PeerId,
    },
    /// This machine slept or its network changed: what was planned is due at once, and every link has
    /// to show within [`LinkConfig::wake_silence_max`] that it still works.
    Woke,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkOutput {
    /// Dial the peer; answered by `LinkUp` or `DialFailed`. If an earlier dial is still under way (the
    /// peer's own link came and went meanwhile), that one answers for both.
    Dial {
        /// Whom.
        peer: PeerId,
    },
    /// Send a ping.
    Ping {
        /// To whom.
        peer: PeerId,
    },
    /// Close the link: nothing has arrived for too long. Answered by `LinkDown`.
    CloseSilent {
        /// Whose link.
        peer: PeerId,
    },
    /// Close the link: the peer does not belong. Answered by `LinkDown`.
    CutRemoved {
        /// Whose link.
        peer: PeerId,
    },
}

/// Which of two simultaneous links survives: true for the existing one. Both sides come to the same
/// answer: the link that the smaller id dialled stays; of two in the same direction the newer one,
/// because the dialler would not have dialled if the older one still worked.
#[must_use]
pub fn keeps_existing(
    me: PeerId,
    peer: PeerId,
    existing_dialled_by_me: bool,
    new_dialled_by_me: bool,
) -> bool {
    if existing_dialled_by_me == new_dialled_by_me {
        return false;
    }
    existing_dialled_by_me == (me < peer)
}
