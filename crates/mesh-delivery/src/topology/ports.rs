use std::collections::BTreeSet;
use std::time::Duration;

use mesh_protocol::{LinkState, LinkStateVersion, PeerId, SignedLinkState};

/// Zero would turn comparing into a busy loop.
const WAIT_MIN: Duration = Duration::from_millis(10);

/// Longer waits help nobody and would let a careless value overflow the clock.
const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);

/// Waits and thresholds of [`Topology`](crate::Topology).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopologyConfig {
    /// How long the own links must have been left alone before they are published, so that changes that
    /// come together travel together. Changes that never cease are published after a second.
    pub publish_delay: Duration,
    /// How often versions are compared with each linked peer.
    pub compare_every: Duration,
    /// A round trip is published anew only when it grew or shrank by this factor …
    pub rtt_factor: u32,
    /// … and by more than this.
    pub rtt_step: Duration,
    /// Least time between two statements that differ in round trips alone.
    pub rtt_every: Duration,
}

impl Default for TopologyConfig {
    fn default() -> Self {
        Self {
            publish_delay: Duration::from_millis(200),
            compare_every: Duration::from_secs(30),
            rtt_factor: 2,
            rtt_step: Duration::from_millis(5),
            rtt_every: Duration::from_secs(30),
        }
    }
}

impl TopologyConfig {
    /// Brings every value into the range in which the engine works.
    pub(super) fn clamped(self) -> Self {
        Self {
            publish_delay: self.publish_delay.min(WAIT_MAX),
            compare_every: self.compare_every.clamp(WAIT_MIN, WAIT_MAX),
            rtt_every: self.rtt_every.min(WAIT_MAX),
            ..self
        }
    }
}

/// A fact that the driver hands in.
#[derive(Debug)]
pub enum TopologyInput {
    /// Who belongs, with or without this node. What is known of others is forgotten.
    MembersChanged(BTreeSet<PeerId>),
    /// There is a link to this peer.
    LinkUp {
        /// The other end.
        peer: PeerId,
    },
    /// The link is gone.
    LinkDown {
        /// The other end.
        peer: PeerId,
    },
    /// A round trip on a link was measured.
    RttMeasured {
        /// The other end.
        peer: PeerId,
        /// How long it took.
        rtt: Duration,
    },
    /// The driver signed what the last [`TopologyOutput::Publish`] asked for.
    Published(SignedLinkState),
    /// Link states came in. Their signatures were checked, at least of those that
    /// [`Topology::is_news`](crate::Topology::is_news) calls news; the others are ignored. So is what one
    /// member says beyond eight statements at once and two per second after them.
    StatesReceived {
        /// Who sent them.
        from: PeerId,
        /// Each with the form in which it travels on.
        states: Vec<(LinkState, SignedLinkState)>,
    },
    /// A member says which link states it has. It is given what it lacks, and asked for what it has, at
    /// most once in two seconds each while its link lasts.
    VersionsReceived {
        /// Who said it.
        from: PeerId,
        /// What it has.
        versions: Vec<LinkStateVersion>,
        /// Whether it wants to know as well what is here.
        wants_answer: bool,
    },
    /// Somebody wants versions compared with every linked peer at once.
    CompareNow,
}

/// A wish that the driver fulfils.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopologyOutput {
    /// Sign this and answer with [`TopologyInput::Published`].
    Publish(LinkState),
    /// Send these to a linked peer as one frame; if they are lost, a later comparison makes up for it.
    SendStates {
        /// The receiver.
        to: PeerId,
        /// At most [`LINK_STATES_PER_FRAME_MAX`](mesh_protocol::LINK_STATES_PER_FRAME_MAX).
        states: Vec<SignedLinkState>,
    },
    /// Say to a peer which link states are here.
    SendVersions {
        /// The receiver.
        to: PeerId,
        /// What is here.
        versions: Vec<LinkStateVersion>,
        /// Whether it is to say as well what it has.
        wants_answer: bool,
    },
    /// The members between this node and another one changed. A change of the round trip alone is not told.
    RouteChanged {
        /// The other member.
        peer: PeerId,
        /// The way to it; none when it cannot be reached, or is no member.
        route: Option<Route>,
    },
    /// A statement by this peer came in that is newer than one that was here: a sign of life. The first
    /// one is none, as it may be old.
    Announced {
        /// The peer that signed it.
        peer: PeerId,
        /// Its start.
        incarnation: u64,
    },
}

/// A way to a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The members between, in order; empty for a direct link.
    pub via: Vec<PeerId>,
    /// The sum of those round trips on the way that are known; none when none is.
    pub rtt: Option<Duration>,
}

#[cfg(test)]
mod tests;
