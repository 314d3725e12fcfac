use std::collections::{BTreeMap, BTreeSet};

use mesh_protocol::{
    PUSH_TARGETS_MAX, PeerId, PushEvent, PushFact, PushReason, PushStep, PushTotals, UnixMillis,
    WaitingFor,
};

/// Most events that one push ever has: three of its own and eight for each target.
pub const HISTORY_EVENTS_MAX: usize = 3 + 8 * PUSH_TARGETS_MAX;

/// How far a target has come. It never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Nothing has happened.
    #[default]
    Pending,
    /// It is not reached.
    WaitingForLink,
    /// Somebody has to approve.
    WaitingForApproval,
    /// It takes the push.
    Accepted,
    /// It has every chunk.
    Staged,
    /// It found everything right.
    Verified,
    /// It has put it in place.
    Confirmed,
    /// It ended without having been put in place.
    Failed,
    /// What was there before is back.
    RolledBack,
}

impl Phase {
    /// Whether the push itself is over at this target.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Confirmed | Self::Failed | Self::RolledBack)
    }
}

/// What is known of one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetState {
    /// How far it has come.
    pub phase: Phase,
    /// Since when.
    pub since: UnixMillis,
    /// Why it ended; the event tells more.
    pub problem: Option<(PushStep, PushReason)>,
}

impl TargetState {
    /// Takes a step, if it leads onwards.
    fn go(&mut self, at: UnixMillis, phase: Phase) -> bool {
        let leads_on = match phase {
            Phase::Failed => !self.phase.is_final(),
            Phase::RolledBack => self.phase == Phase::Confirmed,
            Phase::Pending
            | Phase::WaitingForLink
            | Phase::WaitingForApproval
            | Phase::Accepted
            | Phase::Staged
            | Phase::Verified
            | Phase::Confirmed => self.phase < phase,
        };
        if leads_on {
            (self.phase, self.since) = (phase, at);
        }
        leads_on
    }

    fn fail(&mut self, at: UnixMillis, problem: (PushStep, PushReason)) -> bool {
        let is_news = self.go(at, Phase::Failed);
        if is_news {
            self.problem = Some(problem);
        }
        is_news
    }
}

/// What a push's events come to. The same on a list of them as it was when they happened, however often each
/// is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    pub(crate) prepared: Option<(PushTotals, [u8; 32])>,
    pub(crate) is_announced: bool,
    pub(crate) is_ended: bool,
    pub(crate) targets: BTreeMap<PeerId, TargetState>,
}

impl History {
    pub(crate) fn new(targets: BTreeSet<PeerId>) -> Self {
        let targets = targets.into_iter().take(PUSH_TARGETS_MAX);
        Self {
            targets: targets.map(|peer| (peer, TargetState::default())).collect(),
            ..Self::default()
        }
    }

    /// Takes in an event. Says whether it was news: only then is it recorded.
    pub(crate) fn apply(&mut self, event: &PushEvent) -> bool {
        let at = event.at;
        match &event.fact {
            PushFact::Prepared { totals, manifest } => {
                let is_news = self.prepared.is_none();
                self.prepared.get_or_insert((*totals, *manifest));
                is_news
            }
            PushFact::Announced => !std::mem::replace(&mut self.is_announced, true),
            PushFact::Ended(problem) => {
                if std::mem::replace(&mut self.is_ended, true) {
                    return false;
                }
                for target in self.targets.values_mut() {
                    target.fail(at, (problem.step, problem.reason));
                }
                true
            }
            PushFact::Waiting { target, waiting_for: WaitingFor::Link } => {
                self.go(target, at, Phase::WaitingForLink)
            }
            PushFact::Waiting { target, waiting_for: WaitingFor::Approval } => {
                self.go(target, at, Phase::WaitingForApproval)
            }
            PushFact::Accepted { target } => self.go(target, at, Phase::Accepted),
            PushFact::Staged { target } => self.go(target, at, Phase::Staged),
            PushFact::Verified { target, verification: _ } => self.go(target, at, Phase::Verified),
            PushFact::Confirmed { target, confirmation: _ } => {
                self.go(target, at, Phase::Confirmed)
            }
            PushFact::Failed { target, problem } => {
                let target = self.targets.get_mut(target);
                target.is_some_and(|target| target.fail(at, (problem.step, problem.reason)))
            }
            PushFact::RolledBack { target, by: _ } => self.go(target, at, Phase::RolledBack),
        }
    }

    fn go(&mut self, target: &PeerId, at: UnixMillis, phase: Phase) -> bool {
        self.targets.get_mut(target).is_some_and(|target| target.go(at, phase))
    }

    pub(crate) fn phase(&self, target: &PeerId) -> Phase {
        self.targets.get(target).map_or(Phase::Pending, |target| target.phase)
    }
}
