use std::time::{Duration, Instant};

use mesh_protocol::{PeerId, UnixMillis};

use super::round::Round;
use super::{MemberState, Now};

/// What is known of one member.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) state: MemberState,
    /// The highest that the member itself announced.
    pub(super) incarnation: u64,
    pub(super) last_seen_at: Option<UnixMillis>,
    /// When this engine learned of the member.
    known_since: Now,
    /// The latest proof of life that this engine itself had.
    lived_at: Option<Instant>,
    /// Counts while it is down.
    pub(super) down_since: Instant,
    /// The questions under way.
    pub(super) round: Option<Round>,
    /// When to ask again, while nobody is being asked and there is no link.
    pub(super) probe_at: Instant,
    /// The helper that reached it in the last round that proved it alive.
    pub(super) reached_by: Option<PeerId>,
    /// There was nobody to ask in the last round.
    pub(super) lacks_helper: bool,
    /// When it was last said that the member may be removed.
    pub(super) forgot_at: Option<Instant>,
    /// The entry in the engine's alarms.
    pub(super) alarm: Option<Instant>,
}

impl Subject {
    /// A member that was just learned of.
    pub(super) const fn new(last_seen_at: Option<UnixMillis>, now: Now, probe_at: Instant) -> Self {
        Self {
            state: MemberState::Suspect,
            incarnation: 0,
            last_seen_at,
            known_since: now,
            lived_at: None,
            down_since: now.instant,
            round: None,
            probe_at,
            reached_by: None,
            lacks_helper: false,
            forgot_at: None,
            alarm: None,
        }
    }

    /// There is a proof that it lives.
    pub(super) fn lived(&mut self, now: Now) {
        self.last_seen_at = self.last_seen_at.max(Some(now.wall));
        self.lived_at = Some(now.instant);
    }

    /// When it was last seen, or learned of if it never was.
    pub(super) fn counts_from(&self) -> UnixMillis {
        self.last_seen_at.unwrap_or(self.known_since.wall)
    }

    /// For how long nobody has seen it. What this node witnessed itself counts by the clock that cannot
    /// leap as well, lest a wall clock that is set wrong makes everybody look long gone.
    pub(super) fn unseen_for(&self, now: Now) -> Duration {
        let unseen = now.wall.since(self.counts_from());
        let never = self.last_seen_at.is_none().then_some(self.known_since.instant);
        match self.lived_at.or(never) {
            Some(witnessed_at) => unseen.min(now.instant.saturating_duration_since(witnessed_at)),
            None => unseen,
        }
    }
}
