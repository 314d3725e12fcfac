use std::collections::BTreeMap;

use mesh_protocol::{PeerId, UnixMillis};

/// How alive a member is, as far as this node knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemberState {
    /// It has a link to this node, or somebody reaches it.
    Alive,
    /// Its link was lost, or it is new; others are being asked.
    Suspect,
    /// Nobody who was asked reaches it.
    Down,
    /// It has been down for long; others are asked rarely.
    Inactive,
}

impl MemberState {
    /// Whether people are told that the member is active.
    #[must_use]
    pub const fn is_active(self) -> bool {
        match self {
            Self::Alive | Self::Suspect => true,
            Self::Down | Self::Inactive => false,
        }
    }

    /// The state's name in logs and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Down => "down",
            Self::Inactive => "inactive",
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LivenessInput {
    /// These are the members without this node, and when each was last heard of as far as is written
    /// down. Those that are known keep their state; those that are not named are forgotten.
    MembersChanged(BTreeMap<PeerId, Option<UnixMillis>>),
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
    /// Any frame arrived on the peer's own link.
    Heard {
        /// The other side.
        peer: PeerId,
    },
    /// A member answered a probe.
    ProbeAnswered {
        /// The probe that is answered.
        nonce: u64,
        /// Who answers.
        helper: PeerId,
        /// Whether it reaches the subject itself.
        is_reached: bool,
        /// The subject's incarnation as far as the helper knows; 0 when it knows none.
        incarnation: u64,
        /// When the helper last heard of the subject; 0 for never.
        last_seen_at: UnixMillis,
    },
    /// A probe could not be sent: there will be no answer from this helper.
    ProbeUnsent {
        /// The probe.
        nonce: u64,
        /// Who should have got it.
        helper: PeerId,
    },
    /// A statement that the peer itself signed came through others. The first incarnation that is
    /// announced is noted and proves nothing, for the peer may be long gone. From then on the peer lives
    /// when its incarnation is above the known one, or when the statement `is_fresh` and not of an older
    /// incarnation.
    Announced {
        /// Who signed.
        peer: PeerId,
        /// Its incarnation, as it says itself.
        incarnation: u64,
        /// Whether this is a newer version than any seen of this incarnation.
        is_fresh: bool,
    },
}

/// What is to be done, and what others should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LivenessOutput {
    /// Ask `helper` whether it reaches `subject`; answered by `ProbeAnswered` or `ProbeUnsent`.
    Probe {
        /// A linked member.
        helper: PeerId,
        /// Whom it is about.
        subject: PeerId,
        /// Has to come back with the answer.
        nonce: u64,
    },
    /// A member's state is another one.
    StateChanged {
        /// Whose.
        peer: PeerId,
        /// The state of before.
        from: MemberState,
        /// The state from here on.
        to: MemberState,
    },
    /// The member turned out to live but has no link: it is worth a dial at once.
    DialNow {
        /// Whom.
        peer: PeerId,
    },
    /// Nobody has seen the member for longer than [`LivenessConfig::forget_after`](crate::LivenessConfig::forget_after): it may be removed
    /// from the mesh, and it falls to this node to do so. Repeated once a day while it is a member.
    Forget {
        /// Whom.
        peer: PeerId,
        /// When it was last heard of by anybody who was asked; else when this node learned of it.
        last_seen_at: UnixMillis,
    },
}
